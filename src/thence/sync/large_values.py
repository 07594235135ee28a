"""The large values of a log and of its server: each gets the pieces that it lacks before the lines.

What comes from a server is checked by the digest of the whole value before a line that names it is
written; what is pushed is read whole before. The requests are in docs/reference/formats/wire.md.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING

from thence.core.bodies import PAYLOAD_BYTES_MAX, BodyEntry, BodyMissing, missing_body
from thence.errors import SyncRefused
from thence.log.blobs.blob_files import Bodies, RawPiece, data_of, piece_of
from thence.sync.wire.messages import CHAIN_PIECES_MAX, PAGE_EVENTS_MAX, PIECES_BYTES_MAX

if TYPE_CHECKING:
    from thence.sync.client import SyncClient

# of values that are kept for those that begin like them, and of pieces that wait for theirs
_KEPT_BYTES_MAX = PAYLOAD_BYTES_MAX
_WAITING_BYTES_MAX = 4 * PIECES_BYTES_MAX


class LargeValues:
    """The large values that one round pushes and pulls; `pause` is called before each request."""

    def __init__(
        self, local: Bodies, transport: "SyncClient", pause: Callable[[float], None]
    ) -> None:
        self._local, self._transport, self._pause = local, transport, pause
        self._at_server: set[str] = set()
        self._expected: deque[BodyEntry] = deque()
        self._waiting: dict[str, RawPiece] = {}
        self._recent: dict[str, bytes] = {}

    def push(self, entries: Iterable[BodyEntry]) -> None:
        """Pushes the pieces of values that the server lacks.

        Raises BodyMissing for a value that the log has not whole, `read_failed`, SyncRefused.
        """
        values = {one.digest: one for one in entries if one.digest not in self._at_server}
        for digest in self.lacking(list(values)):
            self._local.value(digest, values[digest].size)  # it is whole, and fits its digest
            chain = self._local.chain(digest)
            names = [*(piece.before for piece in chain[1:]), digest]
            self.lacking([name for name in names[:-1] if name not in self._at_server])
            first = 1 + max(
                (at for at, name in enumerate(names) if name in self._at_server), default=-1
            )
            lines = [self._local.line(piece) for piece in chain[first:]]
            while lines:  # in order, in bounded requests
                sizes = accumulate(map(len, lines))
                most = max(1, sum(size <= PIECES_BYTES_MAX for size in sizes))
                self._pause(0.0)
                count = self._transport.push_pieces(lines[:most])
                if not 0 < count <= len(lines[:most]):
                    raise SyncRefused(
                        "could not push a large value to the server",
                        cause=f"it took {count} of {len(lines[:most])} pieces",
                        hint="nothing is lost; the next round pushes it again",
                        code="bad_answer",
                    )
                lines = lines[count:]
            self._at_server.update(names[first:])

    def lacking(self, digests: Sequence[str]) -> list[str]:
        """Returns those of some digests that the server lacks; notes the others."""
        lacking: list[str] = []
        for at in range(0, len(digests), PAGE_EVENTS_MAX):
            self._pause(0.0)
            lacking += self._transport.lacking_pieces(digests[at : at + PAGE_EVENTS_MAX])
        self._at_server.update(set(digests).difference(lacking))
        return [digest for digest in digests if digest not in self._at_server]

    def expect(self, entries: Iterable[BodyEntry]) -> None:
        """Notes which values are about to be asked for, so that a request gets several."""
        self._expected = deque(entries)
        self._waiting.clear()

    def value(self, digest: str, size: int) -> bytes:
        """Returns the bytes of a value, of the log or else of the server.

        Raises BodyMissing, also for pieces that don't fit; `read_failed`, SyncRefused.
        """
        if size > PAYLOAD_BYTES_MAX:
            raise missing_body(digest, f"it has {size} bytes, more than any")
        parts: list[bytes] = []
        name, end = digest, size
        while name and len(parts) < CHAIN_PIECES_MAX:
            start = self._here(name, end)
            if start is not None:
                parts.append(start)
                break
            piece = self._waiting.pop(name, None) or self._asked(digest, name)
            data = data_of(piece)
            if piece.end != end or not 0 < len(data) <= end:
                raise missing_body(digest, "a piece that the server gave is not part of it")
            parts.append(data)
            name, end = piece.before, end - len(data)
        value = b"".join(reversed(parts))
        if len(value) != size or sha256(value).hexdigest() != digest:
            raise missing_body(digest, "the pieces that the server gave don't fit its digest")
        self._recent[digest] = value
        size_bytes = sum(map(len, self._recent.values()))
        while size_bytes > _KEPT_BYTES_MAX and len(self._recent) > 1:
            size_bytes -= len(self._recent.pop(next(iter(self._recent))))
        return value

    def _here(self, name: str, end: int) -> bytes | None:
        """Returns a value that the log holds, or that was just pulled."""
        if (value := self._recent.get(name)) is not None:
            return value if len(value) == end else None
        with suppress(BodyMissing):  # damaged: the server may have it whole
            return self._local.value(name, end) if self._local.holds(name) else None
        return None

    def _asked(self, digest: str, name: str) -> RawPiece:
        names = {name: None}
        if sum(len(piece.text) for piece in self._waiting.values()) < _WAITING_BYTES_MAX:
            while self._expected and len(names) < PAGE_EVENTS_MAX:
                entry = self._expected.popleft()
                if entry.digest not in self._waiting and not self._local.holds(entry.digest):
                    names[entry.digest] = None
        self._pause(0.0)
        for line in self._transport.pieces(list(names)):
            piece = piece_of(line)
            if piece is not None and piece.digest in names:
                self._waiting[piece.digest] = piece
        if name not in self._waiting:
            raise missing_body(digest, "the server does not give all of its pieces")
        return self._waiting.pop(name)
