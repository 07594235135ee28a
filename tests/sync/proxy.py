"""A TCP proxy on loopback that spoils one place of a session, in either direction.

Bytes are counted over all connections of a session, each direction by itself, from 0 on. Threads of
the proxy end with it.
"""

import socket
import threading
from contextlib import suppress
from typing import NamedTuple

UP, DOWN = "up", "down"  # to the server, to the client
KINDS = ("cut", "freeze", "double", "swap", "flip", "trickle")
RUN_BYTES = 16  # as many are sent twice, or change places with the next
_PART_BYTES = 65_536
_ENDS_S = 20


class Fault(NamedTuple):
    """What happens at a byte of a session.

    cut: both sides see the end before this byte. freeze: neither this byte nor any later one comes.
    double: a run from it on comes twice. swap: a run from it on comes after the next run. flip: one
    bit of it is another. trickle: it and those behind it come one by one.
    """

    kind: str
    direction: str
    at: int


class Proxy:
    """A proxy to the server at an address; `begin` begins the next session."""

    def __init__(self, server: str) -> None:
        host, port = server.removeprefix("http://").split(":")
        self._server = host, int(port)
        self._mutex = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
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

    def begin(self, fault: Fault | None) -> None:
        """Ends the session before, with its connections, and begins one with a fault or none."""
        with self._mutex:
            sockets, self._sockets = self._sockets, []
            threads, self._threads = self._threads, []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(_ENDS_S)
            assert not thread.is_alive()
        for each in sockets:
            each.close()
        self._fault = fault
        self.passed = {UP: bytearray(), DOWN: bytearray()}

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pumps = [
                    threading.Thread(target=self._pump, args=(client, server, UP)),
                    threading.Thread(target=self._pump, args=(server, client, DOWN)),
                ]
                with self._mutex:
                    self._sockets += (client, server)
                    self._threads += pumps
                for pump in pumps:
                    pump.start()

    def _pump(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        """Passes on what one side sends until it ends, and ends both."""
        is_silent = False
        with suppress(OSError):
            while part := source.recv(_PART_BYTES):
                passed = self.passed[direction]
                place = self._place(direction, len(passed), part)
                passed += part
                if is_silent:
                    continue
                if place is None:
                    target.sendall(part)
                    continue
                target.sendall(part[:place])
                kind = self._fault.kind
                if kind == "cut":
                    break
                if kind == "freeze":
                    is_silent = True
                elif kind == "trickle":
                    for one in part[place:]:
                        target.sendall(bytes((one,)))
                else:
                    target.sendall(_spoilt(kind, part[place:]))
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _place(self, direction: str, at: int, part: bytes) -> int | None:
        """Returns where the fault is in a part that begins at a byte of the session."""
        fault = self._fault
        is_here = fault and fault.direction == direction and at <= fault.at < at + len(part)
        return fault.at - at if is_here else None


def _spoilt(kind: str, data: bytes) -> bytes:
    """Returns what comes of data that begins at the fault's byte."""
    if kind == "double":
        return data[:RUN_BYTES] + data
    if kind == "swap":
        half = min(RUN_BYTES, len(data) // 2)
        return data[half : 2 * half] + data[:half] + data[2 * half :]
    return bytes((data[0] ^ (1 << data[0] % 7),)) + data[1:]
