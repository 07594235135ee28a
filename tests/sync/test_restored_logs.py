"""Lines under a log's own node that it lacks: what its key sealed gives it another node."""

import shutil
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest
from tests.fleet.fleet import LOG, TEAM, Server
from tests.sync.test_settled import stored

import thence
from thence.log.storage.identity import known_node_id
from thence.replica import OS_DISK
from thence.server.team.accounts import Member
from thence.signing import SigningKey
from thence.sync.engine import SyncEngine
from thence.sync.transport import TakenPage
from thence.core.wire.messages import KeyRequest

ADA = SigningKey(b"a" * 32)


class Connection:
    """A connection to the exchange, the store and the keys of a server, without HTTP."""

    def __init__(self, server):
        self._exchange, self._keys = server.exchange, server.keys

    def page(self, after):
        return TakenPage(*self._exchange.page(TEAM, LOG, after))

    def blocks(self, request):
        return self._exchange.blocks(TEAM, LOG, request)

    def batch(self, lines):
        return self._exchange.batch(TEAM, LOG, "plain", lines)

    def lines(self, digests):
        return self._exchange.lines(TEAM, LOG, digests)

    def keys(self):
        return self._keys.of_team(TEAM)

    def claim(self, public_key, nodes):
        return self._keys.register(
            Member("ada", TEAM, "writer"), KeyRequest(public_key, tuple(nodes))
        )


def synced(log, server, key=ADA):
    with closing(SyncEngine(log, Connection(server), signer=key)) as engine:
        found = engine.round()
    assert found.error is None
    return found


def node_of(log):
    return known_node_id(OS_DISK, log.folder)


def noted(log, count, text):
    return log.append_many(
        [{"event_type": "noted", "payload": {"text": text, "n": n}} for n in range(count)]
    )


def notices(log, kind):
    return [event for event in log.events() if event.event_type == f"log.{kind}"]


class Backup:
    """The state of a log, put back as an image of its machine is: each file is the same file."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._files = {
            path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

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
def restored(tmp_path):
    """A log that wrote and synced 30 events, and was then put back to the first 10."""
    server = Server("epoch")
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
        synced(other, server, None)
        assert {event.event_id for event in other.events()} == {e.event_id for e in log.events()}
        assert "number_repeated" in {each.code for each in other.verify().findings}
    assert node_of(log) == after.node_id, "it is found once"
