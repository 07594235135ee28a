"""The engine: one round between a log and a server, whatever comes back."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import stored
from tests.sync.plain_server import Connection, PlainServer, line_ids

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import SyncRefused
from thence.log.open import OS_DISK
from thence.log.read import reader
from thence.sync.engine import AWAY_MAX, BATCH_PAUSE_S, PARKED_IN_ROUND_MAX, SyncEngine
from thence.sync.outbox import Outbox
from thence.sync.wire.messages import (
    BatchFailed,
    BatchRefused,
    EventVerdict,
    Results,
)


def synced(log, server, **options):
    transport = server if isinstance(server, Connection) else Connection(server)
    engine = SyncEngine(log, transport, **options)
    try:
        return engine.round()
    finally:
        engine.close()


@pytest.fixture
def server():
    return PlainServer()


def opened(folder, count, name="a"):
    """Returns an open log with so many events."""
    log = thence.open(folder)
    log.append_many([{"event_type": name, "payload": {"n": n}} for n in range(count)])
    return log


@pytest.mark.promise("S11")
def test_two_logs_become_equal_and_the_next_round_moves_nothing(tmp_path, server):
    with opened(tmp_path / "a", 30) as a, opened(tmp_path / "b", 20, "b") as b:
        first = synced(a, server)
        assert (first.pushed, first.pulled, first.left, first.error) == (30, 0, 0, None)
        second = synced(b, server)
        assert (second.pushed, second.duplicate, second.pulled) == (20, 0, 30)
        assert synced(a, server).pulled == 20
        assert [event.line for event in a.events()] == [event.line for event in b.events()]
        transport = Connection(server)
        again = synced(a, transport)
        assert again.is_complete
        assert (again.pushed, again.duplicate, again.pulled) == (0, 0, 0)
        assert transport.requests == ["page"]
        assert a.verify().ok
    assert len(server.lines) == 50


@pytest.mark.promise("S12")
@given(seed=st.integers(0, 2**32))
def test_logs_that_sync_over_a_bad_network_end_with_the_same_lines(tmp_path_factory, seed):
    random, server = Random(seed), PlainServer()
    root = tmp_path_factory.mktemp("logs")
    logs = [thence.open(root / str(n)) for n in range(3)]
    backup = server.backup()
    appended = set()
    try:
        for _ in range(12):
            log = random.choice(logs)
            what = random.randrange(10)
            if what < 5:
                known = [event for event in log.events() if event.event_type == "x"]
                causes = random.sample(known, min(2, len(known)))
                appended.add(log.append("x", caused_by=causes).event_id)
            elif what == 5:
                backup = server.backup()
            elif what == 6:
                server.restore(backup.backup())
            elif what == 7:
                (log.folder / ".thence" / "sync" / "outbox.db").unlink(missing_ok=True)
            else:
                synced(log, Connection(server, random, lost=0.2))
        for log in [*logs, *logs]:
            result = synced(log, server)
            assert result.error is None
            assert result.left == result.parked == 0
        contents = [stored(log.folder) for log in logs]
        assert contents[0] == contents[1] == contents[2] == sorted(server.lines)
        assert len(set(contents[0])) == len(contents[0])
        assert appended <= set(line_ids(contents[0]))
        for log in logs:
            clocks = {event.event_id: event.lamport_clock for event in log.events()}
            assert all(clocks[c] < e.lamport_clock for e in log.events() for c in e.caused_by)
    finally:
        for log in logs:
            log.close()


@pytest.mark.promise("S6")
def test_line_that_makes_a_server_refuse_its_batch_is_parked_alone(tmp_path, server):
    class Refusing(Connection):
        def batch(self, lines, *_):
            self.requests.append("batch")
            if any(b'"n":13}' in line for line in lines):
                raise BatchRefused("could not deliver", cause="it is unlucky")
            return self.server.batch(lines)

    with opened(tmp_path / "a", 40) as log:
        engine = SyncEngine(log, Refusing(server))
        result = engine.round()
        assert (result.pushed, result.rejected, result.left, result.parked) == (39, 1, 0, 1)
        assert not result.is_complete
        (parked,) = engine.outbox.parked()
        assert (parked.direction, parked.reason) == ("push", "it is unlucky")
        assert parked.event_id == log.events()[13].event_id
        quiet = engine.round()
        assert (quiet.pushed, quiet.rejected, quiet.parked) == (0, 0, 1)
        engine.close()
        engine = SyncEngine(log, Connection(server))
        assert engine.outbox.retry() == 1
        assert engine.outbox.pending() == 1
        assert engine.round().is_complete
        assert engine.outbox.parked() == []
        engine.close()


@pytest.mark.promise("S6")
@pytest.mark.parametrize("heavy", [[0], [13], [39], [3, 4, 20]], ids=str)
def test_line_at_which_a_proxy_fails_waits_alone_and_all_else_is_pushed(tmp_path, server, heavy):
    class Edge(Connection):
        """A proxy that ends with 5xx, and no word, what is too large for it."""

        bytes_max = 1_000

        def batch(self, lines, *_):
            self.requests.append("batch")
            if sum(map(len, lines)) > self.bytes_max:
                raise BatchFailed("could not sync with", cause="status 502")
            return self.server.batch(lines)

    with thence.open(tmp_path / "a") as log:
        for n in range(40):
            log.append("a", {"n": n, "text": "x" * 900 if n in heavy else ""})
        edge = Edge(server)
        engine = SyncEngine(log, edge)
        first = engine.round()
        assert (first.pushed, first.left, first.parked) == (40 - len(heavy), len(heavy), 0)
        assert log.events()[heavy[-1]].event_id in str(first.error)
        assert engine.round().left == len(heavy)
        edge.bytes_max = 1 << 20
        assert engine.round().is_complete
        edge.bytes_max = 0
        edge.requests.clear()
        log.append_many([{"event_type": "a", "payload": {"n": n}} for n in range(1_000)])
        assert engine.round().left == 1_000, "a server that is down is asked a few times"
        assert edge.requests.count("batch") < 30
        engine.close()


def test_line_that_shall_come_later_is_not_settled_beside_a_parked_one(tmp_path, server):
    server.refuse = lambda line: "no" if b'"n":3}' in line else None

    class Busy(Connection):
        def batch(self, lines, *_):
            now = [line for line in lines if b'"n":4}' not in line]
            return super().batch(now)

    with opened(tmp_path / "a", 5) as log:
        first = synced(log, Busy(server))
        assert (first.pushed, first.rejected, first.left) == (3, 1, 1)
        last = synced(log, server)
        assert (last.pushed, last.rejected, last.left) == (1, 0, 0)


def said(word, lines):
    """Return the answer of one word for all lines."""
    return Results(tuple(EventVerdict(one, word) for one in line_ids(lines)))


def _unlike(**replaced):
    """Return a connection class with other answers to some questions."""
    return type("Hostile", (Connection,), replaced)


@pytest.mark.promise("S7")
@pytest.mark.parametrize("name", ["page", "batch"])
def test_round_in_the_background_waits_a_few_times_for_a_server_that_goes_away(
    tmp_path, server, name
):
    waits, away = [], []

    class Restarting(Connection):
        def _asked(self, asked, *given):
            if asked == name and away:
                raise away.pop()
            return super()._asked(asked, *given)

    gone = SyncRefused("no", code="server_unreachable")
    with opened(tmp_path / "a", 5) as log:
        away[:] = [gone] * AWAY_MAX
        result = synced(log, Restarting(server), pause=waits.append)
        assert (result.pushed, result.is_complete, away) == (5, True, [])
        assert len([wait_s for wait_s in waits if 0 < wait_s < BATCH_PAUSE_S]) == AWAY_MAX
        log.append("more")
        away[:] = [gone] * (AWAY_MAX + 1)
        result = synced(log, Restarting(server), pause=waits.append)
        assert (result.error.code, result.left, away) == ("server_unreachable", 1, [])
        away[:] = [gone]
        assert synced(log, Restarting(server)).left == 1, "a command does not wait"
        assert synced(log, Restarting(server)).is_complete


BAD_ANSWERS = {
    "no results": _unlike(batch=lambda self, lines, *_: Results(())),
    "foreign ids": _unlike(
        batch=lambda self, lines, *_: Results((EventVerdict("other", "success"),) * len(lines))
    ),
    "unknown words": _unlike(batch=lambda self, lines, *_: said("fine", lines)),
    "always later": _unlike(batch=lambda self, lines, *_: said("retry", lines)),
    "refuses all": _unlike(
        batch=lambda self, lines, *_: (_ for _ in ()).throw(BatchRefused("no", cause="never"))
    ),
    "busy": _unlike(
        batch=lambda self, lines, *_: (_ for _ in ()).throw(SyncRefused("no", code="server_busy"))
    ),
    "no connection": _unlike(
        page=lambda *_: (_ for _ in ()).throw(SyncRefused("no", code="server_unreachable"))
    ),
}


@pytest.mark.promise("S6")
@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_round_ends_whatever_comes_back_and_nothing_is_lost(tmp_path, server, name):
    with opened(tmp_path / "a", 300) as log:
        result = synced(log, BAD_ANSWERS[name](server))
        assert (result.pushed, result.is_complete) == (0, False)
        assert result.left + result.parked == 300
        assert result.parked <= PARKED_IN_ROUND_MAX
        engine = SyncEngine(log, Connection(server))
        engine.outbox.retry()
        last = engine.round()
        assert (last.pushed, last.left, last.error) == (300, 0, None)
        engine.close()
        assert len(log.events()) == 300


@pytest.mark.promise("S12")
def test_lines_that_a_log_loses_amid_a_round_are_taken_again(tmp_path, server):
    with opened(tmp_path / "a", 10) as a, opened(tmp_path / "b", 1, "b") as b:
        synced(a, server)
        synced(b, server)
        a.append("more")
        synced(a, server)
        segment = tmp_path / "b" / "events.jsonl"

        class Cutting(Connection):
            def page(self, *given):
                if not self.requests:
                    lines = segment.read_bytes().splitlines(keepends=True)
                    segment.write_bytes(b"".join(lines[:5]))
                return super().page(*given)

        synced(b, Cutting(server))
        assert synced(b, server).error is None
        assert stored(b.folder) == sorted(server.lines)


def test_side_file_of_another_schema_is_made_anew_and_nothing_is_lost(tmp_path, server):
    with thence.open(tmp_path / "b") as log:
        far = log.append("t").line.replace(b'"lamport_clock":1,', b'"lamport_clock":%d,' % 2**45)
    far = far[:-18] + b',"crc":"%08x"}' % crc32(far[:-18])
    server.batch([far])
    server.refuse = lambda line: "no" if b'"n":3' in line else None
    path = tmp_path / "a" / ".thence" / "sync" / "outbox.db"
    with opened(tmp_path / "a", 8) as log:
        first = synced(log, server)
        assert (first.pushed, first.parked) == (7, 2)
        with closing(SyncEngine(log, Connection(server))) as engine:
            parked = engine.outbox.parked()
        for change in ("SELECT 1", "ALTER TABLE lines RENAME COLUMN kind TO sort"):
            with closing(sqlite3.connect(path)) as database:
                database.execute(change)
                database.execute("PRAGMA user_version = 77")
            again = synced(log, server)
            assert (again.pushed, again.parked, again.error) == (0, 2, None)
            with closing(SyncEngine(log, Connection(server))) as engine:
                assert engine.outbox.parked() == parked
        log.append("t")
        assert synced(log, server).pushed == 1


def test_secret_that_the_user_let_out_goes_again_to_a_server_that_was_restored(tmp_path, server):
    with thence.open(tmp_path / "a") as log:
        log.append("noted")
        synced(log, server)
        backup = server.backup()
        event = log.append("noted", {"token": "ghp_" + "a1" * 18})
        engine = SyncEngine(log, Connection(server))
        assert engine.round().parked == 1
        assert engine.outbox.let_out(event.event_id) == 1
        assert engine.round().pushed == 1
        server.restore(backup.backup())
        again = engine.round()
        assert (again.pushed, again.parked) == (1, 0)
        assert server.lines[-1] == event.line
        other = log.append("noted", {"token": "ghp_" + "b2" * 18})
        assert engine.round().parked == 1
        server.batch([other.line])  # somebody else brought it
        assert engine.round().parked == 0
        server.restore(backup.backup())
        again = engine.round()
        assert (again.pushed, again.parked) == (1, 1), "nobody let the other one out"
        engine.close()


def test_server_that_lost_what_was_brought_is_noticed_though_others_brought_as_much(
    tmp_path, server
):
    with opened(tmp_path / "a", 2) as a, opened(tmp_path / "b", 2, "b") as b:
        synced(a, server)
        backup = server.backup()
        lost, last = a.append("lost").line, a.append("last").line
        synced(a, server)
        server.restore(backup)
        with opened(tmp_path / "c", 1, "c") as c:
            synced(c, server)
        server.batch([last])  # the history is as long as it was, and its last line is the same
        assert lost not in server.lines
        assert synced(a, server).is_complete
        assert lost in server.lines
        assert synced(b, server).is_complete
        assert stored(b.folder) == sorted(server.lines)


@pytest.mark.promise("S12")
def test_server_that_is_restored_amid_a_round_is_noticed_by_the_batch(tmp_path, server):
    with opened(tmp_path / "a", 2) as log:
        synced(log, server)
        backup = server.backup()
        lost = log.append("lost").line
        synced(log, server)
        own = log.append("own").line

        class Restoring(Connection):
            def batch(self, *given):
                if "batch" not in self.requests:
                    server.restore(backup)
                return super().batch(*given)

        result = synced(log, Restoring(server))
        assert (result.pushed, result.error) == (2, None)
        assert server.lines[2:] == [lost, own]


@pytest.mark.promise("S12")
def test_server_that_lost_what_was_brought_behind_others_lines_is_noticed(tmp_path, server):
    opened(tmp_path / "b", 1, "b").close()
    with opened(tmp_path / "a", 2) as log:
        synced(log, server)
        backup = server.backup()
        (theirs,) = (line.data for line in reader.lines(OS_DISK, tmp_path / "b", PLAIN))
        lost = log.append("lost").line

        class Crowded(Connection):
            def batch(self, *given):
                server.batch([theirs])
                return super().batch(*given)

        assert synced(log, Crowded(server)).pushed == 1
        server.restore(backup)  # the place up to which the log has taken is still there
        assert synced(log, server).pushed == 1
        assert server.lines[2:] == [lost]


LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError:
    print("locked")
connection.close()
"""


def test_second_opening_leaves_the_first_one_its_lock(tmp_path):
    """A process loses its locks of a file with the first descriptor of it that it closes."""
    with thence.open(tmp_path) as log, closing(Outbox(tmp_path, log.vocabulary)) as first:
        path = tmp_path / ".thence/sync/outbox.db"
        with first.at_once():
            first.begin_anew()
            Outbox(tmp_path, log.vocabulary).close()
            argv = [sys.executable, "-c", LOCKING, str(path)]
            said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
            assert said.stdout == "locked\n"
