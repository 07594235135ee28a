"""One team's server for all tests that leave it running; each writes into logs of its own."""

from collections.abc import Iterator

import pytest
from tests.server.postgres import Cluster
from tests.server.team.engines import in_postgres
from tests.server.team.team_server import TeamServer, of_members


@pytest.fixture(scope="session")
def red(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with of_members(tmp_path_factory.mktemp("team") / "data") as server:
        yield server


ENGINES = (
    "sqlite",
    pytest.param("postgres", marks=[pytest.mark.rest, pytest.mark.xdist_group("postgres")]),
)


@pytest.fixture(scope="module", params=ENGINES)
def address(request: pytest.FixtureRequest) -> str:
    """The address of an empty database in PostgreSQL, "" for SQLite."""
    if request.param == "sqlite":
        return ""
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.address(cluster.empty())


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Has `new_database` make databases of each engine in turn."""
    if request.param == "sqlite":
        yield request.param
    else:
        with in_postgres(request.getfixturevalue("postgres")):
            yield request.param
