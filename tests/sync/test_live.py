"""Live delivery between programs, and what a log does where there is none.

The server is the installed command, and each clone a program of its own with a timer of an hour.
"""

import logging
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.log.committers import until
from tests.server.team.team_server import TeamServer, team_server
from tests.sync import http_servers
from tests.sync.plain_server import PlainServer
from tests.sync.programs import Program
from tests.sync.test_service import NOTHING, Asking, enabled
from tests.sync.tls_front import tls_front

import thence
from thence.errors import SyncRefused
from thence.log.files.segment import current_path
from thence.sync import BackgroundSyncService
from thence.sync.credentials import CredentialStore
from thence.sync.target import (
    SyncReport,
    connection_state,
    read_status,
)

WAIT_S = 60
PEM = str(Path(__file__).with_name("loopback.pem"))
TOKEN = {"token": "for-one-connection", "lifetime": 60}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data") as found:
        yield found


@pytest.mark.promise("S5")
def test_append_reaches_another_clone_at_once_also_after_the_server_was_killed(tmp_path, server):
    clones = [Program(tmp_path / name, server.url) for name in ("one", "other")]
    one, other = clones
    one.start("stop")
    other.start("leave")
    until(lambda: all(clone.is_connected() for clone in clones))
    one.append("first")
    until(lambda: other.holds("first"))  # the interval is an hour
    server.end(signal.SIGKILL)
    until(lambda: not any(clone.is_connected() for clone in clones))
    one.append("while it was down")
    until(lambda: one.holds("while it was down"))
    server.start("--port", server.url.rpartition(":")[2])
    until(lambda: other.holds("while it was down"))
    until(lambda: all(clone.is_connected() for clone in clones))
    other.append("answer")
    until(lambda: one.holds("answer"))
    for clone in clones:
        clone.end()
    lines = [sorted(current_path(clone.folders[0]).read_bytes().splitlines()) for clone in clones]
    assert lines[0] == lines[1]
    for clone, ending in zip(clones, ("stop", "leave"), strict=True):
        clone.start(ending)
        until(clone.is_connected)
        clone.end()


def test_line_that_is_kept_back_delays_no_later_one(tmp_path: Path, server: TeamServer) -> None:
    """The backoff is an hour, as the interval is."""
    rounds = []

    class Parking(Asking):
        def round(self) -> SyncReport:
            rounds.append(self)
            return replace(NOTHING, parked=1)

    one = Program(tmp_path / "one", server.url)
    store = CredentialStore(one.config)
    given = {"store": store, "engine": Parking, "uniform": lambda low, high: 3600.0}
    with thence.open(one.folders[0]) as log, BackgroundSyncService(log, 3600.0, **given) as service:
        until(one.is_connected)
        for _ in range(3):
            until(lambda: service.state == "waiting")
            count = len(rounds)
            log.append("note")
            until(lambda count=count: len(rounds) > count)


def test_live_connection_ends_the_backoff_of_a_server_that_is_back(tmp_path, server):
    """The backoff is an hour, as the interval is."""
    rounds = []

    class Away(Asking):
        def round(self) -> SyncReport:
            rounds.append(self)
            error = (
                SyncRefused("could not reach", code="server_unreachable")
                if len(rounds) == 1
                else None
            )
            return replace(NOTHING, error=error)

    one = Program(tmp_path / "one", server.url)
    store = CredentialStore(one.config)
    given = {"store": store, "engine": Away, "uniform": lambda low, high: 3600.0}
    with thence.open(one.folders[0]) as log, BackgroundSyncService(log, 3600.0, **given):
        until(lambda: len(rounds) > 1)


def test_append_reaches_a_server_with_a_certificate_of_its_own(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", PEM)
    with tls_front(server.url, PEM, PEM) as url:
        clones = [Program(tmp_path / name, url) for name in ("one", "other")]
        for clone in clones:
            clone.start()
        until(lambda: all(clone.is_connected() for clone in clones))
        clones[0].append("first")
        until(lambda: clones[1].holds("first"))
        for clone in clones:
            clone.end()


@pytest.mark.parametrize("answer", ["404", "426", "302", "200", "cut", "no token"])
def test_server_or_proxy_without_web_sockets_is_no_error(tmp_path, answer, caplog):
    """The server of the wire stands behind this; an upgrade gets `answer`.

    A program that logs all that its libraries say sees neither the token nor an error.
    """
    caplog.set_level(logging.DEBUG)
    with http_servers.TeamServer(PlainServer) as plain, thence.open(tmp_path / "log") as log:
        plain.access["good"] = "ada"
        store = enabled(log, tmp_path, plain.url)
        if answer != "404":
            plain.overrides["/api/v1/ws-token/"] = http_servers.told(200, TOKEN)
        if answer == "no token":
            plain.overrides["/api/v1/ws-token/"] = (None, {}, b"")
        elif answer == "cut":
            plain.overrides["/ws/v1/events/"] = (None, {}, b"")
        elif answer != "404":
            headers = {"Location": f"{plain.url}/elsewhere"}
            plain.overrides["/ws/v1/events/"] = (int(answer), headers, b"no")
        asked = "/api/v1/ws-token/" if answer in ("404", "no token") else "/ws/v1/events/"
        given = {"store": store, "uniform": lambda low, high: 0.0}
        with BackgroundSyncService(log, 3600, **given) as service:
            until(lambda: read_status(log.folder) is not None)
            until(lambda: asked in plain.paths())
            assert "/elsewhere" not in plain.paths()
            assert service.last_error is None
            state = connection_state(log.folder, read_status(log.folder), is_service_running=True)
            assert state == "OfflineBatchMode"
        assert answer in ("404", "cut", "no token") or plain.paths().count(asked) == 1
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert not re.search(f"{TOKEN['token']}|Bearer", caplog.text)


def test_stop_does_not_wait_for_a_web_socket_that_never_opens(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.sync.service.OPEN_S", None)
    held, let = threading.Event(), threading.Event()

    def hold() -> tuple[int, dict[str, str], bytes]:
        held.set()
        let.wait()
        return 404, {}, b""

    with http_servers.TeamServer() as plain, thence.open(tmp_path / "log") as log:
        plain.access["good"] = "ada"
        store = enabled(log, tmp_path, plain.url)
        plain.overrides["/api/v1/ws-token/"] = http_servers.told(200, TOKEN)
        plain.overrides["/ws/v1/events/"] = hold
        service = BackgroundSyncService(log, 3600, store=store, engine=Asking)

        service.start()
        assert held.wait(WAIT_S)
        service.stop()
        assert service.state == "stopped"
        let.set()
