"""What all live streams together hold for clients that read too slowly, up to a bound.

Beyond it the streams that have waited longest for their clients are ended. Such a client loses
nothing: it comes back and goes on behind the last event that it has.
"""

from typing import Protocol

BYTES_MAX = 64 * 1024 * 1024
# the sum is made anew whenever so much of the bound was added
_STEPS = 16


class Reader(Protocol):
    """A stream to one client."""

    @property
    def backlog_bytes(self) -> int:
        """How many bytes wait for the client now."""

    def cut(self) -> None:
        """Ends the stream and frees what waits, whatever its client does."""


class Backlog:
    """The streams of one server; of its event loop alone. `cut` counts those that were ended."""

    def __init__(self, bytes_max: int) -> None:
        self.cut = 0
        self._bytes_max = bytes_max
        self._added = 0
        # those first that have waited longest
        self._readers: dict[Reader, None] = {}

    def move(self, reader: Reader, size_bytes: int) -> None:
        """Notes that a client has taken something, and that so much more is sent to it."""
        self.leave(reader)
        self._readers[reader] = None
        self.add(size_bytes)

    def leave(self, reader: Reader) -> None:
        """Forgets a stream that has ended."""
        self._readers.pop(reader, None)

    def add(self, size_bytes: int) -> None:
        """Notes that so much more waits, and ends streams if it is too much for all."""
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
