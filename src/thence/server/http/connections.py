"""The connections that a server holds at once: how many, and which makes room for a new one.

A connection is a file. The system lets a process have so many, and the logs need some of them.
"""

import logging
import resource
from typing import Protocol

CONNECTIONS_MAX = 4_096
# what the logs that are open, their indexes, and connections that just come in may need
FILES_KEPT = 160
_CONNECTIONS_MIN = 16

_logger = logging.getLogger("thence.server")


class Connection(Protocol):
    """What can be closed at once."""

    def abort(self) -> None:
        """Closes it, whatever waits to be sent."""


def connections_max() -> int:
    """Returns how many connections this process may hold by RLIMIT_NOFILE."""
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(_CONNECTIONS_MIN, min(CONNECTIONS_MAX, files_max - FILES_KEPT))


class Connections:
    """The connections of one server; of its event loop alone.

    When there are too many, the one that has waited longest without a whole head of a request
    is closed: a newcomer comes last in that, and is closed where all others are at work.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._silent: dict[Connection, None] = {}
        self._is_full = False

    def wait(self, connection: Connection) -> None:
        """Notes that a connection is to send a head."""
        self._silent[connection] = None

    def work(self, connection: Connection) -> None:
        """Notes that a connection has sent a whole head, or is closed."""
        self._silent.pop(connection, None)

    def make_room(self, count: int) -> None:
        """Closes a connection if there are more than the most; logs that once it begins."""
        if count <= self._most:
            self._is_full = self._is_full and count > self._most // 2
            return
        if not self._is_full:
            self._is_full = True
            _logger.warning(
                "%d connections are open: one that waits is closed for each new one", self._most
            )
        oldest = next(iter(self._silent), None)
        if oldest is not None:
            self.work(oldest)
            oldest.abort()
