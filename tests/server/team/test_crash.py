"""A server that is killed amid batches, and begun again."""

import http.client
import random
import signal
import threading
from pathlib import Path
from typing import Protocol

import pytest
from tests.server.team.lines import lines
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer, team_server

from thence.core.values.digests import digests
from thence.server.running import TEAM_DATABASE
from thence.server.team.rows import chained
from thence.server.team.sqlite import SqliteDatabase
from thence.server.team.store import Store

NODES = [f"{number:012x}" for number in range(1, 5)]
LINES = 600
SIZE = 15
KILLS = 2


class Counter(Protocol):
    """Is told of each batch that was acknowledged."""

    def release(self) -> object: ...


class Sender(threading.Thread):
    """Brings the lines of a node, until the server is gone; counts what was acknowledged."""

    def __init__(self, client: Client, node: str, seen: Counter) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.waiting = lines(LINES, node=node)
        self.acknowledged: list[bytes] = []
        self.wrong: list[str] = []
        self.seen = seen

    def run(self) -> None:
        while self.waiting:
            batch = self.waiting[:SIZE]
            try:
                statuses = self.client.statuses("log", batch)
            except (OSError, http.client.HTTPException):
                return
            self.wrong += {*statuses} - {"success", "duplicate"}
            self.acknowledged += batch
            del self.waiting[:SIZE]
            self.seen.release()

    def again(self, client: Client) -> "Sender":
        """Returns a thread that goes on with what had no answer."""
        other = Sender(client, NODES[0], self.seen)
        other.waiting, other.acknowledged = self.waiting, self.acknowledged
        return other


@pytest.mark.promise("S12")
def test_what_was_acknowledged_is_there_once_after_kills_amid_batches(tmp_path: Path) -> None:
    chance = random.Random(12)
    with team_server(tmp_path / "data") as server:
        tokens = server.client("ada")
        seen = threading.Semaphore(0)
        senders = [Sender(_like(tokens, server), node, seen) for node in NODES]
        for _ in range(KILLS):
            for sender in senders:
                sender.start()
            for _ in range(chance.randint(10, 50)):
                seen.acquire()
            server.end(signal.SIGKILL)
            for sender in senders:
                sender.join()
            _check(server, senders)
            server.start()
            senders = [sender.again(_like(tokens, server)) for sender in senders]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        taken, _ = _like(tokens, server).pull("log")
        assert sorted(taken) == sorted(line for node in NODES for line in lines(LINES, node=node))
        assert server.end() == 0
        _check(server, senders)


def _like(tokens: Client, server: TeamServer) -> Client:
    client = server.client()
    client.access = tokens.access
    return client


def _check(server: TeamServer, senders: list[Sender]) -> None:
    """Compares the database of a server that ended with what its clients know."""
    assert not [status for sender in senders for status in sender.wrong]
    database = SqliteDatabase(server.data / TEAM_DATABASE)
    store = Store(database)
    log = store.log("red", "log")
    assert log is not None
    rows = list(store.page(log, 0, 10**9))
    assert [row.number for row in rows] == list(range(1, log.last + 1))
    held = [row.line for row in rows]
    assert len(set(held)) == len(held)
    assert set(held) >= {line for sender in senders for line in sender.acknowledged}
    chain = b""
    for row in rows:
        chain = chained(chain, digests(row.line).line)
        assert row.chain == chain
    database.close()
