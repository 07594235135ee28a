"""The first answers: /health, while the app is still being imported.

A thread takes the connections in. What asks for /health is answered at once, with nothing
known yet; all others are kept, unread, for the app.
"""

import json
import re
import selectors
import socket
from contextlib import suppress
from threading import Event as Signal
from threading import Thread

from thence.server.http.connections import connections_max
from thence.server.http.loopback import LOOPBACK, host_of

HEAD_BYTES_MAX = 8192
KEPT_MAX = 512
_POLL_S = 0.02
_HEALTH = re.compile(
    rb"GET /health HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*?host:([^\r\n]*)\r\n(?:[^\r\n]+\r\n)*\r\n",
    re.IGNORECASE,
)
_COUNTS = (
    "simulations",
    "logs",
    "events",
    "unverified",
    "damaged_lines",
    "damaged_logs",
    "skipped_logs",
    "unread_logs",
)


class Early:
    """Answers on a listening socket until it is stopped."""

    def __init__(self, listener: socket.socket, version: str) -> None:
        self._listener = listener
        self._answer = _answer(version)
        self._stop = Signal()
        self._kept_max = min(KEPT_MAX, connections_max())
        self._asking = selectors.DefaultSelector()
        self._kept: list[socket.socket] = []
        self._thread = Thread(target=self._run, name="thence-early", daemon=True)

    def start(self) -> None:
        """Starts to answer."""
        self._listener.setblocking(False)
        self._asking.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> list[socket.socket]:
        """Ends it, and returns the connections that wait for the app."""
        self._stop.set()
        self._thread.join()
        waiting = [key.fileobj for key in self._asking.get_map().values()]
        self._asking.close()
        unread = [item for item in waiting if isinstance(item, socket.socket)]
        return self._kept + [item for item in unread if item is not self._listener]

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._asking.select(_POLL_S):
                asking = key.fileobj
                assert isinstance(asking, socket.socket)
                if asking is self._listener:
                    self._accept()
                else:
                    self._look(asking)

    def _accept(self) -> None:
        """Takes a connection in, unless so many wait that the system may keep it."""
        if len(self._kept) + len(self._asking.get_map()) > self._kept_max:
            self._stop.wait(_POLL_S)
            return
        with suppress(OSError):
            made, _ = self._listener.accept()
            made.setblocking(False)
            self._asking.register(made, selectors.EVENT_READ)

    def _look(self, asking: socket.socket) -> None:
        """Answers a whole request for /health; another one is kept as it came."""
        try:
            head = asking.recv(HEAD_BYTES_MAX, socket.MSG_PEEK)
        except OSError:
            head = b""
        if head and b"\r\n\r\n" not in head and b"GET /health ".startswith(head[:12]):
            self._stop.wait(_POLL_S)  # the rest is on its way
            return
        self._asking.unregister(asking)
        found = _HEALTH.match(head)
        if found is not None and host_of(found[1].decode("latin-1")) in LOOPBACK:
            with suppress(OSError):
                asking.recv(found.end())
                asking.sendall(self._answer)
                asking.shutdown(socket.SHUT_WR)
        elif head:
            self._kept.append(asking)
            return
        asking.close()


def _answer(version: str) -> bytes:
    known = {"status": "ok", "version": version, **dict.fromkeys(_COUNTS, 0)}
    body = json.dumps(known, separators=(",", ":")).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
        f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
