"""A live client of a team's server, written from docs/reference/formats/wire.md alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from tests.server.team.stranger import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

WAIT_S = 60


def live_token(client: Client) -> str:
    got = client.post("/api/v1/ws-token/", {})
    assert (got.status, got.json["lifetime"]) == (200, 60), got.body
    return str(got.json["token"])


class Listener:
    """An open connection; its first frame, the snapshot, was taken."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._early: list[Any] = []
        self.snapshot = self.take()

    def take(self) -> Any:
        return self._early.pop(0) if self._early else self._taken()

    def send(self, line: bytes) -> Any:
        """Sends an event and returns the answer; hints that come before it are taken later."""
        return self.send_bare(b'{"type":"event","event":' + line + b"}")

    def send_bare(self, frame: bytes) -> Any:
        """Sends a frame and returns the answer; hints that come before it are taken later."""
        self.connection.send(frame, text=True)
        while (answer := self._taken())["type"] == "committed":
            self._early.append(answer)
        return answer

    def _taken(self) -> Any:
        return json.loads(self.connection.recv(timeout=WAIT_S))

    def hints_until(self, cursor: str) -> None:
        """Takes hints up to the one that brings a cursor."""
        while (frame := self.take())["cursor"] != cursor:
            assert frame["type"] == "committed"


def closing_code(listener: Listener) -> int | None:
    """Takes frames until the server closes; returns its code."""
    try:
        while True:
            listener.take()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


@contextmanager
def listening(client: Client, log: str, token: str | None = None) -> Iterator[Listener]:
    """Opens a connection; without a token it shows the access token."""
    query = {"log": log, "kind": "plain"} | ({"token": token} if token else {})
    with bare(client, "" if token else client.access, f"?{urlencode(query)}") as listener:
        yield listener


@contextmanager
def bare(client: Client, token: str, query: str = "") -> Iterator[Listener]:
    """Opens a connection as other tools do: no parameters, the live token as the bearer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = f"ws://{client.host}/ws/v1/events/{query}"
    with connect(address, additional_headers=headers, proxy=None) as connection:
        yield Listener(connection)
