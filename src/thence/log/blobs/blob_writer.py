"""The writer of large values: it keeps the pieces that a log lacks, before lines name them.

Pieces are written under the append lock and synced after it is released. Only then is a digest
*known* here, and only then is a line written that names it: another process's piece may be in the
file and not on the device yet. A redaction or rotation gives `bodies.jsonl` another inode, which
the writer of lines looks at under its lock; then all is looked up anew.

A failed sync is never tried again: what is not known to be on the device is copied to a new file.
"""

from collections.abc import Sequence
from pathlib import Path

from thence.core.bodies import Body, BodySource, DraftBodies, missing_body, put_back
from thence.core.codec import Draft
from thence.core.event import Event, decoded
from thence.errors import LogBusy, ThenceError
from thence.log.blobs.blob_files import (
    CHAIN_PIECES_MAX,
    PIECE_BYTES_MAX,
    PieceIndex,
    RawPiece,
    piece_line,
    read_index,
    text_of,
)
from thence.log.files.append_lock import AppendLock
from thence.log.files.disk import NOWHERE, Disk, DiskError, append_error, wall_ns
from thence.log.files.process_state import new_id
from thence.log.files.segment import (
    BODIES,
    begin_next,
    older_names,
    own_folder,
    rotated_name,
)
from thence.log.files.tail import copy_range, last_line_end, new_file

# of many values that go on alike so many are tried
_TRIED_MAX = 16
# one of a file in which another process may have been writing at a failed sync
_SYNCS_MAX = 2


class BodyWriter:
    """The writer of one log's large values; its caller admits one thread at a time."""

    def __init__(self, disk: Disk, folder: Path, lock: AppendLock, file_bytes_max: int) -> None:
        self._disk = disk
        self._folder = folder
        self._path = folder / BODIES
        self._lock = lock
        self._file_bytes_max = file_bytes_max
        self._descriptor: int | None = None
        self._index = PieceIndex()
        self._file = NOWHERE
        self._is_suspect = False
        self._size = self._durable = 0

    def store(self, drafts: Sequence[Draft], timeout_s: float) -> tuple[int, ThenceError | None]:
        """Keeps the large values of drafts; returns for how many of these all are on the device.

        The error is that of the first draft behind them, whose values the disk refused.
        """
        if self.keep(drafts):
            return len(drafts), None
        error: ThenceError | None = None
        count = 0
        try:
            self._lock.acquire(timeout_s)
            try:
                self._catch_up()
                for draft in drafts:
                    self._add(draft.bodies)
                    count += 1
            except DiskError as failure:
                error = append_error(self._path, failure)
            finally:
                self._lock.release()
            for _ in range(_SYNCS_MAX):
                if self._known_count(drafts[:count]) == count:
                    break
                self._sync(timeout_s)
        except DiskError as failure:
            error = append_error(self._path, failure)
        except ThenceError as failure:
            error = failure
        safe_count = self._known_count(drafts[:count])
        if safe_count < count and error is None:
            error = append_error(self._path, DiskError("it is not on the device after two syncs"))
        return safe_count, error

    def stands(self) -> bool:
        """Reports, under the append lock, whether what is known here is still in the log."""
        path_id = self._disk.path_id(str(self._path))  # another file after a rotation or redaction
        return path_id is not None and path_id[0] == self._file

    def keep(self, drafts: Sequence[Draft]) -> bool:
        """Reports whether all large values of drafts are on the device, as far as is known."""
        return self._known_count(drafts) == len(drafts)

    def forget(self) -> None:
        """Has all looked up anew by the next `store`."""
        self._index, self._file, self._durable = PieceIndex(), NOWHERE, 0

    def close(self) -> None:
        """Closes the file; a later `store` opens it again."""
        self.forget()
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close_quietly(descriptor)
        self._is_suspect = False

    def _known_count(self, drafts: Sequence[Draft]) -> int:
        for count, draft in enumerate(drafts):
            if not all(self._is_known(body.digest) for body in draft.bodies):
                return count
        return len(drafts)

    def _is_known(self, digest: str) -> bool:
        """Reports whether a value is in the log and on the device; older segments were synced."""
        piece = self._index.pieces.get(digest)
        if piece is None:
            return False
        return piece.file != BODIES or piece.offset + piece.length < self._durable

    def _catch_up(self) -> None:
        """Opens the file, mends its end and finds what others have written; under the lock."""
        if self._is_suspect:
            self._set_aside()
        if self._descriptor is None or not self.stands():
            self._open()
        end = self._mend(self._require_open())
        if end < self._durable:  # it was cut from outside
            self._durable = 0
        if end >= self._file_bytes_max:
            self._rotate()
        if (self._index.file, self._index.size) != (self._file, end):
            self._index = read_index(self._disk, self._folder, self._index)
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
        self._descriptor = self._disk.open_append(self._path)
        self._file, size = self._disk.file_id(self._descriptor)
        if not size:
            self._disk.sync_folder(self._folder)

    def _rotate(self) -> None:
        """Makes the current file an older segment, after all of it was synced."""
        descriptor = self._require_open()
        try:
            self._disk.sync_data(descriptor)
        except DiskError:
            self._is_suspect = True
            self._set_aside()
            return
        _, self._descriptor = begin_next(self._disk, self._folder, wall_ns(), BODIES)
        self._disk.close_quietly(descriptor)
        self.forget()
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
        try:
            self._disk.write_all(self._require_open(), b"".join(lines))
        except DiskError:
            self._disk.truncate(self._require_open(), start)
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
            end = _character_end(data, at + PIECE_BYTES_MAX)
            digest.update(data[at:end])
            name = digest.hexdigest()
            pieces.append(RawPiece(name, before, end, text_of(data[at:end])))
            before, at = name, end
        return pieces

    def _sync(self, timeout_s: float) -> None:
        """Returns when all pieces so far are on the device."""
        size = self._size
        try:
            self._disk.sync_data(self._require_open())
            self._durable = size
        except DiskError:
            self._is_suspect = True
            self._lock.acquire(timeout_s)
            try:
                self._catch_up()
            finally:
                self._lock.release()

    def _set_aside(self) -> None:
        """Copies the unsafe end of the file whose sync failed to a new one; under the lock.

        The new one is on the device before it has the name. Where another process has begun one
        meanwhile, the end is copied behind what stands there.
        """
        suspect = self._require_open()
        end = self._mend(suspect)
        if self.stands():
            draft = own_folder(self._folder) / f"{BODIES}-{new_id()}.copy"
            with new_file(self._disk, draft) as target:
                self._disk.copy_access(suspect, target)
                copy_range(self._disk, suspect, self._durable, end, target)
            name = rotated_name(wall_ns(), older_names(self._disk, self._folder, BODIES), BODIES)
            self._disk.link(self._path, self._folder / name)
            self._disk.sync_folder(self._folder)  # else the old file might lose its only name
            self._disk.rename(draft, self._path)
            self._disk.sync_folder(self._folder)
        else:
            target = self._disk.open_append(self._path)
            try:
                self._mend(target)
                copy_range(self._disk, suspect, self._durable, end, target)
            finally:
                self._disk.close_quietly(target)
        self._is_suspect = False
        self._open()

    def _require_open(self) -> int:
        assert self._descriptor is not None
        return self._descriptor


def _character_end(data: bytes, end: int) -> int:
    """Returns the offset, up to the given one, behind which a character of UTF-8 begins."""
    if end >= len(data):
        return len(data)
    while data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def values_of(event: Event, bodies: BodySource | None) -> tuple[Body, ...]:
    """Returns the large values that a line names; raises BodyMissing, `read_failed`.

    BodyMissing is raised for a value that fits no place in the payload, too.
    """
    entries = event.body_entries
    if entries and bodies is None:
        raise missing_body(entries[0].digest, "only the log that the line is of keeps it")
    values = tuple(Body(entry.digest, bodies.value(*entry[1:])) for entry in entries if bodies)
    put_back(event.cut_payload, entries, DraftBodies(values), decoded)
    return values


def moved_too_often(folder: Path) -> LogBusy:
    """Returns the error for values that others moved again and again before they were named."""
    return LogBusy(
        "could not append to",
        place=folder,
        cause="its large values were moved by other processes each time they were looked up",
        hint="try again",
    )
