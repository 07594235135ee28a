"""One member opens all they may, and the others go on."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.server.listening import until
from tests.server.team.lines import lines
from tests.server.team.listener import Listener, listening
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer, team_server
from websockets.exceptions import InvalidStatus

from thence.server.routes.live_events import STREAMS_OF_USER_MAX

# leaves the server 96 connections, half of them for live ones, half of these for one user
FILES_MAX = 256
LIVE_OF_USER_MAX = 24


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data", files_max=FILES_MAX) as running:
        running.add("eve")
        running.add("bob", "blue")
        yield running


def stream(client: Client, opened: ExitStack) -> tuple[int, bytes]:
    """Opens a stream that stays open; returns its status and what came first."""
    host, port = client.host.split(":")
    connection = opened.enter_context(socket.create_connection((host, int(port)), timeout=60))
    path = "/logs/busy/events/live?tail=0"
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {client.access}\r\n\r\n"
    connection.sendall(head.encode())
    answer = b""
    while not (b"\n\n" in answer or answer.endswith(b"}")):  # the beginning, or a problem
        part = connection.recv(10_000)
        assert part, answer
        answer += part
    return int(answer.split()[1]), answer


@pytest.mark.promise("S12")
def test_streams_of_one_user_leave_places_to_the_rest_of_their_team(server: TeamServer) -> None:
    eve, other_eve, ada = server.client("eve"), server.client("eve"), server.client("ada")
    assert ada.statuses("busy", lines(2)) == ["success"] * 2
    with ExitStack() as opened:
        for number in range(STREAMS_OF_USER_MAX):
            assert stream((eve, other_eve)[number % 2], opened)[0] == 200
        status, answer = stream(other_eve, opened)
        assert status == 503
        assert f"{STREAMS_OF_USER_MAX} streams of eve are open".encode() in answer
        assert b"retry-after: 1\r\n" in answer
        assert stream(ada, opened)[0] == 200


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
