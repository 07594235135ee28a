"""Lines under a log's own node that it lacks: they give it another node."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.events import notices, stored
from tests.sync.fleet.fleet import LOG, TEAM, Network, closed
from tests.sync.test_large_values import alone_with

import thence
from thence.log.files.identity import known_node_id
from thence.log.open import OS_DISK
from thence.sync.engine import SyncEngine


def synced(log, server, login="ada"):
    with closing(SyncEngine(log, Network(alone_with(server), login))) as engine:
        found = engine.round()
    assert found.error is None
    return found


def node_of(log):
    return known_node_id(OS_DISK, log.folder)


def noted(log, count, text):
    return log.append_many(
        [{"event_type": "noted", "payload": {"text": text, "n": n}} for n in range(count)]
    )


class Backup:
    """The state of a log, put back as an image of its machine is: each file is the same file."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def restore(self):
        for path in self._folder.rglob("*"):
            if path.is_file() and path not in self._files:
                path.unlink()
        for path, data in self._files.items():
            path.parent.mkdir(exist_ok=True)
            with path.open("r+b" if path.exists() else "wb") as file:
                file.write(data)
                file.truncate()


@pytest.fixture
def restored(tmp_path, server):
    """A log that wrote and synced 30 events, and was then put back to the first 10."""
    with thence.open(tmp_path / "a") as log:
        noted(log, 10, "before")
        synced(log, server)
    backup = Backup(tmp_path / "a")
    with thence.open(tmp_path / "a") as log:
        lost = noted(log, 20, "lost")
        synced(log, server)
    backup.restore()
    with thence.open(tmp_path / "a") as log:
        yield server, log, lost


@pytest.mark.promise("S12")
@pytest.mark.parametrize("count", [1, 25, 1_100])
def test_log_that_gave_its_numbers_again_goes_on_under_another_node_and_loses_nothing(
    restored, tmp_path, count
):
    server, log, lost = restored
    node = node_of(log)
    again = noted(log, count, "again")
    assert again[0].seq == lost[0].seq
    synced(log, server)
    assert node_of(log) != node
    after = log.append("noted")
    assert after.node_id == node_of(log)
    assert len(notices(log, "node_changed")) == 1
    for _ in range(2):
        assert synced(log, server).is_complete
    assert stored(log.folder) == sorted(server.lines())
    known = {event.event_id for event in log.events()}
    assert known >= {event.event_id for event in (*lost, *again, after)}
    with thence.open(tmp_path / "b") as other:
        synced(other, server, "ben")
        assert {event.event_id for event in other.events()} == {e.event_id for e in log.events()}
        assert "inconsistent" in {each.code for each in other.verify().findings}
    assert node_of(log) == after.node_id, "it is found once"


def under(node, seq, number):
    """Return a line that anybody may have written under a node."""
    return closed(
        b'{"event_id":"%026d","event_type":"noted","event_version":1,"timestamp":'
        b'"2026-11-20T07:13:00.123456Z","node_id":"%s","seq":%d,"lamport_clock":7'
        % (number, node.encode(), seq)
    )


@pytest.mark.promise("S12")
@pytest.mark.parametrize("seq", [2, 900])
def test_line_under_our_node_that_is_not_ours_gives_us_another_and_no_number(tmp_path, server, seq):
    with thence.open(tmp_path / "a") as log:
        noted(log, 9, "own")
        synced(log, server)
        nodes = {node_of(log)}
        for number in range(3):
            forged = under(node_of(log), seq, number)
            server.service.batch(TEAM, LOG, "plain", [forged])
            assert synced(log, server).is_restored
            assert forged in stored(log.folder)
            later = log.append("noted")
            assert (later.node_id, later.seq) == (node_of(log), 2), "its notice is the first"
            nodes.add(later.node_id)
            for _ in range(2):
                assert synced(log, server).is_complete
        assert len(nodes) == 4
        assert len(notices(log, "node_changed")) == 3


@pytest.mark.promise("S12")
def test_own_lines_that_damage_took_come_back_and_nothing_is_missing(tmp_path, server):
    with thence.open(tmp_path / "a") as log:
        noted(log, 9, "own")
        synced(log, server)
        path = log.current_file
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:3], b"x" * len(lines[3]), b"{}", *lines[5:]]))
    with thence.open(tmp_path / "a") as log:
        assert synced(log, server).pulled == 2
        assert set(lines) <= {*stored(log.folder), b""}
        assert synced(log, server).is_complete
        assert log.verify().ok
