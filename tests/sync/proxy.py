"""A TCP proxy on loopback that spoils one place of a session or of a connection, either direction.

Bytes are counted from 0 on, each direction by itself, over all connections of a session; where each
connection has a fault of its own, in that one alone. Threads of the proxy end with it.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

UP, DOWN = "up", "down"  # to the server, to the client
KINDS = ("cut", "freeze", "double", "swap", "flip", "trickle")
DELAY_S = 0.5
RUN_BYTES = 16  # as many are sent twice, or change places with the next
_PART_BYTES = 65_536
_ENDS_S = 60


class Fault(NamedTuple):
    """What happens at a byte of a session.

    cut: both sides see the end before this byte. freeze: neither this byte nor any later one comes.
    double: a run from it on comes twice. swap: a run from it on comes after the next run. flip: one
    bit of it is another. trickle: it and those behind it come one by one. delay: they come later.
    """

    kind: str
    direction: str
    at: int


class Proxy:
    """A proxy to the server at an address; `begin` begins the next session."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.alter: Callable[[bytes], bytes] = bytes  # what comes up, part by part
        self._mutex = threading.Lock()
        self._connections: dict[threading.Thread, list[socket.socket]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.begin(None)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(_ENDS_S)
        self._listener.close()
        self.begin(None)

    def begin(self, fault: Fault | None, each: Callable[[], Fault | None] | None = None) -> None:
        """Ends the session before, with its connections, and begins one with a fault or none.

        `each` returns the fault of one connection, and is called by one thread.
        """
        with self._mutex:
            connections, self._connections = self._connections, {}
            self._fault, self._each = fault, each
            self.passed = {UP: bytearray(), DOWN: bytearray()}
        for thread, sockets in connections.items():
            _end(*sockets)
            thread.join(_ENDS_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._mutex:
                    is_one = self._each is None
                    fault = self._fault if is_one else self._each()
                    passed = self.passed if is_one else {UP: bytearray(), DOWN: bytearray()}
                    thread = threading.Thread(target=self._carry, args=(client, fault, passed))
                    self._connections[thread] = [client]
                    thread.start()

    def _carry(
        self, client: socket.socket, fault: Fault | None, passed: dict[str, bytearray]
    ) -> None:
        """Passes on what the sides of a connection send, until one of them ends it."""
        host, port = self.server.removeprefix("http://").split(":")
        with client, suppress(OSError), socket.create_connection((host, int(port))) as server:
            with self._mutex:
                self._connections.get(threading.current_thread(), []).append(server)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            down = threading.Thread(
                target=_pump, args=(server, client, DOWN, fault, passed[DOWN], bytes)
            )
            down.start()
            _pump(client, server, UP, fault, passed[UP], lambda part: self.alter(part))
            down.join()
        with self._mutex:
            self._connections.pop(threading.current_thread(), None)


def _pump(
    source: socket.socket,
    target: socket.socket,
    direction: str,
    fault: Fault | None,
    passed: bytearray,
    alter: Callable[[bytes], bytes],
) -> None:
    """Passes on what one side sends until it ends, and ends both."""
    is_silent = False
    with suppress(OSError):
        while part := source.recv(_PART_BYTES):
            at = fault.at - len(passed) if fault and fault.direction == direction else -1
            passed += part
            if is_silent:
                continue
            if not 0 <= at < len(part):
                target.sendall(alter(part))
                continue
            target.sendall(part[:at])
            if fault.kind == "cut":
                break
            if fault.kind == "freeze":
                is_silent = True
            elif fault.kind == "trickle":
                for one in part[at:]:
                    target.sendall(bytes((one,)))
            elif fault.kind == "delay":
                time.sleep(DELAY_S)
                target.sendall(part[at:])
            else:
                target.sendall(_spoilt(fault.kind, part[at:]))
    _end(source, target)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _spoilt(kind: str, data: bytes) -> bytes:
    """Returns what comes of data that begins at the fault's byte."""
    if kind == "double":
        return data[:RUN_BYTES] + data
    if kind == "swap":
        half = min(RUN_BYTES, len(data) // 2)
        return data[half : 2 * half] + data[:half] + data[2 * half :]
    return bytes((data[0] ^ (1 << data[0] % 7),)) + data[1:]
