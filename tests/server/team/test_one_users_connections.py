"""One member opens all they may, and the others go on."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.log.committers import until
from tests.server.team.lines import lines
from tests.server.team.listener import Listener, listening
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer, team_server
from websockets.exceptions import InvalidStatus

# leaves the server 96 connections, half of them for live ones, half of these for one user
FILES_MAX = 256
LIVE_OF_USER_MAX = 24


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data", files_max=FILES_MAX) as running:
        running.add("eve")
        running.add("bob", "blue")
        yield running


@pytest.mark.promise("S12")
def test_live_connections_of_one_user_leave_places_to_all_others(server: TeamServer) -> None:
    eve, ada, bob = server.client("eve"), server.client("ada"), server.client("bob")

    def opens(client: Client) -> Listener:
        return opened.enter_context(listening(client, "busy"))

    with ExitStack() as opened:
        first, *_ = (opens(eve) for _ in range(LIVE_OF_USER_MAX))
        with pytest.raises(InvalidStatus) as refused:
            opens(eve)
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        message = json.loads(response.body)["problem"]["message"]
        assert f"{LIVE_OF_USER_MAX} of eve are open" in message
        for _ in range(LIVE_OF_USER_MAX):
            opens(ada)
        with pytest.raises(InvalidStatus, match="429"):
            opens(bob)  # half of all connections are live ones now
        for client in (ada, bob, server.client("bob")):
            assert client.statuses("busy", lines(3))[0] in ("success", "duplicate")
        first.connection.close()
        late: list[Listener] = []

        def has_place() -> bool:
            with suppress(InvalidStatus):
                late.append(opens(bob))
            return bool(late)

        until(has_place)
        assert late[0].snapshot["marks"].keys() == {"busy"}
