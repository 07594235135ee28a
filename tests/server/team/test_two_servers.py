"""Two servers on one database in PostgreSQL: what one of them takes or redacts the other sees."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from tests.server.listening import frames
from tests.server.postgres import Cluster
from tests.server.team.lines import lines
from tests.server.team.listener import listening
from tests.server.team.notices import SECRET, Node
from tests.server.team.team_server import TeamServer, second_server, team_server
from tests.server.team.test_team_pages import push

pytestmark = [pytest.mark.xdist_group("postgres"), pytest.mark.rest]

WAIT_S = 60


@pytest.fixture
def servers(postgres: Cluster, tmp_path: Path) -> Iterator[tuple[TeamServer, TeamServer]]:
    address = postgres.address(postgres.empty())
    with team_server(tmp_path / "data", address=address) as one, second_server(one) as other:
        yield one, other


def test_listeners_at_one_server_hear_of_what_the_other_took(
    servers: tuple[TeamServer, TeamServer],
) -> None:
    here, there = (server.client("ada") for server in servers)
    here.statuses("log", lines(1))
    bearer = {"Authorization": f"Bearer {here.access}"}
    with (
        httpx2.Client(base_url=servers[0].url, timeout=WAIT_S, headers=bearer) as web,
        web.stream("GET", "/logs/log/events/live") as stream,
        listening(here, "log") as listener,
    ):
        heard = frames(stream)
        assert there.statuses("log", lines(3)) == ["duplicate", "success", "success"]
        _, cursor = there.pull("log")
        listener.hints_until(cursor)
        assert [next(heard).data for _ in range(3)] == lines(3)


@pytest.mark.promise("S12")
def test_login_at_one_server_counts_at_the_other_and_so_does_its_end(
    servers: tuple[TeamServer, TeamServer],
) -> None:
    here, there = servers[0].client("ada"), servers[1].client()
    there.access = here.access
    assert there.statuses("log", lines(1)) == ["success"]
    assert here.post("/api/v1/token/revoke/", {"refresh": here.refresh}).status == 200
    assert there.page("log").status == 401


@pytest.mark.promise("S10a")
def test_what_one_server_redacts_leaves_the_folders_of_both(
    servers: tuple[TeamServer, TeamServer],
) -> None:
    clients, node = [server.client("ada") for server in servers], Node()
    push(clients[0], "log", node.said(SECRET), node)
    for client in clients:
        assert client.ask("GET", "/logs/log/events").body.count(SECRET.encode()) == 1
    folders = [server.data / "teams" for server in servers]
    assert all(holding(folder, SECRET) for folder in folders)
    push(clients[0], "log", node.redaction(node.lines[0]), node)
    end_s = time.monotonic() + WAIT_S
    while files := [file for folder in folders for file in holding(folder, SECRET)]:
        assert time.monotonic() < end_s, files


def holding(folder: Path, text: str) -> list[str]:
    """Returns the files that hold a text; some go meanwhile."""
    holding = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                if text.encode() in Path(place, name).read_bytes():
                    holding.append(f"{place}/{name}")
    return holding
