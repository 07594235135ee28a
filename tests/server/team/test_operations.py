"""What an operator needs of a team's server: an end without loss, readiness, a log to read."""

import http.client
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.server.team.lines import lines
from tests.server.team.listener import listening
from tests.server.team.stranger import Client, written
from tests.server.team.team_server import TeamServer, team_server
from tests.tiers import tenth

from thence.server.app import create_team_app
from thence.server.running import TEAM_DATABASE
from thence.server.team.sqlite import make_database

ENDS_S = 50  # a member's body has 60 s
GIVEN_UP_S = 0.5


def begun(client: Client, body: bytes) -> socket.socket:
    """Sends a batch but for its last byte."""
    host, port = client.host.split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = (
        f"POST /api/v1/events/batch/?log=log HTTP/1.1\r\nHost: {client.host}\r\n"
        f"Authorization: Bearer {client.access}\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert b"100 Continue" in connection.recv(1_000), "the server reads the body now"
    connection.sendall(body[:-1])
    return connection


def await_closed_doors(client: Client) -> None:
    """Returns once the server takes in nobody else."""
    while True:
        try:
            client.ask("GET", "/api/v1/sync/health/")
        except ConnectionRefusedError:
            return
        except (ConnectionError, http.client.HTTPException):
            continue  # it closed just then


@pytest.fixture
def running(tmp_path: Path):
    with team_server(tmp_path / "data") as server:
        yield server


BODY = b'{"events":[' + b",".join(lines(3)) + b"]}"


@pytest.mark.promise("S12")
def test_batch_that_is_under_way_when_the_server_ends_has_its_answer(running: TeamServer) -> None:
    client = running.client("ada")
    assert running.process
    with begun(client, BODY) as connection:
        running.process.send_signal(signal.SIGTERM)
        await_closed_doors(client)
        # a server that gives up on it closes the connection after a tenth of a second
        assert select.select([connection], [], [], GIVEN_UP_S) == ([], [], [])
        connection.sendall(BODY[-1:])
        answer = b""
        while part := connection.recv(10_000):  # it closes the connection behind the answer
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b'"success"') == 3
    assert running.end() == 0
    running.start()
    assert running.client("ada").statuses("log", lines(3)) == ["duplicate"] * 3


@contextmanager
def unread(client: Client) -> Iterator[socket.socket]:
    """Asks for more than the system keeps for a client, which reads nothing of it."""
    host, port = client.host.split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((host, int(port)))
        head = (
            f"GET /api/v1/events?log=log HTTP/1.1\r\nHost: {client.host}\r\n"
            f"Authorization: Bearer {client.access}\r\n\r\n"
        )
        connection.sendall(head.encode() * 20)
        assert connection.recv(1), "the server has begun"
        yield connection


@pytest.mark.parametrize("signals", tenth([1, 2], [2]))
@pytest.mark.whole
def test_client_that_is_waited_for_holds_no_end_up(running: TeamServer, signals: int) -> None:
    """No time of a request ends it; behind the second signal no time of a client does either."""
    running.end()
    running.alteration = "from thence.server import running; running._PUSHING_S = 10**6"
    if signals > 1:
        protocol = "from thence.server.http import protocol; protocol.LINGER_S = 10**6"
        running.alteration += f"; {protocol}"
    running.start()
    client = running.client("ada")
    for number in range(1, 5):
        large = written("00000000000a", number, number, {"text": "x" * 250_000})
        assert client.statuses("log", [large]) == ["success"]
    assert running.process
    with begun(client, BODY), unread(client), listening(client, "log"):
        running.process.send_signal(signal.SIGTERM)
        if signals > 1:
            await_closed_doors(client)
            running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(ENDS_S) == 0


def test_ready_needs_no_login_and_tells_when_the_database_is_gone(tmp_path: Path) -> None:
    database = tmp_path / TEAM_DATABASE
    make_database(database, "e1")
    with TestClient(create_team_app(database)) as client:
        assert client.get("/ready").json() == {"status": "ready"}
    for file in tmp_path.glob(f"{TEAM_DATABASE}*"):
        file.unlink()
    response = client.get("/ready")
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)
