"""The writer sessions of a log: a small private file for each open handle that appends.

`.thence/open/<ULID>` is held by `flock` for as long as its session lasts; the kernel drops the
lock at the end of the process, in any container. The file says how far the log is on the device,
and whether events may be queued. It is never synced and never required: where it can't be made,
appends continue, and less is reported after a kill.

A clean close leaves a mark, an empty file `.thence/marks/<node_id>-<seq>` with the last number.
After a power cut that took the session's file, the log ends elsewhere than its mark.
"""

from collections.abc import Iterator, Sized
from contextlib import suppress
from pathlib import Path
from struct import Struct
from threading import RLock
from typing import NamedTuple
from zlib import crc32

from thence.log.files.disk import NOWHERE, Disk, DiskError, FileId
from thence.log.files.process_state import new_id
from thence.log.files.segment import own_folder

MAGIC = b"thence-w"
_TRIES = 8
_DRAINED, _DRAINED_AT = Struct("<Q"), 8
_POSITION, _POSITION_AT = Struct("<6Q"), 16
_CHECK, _CHECK_AT = Struct("<I"), 64
# outside of the checksum: threads that emit write it beside the thread that writes all else
_MARK, _MARK_AT = Struct("<Q"), 68
# likewise: 1 or 0
_VALUES, _VALUES_AT = Struct("<Q"), 76
RECORD_BYTES = 84


class DurablePosition(NamedTuple):
    """The end of the durable part of a log: a number of a node, an offset of a segment.

    `node` is the node_id as a number. Inode and generation are those of the segment. If a sync of
    what follows has failed, and that was not written again, `has_failed` is 1.
    """

    node: int = 0
    seq: int = 0
    inode: int = 0
    generation: int = 0
    offset: int = 0
    has_failed: int = 0


class SessionRecord(NamedTuple):
    """The content of a session's file. `is_whole` is false for a file without a valid record.

    `is_draft` is true for one that was never filled. If `has_doubtful_values`, large values that
    it wrote may not be on the device.
    """

    name: str
    path: Path
    is_held: bool = True
    is_draft: bool = False
    is_whole: bool = False
    has_queue: bool = False
    durable: DurablePosition = DurablePosition()
    has_doubtful_values: bool = False

    @property
    def is_dead(self) -> bool:
        """True if its process has ended without closing it."""
        return not self.is_held and not self.is_draft


class WriterSession:
    """The file of this session, made when the first event is queued or written.

    `last` are a node and the number up to which its events are durable. `mark` numbers the times
    at which events began to be queued, `drained` is the last of them whose events were all written
    or reported as failed: while `mark` is higher, some may be queued. No method raises an error of
    this file.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = own_folder(folder) / "open"
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._mutex = RLock()  # a signal handler may emit during a mark
        self._is_making = False
        self.mark = self.drained = 0
        self.is_unsynced = False
        self._durable = (NOWHERE, 0)
        self.last = ("", 0)
        self._generation = 0
        self._record = bytearray(MAGIC.ljust(RECORD_BYTES, b"\0"))
        self._is_saved = False
        self.has_doubtful_values = False
        self._descriptor: int | None = None
        self.name = ""

    def mark_queued(self) -> None:
        """Records that events may be queued from now on.

        Threads that emit call it while `mark` is not above `drained`: before an event enters the
        queue, and again behind that, for the queue may have been drained in between.
        """
        with self._mutex:
            self.begin()
            number = self.mark + 1
            self._write_mark(number)
            self.mark = number

    def drain(self, queue: Sized) -> None:
        """Notes that all taken from the queue was written or reported as failed; writes nothing.

        An event that enters the queue at this moment finds either `mark` drained and marks again,
        or is in the queue and keeps it from being drained.
        """
        mark, drained = self.mark, self.drained
        self.drained = mark
        if queue:
            self.drained = drained
        elif mark > drained:
            self._is_saved = False

    def doubt_values(self, *, is_in_doubt: bool) -> None:
        """Records whether large values were written that may not be on the device."""
        if is_in_doubt != self.has_doubtful_values:
            self.has_doubtful_values = is_in_doubt
            if self._descriptor is not None:
                with suppress(DiskError):
                    self._disk.write_at(self._descriptor, _VALUES_AT, _VALUES.pack(is_in_doubt))

    def begin(self, *, may_wait: bool = True) -> None:
        """Makes the file, if there is none; another thread may be making it.

        The committing thread waits for no other: that other may be interrupted by a signal
        handler which appends.
        """
        if self._descriptor is None and self._mutex.acquire(blocking=may_wait):
            try:
                if self._descriptor is None and not self._is_making:
                    self._make()
            finally:
                self._mutex.release()

    def durable(
        self,
        node_id: str,
        seq: int,
        file: FileId,
        size: int,
        descriptor: int,
        *,
        has_failed: bool = False,
    ) -> None:
        """Records that an open segment is on the device up to a size, with all before it.

        The number is the last that the node has given by then. If a sync of what follows has
        failed, that is recorded too.
        """
        if self._durable[0] != file:
            self._generation = 0
            with suppress(DiskError):  # without it the offset counts for nothing
                self._generation = self._disk.generation(descriptor)
        self._durable = (file, size)
        self.last = (node_id, seq)
        self.is_unsynced = has_failed
        position = (int(node_id or "0", 16), seq, file[1], self._generation, size, has_failed)
        _POSITION.pack_into(self._record, _POSITION_AT, *position)
        self._is_saved = False
        self.save()

    def save(self) -> None:
        """Writes what has changed to the file, but for the mark."""
        if self._descriptor is not None and not self._is_saved:
            with suppress(DiskError):
                self._disk.write_at(self._descriptor, 0, self._packed()[:_MARK_AT])
                self._is_saved = True

    def end(self) -> None:
        """Leaves a mark of a clean close and removes the file; nothing is queued any more.

        If some written events are not known to be durable, the file stays for the next session.
        """
        is_clean = not self.is_unsynced and not self.has_doubtful_values
        try:
            if is_clean and self.last[1]:
                leave_mark(self._disk, self._folder.parent.parent, *self.last)
        except DiskError:
            is_clean = False
        self._durable, self.last, self.is_unsynced = (NOWHERE, 0), ("", 0), False
        self.has_doubtful_values = False
        with self._mutex:
            self.drained, self._is_saved = self.mark, False
            if self._descriptor is None:
                return
            if is_clean:
                with suppress(DiskError):
                    self._disk.unlink(self._folder / self.name)
            else:
                self.save()
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close_quietly(descriptor)
            self.name = ""

    def after_fork(self) -> None:
        """Closes the parent's file in a child, and forgets what it said."""
        if self._descriptor is not None:
            self._disk.close_quietly(self._descriptor)
        self._begin_anew()

    def _make(self) -> None:
        self._is_making = True
        name = new_id()
        try:
            with suppress(DiskError):
                self._disk.make_folder(self._folder)
                for _ in range(_TRIES):  # another session may take it for a dead one's
                    descriptor = self._disk.open_lock(self._folder / name)
                    try:
                        if not (self._disk.try_lock(descriptor) and self._disk.links(descriptor)):
                            continue
                        mark = self.mark
                        self._disk.write_at(descriptor, 0, self._packed())
                        self._descriptor, self.name = descriptor, name
                        if self.mark != mark:  # a signal handler has emitted in between
                            self._write_mark(self.mark)
                        return
                    except BaseException:
                        with suppress(DiskError):
                            self._disk.unlink(self._folder / name)
                        raise
                    finally:
                        if self._descriptor is None:
                            self._disk.close_quietly(descriptor)
        finally:
            self._is_making = False

    def _write_mark(self, number: int) -> None:
        if self._descriptor is not None:
            with suppress(DiskError):
                self._disk.write_at(self._descriptor, _MARK_AT, _MARK.pack(number))

    def _packed(self) -> bytes:
        record = self._record
        _DRAINED.pack_into(record, _DRAINED_AT, self.drained)
        _CHECK.pack_into(record, _CHECK_AT, crc32(record[:_CHECK_AT]))
        _MARK.pack_into(record, _MARK_AT, self.mark)
        _VALUES.pack_into(record, _VALUES_AT, self.has_doubtful_values)
        return bytes(record)


def session_records(disk: Disk, folder: Path) -> Iterator[SessionRecord]:
    """Yields the sessions of a log that are open or have ended uncleanly.

    A file that is being made or closed at this moment is left out. Raises DiskError.
    """
    open_folder = own_folder(folder) / "open"
    for name in disk.names(open_folder):
        descriptor = disk.open_existing(open_folder / name)
        if descriptor is None:
            continue
        try:
            is_held = not disk.try_lock(descriptor)
            if disk.links(descriptor):
                data = disk.read_at(descriptor, 0, RECORD_BYTES)
                record = SessionRecord(name, open_folder / name, is_held, is_draft=not data)
                is_whole = len(data) == RECORD_BYTES and data.startswith(MAGIC)
                if is_whole and _CHECK.unpack_from(data, _CHECK_AT) == (crc32(data[:_CHECK_AT]),):
                    mark = _MARK.unpack_from(data, _MARK_AT)
                    drained = _DRAINED.unpack_from(data, _DRAINED_AT)
                    record = record._replace(
                        has_doubtful_values=_VALUES.unpack_from(data, _VALUES_AT) != (0,),
                        is_whole=True,
                        has_queue=mark > drained,
                        durable=DurablePosition(*_POSITION.unpack_from(data, _POSITION_AT)),
                    )
                yield record
        finally:
            disk.close_quietly(descriptor)


def leave_mark(disk: Disk, folder: Path, node_id: str, seq: int) -> None:
    """Records that all events of a node up to a number are durable. Raises DiskError."""
    marks = own_folder(folder) / "marks"
    disk.make_folder(marks)
    disk.close(disk.open_lock(marks / f"{node_id}-{seq}"))
    for name in disk.names(marks):
        node, _, number = name.partition("-")
        if node == node_id and number.isdecimal() and int(number) < seq:
            with suppress(DiskError):  # another process closes the log too
                disk.unlink(marks / name)
