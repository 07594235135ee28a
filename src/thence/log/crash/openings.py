"""The openings of a log: a small private file for each open handle that appends.

`.thence/open/<ULID>` is held by `flock` for as long as its opening lasts; the kernel drops the
lock at the end of the process, in any container. The file holds how many emitted events were
accepted and committed, and how far the log is on the device. The file is never synced and
never required: where it can't be made, appends continue, and less is reported after a kill.

*Accepted* is a reservation, written before the events that it covers. A file that no process
holds therefore gives the most events that can have been lost, never fewer.
"""

from collections.abc import Iterator
from contextlib import suppress
from operator import length_hint
from pathlib import Path
from struct import Struct
from threading import RLock
from typing import NamedTuple
from zlib import crc32

from thence.core.ids import NOISE_CHARACTERS
from thence.log.crash.close_marks import leave_mark
from thence.log.storage.disk import NOWHERE, Disk, FileId
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.numbering import Numbering
from thence.log.storage.process_state import new_id
from thence.log.storage.segment import own_folder

# the number of events that one write of the file covers. A write costs up to 7 µs, an `emit` 6:
# in the first step that is 1 µs an event, in the longest 0.03. Steps grow with the queue, since
# up to a step's events may be reported as lost that never were.
STEP_MIN = 8
STEP_MAX = 256
MAGIC = b"thence-o"
_TRIES = 8
_NEW = ".new"
_OWN, _OWN_AT = Struct("<2Q"), 8
_COUNTS, _COUNTS_AT = Struct("<2Q"), 24
_POSITION, _POSITION_AT = Struct("<5Q"), 40
_BATCH, _BATCH_AT = Struct("<6Q"), 80
_CHECK, _CHECK_AT = Struct("<I"), 128
RECORD_BYTES = 132


class DurablePosition(NamedTuple):
    """The end of the durable part of a log: a number of a node, an offset of a segment.

    `node` is the node_id as a number. Inode and generation are those of the segment.
    """

    node: int = 0
    seq: int = 0
    inode: int = 0
    generation: int = 0
    offset: int = 0


class Batch(NamedTuple):
    """The batch being written: numbers of a node from `first` on, `emitted` of them by emit.

    The batch begins at `offset` of the segment with this inode.
    """

    node: int = 0
    first: int = 0
    events: int = 0
    emitted: int = 0
    inode: int = 0
    offset: int = 0


class Opening(NamedTuple):
    """The content of an opening's file. `is_whole` is false for a file without a valid record."""

    name: str
    path: Path
    is_held: bool = True
    is_copy: bool = False  # or one that was never finished
    is_whole: bool = False
    accepted: int = 0
    committed: int = 0
    durable: DurablePosition = DurablePosition()
    batch: Batch = Batch()

    @property
    def is_dead(self) -> bool:
        """True if its process has ended without closing it."""
        return not self.is_held and not self.is_copy

    @property
    def noise(self) -> bytes:
        """The last characters of each event_id of the process, and of its openings' names."""
        return self.name[-NOISE_CHARACTERS:].encode()


class OpeningFile:
    """The file of this opening, made when the first event is accepted or written.

    No method raises an error of this file.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = own_folder(folder) / "open"
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._mutex = RLock()  # a signal handler may emit during a reservation
        self._numbers = iter(range(1, 2**62))
        self.next_number = self._numbers.__next__
        self._reserved = 0
        self.emitted = 0
        self.is_unsynced = False
        self._durable = (NOWHERE, 0)
        self._last = ("", 0)
        self._generation = 0
        self._step = STEP_MIN
        self._accepted = 0
        self._committed = 0
        # one record for the life of the opening: a change by a signal handler during a write is
        # written with that write, or by another one
        self._record = bytearray(RECORD_BYTES)
        self._record[: len(MAGIC)] = MAGIC
        self._is_saved = False
        self._descriptor: int | None = None
        self.name = ""

    def accept(self) -> None:
        """Counts an event before it is queued; the file covers it when this returns."""
        if self.next_number() > self._reserved:
            self._reserve()

    def _reserve(self) -> None:
        """Writes a reservation for the events accepted so far and the rest of a step."""
        with self._mutex:
            self._accepted = max(self._accepted, self._accepted_count() + self._step - 1)
            self._step = min(2 * self._step, STEP_MAX)
            self._is_saved = False
            self.begin()
            self._save()
            self._reserved = self._accepted

    def is_interrupted(self) -> bool:
        """Reports whether the caller is a signal handler during its own thread's reservation.

        The thread that writes the queue waits for that reservation, so the handler must not
        wait.
        """
        return bool(self._mutex._is_owned())  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Makes the file, if there is none."""
        with self._mutex:
            if self._descriptor is None:
                with suppress(DiskError):
                    self._make()

    def announce(self, numbers: Numbering, events: int, file: FileId, offset: int) -> None:
        """Records the numbers and the offset of the next write, if it holds `emitted` events.

        The record is valid until `commit` counts these events.
        """
        if not self.emitted:
            return
        batch = (int(numbers.node_id, 16), numbers.seq + 1, events, self.emitted, file[1], offset)
        with self._mutex:
            _BATCH.pack_into(self._record, _BATCH_AT, *batch)
            self._is_saved = False
            self._save()

    def commit(self, count: int, is_idle: bool = False) -> None:
        """Counts emitted events that are in the log or were reported as failed; writes nothing.

        When no event is queued (`is_idle`) the reservation is released.
        """
        with self._mutex:
            self._committed += count
            self.emitted = 0
            _BATCH.pack_into(self._record, _BATCH_AT, *Batch())
            if is_idle:
                self._reserved = 0  # from here on every event calls `_reserve`
                self._reserved = self._accepted = self._accepted_count()
                self._step = STEP_MIN
            self._is_saved = False

    def durable(self, numbers: Numbering, file: FileId, size: int, descriptor: int) -> None:
        """Records that an open segment is on the device up to a size, with all before it."""
        if self._durable[0] != file:
            self._generation = 0
            with suppress(DiskError):  # without it the offset counts for nothing
                self._generation = self._disk.generation(descriptor)
        self._durable = (file, size)
        self._last = (numbers.node_id, numbers.seq)
        self.is_unsynced = False
        position = (int(numbers.node_id, 16), numbers.seq, file[1], self._generation, size)
        with self._mutex:
            _POSITION.pack_into(self._record, _POSITION_AT, *position)
            self._is_saved = False
            self._save()

    def durable_offset(self, file: FileId) -> int:
        """Returns the offset up to which this opening has itself synced a segment, 0 if none.

        Records of other openings are not used: once a sync has failed, a later success may be
        false.
        """
        return self._durable[1] if self._durable[0] == file else 0

    def found(self, size: int) -> None:
        """Forgets the synced offset of a segment that has become shorter or was replaced."""
        if size < self._durable[1]:
            self._durable = (NOWHERE, 0)

    def save(self) -> None:
        """Writes the counts to the file."""
        with self._mutex:
            self._save()

    def end(self) -> None:
        """Leaves a mark and removes the file.

        If some written events are not known to be durable, the file stays for the next opening.
        """
        is_clean = not self.is_unsynced
        try:
            if is_clean and self._last[1]:
                leave_mark(self._disk, self._folder.parent.parent, *self._last)
        except DiskError:
            is_clean = False
        self._durable, self._last, self.is_unsynced = (NOWHERE, 0), ("", 0), False
        with self._mutex:
            self._reserved = self._accepted = self._accepted_count()
            self._is_saved = False
            if self._descriptor is None:
                return
            if is_clean:
                with suppress(DiskError):
                    self._disk.unlink(self._folder / self.name)
            else:
                self._save()
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close_quietly(descriptor)
            self.name = ""

    def after_fork(self) -> None:
        """Closes the parent's file in a child, and resets all counts."""
        if self._descriptor is not None:
            self._disk.close_quietly(self._descriptor)
        self._begin_anew()

    def _accepted_count(self) -> int:
        return 2**62 - 1 - length_hint(self._numbers)

    def _make(self) -> None:
        name = new_id()
        draft = self._folder / f"{name}{_NEW}"
        for _ in range(_TRIES):
            descriptor = self._open_file(draft)
            try:
                if self._disk.try_lock(descriptor) and self._disk.links(descriptor):
                    (_, inode), _ = self._disk.file_id(descriptor)
                    _OWN.pack_into(self._record, _OWN_AT, inode, self._disk.generation(descriptor))
                    self._write(descriptor)
                    self._disk.rename(draft, self._folder / name)
                    self._descriptor, self.name = descriptor, name
                    return
            except BaseException:
                with suppress(DiskError):
                    self._disk.unlink(draft)
                raise
            finally:
                if self._descriptor is None:
                    self._disk.close_quietly(descriptor)

    def _open_file(self, path: Path) -> int:
        try:
            return self._disk.open_lock(path)
        except DiskError as error:
            if not error.is_absence:
                raise
            self._disk.make_folder(self._folder)
            return self._disk.open_lock(path)

    def _save(self) -> None:
        if self._descriptor is not None and not self._is_saved:
            try:
                self._write(self._descriptor)
            except DiskError:
                self._is_saved = False

    def _write(self, descriptor: int) -> None:
        record = self._record
        self._is_saved = True
        _COUNTS.pack_into(record, _COUNTS_AT, self._accepted, self._committed)
        _CHECK.pack_into(record, _CHECK_AT, crc32(record[:_CHECK_AT]))
        self._disk.write_at(descriptor, 0, record)


def openings(disk: Disk, folder: Path, is_copy: bool = False) -> Iterator[Opening]:
    """Yields the openings of a log that are open or have ended uncleanly.

    `is_copy` means that the folder was copied, so that no file in it is the log's own. A file
    that is being made or closed at this moment is left out. Raises DiskError.
    """
    open_folder = own_folder(folder) / "open"
    for name in disk.names(open_folder):
        descriptor = disk.open_existing(open_folder / name)
        if descriptor is None:
            continue
        try:
            is_held = not disk.try_lock(descriptor)
            if disk.links(descriptor):
                found = _read(disk, descriptor, open_folder / name)
                is_copied = is_copy or found.is_copy or name.endswith(_NEW)
                yield found._replace(is_held=is_held, is_copy=is_copied)
        finally:
            disk.close_quietly(descriptor)


def segment_id(disk: Disk, path: Path) -> tuple[int, int, int]:
    """Returns inode, generation and size of a segment, which identify a recorded offset."""
    descriptor = disk.open_read(path)
    try:
        (_, inode), size = disk.file_id(descriptor)
        return inode, disk.generation(descriptor), size
    finally:
        disk.close_quietly(descriptor)


def _read(disk: Disk, descriptor: int, path: Path) -> Opening:
    found = Opening(path.name, path)
    data = disk.read_at(descriptor, 0, RECORD_BYTES)
    if len(data) != RECORD_BYTES or not data.startswith(MAGIC):
        return found
    if _CHECK.unpack_from(data, _CHECK_AT) != (crc32(data[:_CHECK_AT]),):
        return found
    inode, generation = _OWN.unpack_from(data, _OWN_AT)
    accepted, committed = _COUNTS.unpack_from(data, _COUNTS_AT)
    (_, own), _ = disk.file_id(descriptor)
    return found._replace(
        is_copy=own != inode or 0 != generation != disk.generation(descriptor),
        is_whole=True,
        accepted=accepted,
        committed=committed,
        durable=DurablePosition(*_POSITION.unpack_from(data, _POSITION_AT)),
        batch=Batch(*_BATCH.unpack_from(data, _BATCH_AT)),
    )
