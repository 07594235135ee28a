"""Two teams on one server: each answer to one of them is as if the other were not there.

Red's logs stay as they are, so that each answer is known. Blue writes meanwhile, into logs of the
same names and of its own, and red also asks for what is blue's by its right names. On PostgreSQL
blue writes at another server of the same database.
"""

import http.client
import json
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count, cycle, takewhile
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from tests.server.team.lines import Node, lines
from tests.server.team.listener import listening
from tests.server.team.stranger import Client, digest, split
from tests.server.team.team_server import TeamServer, second_server, team_server
from tests.tiers import tenth

from thence.server.team.database import chained

REQUESTS, THREADS, SEED = tenth(10_000, 1_000), 6, 20261125
BATCHES_MIN = 50
WAIT_S = 60
SECRET = "swordfish"
LOGS = ("shared", "red-only", f"{SECRET}-log", "none")
RED, BLUE = "00000000000a", "b10eb10eb10e"
FEW = 30
EPOCH = "0123456789abcdef"
pytestmark = [pytest.mark.rest, pytest.mark.whole]


class Question(NamedTuple):
    """A request, and how often it is asked beside others."""

    method: str
    path: str
    body: bytes | None = None
    weight: int = 4


def of_blue(number: int) -> bytes:
    """Returns a line that blue writes: id and body tell whose it is."""
    return Node(BLUE, first=number).said(SECRET)


def cursor(written: Sequence[bytes]) -> str:
    """Returns the cursor behind lines that are the first of a log."""
    chain = b""
    for line in written:
        chain = chained(chain, digest(line))
    return f"{EPOCH}.{len(written)}.{chain.hex()}"


def questions() -> Iterator[Question]:
    """Yields what red asks: of its own, of blue's, and of what nobody has."""
    ours, theirs = lines(FEW, node=RED), [of_blue(number) for number in range(1, FEW + 1)]
    unknown = lines(2, node="0000000000ff")
    cursors = ["", cursor(ours[:1]), cursor(ours), cursor(theirs[:1]), cursor(theirs[:7])]
    for log in LOGS:
        for after in cursors:
            for extra in ({}, {"limit": 3}, {"seen": cursors[3]}):
                query = urlencode({"log": log, "after": after, **extra})
                yield Question("GET", f"/api/v1/events?{query}")
        for group in (ours[:9], theirs[:9], [*ours[:2], *theirs[:2], *unknown]):
            body = json.dumps({"digests": [digest(line).hex() for line in group]}).encode()
            for route in ("missing", "lines"):
                yield Question("POST", f"/api/v1/events/{route}/?log={log}", body, 8)
    for node in (RED, BLUE):
        yield Question("GET", f"/api/v1/nodes/?node={node}", None, 8)
    yield Question("GET", "/api/v1/logs/", None, 8)
    known = b'{"events":[' + b",".join(ours[:5]) + b"]}"
    yield Question("POST", "/api/v1/events/batch/?log=shared&kind=plain", known, 8)


class Asker:
    """A member of red who asks over connections that stay open."""

    def __init__(self, client: Client) -> None:
        self._host = client.host
        self._headers = {"Authorization": f"Bearer {client.access}"}
        self._own = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def ask(self, question: Question) -> tuple[int, object]:
        """Returns a status, and what of the answer is the same each time."""
        connection = self._connection()
        connection.request(question.method, question.path, question.body, self._headers)
        answer = connection.getresponse()
        body = answer.read()
        assert SECRET.encode() not in body or SECRET in question.path, question
        if question.path.startswith("/api/v1/events/lines/") and answer.status == 200:
            return answer.status, sorted(split(body))  # PostgreSQL gives them in any order
        return answer.status, body

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """Returns the connection of a thread."""
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(self._host, timeout=WAIT_S)
            self._connections.append(self._own.connection)
        connection: http.client.HTTPConnection = self._own.connection
        return connection


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[TeamServer]:
    data = tmp_path_factory.mktemp("isolated") / "data"
    with team_server(data, address=address) as running:
        running.add("bob", "blue")
        ada, ours = running.client("ada"), lines(FEW, node=RED)
        for log in LOGS[:2]:
            assert {*ada.statuses(log, ours, nodes=[RED])} == {"success"}
        yield running


@pytest.fixture(scope="module")
def blues(server: TeamServer, address: str) -> Iterator[TeamServer]:
    """The server that blue writes at."""
    if not address:
        yield server
        return
    with second_server(server) as other:
        yield other


@pytest.mark.promise("S12")
@pytest.mark.both_engines
def test_ten_thousand_answers_to_a_team_show_nothing_of_one_that_writes(server, blues, request):
    ada, bob = server.client("ada"), blues.client("bob")
    asked = list(questions())
    red = Asker(ada)
    request.addfinalizer(red.close)
    answers = {question: red.ask(question) for question in asked}
    assert {status for status, _ in answers.values()} == {200, 404, 409}
    print(f"seed {SEED}, {len(asked)} questions")
    chance = random.Random(SEED)
    weights = [question.weight for question in asked]
    chosen = chance.choices(asked, weights, k=REQUESTS)
    is_over, batches = threading.Event(), []

    def write() -> None:
        """Writes as blue, into logs that red has too or has not."""
        for number in count(1):
            for log in (LOGS[0], LOGS[2]):
                assert bob.statuses(log, [of_blue(number)], nodes=[BLUE]) == ["success"]
                batches.append(log)
            if is_over.is_set():
                return

    def wrong(part: Sequence[Question]) -> list[Question]:
        """Asks a part of the questions, and all again until blue has written enough beside it."""
        again = takewhile(lambda _: len(batches) <= BATCHES_MIN and not writing.done(), cycle(part))
        return [each for each in chain(part, again) if red.ask(each) != answers[each]]

    with listening(ada, LOGS[0]) as listener:
        with ThreadPoolExecutor(THREADS + 1) as pool:
            writing = pool.submit(write)
            try:
                parts = pool.map(wrong, (chosen[start::THREADS] for start in range(THREADS)))
                differing = {question for part in parts for question in part}
            finally:
                is_over.set()
            writing.result(WAIT_S)
        assert differing == set()
        assert len(batches) > BATCHES_MIN
        last = lines(1, node=RED, first=FEW + 1)
        assert ada.statuses(LOGS[0], last) == ["success"]
        assert listener.take()["cursor"] == ada.pull(LOGS[0])[1]
    assert len(bob.pull(LOGS[0])[0]) > BATCHES_MIN // 2
