"""A team's server on each engine for all tests that leave it running; each has logs of its own."""

from collections.abc import Iterator

import pytest
from tests.server.postgres import Cluster
from tests.server.team.engines import in_postgres
from tests.server.team.team_server import TeamServer, of_members


@pytest.fixture(scope="session")
def red_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """The server of tests to which the engine can't matter, and of all others on SQLite."""
    with of_members(tmp_path_factory.mktemp("team") / "data") as server:
        yield server


SQLITE = "sqlite"
POSTGRES = pytest.param("postgres", marks=[pytest.mark.rest, pytest.mark.xdist_group("postgres")])
ENGINES = (SQLITE, POSTGRES)


@pytest.fixture(scope="module", params=ENGINES)
def address(request: pytest.FixtureRequest) -> str:
    """The address of an empty database in PostgreSQL for the tests of a file, "" for SQLite."""
    return _empty(request)


@pytest.fixture(params=ENGINES)
def own_address(request: pytest.FixtureRequest) -> str:
    """The same for one test alone."""
    return _empty(request)


def _empty(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return ""
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.address(cluster.empty())


@pytest.fixture(scope="module")
def red(
    request: pytest.FixtureRequest, address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TeamServer]:
    """The server on SQLite, and another one for each file on PostgreSQL."""
    if not address:
        yield request.getfixturevalue("red_on_sqlite")
        return
    with of_members(tmp_path_factory.mktemp("team") / "data", address) as server:
        yield server


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Has `new_database` make databases of each engine in turn."""
    if request.param == "sqlite":
        yield request.param
    else:
        with in_postgres(request.getfixturevalue("postgres")):
            yield request.param
