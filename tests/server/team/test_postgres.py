"""What PostgreSQL alone can get wrong: processes that write at once, readers, roles, tables."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from tests.codes import raises_code
from tests.server.postgres import EPOCH, Cluster
from tests.server.team.lines import Node, lines
from tests.server.team.test_sync_service import add_teams, walked

from thence.core.redaction import redacted
from thence.errors import NotLoggedIn
from thence.server.team.logins import Logins
from thence.server.team.postgres import PostgresDatabase, make_database
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService

pytestmark = pytest.mark.xdist_group("postgres")

REQUESTS = 2_000


@pytest.fixture
def name(postgres: Cluster) -> Iterator[str]:
    """A database of a server, with the teams red and blue."""
    name = postgres.server()
    with closing(PostgresDatabase(postgres.address(name))) as database:
        add_teams(database)
    yield name
    postgres.drop(name)


def _wait(cluster: Cluster, name: str, count: int, *ended: Future[str | None]) -> None:
    """Returns once so many statements wait for locks, or work has ended that should wait."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname"
    while not any(work.done() for work in ended):
        if cluster.execute(f"{query} = '{name}'") == [(count,)]:
            return


@pytest.mark.promise("S12")
def test_processes_that_push_at_once_number_each_line_once_and_without_gaps(postgres, name):
    address = postgres.address(name)
    databases = [PostgresDatabase(address) for _ in range(2)]
    start = threading.Barrier(8)
    given = {number: lines(60, node=f"{number:012x}") for number in range(4)}

    def push(number: int) -> list[str]:
        """Pushes what another one pushes too, in the other order."""
        service = SyncService(Store(databases[number % 2]))
        start.wait()
        whole = given[number // 2][:: -1 if number % 2 else 1]
        return [
            verdict.status
            for at in range(0, 60, 10)
            for verdict in service.batch("red", "log", "plain", whole[at : at + 10]).results
        ]

    with ThreadPoolExecutor(8) as pool:
        verdicts = [status for statuses in pool.map(push, range(8)) for status in statuses]
    assert sorted(verdicts) == ["duplicate"] * 240 + ["success"] * 240
    service = SyncService(Store(databases[0]))
    assert sorted(walked(service, 50)) == sorted(line for each in given.values() for line in each)
    numbers = postgres.execute("SELECT number FROM events ORDER BY number", name)
    assert [number for (number,) in numbers] == list(range(1, 241))
    assert postgres.execute("SELECT last FROM logs", name) == [(240,)]
    for database in databases:
        database.close()


@pytest.mark.promise("S12")
def test_puller_skips_no_line_of_a_push_that_is_not_committed_yet(postgres, name):
    address = postgres.address(name)
    with (
        closing(PostgresDatabase(address)) as first,
        closing(PostgresDatabase(address)) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        pushing, pulling = SyncService(Store(first)), SyncService(Store(second))
        pushing.batch("red", "log", "plain", lines(1))
        with first.writing() as transaction:
            lock = "SELECT last FROM logs WHERE name = 'log' FOR UPDATE"
            assert transaction.execute(lock) == [(1,)]
            waiting = pool.submit(pushing.batch, "red", "log", "plain", lines(1, first=2))
            assert walked(pulling, 5) == lines(1)
            assert not waiting.done()
            transaction.execute("UPDATE logs SET revision = revision")
            cursor = pulling.page("red", "log").next
        assert [verdict.status for verdict in waiting.result(60).results] == ["success"]
        assert pulling.page("red", "log", cursor).lines == lines(1, first=2)


def test_refresh_token_that_is_used_twice_at_once_gives_two_generations(postgres, name):
    with closing(PostgresDatabase(postgres.address(name))) as database:
        numbers = iter(range(1000))
        logins = Logins(
            database,
            clock=lambda: 0.0,
            random=lambda count: bytes([next(numbers)]) * count,
            verify=lambda *_: True,
        )
        tokens = logins.log_in("ann", "correct horse")
        with ThreadPoolExecutor(4) as pool:
            with database.writing() as transaction:
                transaction.execute("SELECT id FROM logins FOR UPDATE")
                refreshing = [pool.submit(logins.refreshed, tokens.refresh) for _ in range(3)]
                _wait(postgres, name, 3)
            pairs = [one.result(60) for one in refreshing]
        assert len({pair.access for pair in pairs}) == 3
        generations = postgres.execute("SELECT generation FROM tokens WHERE is_refresh = 1", name)
        assert sorted(generations) == [(0,), (1,), (2,), (3,)]
        live = logins.live_token(pairs[0].access, "red").token
        with ThreadPoolExecutor(4) as pool:
            spent = [pool.submit(logins.live_login, live) for _ in range(4)]
        assert sum(one.exception() is None for one in spent) == 1
        assert all(isinstance(one.exception(), NotLoggedIn | None) for one in spent)


@pytest.mark.promise("S12")
def test_reader_of_a_team_sees_nothing_of_another_one_while_that_writes(postgres, name):
    tables = ("claims", "events", "logs", "redactions")
    chance, ends = random.Random(7), threading.Event()
    with closing(PostgresDatabase(postgres.address(name))) as database:
        store = Store(database)
        service = SyncService(store)
        for team in ("red", "blue"):
            service.batch(team, "log", "plain", lines(20))
        log = store.log("red", "log")
        other = store.log("blue", "log")
        assert log is not None
        assert other is not None

        def write() -> int:
            number = 21
            while not ends.is_set():
                service.batch("blue", "log", "plain", lines(1, first=number))
                number += 1
            return number

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            try:
                for _ in range(REQUESTS):
                    with database.reading(log.team) as transaction:
                        table = chance.choice(tables)
                        teams = transaction.execute(f"SELECT DISTINCT team FROM {table}")
                        assert teams in ([], [(log.team,)]), table
            finally:
                ends.set()
            assert writing.result(60) > 21
        with database.reading(log.team) as transaction:
            assert transaction.execute("SHOW transaction_isolation") == [("repeatable read",)]
            assert transaction.execute("SELECT count(*) FROM events") == [(20,)]
            given = {"team": other.team}
            query = "SELECT 1 FROM events WHERE team = :team"
            assert transaction.execute(query, given) == []
        for table in ("users", "tokens", "logins"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                database.reading(log.team) as transaction,
            ):
                transaction.execute(f"SELECT * FROM {table}")
        assert list(store.page(log._replace(team=other.team), 0, 5))
        assert service.page("red", "log").lines == lines(20)


def test_user_who_may_make_no_role_is_told_the_two_statements(postgres: Cluster) -> None:
    name = postgres.empty()
    postgres.execute("CREATE ROLE plain LOGIN")
    postgres.execute(f"ALTER DATABASE {name} OWNER TO plain")
    address = postgres.address(name, "plain")
    with raises_code("not_a_server") as refused:
        make_database(address, EPOCH)
    assert "CREATE ROLE thence_reader NOLOGIN; GRANT thence_reader TO" in refused.value.hint
    postgres.execute("GRANT thence_reader TO plain")
    make_database(address, EPOCH)
    with raises_code("server_exists"):
        make_database(address, EPOCH)
    PostgresDatabase(address).close()
    postgres.drop(name)


@pytest.mark.promise("S10a")
def test_table_is_vacuumed_after_a_redaction(postgres: Cluster, name: str) -> None:
    node = Node()
    with closing(PostgresDatabase(postgres.address(name))) as database:
        service = SyncService(Store(database))
        target = node.said()
        notice = node.redaction(target)
        for line in (target, notice):
            service.batch("red", "log", "plain", [line], login="ann", nodes=[node.node])
        assert service.page("red", "log").lines == [redacted(target), notice]
    query = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'events'"
    assert postgres.execute(query, name) == [(1,)]
