"""The open connections of a server: their limit, and the choice of one to close for a new one.

A connection is a file descriptor. The system bounds those of a process, and the logs need some.
"""

import logging
import resource
from typing import Protocol

CONNECTIONS_MAX = 4_096
# file descriptors for open logs, their indexes, and connections that are just accepted
FILES_KEPT = 160
_CONNECTIONS_MIN = 16

_logger = logging.getLogger("thence.server")


class Connection(Protocol):
    """A connection that can be closed at once."""

    def abort(self) -> None:
        """Closes the connection, whatever waits to be sent."""


def connections_max() -> int:
    """Returns the connection limit of this process, by RLIMIT_NOFILE."""
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(_CONNECTIONS_MIN, min(CONNECTIONS_MAX, files_max - FILES_KEPT))


class Connections:
    """The connections of one server, for its event loop alone.

    When there are too many, the one that has waited longest without a complete request head
    is closed. A new connection is the last of those, and is closed where all others work.
    """

    def __init__(self, connections_limit: int) -> None:
        self._limit = connections_limit
        self._waiting: dict[Connection, None] = {}
        self._is_full = False

    def wait(self, connection: Connection) -> None:
        """Records that a connection has to send a head."""
        self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """Records that a connection has sent a complete head, or is closed."""
        self._waiting.pop(connection, None)

    def make_room(self, count: int) -> None:
        """Closes a waiting connection if there are too many; logs when that begins."""
        if count <= self._limit:
            self._is_full = self._is_full and count > self._limit // 2
            return
        if not self._is_full:
            self._is_full = True
            _logger.warning(
                "%d connections are open: one that waits is closed for each new one", self._limit
            )
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self.work(oldest)
            oldest.abort()
