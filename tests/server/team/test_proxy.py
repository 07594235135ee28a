"""deploy/Caddyfile with the real Caddy: what it passes on, and what it keeps from the server."""

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from tests.cli.installed import THENCE, begin
from tests.house.tree import ROOT
from tests.log.committers import until
from tests.server.postgres import end_with_parent
from tests.server.runs import make_run
from tests.server.team.lines import lines
from tests.server.team.stranger import digest
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.system_packages import provided
from websockets.sync.client import connect

from thence.server.http.protocol import HEAD_BYTES_MAX

pytestmark = pytest.mark.rest

_MISSING = "there is no Caddy to put before a server.\nInstall it: apt-get install caddy"
_PAGES_PASSWORD = "what the team knows"
_STRANGERS = 60
_WAIT_S = 120
# an authority of its own in place of one on the internet
_GLOBAL = """{
	admin off
	skip_install_trust
	auto_https disable_redirects
	storage file_system STORAGE
"""


class Proxy(NamedTuple):
    """A running Caddy before a server and the pages of a mirror."""

    port: int
    pages_port: int
    trust: ssl.SSLContext

    def client(self, port: int = 0) -> httpx2.Client:
        url = f"https://localhost:{port or self.port}"
        return httpx2.Client(base_url=url, verify=self.trust, timeout=60)

    def opened(self, sent: bytes) -> ssl.SSLSocket:
        """Returns a connection that has sent something."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=_WAIT_S)
        connection = self.trust.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(sent)
        return connection

    def has_certificates(self) -> bool:
        """Tells whether both sites answer by TLS: Caddy writes a certificate before it has it."""
        with suppress(httpx2.TransportError):
            for port in (self.port, self.pages_port):
                with self.client(port) as client:
                    client.get("/")
            return True
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def _caddy(folder: Path, server: TeamServer) -> Iterator[Proxy]:
    """Runs Caddy by deploy/Caddyfile, of which names, sockets and the password are replaced."""
    program = provided("caddy", lambda: shutil.which("caddy"), _MISSING)
    argv = [program, "hash-password", "--plaintext", _PAGES_PASSWORD]
    hashed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    port, pages_port = _free_port(), _free_port()
    text = (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
    for old, new in (
        ("{\n", _GLOBAL.replace("STORAGE", str(folder / "caddy"))),
        ("logs.thence.example {", f"localhost:{pages_port} {{\n\ttls internal"),
        ("thence.example {", f"localhost:{port} {{\n\ttls internal"),
        ("server:8378", server.url.replace("unix:", "unix/")),
        ("read_body 60s", "read_body 5s"),  # a test need not wait so long
        ("unix//run/thence/pages.sock", f"unix/{folder / 'pages.sock'}"),
    ):
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    text = re.sub(r"\$2a\$\S+", lambda _: hashed, text)
    (folder / "Caddyfile").write_text(text, "utf-8")
    argv = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with (folder / "stderr").open("wb") as stderr:
        home = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(argv, stderr=stderr, env=home, preexec_fn=end_with_parent)
    try:
        authority = folder / "caddy" / "pki" / "authorities" / "local"
        until(lambda: (authority / "intermediate.crt").exists() or process.poll() is not None)
        assert process.poll() is None, (folder / "stderr").read_text()
        root = ssl.create_default_context(cafile=str(authority / "root.crt"))
        running = Proxy(port, pages_port, root)
        until(running.has_certificates)
        yield running
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    place = folder / "server.sock"
    with team_server(folder / "data", arguments=("--unix", str(place))) as server:
        make_run(folder / "logs", "run", count=3)
        pages = begin(
            THENCE, "serve", "logs", "--unix", folder / "pages.sock", "--json", cwd=folder
        )
        assert pages.stdout is not None
        pages.stdout.readline()
        try:
            with _caddy(folder, server) as running:
                yield running
        finally:
            pages.kill()
            pages.communicate()


def _log_in(client: httpx2.Client) -> None:
    answer = client.post("/api/v1/token/", json={"username": "ada", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access']}"


def _pushed(client: httpx2.Client, log: str, sent: list[bytes]) -> list[str]:
    body = b'{"events":[' + b",".join(sent) + b"]}"
    path = f"/api/v1/events/batch/?log={log}&kind=plain"
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    return [result["status"] for result in answer.json()["results"]]


@pytest.mark.promise("S12")
def test_batches_pages_of_lines_and_live_events_pass(proxy: Proxy) -> None:
    with proxy.client() as client:
        _log_in(client)
        assert _pushed(client, "passed", lines(999)) == ["success"] * 999
        named = {"digests": [digest(line).hex() for line in lines(1_000)]}
        missing = client.post("/api/v1/events/missing/?log=passed", json=named)
        assert missing.json().get("digests") == named["digests"][-1:], missing.text
        token = client.post("/api/v1/ws-token/", json={}).json()["token"]
    address = f"wss://localhost:{proxy.port}/ws/v1/events/?log=passed&kind=plain&token={token}"
    with connect(address, ssl=proxy.trust, proxy=None) as live:
        assert json.loads(live.recv(timeout=_WAIT_S))["type"] == "snapshot"


@pytest.mark.promise("S12")
def test_half_heads_half_bodies_and_floods_keep_no_member_waiting(proxy: Proxy) -> None:
    head = b"POST /api/v1/token/ HTTP/1.1\r\nHost: localhost\r\n"
    sends = (b"POST /api", head, head + b"Content-Length: 90\r\n\r\nx")
    with ExitStack() as opened, proxy.client() as client:
        waiting = [
            opened.enter_context(proxy.opened(sends[number % len(sends)]))
            for number in range(_STRANGERS)
        ]
        _log_in(client)
        assert _pushed(client, "flooded", lines(50)) == ["success"] * 50
        for connection in waiting:  # each is closed; Go says an empty 200 to some before
            answer = b""
            while part := connection.recv(65_536):
                answer += part
            assert answer.partition(b"\r\n\r\n")[2] in (b"", b"400 Bad Request"), answer
        assert client.get("/api/v1/sync/health/").status_code == 200


@pytest.mark.promise("S12")
def test_what_is_too_large_goes_no_further(proxy: Proxy) -> None:
    with proxy.client() as client:
        _log_in(client)
        path = "/api/v1/events/batch/?log=large&kind=plain"
        assert client.post(path, content=b"x" * 6_000_000).status_code == 413
        told = client.get("/api/v1/sync/health/", headers={"X": "x" * 4 * HEAD_BYTES_MAX})
        assert told.status_code == 431


@pytest.mark.promise("Q8")
def test_pages_are_for_who_has_the_password(proxy: Proxy) -> None:
    with proxy.client(proxy.pages_port) as client:
        assert client.get("/").status_code == 401
        assert client.get("/", auth=("team", "wrong")).status_code == 401
        answer = client.get("/simulations", auth=("team", _PAGES_PASSWORD))
        assert [entry["id"] for entry in answer.json()["simulations"]] == ["run"]
