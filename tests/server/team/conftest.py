"""One team's server for all tests that leave it running; each writes into logs of its own."""

from collections.abc import Iterator

import pytest
from tests.server.team.team_server import TeamServer, team_server


@pytest.fixture(scope="session")
def red(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with team_server(tmp_path_factory.mktemp("team") / "data") as server:
        server.add("bob", "blue")
        server.add("eve")
        server.add("rita", "red", "reader")
        yield server
