"""Two servers on one database in PostgreSQL: what one of them takes the other sees."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.postgres import Cluster
from tests.server.team.lines import lines
from tests.server.team.listener import listening
from tests.server.team.team_server import TeamServer, second_server, team_server

pytestmark = [pytest.mark.xdist_group("postgres"), pytest.mark.rest]


@pytest.fixture
def servers(postgres: Cluster, tmp_path: Path) -> Iterator[tuple[TeamServer, TeamServer]]:
    address = postgres.address(postgres.empty())
    with team_server(tmp_path / "data", address=address) as one, second_server(one) as other:
        yield one, other


def test_listeners_at_one_server_hear_of_what_the_other_took(servers):
    here, there = (server.client("ada") for server in servers)
    here.statuses("log", lines(1))
    with listening(here, "log") as listener:
        assert there.statuses("log", lines(3)) == ["duplicate", "success", "success"]
        _, cursor = there.pull("log")
        listener.hints_until(cursor)


@pytest.mark.promise("S12")
def test_login_at_one_server_counts_at_the_other_and_so_does_its_end(servers):
    here, there = servers[0].client("ada"), servers[1].client()
    there.access = here.access
    assert there.statuses("log", lines(1)) == ["success"]
    assert here.post("/api/v1/token/revoke/", {"refresh": here.refresh}).status == 200
    assert there.page("log").status == 401
