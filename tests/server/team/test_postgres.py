"""What PostgreSQL alone can get wrong: keys, processes that write at once, versions, failures."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from tests.server.postgres import Cluster
from tests.server.team.lines import lines
from tests.server.team.notices import ANN, Node
from tests.server.team.test_exchange import add_teams, walked

from thence.core.values.digests import digests
from thence.core.wire.authorship import signed_push
from thence.core.wire.messages import KeyRequest
from thence.errors import NotLoggedIn
from thence.server.team.accounts import Accounts, Member
from thence.server.team.exchange import Exchange
from thence.server.team.keys import KeyRegistry
from thence.server.team.logins import Logins, Tool
from thence.server.team.postgres import PostgresDatabase
from thence.server.team.store import Store

pytestmark = pytest.mark.xdist_group("postgres")

_KEYS = """
    SELECT conrelid::regclass::text, confrelid::regclass::text, contype::text,
        (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1])
    FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace
"""
_OF_TEAMS = """
    SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'team'
"""
# of all teams: on a cluster that is divided by team, each part has a copy
_OF_ALL = {"users", "teams"}
# for what SQLite leaves behind in its file
_SQLITE_ALONE = {"forms"}


@pytest.fixture
def name(postgres: Cluster) -> Iterator[str]:
    """A database of a server, with the teams red and blue."""
    name = postgres.server()
    with closing(PostgresDatabase(postgres.address(name))) as database:
        add_teams(database)
    yield name
    postgres.drop(name)


def test_each_key_begins_with_the_team(postgres: Cluster, name: str) -> None:
    of_teams = {table for (table,) in postgres.execute(_OF_TEAMS, name)} - _SQLITE_ALONE
    assert len(of_teams) >= 10
    primary = set()
    for table, referenced, kind, column in postgres.execute(_KEYS, name):
        if table in of_teams and referenced not in _OF_ALL:
            assert column == "team", (table, referenced, kind)
            primary |= {table} if kind == "p" else set()
    assert of_teams - primary == set()


@pytest.mark.promise("S12")
def test_processes_that_push_at_once_number_each_line_once_and_without_gaps(
    postgres: Cluster, name: str
) -> None:
    address = postgres.address(name)
    databases = [PostgresDatabase(address) for _ in range(2)]
    start = threading.Barrier(8)
    given = {number: lines(60, node=f"{number:012x}") for number in range(4)}

    def push(number: int) -> list[str]:
        """Pushes what another one pushes too, in the other order."""
        exchange = Exchange(Store(databases[number % 2]))
        start.wait()
        whole = given[number // 2][:: -1 if number % 2 else 1]
        return [
            verdict.status
            for at in range(0, 60, 10)
            for verdict in exchange.batch("red", "log", "plain", whole[at : at + 10])
        ]

    with ThreadPoolExecutor(8) as pool:
        verdicts = [status for statuses in pool.map(push, range(8)) for status in statuses]
    assert sorted(verdicts) == ["duplicate"] * 240 + ["success"] * 240
    exchange = Exchange(Store(databases[0]))
    assert sorted(walked(exchange, 50)) == sorted(line for each in given.values() for line in each)
    numbers = postgres.execute("SELECT number FROM events ORDER BY number", name)
    assert [number for (number,) in numbers] == list(range(1, 241))
    assert postgres.execute("SELECT last FROM logs", name) == [(240,)]
    for database in databases:
        database.close()


@pytest.mark.promise("S12")
def test_puller_skips_no_line_of_a_push_that_is_not_committed_yet(
    postgres: Cluster, name: str
) -> None:
    address = postgres.address(name)
    with (
        closing(PostgresDatabase(address)) as first,
        closing(PostgresDatabase(address)) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        pushing, pulling = Exchange(Store(first)), Exchange(Store(second))
        pushing.batch("red", "log", "plain", lines(1))
        with first.writing() as transaction:
            lock = "SELECT last FROM logs WHERE name = 'log' FOR UPDATE"
            assert transaction.execute(lock) == [(1,)]
            waiting = pool.submit(pushing.batch, "red", "log", "plain", lines(1, first=2))
            assert walked(pulling, 5) == lines(1)
            assert not waiting.done()
            transaction.execute("UPDATE logs SET revision = revision")
            cursor = pulling.page("red", "log").next
        assert [verdict.status for verdict in waiting.result(10)] == ["success"]
        assert pulling.page("red", "log", cursor).lines == lines(1, first=2)


@pytest.mark.promise("S10a")
def test_node_that_moves_while_its_lines_come_leaves_none_signed_by_the_former_key(
    postgres: Cluster, name: str
) -> None:
    node, address = Node(), postgres.address(name)
    with (
        closing(PostgresDatabase(address)) as first,
        closing(PostgresDatabase(address)) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        Accounts(first, str).add_user("ann", "red", "writer", lambda: "correct horse")
        member = Member("ann", "red", "writer")
        KeyRegistry(first).register(member, KeyRequest(ANN.public_key, (node.node,)))
        exchange = Exchange(Store(first))
        exchange.batch("red", "log", "plain", [])
        with second.writing() as transaction:
            transaction.execute("SELECT id FROM logs FOR UPDATE")  # the push waits, then the move
            line = node.said()
            push = signed_push(ANN, "red", "log", [digests(line).line])
            given = ("red", "log", "plain", [line], "plain", push)
            pushing = pool.submit(exchange.batch, *given)
            moving = pool.submit(KeyRegistry(first).claim, "red", node.node, "b" * 64)
            assert not pushing.done()
        assert pushing.result(10)[0].status == "success"
        assert moving.result(10) == ANN.public_key
        assert exchange.signed("red", "log", [digests(line).line]) == []


def test_refresh_token_that_is_used_twice_at_once_gives_two_generations(
    postgres: Cluster, name: str
) -> None:
    with closing(PostgresDatabase(postgres.address(name))) as database:
        Accounts(database, str).add_user("ada", "red", "writer", lambda: "correct horse")
        numbers = iter(range(1000))
        tool = Tool(lambda: 0.0, lambda count: bytes([next(numbers)]) * count, lambda *_: True)
        logins = Logins(database, tool)
        tokens = logins.log_in("ada", "correct horse")
        with ThreadPoolExecutor(4) as pool:
            pairs = list(pool.map(logins.refreshed, [tokens.refresh] * 4))
        assert len({pair.access for pair in pairs}) == 4
        generations = postgres.execute("SELECT generation FROM tokens WHERE is_refresh = 1", name)
        assert sorted(generations) == [(0,), (1,), (2,), (3,), (4,)]
        live = logins.live_token(pairs[0].access, "red").token
        with ThreadPoolExecutor(4) as pool:
            spent = [pool.submit(logins.live_login, live) for _ in range(4)]
        assert sum(one.exception() is None for one in spent) == 1
        assert all(isinstance(one.exception(), NotLoggedIn | None) for one in spent)
