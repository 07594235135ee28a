"""The large values of a log: chains of pieces in `bodies.jsonl` and its older segments.

A piece is a line with a part of a value, the digest of the value up to its end, and the digest up
to its beginning, by which the piece before is found. So values that begin alike share pieces.
docs/reference/formats/bodies.md describes the bytes. Reading takes no lock; a value is handed out
only when its bytes fit its digest. Where one piece stands twice, the later line counts.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.bodies import missing_body
from thence.core.codec import CRC_BYTES, close_line, has_valid_crc
from thence.log.files.disk import NOWHERE, READ_BYTES, Disk, opened, opened_existing, reading
from thence.log.files.segment import BODIES, older_names

PIECE_BYTES_MAX = 256 * 1024
# a value in so many pieces is begun anew: each one costs a read
CHAIN_PIECES_MAX = 1_024
# each byte of a piece may be a control character, of six characters in JSON
_LINE_BYTES_MAX = 6 * PIECE_BYTES_MAX + 512
# the first bytes of a piece, by which those that can't go on a value are passed over
BEGINNING_BYTES = 64
_ROOT_BYTES = 32

_HEAD = re.compile(
    rb'\{"sha256":"([0-9a-f]{64})",(?:"before":"([0-9a-f]{64})",)?"bytes":(\d{1,10}),"text":"'
)


class BodyPiece(NamedTuple):
    """One piece: its line in a file, and the bytes of its value up to its end.

    `before` is the digest of the piece before, empty for a first one; `depth` counts the pieces.
    """

    before: str
    end: int
    depth: int
    file: str
    offset: int
    length: int


class RawPiece(NamedTuple):
    """A line that is a piece, as far as its checksum tells."""

    digest: str
    before: str
    end: int
    text: bytes  # in JSON, without the quotes


def piece_of(line: bytes) -> RawPiece | None:
    """Returns what a line without its newline holds, None unless it is a piece."""
    head = _HEAD.match(line)
    if head is None or not has_valid_crc(line):
        return None
    digest, before, end = head[1].decode(), (head[2] or b"").decode(), int(head[3])
    return RawPiece(digest, before, end, line[head.end() : -CRC_BYTES - 1])


def piece_line(piece: RawPiece) -> bytes:
    """Returns the line of a piece, with its newline."""
    before = b'"before":"%b",' % piece.before.encode() if piece.before else b""
    values = (piece.digest.encode(), before, piece.end, piece.text)
    return close_line(b'{"sha256":"%b",%b"bytes":%d,"text":"%b"' % values)


def text_of(data: bytes) -> bytes:
    """Returns the part of a value as a piece holds it; raises UnicodeDecodeError."""
    return msgspec.json.encode(data.decode())[1:-1]


def data_of(piece: RawPiece) -> bytes:
    """Returns the part of the value that a piece holds, never b"" but for what is no text."""
    try:
        return msgspec.json.decode(b'"%b"' % piece.text, type=str).encode()
    except (ValueError, RecursionError):  # its checksum may fit all the same
        return b""


def beginning_of(data: bytes) -> bytes:
    """Returns the first bytes that a piece with this data has as its text."""
    text = data[: BEGINNING_BYTES + 3].decode(errors="ignore")
    return msgspec.json.encode(text)[1:-1][:BEGINNING_BYTES]


def body_lines(disk: Disk, descriptor: int, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yields the complete lines of an open file from an offset on, each with its offset."""
    rest = b""
    while block := disk.read_at(descriptor, offset + len(rest), READ_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield offset, line
            offset += len(line) + 1
        if len(rest) > _LINE_BYTES_MAX:  # no piece is as long: what follows it is found again
            offset, rest = offset + len(rest), b""


class PieceIndex:
    """The pieces of a log that were found, by their digests.

    `ends` are those behind a piece, or of the first pieces that begin alike: end, digest and
    beginning of each.
    """

    def __init__(self) -> None:
        self.pieces: dict[str, BodyPiece] = {}
        self.following: dict[str | bytes, list[tuple[int, str, bytes]]] = {}
        self.file = NOWHERE
        self.size = 0

    def add(self, raw: RawPiece, file: str, offset: int, length: int) -> None:
        """Adds a piece; one without the piece before it is of no use."""
        previous = self.pieces.get(raw.before) if raw.before else None
        if raw.before and previous is None:
            return
        depth = previous.depth + 1 if previous else 1
        is_new = raw.digest not in self.pieces
        self.pieces[raw.digest] = BodyPiece(raw.before, raw.end, depth, file, offset, length)
        if is_new:
            beginning = raw.text[:BEGINNING_BYTES]
            key = raw.before or beginning[:_ROOT_BYTES]
            self.following.setdefault(key, []).append((raw.end, raw.digest, beginning))

    def behind(self, before: str, data: bytes, at: int, count: int) -> list[tuple[int, str]]:
        """Returns the ends and digests of pieces that may go on a value at an offset, in order.

        Of many the last `count` are returned.
        """
        beginning = beginning_of(data[at : at + BEGINNING_BYTES + 3])
        nexts = self.following.get(before or beginning[:_ROOT_BYTES], ())
        fitting = [
            (end, digest)
            for end, digest, first in nexts[-count:]
            if at < end <= len(data) and beginning.startswith(first)
        ]
        return sorted(fitting)

    def scan(self, disk: Disk, name: str, descriptor: int, offset: int = 0) -> int:
        """Adds the pieces of a file from an offset on; returns the end of its last line."""
        for start, line in body_lines(disk, descriptor, offset):
            offset = start + len(line) + 1
            raw = piece_of(line)
            if raw is not None:
                self.add(raw, name, start, len(line))
        return offset


def read_index(disk: Disk, folder: Path, index: PieceIndex | None = None) -> PieceIndex:
    """Returns the pieces that are there now: an index brought up to date, else a new one."""
    # opened before the older ones are listed, so that a rotation in between hides nothing
    with opened_existing(disk, folder / BODIES) as current:
        file, size = disk.file_id(current) if current is not None else (NOWHERE, 0)
        if index is None or index.file != file or size < index.size:
            index = PieceIndex()
            index.file = file
            for name in older_names(disk, folder, BODIES):
                with opened_existing(disk, folder / name) as older:
                    if older is not None:
                        index.scan(disk, name, older)
        if current is not None:
            index.size = index.scan(disk, BODIES, current, index.size)
        return index


class Bodies:
    """The large values of the log in a folder, for readers. Safe from threads, and picklable."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._index: PieceIndex | None = None

    def __reduce__(self) -> tuple[Callable[..., "Bodies"], tuple[Disk, Path]]:
        return Bodies, (self._disk, self._folder)

    def value(self, digest: str, size: int) -> bytes:
        """Returns the bytes of a value, `size` of them; raises BodyMissing, `read_failed`."""
        from hashlib import sha256

        data = None
        with reading(self._folder):
            for index in self._indexes():
                data = self._read(index, digest)
                if data and len(data) == size and sha256(data).hexdigest() == digest:
                    return data
        if data is None:
            raise missing_body(digest, "not all of its pieces are in bodies.jsonl any more")
        raise missing_body(digest, "its pieces have changed: they don't fit the digest")

    def holds(self, digest: str) -> bool:
        """Reports whether a value seems to be there now; `value` tells. Raises `read_failed`."""
        with reading(self._folder):
            if self._index is None or digest not in self._index.pieces:
                self._index = read_index(self._disk, self._folder, self._index)
            return digest in self._index.pieces

    def chain(self, digest: str) -> list[BodyPiece]:
        """Returns the pieces that a value is made of, the first one first, as far as is known.

        Ask for the value before. Raises BodyMissing, `read_failed`.
        """
        chain: list[BodyPiece] = []
        while digest:
            if not self.holds(digest) or self._index is None:
                raise missing_body(digest, "it is not in bodies.jsonl any more")
            chain.append(self._index.pieces[digest])
            digest = chain[-1].before
        return chain[::-1]

    def line(self, piece: BodyPiece) -> bytes:
        """Returns the bytes where a piece stands; raises `read_failed`."""
        with reading(self._folder), opened(self._disk, self._folder / piece.file) as descriptor:
            return self._disk.read_at(descriptor, piece.offset, piece.length)

    def _indexes(self) -> Iterator[PieceIndex]:
        """Yields the index as it is, then up to date, then made anew.

        A piece may have been written since, or been moved by a rotation or redaction.
        """
        if self._index is not None:
            yield self._index
            self._index = read_index(self._disk, self._folder, self._index)
            yield self._index
        self._index = read_index(self._disk, self._folder)
        yield self._index

    def _read(self, index: PieceIndex, digest: str) -> bytes | None:
        """Returns what the pieces of a value hold, None if one is missing or no piece any more."""
        chain: list[tuple[str, BodyPiece]] = []
        while digest:
            piece = index.pieces.get(digest)
            if piece is None:
                return None
            chain.append((digest, piece))
            digest = piece.before
        parts: list[bytes] = []
        descriptors: dict[str, int | None] = {}
        with ExitStack() as files:
            for digest, piece in reversed(chain):
                if piece.file not in descriptors:
                    file = opened_existing(self._disk, self._folder / piece.file)
                    descriptors[piece.file] = files.enter_context(file)
                descriptor = descriptors[piece.file]
                if descriptor is None:
                    return None
                raw = piece_of(self._disk.read_at(descriptor, piece.offset, piece.length))
                if raw is None or raw.digest != digest:
                    return None
                parts.append(data_of(raw))
        return b"".join(parts)
