"""The background service: rounds, backoff, logins, stops, and one sync at a time."""

import logging
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue

import pytest
from msgspec.structs import replace
from tests.log.committers import until
from tests.sync.http_servers import HostileServer, TeamServer
from tests.sync.plain_server import PlainServer

import thence
from thence.errors import SyncRefused, ThenceError
from thence.files import file_lock
from thence.sync import BackgroundSyncService
from thence.sync.client import SyncClient
from thence.sync.credentials import CredentialStore, Login
from thence.sync.engine import run_round
from thence.sync.service import backoff_s
from thence.sync.target import (
    LOCK,
    QUEUE,
    SyncReport,
    SyncTarget,
    connection_state,
    is_service_running,
    read_status,
    sync_folder,
    write_target,
)

WAIT_S = 60  # of a busy disk: each state is synced


NOTHING = SyncReport()


class Asking:
    """An engine whose round only asks the server for a page."""

    def __init__(self, log, client, *, target, progress, pause):
        self._client = client

    def round(self):
        try:
            self._client.page("")
        except ThenceError as error:
            return replace(NOTHING, error=error)
        return replace(NOTHING, pushed=1)

    def close(self):
        """Nothing is open."""


def failing(error):
    class Failing(Asking):
        def round(self):
            return replace(NOTHING, error=error)

    return Failing


class Waits:
    """The pauses of a service: each is reported, and ends when the test lets it."""

    def __init__(self):
        self.asked, self.let = SimpleQueue(), SimpleQueue()
        self._is_over = False

    def __call__(self, stop, seconds):
        if self._is_over:
            return stop.wait(seconds)
        if seconds:
            self.asked.put(seconds)
            self.let.get(timeout=WAIT_S)
        return stop.is_set()

    def over(self):
        """End this pause, and let the signal of the service end all others."""
        self._is_over = True
        self.let.put(None)

    def next(self):
        """Return the seconds of the pause that the service is in now."""
        return self.asked.get(timeout=WAIT_S)


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "orders") as found:
        found.append("note")
        yield found


def enabled(log, tmp_path, url, access="good"):
    store = CredentialStore(tmp_path / "config")
    store.save(Login(url, "ada", access, "refresh"))
    write_target(log.folder, SyncTarget(url, "atlas", "ada", "orders", "plain", "2026"))
    return store


@contextmanager
def running(log, store, **options):
    """Gives a service that runs, and its pauses."""
    waits = Waits()
    service = BackgroundSyncService(log, store=store, wait=waits, **options)
    service.start()
    yield service, waits
    waits.over()
    service.stop()


@pytest.fixture
def server():
    with TeamServer() as found:
        found.access["good"] = found.refresh["refresh"] = "ada"
        yield found


@pytest.mark.promise("S7")
def test_rounds_follow_each_other_by_the_interval(log, tmp_path, server):
    waits = Waits()
    store = enabled(log, tmp_path, server.url)
    service = BackgroundSyncService(log, store=store, engine=Asking, wait=waits)
    assert service.state == "stopped"
    service.start()
    service.start()
    assert [waits.next(), service.state] == [300, "waiting"]
    assert is_service_running(log.folder)
    assert read_status(log.folder).error_code == ""
    waits.let.put(None)
    assert waits.next() == 300
    waits.over()
    service.stop()
    service.stop()
    assert service.state == "stopped"
    assert not is_service_running(log.folder)


@pytest.mark.promise("S7")
def test_failures_back_off_up_to_30_seconds_with_jitter(log, tmp_path, server):
    limits = [backoff_s(failures, lambda low, high: high) for failures in range(1, 12)]
    assert limits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert backoff_s(3, lambda low, high: low) == 0
    store = enabled(log, tmp_path, server.url)
    engine = failing(SyncRefused("could not reach", code="server_unreachable"))
    seen = []
    with running(log, store, engine=engine, uniform=lambda low, high: high) as (_, waits):
        for _ in range(11):
            delay_s, last = waits.next(), read_status(log.folder)
            seen.append((delay_s, connection_state(log.folder, last, is_service_running=True)))
            if len(seen) < 11:
                waits.let.put(None)
    assert [each for each, _ in seen] == limits
    assert [word for _, word in seen] == ["Reconnecting"] * 10 + ["OfflineBatchMode"]


def test_busy_server_is_left_alone_as_long_as_it_asks(log, tmp_path, server):
    engine = failing(SyncRefused("could not sync", retry_after_s=77.0, code="server_busy"))
    with running(log, enabled(log, tmp_path, server.url), engine=engine) as (_, waits):
        assert waits.next() == 77


@pytest.mark.promise("S8")
def test_ended_login_is_warned_of_once_and_a_new_one_goes_on(log, tmp_path, server, caplog):
    server.expire()
    server.refresh.clear()
    store = enabled(log, tmp_path, server.url)
    with (
        caplog.at_level(logging.WARNING, "thence"),
        running(log, store, engine=Asking) as (service, waits),
    ):
        for _ in range(5):
            assert waits.next() == 1
            assert service.state == "logged out"
            waits.let.put(None)
        waits.next()
        server.access["new"] = "ada"
        store.save(Login(server.url, "ada", "new", "new"))
        waits.let.put(None)
        assert waits.next() == 300
    assert server.refreshes == 1
    assert len([each for each in caplog.records if "logged_out" in each.message]) == 1


@pytest.mark.promise("S7")
def test_stop_leaves_a_request_behind_that_never_ends(log, tmp_path, monkeypatch):
    for_ever = partial(SyncClient, request_s=1e6)
    monkeypatch.setattr("thence.sync.client.SyncClient", for_ever)
    with HostileServer(b"", "hold") as silent:
        store = enabled(log, tmp_path, silent.url)
        service = BackgroundSyncService(log, store=store, engine=Asking)
        service.start()
        assert silent.asked.wait(WAIT_S)
        service.stop()
        assert service.state == "stopped"


@pytest.mark.promise("S7")
def test_another_process_has_the_turn_and_that_is_no_failure(log, tmp_path, server):
    store = enabled(log, tmp_path, server.url)
    turn = file_lock(sync_folder(log.folder) / LOCK)
    assert run_round(log, store, engine=Asking) is None
    with running(log, store, engine=Asking) as (service, waits):
        assert [waits.next(), service.state] == [1, "other process"]
        assert read_status(log.folder) is None
        turn.close()
        waits.let.put(None)
        assert waits.next() == 300


PROGRAM = """
import sys, thence
from functools import partial
from pathlib import Path
from thence.sync import client
from thence.sync.credentials import CredentialStore
from tests.sync.test_service import Asking, BackgroundSyncService
client.SyncClient = partial(client.SyncClient, request_s=1e6)
log = thence.open(sys.argv[1])
BackgroundSyncService(log, store=CredentialStore(Path(sys.argv[2])), engine=Asking).start()
sys.stdin.readline()
"""


@pytest.mark.promise("S7")
def test_process_ends_while_a_request_hangs(log, tmp_path, request):
    with HostileServer(b"", "hold") as silent:
        enabled(log, tmp_path, silent.url)
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(log.folder), str(tmp_path / "config")],
            cwd=request.config.rootpath,
            stdin=subprocess.PIPE,
        )
        assert silent.asked.wait(WAIT_S)
        program.communicate(b"\n", timeout=WAIT_S)
        assert program.returncode == 0


@pytest.mark.promise("S9")
def test_batches_in_the_background_pause_and_give_way_to_a_command(log, tmp_path):
    log.append_many([{"event_type": "note"}] * 2_000)  # two batches, and one of the event before
    with TeamServer(PlainServer) as server:
        server.access["good"] = "ada"
        store = enabled(log, tmp_path, server.url)
        with running(log, store) as (service, waits):
            assert waits.next() == 5
            waits.let.put(None)
            assert waits.next() == 5
            assert len(server.logs["orders"].lines) == 2_000
            command = file_lock(sync_folder(log.folder) / QUEUE)  # as one that waits for its turn
            waits.let.put(None)
            assert [waits.next(), service.state] == [1, "other process"]
            assert read_status(log.folder) is None
            assert run_round(log, store).is_complete
            command.close()
            waits.let.put(None)
            assert waits.next() == 300
            assert len(server.logs["orders"].lines) == 2_001


def test_unexpected_error_is_a_failure_like_another(log, tmp_path, server, caplog):
    class Broken(Asking):
        def round(self):
            raise KeyError("never thought of")

    store = enabled(log, tmp_path, server.url)
    with (
        caplog.at_level(logging.WARNING, "thence"),
        running(log, store, engine=Broken) as (service, waits),
    ):
        waits.next()
        assert service.state == "backing off"
        assert "never thought of" in str(service.last_error)


def test_error_outside_of_a_round_reaches_no_program(log, tmp_path, caplog):
    """A thread that ended by an error would show a traceback, which pytest takes for a failure."""

    def broken(low, high):
        raise ZeroDivisionError("no chance")

    waits = Waits()
    waits.over()
    with TeamServer() as gone:
        store = enabled(log, tmp_path, gone.url)
    with caplog.at_level(logging.WARNING, "thence"):
        service = BackgroundSyncService(log, store=store, wait=waits, uniform=broken)
        service.start()
        until(lambda: len([r for r in caplog.records if "no chance" in r.message]) == 2)
        assert service.state == "backing off"
        service.stop()
