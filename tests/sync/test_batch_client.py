"""Another tool's client brings events over TLS, and a clone of the project takes them."""

import gzip
import http.client
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.cli.warm import warm
from tests.git.repositories import make_repository
from tests.server.team.team_server import PASSWORD, team_server
from tests.sync.tls_front import tls_front

from thence.work.journal.store import EventStore

BATCH_EVENTS_MAX = 1_000


class BatchClient:
    """A user's queue of events for a server; `failed` are those that go again, with the reason.

    It is written for the published batch endpoint, with the standard library alone, and knows
    nothing of logs, lines or digests: it brings events in batches, and takes none.
    """

    def __init__(self, url: str, ca_file: str) -> None:
        self._url = urlsplit(url)
        self._context = ssl.create_default_context(cafile=ca_file)
        self._tokens: dict[str, Any] = {}
        self.queue: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}

    def log_in(self, username: str, password: str) -> None:
        status, answer = self._post(
            "/api/v1/token/", {"username": username, "password": password}, is_packed=False
        )
        if status != 200:
            raise PermissionError(answer["error"])
        self._tokens = answer

    def send(self) -> int:
        """Sends a batch; takes what was delivered off the queue and returns how many that are."""
        batch = self.queue[:BATCH_EVENTS_MAX]
        status, answer = self._post("/api/v1/events/batch/", {"events": batch})
        if status == 400:
            assert isinstance(answer["error"], str)
            self.failed = {each["event_id"]: each["error"] for each in answer["details"]}
            return 0
        if status != 200:
            raise ConnectionError(answer["error"])
        delivered = set()
        for result in answer["results"]:
            if result["status"] in ("success", "duplicate"):
                delivered.add(result["event_id"])
            else:  # rejected, and whatever a later server says
                reason = result.get("error_message") or result.get("error") or result["status"]
                self.failed[result["event_id"]] = reason
        self.queue = [event for event in self.queue if event["event_id"] not in delivered]
        return len(delivered)

    def _post(self, path: str, value: object, is_packed: bool = True) -> tuple[int, Any]:
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json"}
        if is_packed:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        if self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens['access']}"
        host, port = self._url.hostname, self._url.port
        connection = http.client.HTTPSConnection(
            host or "", port, timeout=60, context=self._context
        )
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def certified(folder: Path) -> tuple[str, str, str]:
    """Make an authority and a certificate for this machine; return the paths of both and a key."""
    openssl = shutil.which("openssl")
    assert openssl, "install openssl: this test makes certificates with it"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made = [openssl, "req", "-x509", *key, "-days", "2"]
    named = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    signing = ["-addext", "keyUsage=critical,keyCertSign"]  # Python 3.13 refuses one without
    authority = ["-subj", "/CN=test authority", *signing, "-keyout", "ca.key", "-out", "ca.pem"]
    signed = ["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    for argv in (authority, [*signed, *named, "-CA", "ca.pem", "-CAkey", "ca.key"]):
        subprocess.run([*made, *argv], cwd=folder, check=True, capture_output=True)
    return str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.mark.promise("S6")
def test_events_of_another_tools_client_arrive_in_a_clone_over_tls(tmp_path: Path) -> None:
    ca_file, certificate, key = certified(tmp_path)
    project = make_repository(tmp_path / "project")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert warm("work", "finalize-tasks", "--add", "Read the spec", cwd=project, env=env).code == 0
    uuid = EventStore.at(project).project.uuid
    with (
        team_server(tmp_path / "data") as server,
        tls_front(server.url, certificate, key) as url,
    ):
        client = BatchClient(url, ca_file)
        with pytest.raises(PermissionError):
            client.log_in("ada", "wrong")
        client.log_in("ada", PASSWORD)
        client.queue = [
            {
                "event_id": f"01JTAAB{number:019d}",
                "event_type": "WPStatusChanged",
                "aggregate_id": "WP01",
                "payload": {"wp_id": "WP01", "text": f"überall {number}"},
                "timestamp": "2026-11-20T07:13:00+00:00",
                "node_id": "another-tool",
                "lamport_clock": number + 1,
                "project_uuid": uuid,
            }
            for number in range(20)
        ]
        sent = list(client.queue)
        client.queue.insert(3, {"event_id": "01JNONE", "seq": 1})
        assert client.send() == 20, "what is not an event leaves the others alone"
        assert list(client.failed) == ["01JNONE"]
        assert [event["event_id"] for event in client.queue] == ["01JNONE"]
        client.queue = sent[:2]
        assert client.send() == 2, "a duplicate is delivered too"

        login = ("sync", "login", url, "--username", "ada", "--password-stdin")
        given = {"cwd": project, "env": env, "stdin": PASSWORD.encode() + b"\n"}
        refused = thence(*login, **given)
        assert refused.code == 1
        assert is_three_lines(refused.err)
        assert "SSL_CERT_FILE" in refused.err
        env["SSL_CERT_FILE"] = ca_file
        assert thence(*login, **given).code == 0
        assert warm("sync", "enable", cwd=project, env=env).code == 0
        now = warm("sync", "now", "--json", cwd=project, env=env)
        assert (now.code, now.json["pulled"]) == (0, 20), now.err
        held = [event.members for event in EventStore.at(project).read()]
    arrived = {each["event_id"]: each for each in held}
    for event in sent:
        assert json.dumps(arrived[event["event_id"]]["payload"]) == json.dumps(event["payload"])
