"""Servers that mean harm to a log: what they send is bounded and told, and taken if it checks."""

from contextlib import closing
from itertools import count
from zlib import crc32

import msgspec
import pytest
from tests.sync.http_servers import TeamServer, problem, told
from tests.sync.plain_server import PlainServer

import thence
from thence.sync.client import SyncClient
from thence.sync.credentials import CredentialStore, Login
from thence.sync.engine import SyncEngine
from thence.sync.target import SyncTarget
from thence.sync.wire.messages import joined

JSON = {"Content-Type": "application/json"}
PAGE = "/api/v1/events"


@pytest.fixture
def server():
    with TeamServer(PlainServer) as team:
        team.access["good"] = "ada"
        yield team


@pytest.fixture
def synced(tmp_path, server):
    """Run one round of a log with the server."""

    def run(log):
        store = CredentialStore(tmp_path / "config")
        target = SyncTarget(server.url, "atlas", "ada", "orders", "plain", "")
        with (
            closing(SyncClient(target, Login(server.url, "ada", "good", ""), store)) as client,
            closing(SyncEngine(log, client, target="orders")) as engine,
        ):
            return engine.round()

    return run


@pytest.fixture
def honest(tmp_path, server, synced):
    """Bring three events to the server, and return their lines."""
    with thence.open(tmp_path / "other") as log:
        for number in range(3):
            log.append("note", {"n": number})
        assert synced(log).is_complete
    return list(server.logs["orders"].lines)


def checked(line):
    """Return a line with the checksum that its bytes have."""
    data = line[:-18]
    return data + b',"crc":"%08x"}' % crc32(data)


LINE_ID = "01JQXW5D8GSCGYB15ZC3R10NTF"
DEEP = b'{"a":' * 2_000 + b"1" + b"}" * 2_000
POISONED = {
    "altered": lambda line: line.replace(b'"n":0', b'"n":7'),
    "cut": lambda line: line[:-40] + b"}",
    "empty": lambda line: b"{}",
    "deep": lambda line: b'{"event_type":"t","event_id":"d","payload":%b}' % DEEP,
    "long": lambda line: b'{"event_type":"t","event_id":"%b"}' % (b"x" * 3_000_000),
    "without an id": lambda line: b'{"event_type":"t"}',
    "id of a path": lambda line: b'{"event_type":"t","event_id":"../../../evil/x"}',
    "node of a path": lambda line: checked(
        line.replace(b'"node_id":"', b'"node_id":"../../evil/').replace(
            line[13:39], LINE_ID.encode()
        )
    ),
    "NUL in its id": lambda line: b'{"event_type":"t","event_id":"a\\u0000b"}',
    "half a surrogate": lambda line: b'{"event_type":"t","event_id":"\\ud800"}',
    "number as id": lambda line: b'{"event_type":"t","event_id":7}',
    "two ids": lambda line: b'{"event_id":"%b",%b' % (LINE_ID.encode(), line[1:]),
}
# lines as other tools write them, whose names are any text, and never one of a file
TAKEN = {"id of a path": "../../../evil/x", "node of a path": LINE_ID, "NUL in its id": "a\0b"}


@pytest.mark.promise("S8")
@pytest.mark.parametrize("name", POISONED)
def test_line_that_does_not_check_is_not_taken_in(tmp_path, server, synced, honest, name):
    line = POISONED[name](honest[0])
    server.overrides[PAGE] = (200, JSON, joined([line], next="c 1", more=False))
    with thence.open(tmp_path / "log") as log:
        own = log.append("own")
        before = files_beside(tmp_path)
        result = synced(log)
        assert result.error is None or result.error.code == "bad_answer"
        server.overrides.clear()
        assert synced(log).is_complete
        ids = {event.event_id for event in log.events()}
        expected = {msgspec.json.decode(each)["event_id"] for each in honest}
        assert ids - {TAKEN.get(name)} == expected | {own.event_id}
        assert log.get(own.event_id).line == own.line
        assert [e.line for e in log.events() if e.event_id in expected] == honest
        assert log.verify().ok
    assert files_beside(tmp_path) == before
    assert not [path for path in tmp_path.rglob("*") if "evil" in str(path)]


def files_beside(root):
    """Return the files below a folder that are not in its log."""
    return {path for path in root.rglob("*") if not path.is_relative_to(root / "log")}


@pytest.mark.promise("S8")
def test_cursors_that_run_backwards_end_the_round(tmp_path, server, synced, honest):
    numbers = count()

    def page():
        following = ("c 2", "c 1")[next(numbers) % 2]
        return 200, JSON, joined(honest, next=following, more=True)

    server.overrides[PAGE] = page
    with thence.open(tmp_path / "log") as log:
        result = synced(log)
        assert result.error.code == "bad_answer"
        assert next(numbers) < 10
        server.overrides.clear()
        assert synced(log).is_complete
        assert [event.line for event in log.events()] == honest


BATCH = "/api/v1/events/batch/"


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    "cursor", ["", "c 9", "x" * 256, "x" * 257, "\x00\ud7ff\n"], ids=str.__len__
)
def test_cursor_that_no_history_has_costs_a_round_and_no_line(
    tmp_path, server, synced, honest, cursor
):
    def batch():
        results = [{"event_id": own.event_id, "status": "success"}]
        return told(200, {"results": results, "after": cursor, "seen": cursor})

    with thence.open(tmp_path / "log") as log:
        assert synced(log).is_complete
        own = log.append("own")
        server.overrides[BATCH] = batch
        result = synced(log)
        assert result.error is None or result.error.code == "bad_answer"
        server.overrides.clear()
        for _ in range(2):
            last = synced(log)
        assert last.is_complete
        if cursor:  # without one it goes for the same server, which may lie
            assert server.logs["orders"].lines == [*honest, own.line]
        assert [event.line for event in log.events()] == [*honest, own.line]


@pytest.mark.promise("S8", "S12")
def test_server_that_knows_none_of_its_own_cursors_ends_the_round(tmp_path, server, synced, honest):
    with thence.open(tmp_path / "log") as log:
        own = log.append("own")
        server.overrides[BATCH] = problem(409, "cursor_unknown")
        result = synced(log)
        assert result.error.code == "bad_answer"
        assert (result.pulled, result.left) == (3, 1)
        assert len([path for path in server.paths() if path == PAGE]) < 10
        server.overrides.clear()
        assert synced(log).is_complete
        assert server.logs["orders"].lines == [*honest, own.line]


@pytest.mark.promise("S8")
def test_pages_of_new_cursors_and_known_lines_have_an_end(
    tmp_path, server, synced, honest, monkeypatch
):
    monkeypatch.setattr("thence.sync.engine.PAGES_MAX", 30)
    numbers = count()
    server.overrides[PAGE] = lambda: (
        200,
        JSON,
        joined(honest, next=f"c {next(numbers)}", more=True),
    )
    with thence.open(tmp_path / "log") as log:
        own = log.append("own")
        result = synced(log)
        assert result.error.code == "bad_answer"
        assert next(numbers) <= 60
        server.overrides.clear()
        assert synced(log).is_complete
        assert sorted(server.logs["orders"].lines) == sorted([*honest, own.line])
        assert result.pulled == 3
