"""Live delivery between programs, and what a log does where there is none.

The server is the installed command, and each clone a program of its own with a timer of an hour.
"""

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.server.listening import until
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.sync import http_servers
from tests.sync.plain_server import PlainServer
from tests.sync.test_service import NOTHING, Asking, enabled

import thence
from thence.log.storage.segment import current_path
from thence.sync import BackgroundSyncService
from thence.sync.client import log_in
from thence.sync.credentials import CredentialStore
from thence.sync.target import (
    SyncReport,
    SyncTarget,
    connection_state,
    read_connection,
    read_status,
    sync_folder,
    write_target,
)

WAIT_S = 20
PEM = str(Path(__file__).with_name("loopback.pem"))
TOKEN = {"token": "for-one-connection", "lifetime": 60}
PROGRAM = Path(__file__).with_name("live_program.py")


class Clone:
    """A log with a program that keeps it in sync."""

    def __init__(self, folder: Path, server: TeamServer, ca_file: str | None = None) -> None:
        self.folder = folder
        self.config = folder.with_name(f"{folder.name}-config")
        with thence.open(folder):
            pass
        login = log_in(server.url, "ada", PASSWORD, ca_file=ca_file)
        CredentialStore(self.config).save(login)
        write_target(folder, SyncTarget(server.url, "red", "ada", "orders", "plain", "2026"))

    def start(self, ending: str = "stop") -> None:
        argv = [sys.executable, PROGRAM, self.folder, self.config, ending]
        self._program = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True)

    def append(self, text: str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{text}\n")
        self._program.stdin.flush()

    def holds(self, text: str) -> bool:
        path = current_path(self.folder)
        return path.exists() and f'"{text}"'.encode() in path.read_bytes()

    def is_connected(self) -> bool:
        return read_connection(self.folder) == "Connected"

    def end(self) -> float:
        """Ends the program; returns the seconds it took."""
        began = time.monotonic()
        self._program.communicate(timeout=WAIT_S)
        assert self._program.returncode == 0
        return time.monotonic() - began


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data") as found:
        yield found


@pytest.mark.promise("S5")
def test_append_reaches_another_clone_at_once_also_after_the_server_was_killed(
    tmp_path: Path, server: TeamServer
) -> None:
    clones = [Clone(tmp_path / name, server) for name in ("one", "other")]
    one, other = clones
    one.start("stop")
    other.start("leave")
    until(lambda: all(clone.is_connected() for clone in clones))
    one.append("first")
    began = time.monotonic()
    until(lambda: other.holds("first"))
    assert time.monotonic() - began < 2

    server.end(signal.SIGKILL)
    until(lambda: not any(clone.is_connected() for clone in clones))
    one.append("while it was down")
    until(lambda: one.holds("while it was down"))
    server.start("--port", server.url.rpartition(":")[2])
    until(lambda: other.holds("while it was down"))
    until(lambda: all(clone.is_connected() for clone in clones))
    other.append("answer")
    until(lambda: one.holds("answer"))
    assert [clone.end() < 2 for clone in clones] == [True, True]
    lines = [sorted(current_path(clone.folder).read_bytes().splitlines()) for clone in clones]
    assert lines[0] == lines[1]


def test_line_that_is_kept_back_delays_no_later_one(tmp_path: Path, server: TeamServer) -> None:
    """The backoff is an hour, as the interval is."""
    rounds = []

    class Parking(Asking):
        def round(self) -> SyncReport:
            rounds.append(self)
            return replace(NOTHING, parked=1)

    clone = Clone(tmp_path / "one", server)
    store = CredentialStore(clone.config)
    given = {"store": store, "engine": Parking, "uniform": lambda low, high: 3600.0}
    with thence.open(clone.folder) as log, BackgroundSyncService(log, 3600.0, **given) as service:
        until(clone.is_connected)
        for _ in range(3):
            until(lambda: service.state == "waiting")
            count = len(rounds)
            log.append("note")
            until(lambda count=count: len(rounds) > count)


def test_append_reaches_a_server_with_a_certificate_of_its_own(
    tmp_path: Path, server: TeamServer
) -> None:
    server.end()
    server.start("--tls-cert", PEM, "--tls-key", PEM)
    clones = [Clone(tmp_path / name, server, PEM) for name in ("one", "other")]
    for clone in clones:
        clone.start()
    until(lambda: all(clone.is_connected() for clone in clones))
    clones[0].append("first")
    until(lambda: clones[1].holds("first"))
    for clone in clones:
        clone.end()


@pytest.mark.parametrize("answer", ["404", "426", "302", "200", "cut"])
def test_server_or_proxy_without_web_sockets_is_no_error(
    tmp_path: Path, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server of the wire stands behind this; an upgrade gets `answer`.

    A program that logs all that its libraries say sees neither the token nor an error.
    """
    caplog.set_level(logging.DEBUG)
    words = {"cut": "Reconnecting"}
    with http_servers.TeamServer(PlainServer) as plain, thence.open(tmp_path / "log") as log:
        plain.access["good"] = "ada"
        store = enabled(log, tmp_path, plain.url)
        if answer != "404":
            plain.overrides["/api/v1/ws-token/"] = http_servers.told(200, TOKEN)
        if answer == "cut":
            plain.overrides["/ws/v1/events/"] = (None, {}, b"")
        elif answer != "404":
            headers = {"Location": f"{plain.url}/elsewhere"}
            plain.overrides["/ws/v1/events/"] = (int(answer), headers, b"no")
        asked = "/api/v1/ws-token/" if answer == "404" else "/ws/v1/events/"
        with BackgroundSyncService(log, 3600, store=store) as service:
            until(lambda: read_status(log.folder) is not None)
            until((sync_folder(log.folder) / "live.json").exists)
            assert asked in plain.paths()
            assert "/elsewhere" not in plain.paths()
            assert service.last_error is None
            state = connection_state(log.folder, read_status(log.folder), is_service_running=True)
            assert state == words.get(answer, "OfflineBatchMode")
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert not re.search(f"{TOKEN['token']}|Bearer", caplog.text)


def test_stop_does_not_wait_for_a_web_socket_that_never_opens(tmp_path: Path) -> None:
    held, let = threading.Event(), threading.Event()

    def hold() -> tuple[int, dict[str, str], bytes]:
        held.set()
        let.wait(WAIT_S)
        return 404, {}, b""

    with http_servers.TeamServer() as plain, thence.open(tmp_path / "log") as log:
        plain.access["good"] = "ada"
        store = enabled(log, tmp_path, plain.url)
        plain.overrides["/api/v1/ws-token/"] = http_servers.told(200, TOKEN)
        plain.overrides["/ws/v1/events/"] = hold
        service = BackgroundSyncService(log, 3600, store=store, engine=Asking)
        service.start()
        assert held.wait(WAIT_S)
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 2
        let.set()
