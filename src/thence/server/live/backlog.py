"""The bytes that all live streams together hold for slow clients, up to a bound.

Beyond the bound the streams that have waited longest for their clients are ended. Such a client
loses nothing: it connects again and continues after the last event that it has.
"""

from typing import Protocol

BYTES_MAX = 64 * 1024 * 1024
# the sum is computed anew after each sixteenth of the bound that was added
_STEPS = 16


class Reader(Protocol):
    """A stream to one client."""

    @property
    def backlog_bytes(self) -> int:
        """The number of bytes that wait for the client now."""

    def cut(self) -> None:
        """Ends the stream and frees the waiting bytes, whatever its client does."""


class Backlog:
    """The streams of one server, for its event loop alone; `cut` counts the ended streams."""

    def __init__(self, bytes_max: int) -> None:
        self.cut = 0
        self._bytes_max = bytes_max
        self._added = 0
        # in order of waiting time, the longest first
        self._readers: dict[Reader, None] = {}

    def move(self, reader: Reader, size_bytes: int) -> None:
        """Records that a client has taken bytes, and that `size_bytes` more are sent to it."""
        self.leave(reader)
        self._readers[reader] = None
        self.add(size_bytes)

    def leave(self, reader: Reader) -> None:
        """Forgets a stream that has ended."""
        self._readers.pop(reader, None)

    def add(self, size_bytes: int) -> None:
        """Records that `size_bytes` more wait, and ends streams if all have too many."""
        self._added += size_bytes
        if self._added * _STEPS < self._bytes_max:
            return
        self._added = 0
        sizes = [(reader, reader.backlog_bytes) for reader in self._readers]
        total = sum(size for _, size in sizes)
        for reader, size in sizes:
            if total <= self._bytes_max:
                return
            if size:
                total -= size
                self.leave(reader)
                self.cut += 1
                reader.cut()
