"""The large values of a log: chains of pieces in `bodies.jsonl` and its older segments.

A piece is a line with a part of a value, the digest of the value up to its end, and the digest up
to its beginning, by which the piece before is found. So values that begin alike share pieces.
docs/reference/formats/bodies.md describes the bytes. Reading takes no lock; a value is handed out
only when its bytes fit its digest. Where one piece stands twice, the later line counts.

Pieces are written and synced before lines name them, in one turn of the append lock. While it is
free, a piece in the file is in doubt only if its writer was killed, or could not take it back: the
session's file says so from before the write until after the sync. A redaction or rotation gives
`bodies.jsonl` another inode; then all is looked up again.

A failed sync is never tried again. What was written since the last one is cut off, and written
again from the values. A writer never goes on with a piece in doubt: who opens the file while a
session says that values of its own may be, gives it a name that says so, and begins another.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.bodies import Body, BodySource, DraftBodies, missing_body, put_back
from thence.core.codec import CRC_BYTES, close_line, has_valid_crc
from thence.core.event import Event, decoded
from thence.errors import ThenceError
from thence.log.files.disk import (
    CLOSED,
    NOWHERE,
    READ_BYTES,
    Disk,
    DiskError,
    append_error,
    opened,
    opened_existing,
    reading,
    wall_ns,
)
from thence.log.files.segment import BODIES, SUSPECT, begin_next, older_names
from thence.log.files.sessions import WriterSession, session_records
from thence.log.files.tail import last_line_end

PIECE_BYTES_MAX = 256 * 1024
# a value in so many pieces is begun anew: each one costs a read
CHAIN_PIECES_MAX = 1_024
# each byte of a piece may be a control character, of six characters in JSON
_LINE_BYTES_MAX = 6 * PIECE_BYTES_MAX + 512
# the first bytes of a piece, by which those that can't go on a value are passed over
BEGINNING_BYTES = 64
_ROOT_BYTES = 32
# of many values that go on alike so many are tried
_TRIED_MAX = 16
# once more after a failed one, when all was written again
_SYNCS_MAX = 2

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


def read_index(
    disk: Disk, folder: Path, index: PieceIndex | None = None, *, is_writer: bool = False
) -> PieceIndex:
    """Returns the pieces that are there now: an index brought up to date, else a new one.

    For a writer the files are left out that may not be on the device.
    """
    # opened before the older ones are listed, so that a rotation in between hides nothing
    with opened_existing(disk, folder / BODIES) as current:
        file, size = disk.file_id(current) if current is not None else (NOWHERE, 0)
        if index is None or index.file != file or size < index.size:
            index = PieceIndex()
            index.file = file
            for name in older_names(disk, folder, BODIES):
                if is_writer and SUSPECT in name:
                    continue
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
            raise missing_body(digest, "not all of its pieces are still in bodies.jsonl")
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
                raise missing_body(digest, "it is no longer in bodies.jsonl")
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


class BodyWriter:
    """The writer of one log's large values; its caller holds the append lock."""

    def __init__(
        self, disk: Disk, folder: Path, session: WriterSession, file_bytes_max: int
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._path = folder / BODIES
        self._session = session
        self._file_bytes_max = file_bytes_max
        self._descriptor = CLOSED
        self._index = PieceIndex()
        self._file = NOWHERE
        self._durable = 0  # the size of the file when it was last synced here

    def store(self, values: Sequence[Sequence[Body]]) -> tuple[int, ThenceError | None]:
        """Keeps the large values of events; returns for how many of these all are on the device.

        The error is that of the first event after them, whose values the disk refused.
        """
        for _ in range(_SYNCS_MAX):
            error: ThenceError | None = None
            count = 0
            try:
                self._catch_up()
                start = self._index.size
                for bodies in values:
                    try:
                        self._add(bodies)
                    except DiskError as failure:
                        error = append_error(self._path, failure)
                        break
                    count += 1
                self._sync(start)
                return count, error
            except DiskError as failure:
                error = append_error(self._path, failure)
        return next(count for count, bodies in enumerate(values) if bodies), error

    def close(self) -> None:
        """Closes the file; a later `store` opens it again, and looks all up anew."""
        self._index, self._file, self._durable = PieceIndex(), NOWHERE, 0
        descriptor, self._descriptor = self._descriptor, CLOSED
        self._disk.close_quietly(descriptor)

    def set_aside(self, mark: str = SUSPECT) -> None:
        """Makes the file an older one, if there is one, and begins the next."""
        if self._disk.path_id(str(self._path)) is not None:
            _, fresh = begin_next(self._disk, self._folder, wall_ns(), BODIES, mark)
            self._disk.close_quietly(fresh)
        self._session.doubt_values(is_in_doubt=False)
        self.close()

    def _catch_up(self) -> None:
        """Opens the file, cuts its torn end, which no event names, and finds what others wrote."""
        path_id = self._disk.path_id(str(self._path))
        if self._descriptor == CLOSED or path_id is None or path_id[0] != self._file:
            self._open()
        _, size = self._disk.file_id(self._descriptor)
        end = last_line_end(self._disk, self._descriptor, size)
        if end < size:
            self._disk.truncate(self._descriptor, end)
        if (self._index.file, self._index.size) != (self._file, end):
            self._index = read_index(self._disk, self._folder, self._index, is_writer=True)
        if end >= self._file_bytes_max:
            self._sync(end)
            self.set_aside(mark="")
            self._catch_up()

    def _open(self) -> None:
        self.close()
        self._session.begin(may_wait=False)
        records = session_records(self._disk, self._folder)
        if self._session.has_doubtful_values or any(
            record.has_doubtful_values for record in records if record.name != self._session.name
        ):
            self.set_aside()
        self._descriptor = self._disk.open_append(self._path)
        file, size = self._disk.file_id(self._descriptor)
        if not size:
            self._disk.sync_folder(self._folder)
        self._file = file  # it is opened anew unless its name is on the device

    def _add(self, bodies: Sequence[Body]) -> None:
        """Writes the pieces that some values lack, all or none."""
        start = self._index.size
        new: list[tuple[RawPiece, int, int]] = []
        lines: list[bytes] = []
        offset = start
        for body in bodies:
            if body.digest in self._index.pieces or any(p.digest == body.digest for p, *_ in new):
                continue
            for piece in self._pieces(body.data):
                line = piece_line(piece)
                new.append((piece, offset, len(line) - 1))
                offset += len(line)
                lines.append(line)
        if not lines:
            return
        self._session.doubt_values(is_in_doubt=True)
        try:
            self._disk.write_all(self._descriptor, b"".join(lines))
        except DiskError:
            self._disk.truncate(self._descriptor, start)
            raise
        for piece, at, length in new:
            self._index.add(piece, BODIES, at, length)
        self._index.size = offset

    def _pieces(self, data: bytes) -> list[RawPiece]:
        """Returns the pieces that a value needs behind those that it shares with others."""
        from hashlib import sha256

        before, at, depth = "", 0, 0
        digest = sha256()
        while True:
            longest = None
            attempt, done = digest.copy(), at
            for end, name in self._index.behind(before, data, at, _TRIED_MAX):
                attempt.update(data[done:end])
                done = end
                if attempt.hexdigest() == name:
                    longest = (name, end, attempt.copy())
            if longest is None:
                break
            before, at, digest = longest
            depth = self._index.pieces[before].depth
        if depth + -(-(len(data) - at) // PIECE_BYTES_MAX) > CHAIN_PIECES_MAX:
            before, at, digest = "", 0, sha256()
        pieces: list[RawPiece] = []
        while at < len(data):
            end = min(at + PIECE_BYTES_MAX, len(data))
            while end < len(data) and data[end] & 0xC0 == 0x80:  # amid a character of UTF-8
                end -= 1
            digest.update(data[at:end])
            name = digest.hexdigest()
            pieces.append(RawPiece(name, before, end, text_of(data[at:end])))
            before, at = name, end
        return pieces

    def _sync(self, start: int) -> None:
        """Has all pieces on the device, or cuts off those from an offset on."""
        if self._session.has_doubtful_values or self._index.size != self._durable:
            try:
                self._disk.sync_data(self._descriptor)
            except DiskError:
                try:
                    self._disk.truncate(self._descriptor, start)
                    self._session.doubt_values(is_in_doubt=False)
                finally:
                    self.close()
                raise
            self._durable = self._index.size
            self._session.doubt_values(is_in_doubt=False)


def values_of(event: Event, bodies: BodySource | None) -> tuple[Body, ...]:
    """Returns the large values that a line names; raises BodyMissing, `read_failed`.

    BodyMissing is raised for a value that fits no place in the payload, too.
    """
    entries = event.body_entries
    if entries and bodies is None:
        raise missing_body(entries[0].digest, "only the line's own log keeps it")
    values = tuple(Body(entry.digest, bodies.value(*entry[1:])) for entry in entries if bodies)
    put_back(event.cut_payload, entries, DraftBodies(values), decoded, is_strict=True)
    return values
