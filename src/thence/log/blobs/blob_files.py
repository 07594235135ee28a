"""The large values of a log: chains of pieces in `bodies.jsonl` and its older segments.

A piece is a line with a part of a value, the digest of the value up to its end, and the digest up
to its beginning, by which the piece before is found. So values that begin alike share pieces.
docs/reference/formats/bodies.md describes the bytes. Reading takes no lock; a value is handed out
only when its bytes fit its digest. Where one piece stands twice, the later line counts.

Pieces are written before lines name them, under the append lock, and synced after it is released.
Only then is a digest *known* to a writer, and only then is a line written that names it: another
process's piece may be in the file and not on the device yet. A redaction or rotation gives
`bodies.jsonl` another inode, which the writer of lines looks at under its lock; then all is looked
up again.

A failed sync is never tried again. What it left in doubt is cut off, or where pieces of others
follow the file gets a name that says so, and is written again from the values. A writer never goes
on with a piece in doubt: none in a file of that name, and none that stood there when it opened the
file, from the offset on that another session has noted before it wrote.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.bodies import Body, BodySource, DraftBodies, missing_body, put_back
from thence.core.codec import CRC_BYTES, Draft, close_line, has_valid_crc
from thence.core.event import Event, decoded
from thence.errors import LogBusy, ThenceError
from thence.log.files.disk import (
    CLOSED,
    NOWHERE,
    READ_BYTES,
    AppendLock,
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

    def scan(
        self, disk: Disk, name: str, descriptor: int, offset: int = 0, end: int | None = None
    ) -> int:
        """Adds the pieces of a file between two offsets; returns the end of its last line."""
        for start, line in body_lines(disk, descriptor, offset):
            if end is not None and start >= end:
                break
            offset = start + len(line) + 1
            raw = piece_of(line)
            if raw is not None:
                self.add(raw, name, start, len(line))
        return offset


def read_index(
    disk: Disk, folder: Path, index: PieceIndex | None = None, doubt: range | None = None
) -> PieceIndex:
    """Returns the pieces that are there now: an index brought up to date, else a new one.

    For a writer those are left out that may not be on the device: in `bodies.jsonl` those that
    begin at the offsets `doubt`.
    """
    # opened before the older ones are listed, so that a rotation in between hides nothing
    with opened_existing(disk, folder / BODIES) as current:
        file, size = disk.file_id(current) if current is not None else (NOWHERE, 0)
        if index is None or index.file != file or size < index.size:
            index = PieceIndex()
            index.file = file
            for name in older_names(disk, folder, BODIES):
                if doubt is not None and SUSPECT in name:
                    continue
                with opened_existing(disk, folder / name) as older:
                    if older is not None:
                        index.scan(disk, name, older)
            if doubt and current is not None:
                index.scan(disk, BODIES, current, 0, doubt.start)
                index.size = doubt.stop
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


class BodyWriter:
    """The writer of one log's large values; its caller admits one thread at a time."""

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        lock: AppendLock,
        session: WriterSession,
        file_bytes_max: int,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._path = folder / BODIES
        self._lock = lock
        self._session = session
        self._file_bytes_max = file_bytes_max
        self._descriptor = CLOSED
        self._index = PieceIndex()
        self._file = NOWHERE
        self._doubt = range(0)
        self._is_suspect = False
        self._unsynced = self._size = self._durable = 0

    def store(self, drafts: Sequence[Draft], timeout_s: float) -> tuple[int, ThenceError | None]:
        """Keeps the large values of drafts; returns for how many of these all are on the device.

        The error is that of the first draft behind them, whose values the disk refused.
        """
        error: ThenceError | None = None
        try:
            for _ in range(_SYNCS_MAX):
                if self.safe_count(drafts) == len(drafts):
                    break
                self._lock.acquire(timeout_s)
                try:
                    self._catch_up()
                    self._unsynced = self._size
                    for count, draft in enumerate(drafts):
                        try:
                            self._add(draft.bodies)
                        except DiskError as failure:
                            error, drafts = append_error(self._path, failure), drafts[:count]
                            break
                finally:
                    self._lock.release()
                self._sync(timeout_s)
        except DiskError as failure:
            error = append_error(self._path, failure)
        except ThenceError as failure:
            error = failure
        safe_count = self.safe_count(drafts)
        if safe_count < len(drafts) and error is None:
            error = append_error(self._path, DiskError("it is not on the device after two syncs"))
        return safe_count, error

    def safe_count(self, drafts: Sequence[Draft]) -> int:
        """Returns for how many drafts, from the first on, all values are known to be durable."""
        for count, draft in enumerate(drafts):
            for body in draft.bodies:
                piece = self._index.pieces.get(body.digest)
                # older segments were synced
                is_durable = piece is not None and (
                    piece.file != BODIES or piece.offset + piece.length < self._durable
                )
                if not is_durable:
                    return count
        return len(drafts)

    def stands(self) -> bool:
        """Reports, under the append lock, whether what is known here is still in the log."""
        path_id = self._disk.path_id(str(self._path))  # another file after a rotation or redaction
        return path_id is not None and path_id[0] == self._file

    def forget(self) -> None:
        """Has all looked up anew by the next `store`."""
        self._index, self._file, self._durable = PieceIndex(), NOWHERE, 0

    def close(self) -> None:
        """Closes the file; a later `store` opens it again."""
        self.forget()
        if self._descriptor != CLOSED:
            descriptor, self._descriptor = self._descriptor, CLOSED
            self._disk.close_quietly(descriptor)
        self._is_suspect = False

    def set_aside(self, *, is_suspect: bool = True) -> None:
        """Makes the file an older one, if there is one, and begins the next; under the lock."""
        if self._disk.path_id(str(self._path)) is not None:
            mark = SUSPECT if is_suspect else ""
            _, fresh = begin_next(self._disk, self._folder, wall_ns(), BODIES, mark)
            self._disk.close_quietly(fresh)
        self.close()

    def _catch_up(self) -> None:
        """Opens the file, mends its end and finds what others have written; under the lock."""
        if self._is_suspect:
            self._give_up()
        if self._descriptor == CLOSED or not self.stands():
            self._open()
        end = self._mend(self._descriptor)
        if end < self._durable:  # it was cut from outside
            self._durable = 0
        if end >= self._file_bytes_max:
            # the current file becomes an older segment, after all of it was synced
            is_suspect = len(self._doubt) > 0
            try:
                self._disk.sync_data(self._descriptor)
            except DiskError:
                is_suspect = True
            self.set_aside(is_suspect=is_suspect)
            self._open()
            end = 0
        if (self._index.file, self._index.size) != (self._file, end):
            self._index = read_index(self._disk, self._folder, self._index, self._doubt)
        self._size = self._index.size

    def _mend(self, descriptor: int) -> int:
        """Cuts what a killed writer, or a failed one, left behind the last line; no event names it.

        Returns the size in bytes.
        """
        _, size = self._disk.file_id(descriptor)
        if not size or self._disk.read_at(descriptor, size - 1, 1) == b"\n":
            return size
        end = last_line_end(self._disk, descriptor, size)
        self._disk.truncate(descriptor, end)
        return end

    def _open(self) -> None:
        self.close()
        self._session.begin(may_wait=False)
        self._descriptor = self._disk.open_append(self._path)
        end = self._mend(self._descriptor)
        if not end:
            self._disk.sync_folder(self._folder)
        records = session_records(self._disk, self._folder)
        starts = [
            record.values_from
            for record in records
            if record.values_from is not None and record.name != self._session.name
        ]
        self._doubt = range(min(starts, default=end), end)
        self._file, _ = self._disk.file_id(self._descriptor)

    def _add(self, bodies: Sequence[Body]) -> None:
        """Writes the pieces that some values lack, all or none."""
        start = self._size
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
        if start == self._unsynced:
            self._session.note_values(start)
        try:
            self._disk.write_all(self._descriptor, b"".join(lines))
        except DiskError:
            self._disk.truncate(self._descriptor, start)
            raise
        for piece, at, length in new:
            self._index.add(piece, BODIES, at, length)
        self._size = self._index.size = offset

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

    def _sync(self, timeout_s: float) -> None:
        """Has all pieces so far on the device, or takes back what this writer has added."""
        size = self._size
        try:
            self._disk.sync_data(self._descriptor)
        except DiskError:
            self._is_suspect = True
            self._lock.acquire(timeout_s)
            try:
                self._give_up()
            finally:
                self._lock.release()
        else:
            self._durable = size
            self._session.note_values(None)

    def _give_up(self) -> None:
        """Takes the pieces whose sync failed out of the file, or the file out of use.

        If the file was replaced meanwhile, the other one is looked up anew.
        """
        if not self.stands():
            self.close()
        elif self._disk.file_id(self._descriptor)[1] == self._size:
            self._disk.truncate(self._descriptor, self._unsynced)
            self.close()
        else:
            self.set_aside()
        self._is_suspect = False
        self._session.note_values(None)


def values_of(event: Event, bodies: BodySource | None) -> tuple[Body, ...]:
    """Returns the large values that a line names; raises BodyMissing, `read_failed`.

    BodyMissing is raised for a value that fits no place in the payload, too.
    """
    entries = event.body_entries
    if entries and bodies is None:
        raise missing_body(entries[0].digest, "only the log that the line is of keeps it")
    values = tuple(Body(entry.digest, bodies.value(*entry[1:])) for entry in entries if bodies)
    put_back(event.cut_payload, entries, DraftBodies(values), decoded, is_strict=True)
    return values


def moved_too_often(folder: Path) -> LogBusy:
    """Returns the error for values that others moved again and again before they were named."""
    return LogBusy(
        "could not append to",
        place=folder,
        cause="its large values were moved by other processes each time they were looked up",
        hint="try again",
    )
