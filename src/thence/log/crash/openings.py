"""The openings of a log: one small private file for each that appends.

`.thence/open/<ULID>` is held by `flock` for as long as its opening lasts; the kernel drops the
lock at the end of the process, in any container. The file holds how many emitted events were
accepted and committed, and how far the log is on the device. It is never synced and never
needed: where it can't be had, appending goes on, and less is reported after a kill.

*Accepted* is a reservation, written before the events that it covers. So a file that nobody
holds says up to how many events were lost, never fewer.
"""

from collections.abc import Iterator
from contextlib import suppress
from operator import length_hint
from pathlib import Path
from struct import Struct
from threading import RLock
from typing import NamedTuple
from zlib import crc32

from thence.log.crash.marks import leave_mark
from thence.log.storage.disk import NOWHERE, Disk, FileId
from thence.log.storage.numbering import Numbering
from thence.log.storage.process import new_id
from thence.log.storage.segment import own_folder
from thence.log.storage.system_call import DiskError

# how many events one write of the file covers. It costs up to 7 µs, an `emit` 6: of the first
# step 1 µs falls to an event, of the longest 0.03. Steps grow with the queue, for so many events
# may be reported as lost that never were.
STEP_MIN = 8
STEP_MAX = 256
MAGIC = b"thence-o"
_TRIES = 8
_NEW = ".new"
_NOISE_CHARACTERS = 8
_OWN, _OWN_AT = Struct("<2Q"), 8
_COUNTS, _COUNTS_AT = Struct("<2Q"), 24
_PLACE, _PLACE_AT = Struct("<5Q"), 40
_BATCH, _BATCH_AT = Struct("<6Q"), 80
_CHECK, _CHECK_AT = Struct("<I"), 128
RECORD_BYTES = 132


class DurablePosition(NamedTuple):
    """Up to where a log is on the device: a number of a node, an offset of a segment.

    The node is its id as a number. Inode and generation are those of the segment.
    """

    node: int = 0
    seq: int = 0
    inode: int = 0
    generation: int = 0
    offset: int = 0


class Batch(NamedTuple):
    """What is being written: numbers of a node from `first` on, `emitted` of them by emit.

    It begins at an offset of the segment with this inode.
    """

    node: int = 0
    first: int = 0
    events: int = 0
    emitted: int = 0
    inode: int = 0
    offset: int = 0


class Opening(NamedTuple):
    """What a file of an opening says. `is_whole` is false for one that says nothing valid."""

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
        """Whether its process has ended without closing it."""
        return not self.is_held and not self.is_copy

    @property
    def noise(self) -> bytes:
        """What ends each event_id of the process, and its openings' names."""
        return self.name[-_NOISE_CHARACTERS:].encode()


class OpeningFile:
    """The file of this opening, made when the first event is accepted or written.

    No method raises for the file's sake.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = own_folder(folder) / "open"
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._mutex = RLock()  # a signal handler may emit amid a reservation
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
        # one record for the life of the opening: what a signal handler changes amid a write of
        # it is written with it, or again
        self._record = bytearray(RECORD_BYTES)
        self._record[: len(MAGIC)] = MAGIC
        self._is_noted = False
        self._descriptor: int | None = None
        self.name = ""

    def accept(self) -> None:
        """Counts an event before it is queued; the file covers it when this returns."""
        if self.next_number() > self._reserved:
            self._reserve()

    def _reserve(self) -> None:
        """Has the file cover the events accepted so far, and as many more as fill a step."""
        with self._mutex:
            self._accepted = max(self._accepted, self._taken() + self._step - 1)
            self._step = min(2 * self._step, STEP_MAX)
            self._is_noted = False
            self.begin()
            self._note()
            self._reserved = self._accepted

    def is_interrupted(self) -> bool:
        """Tells whether the caller is a signal handler amid a reservation of its own thread.

        Whoever writes the queue waits for that reservation, so that the handler must not wait.
        """
        return bool(self._mutex._is_owned())  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Makes the file, if there is none."""
        with self._mutex:
            if self._descriptor is None:
                with suppress(DiskError):
                    self._make()

    def announce(self, numbers: Numbering, events: int, file: FileId, offset: int) -> None:
        """Notes which numbers the next write gives out and where, if it holds `emitted` events.

        They hold until they are counted by `commit`.
        """
        if not self.emitted:
            return
        batch = (int(numbers.node_id, 16), numbers.seq + 1, events, self.emitted, file[1], offset)
        with self._mutex:
            _BATCH.pack_into(self._record, _BATCH_AT, *batch)
            self._is_noted = False
            self._note()

    def commit(self, count: int, is_idle: bool = False) -> None:
        """Counts emitted events that stand in the log or were reported as failed; notes nothing.

        When no event is queued the reservation is given back: `is_idle`.
        """
        with self._mutex:
            self._committed += count
            self.emitted = 0
            _BATCH.pack_into(self._record, _BATCH_AT, *Batch())
            if is_idle:
                self._reserved = 0  # from here on every event comes by `reserve`
                self._reserved = self._accepted = self._taken()
                self._step = STEP_MIN
            self._is_noted = False

    def durable(self, numbers: Numbering, file: FileId, size: int, descriptor: int) -> None:
        """Notes that an open segment is on the device up to a size, with all before it."""
        if self._durable[0] != file:
            self._generation = 0
            with suppress(DiskError):  # without it the offset counts for nothing
                self._generation = self._disk.generation(descriptor)
        self._durable = (file, size)
        self._last = (numbers.node_id, numbers.seq)
        self.is_unsynced = False
        place = (int(numbers.node_id, 16), numbers.seq, file[1], self._generation, size)
        with self._mutex:
            _PLACE.pack_into(self._record, _PLACE_AT, *place)
            self._is_noted = False
            self._note()

    def durable_offset(self, file: FileId) -> int:
        """Returns up to where this opening has itself synced a segment, 0 if it has not.

        What others have noted is not believed: once a sync has failed, later ones may lie.
        """
        return self._durable[1] if self._durable[0] == file else 0

    def found(self, size: int) -> None:
        """Forgets what was synced of a segment that has become shorter, or is another one."""
        if size < self._durable[1]:
            self._durable = (NOWHERE, 0)

    def note(self) -> None:
        """Notes what was counted."""
        with self._mutex:
            self._note()

    def end(self) -> None:
        """Leaves a mark and takes the file away.

        Where not all that was written is known to be durable the file stays, for the next
        opening.
        """
        is_clean = not self.is_unsynced
        try:
            if is_clean and self._last[1]:
                leave_mark(self._disk, self._folder.parent.parent, *self._last)
        except DiskError:
            is_clean = False
        self._durable, self._last, self.is_unsynced = (NOWHERE, 0), ("", 0), False
        with self._mutex:
            self._reserved = self._accepted = self._taken()
            self._is_noted = False
            if self._descriptor is None:
                return
            if is_clean:
                with suppress(DiskError):
                    self._disk.unlink(self._folder / self.name)
            else:
                self._note()
            descriptor, self._descriptor = self._descriptor, None
            self._disk.let_go(descriptor)
            self.name = ""

    def after_fork(self) -> None:
        """Closes the parent's file in a child, which counts anew."""
        if self._descriptor is not None:
            self._disk.let_go(self._descriptor)
        self._begin_anew()

    def _taken(self) -> int:
        return 2**62 - 1 - length_hint(self._numbers)

    def _make(self) -> None:
        name = new_id()
        draft = self._folder / f"{name}{_NEW}"
        for _ in range(_TRIES):
            descriptor = self._opened(draft)
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
                    self._disk.let_go(descriptor)

    def _opened(self, path: Path) -> int:
        try:
            return self._disk.open_lock(path)
        except DiskError as error:
            if not error.is_absence:
                raise
            self._disk.make_folder(self._folder)
            return self._disk.open_lock(path)

    def _note(self) -> None:
        if self._descriptor is not None and not self._is_noted:
            try:
                self._write(self._descriptor)
            except DiskError:
                self._is_noted = False

    def _write(self, descriptor: int) -> None:
        record = self._record
        self._is_noted = True
        _COUNTS.pack_into(record, _COUNTS_AT, self._accepted, self._committed)
        _CHECK.pack_into(record, _CHECK_AT, crc32(record[:_CHECK_AT]))
        self._disk.write_at(descriptor, 0, record)


def openings(disk: Disk, folder: Path, is_copy: bool = False) -> Iterator[Opening]:
    """Yields what the openings of a log say that goes on or has ended uncleanly.

    `is_copy` says that the folder was copied, so that nothing in it is the log's own. One that
    is made or closed at this moment is left out. Raises DiskError.
    """
    place = own_folder(folder) / "open"
    for name in disk.names(place):
        try:
            descriptor = disk.open_read(place / name)
        except DiskError as error:
            if not error.is_absence:
                raise
            continue
        try:
            is_held = not disk.try_lock(descriptor)
            if disk.links(descriptor):
                found = _read(disk, descriptor, place / name)
                is_strange = is_copy or found.is_copy or name.endswith(_NEW)
                yield found._replace(is_held=is_held, is_copy=is_strange)
        finally:
            disk.let_go(descriptor)


def segment_id(disk: Disk, path: Path) -> tuple[int, int, int]:
    """Returns inode, generation and size of a segment, by which a place is found again."""
    descriptor = disk.open_read(path)
    try:
        (_, inode), size = disk.file_id(descriptor)
        return inode, disk.generation(descriptor), size
    finally:
        disk.let_go(descriptor)


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
        durable=DurablePosition(*_PLACE.unpack_from(data, _PLACE_AT)),
        batch=Batch(*_BATCH.unpack_from(data, _BATCH_AT)),
    )
