"""The writer sessions of a log: a small private file for each open handle that appends.

`.thence/open/<ULID>` is held by `flock` for as long as its session lasts; the kernel drops the
lock at the end of the process, in any container. The file says how far the log is on the device,
and whether events may be queued. It is never synced and never required: where it can't be made,
appends continue, and less is reported after a kill.

A clean close leaves a mark, an empty file `.thence/marks/<node_id>-<seq>` with the last number.
After a power cut that took the session's file, the log ends elsewhere than its mark.
"""

from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from pathlib import Path
from struct import Struct
from threading import RLock
from typing import Any, NamedTuple
from zlib import crc32

from thence.core.codec import LINE_BYTES_MAX
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import NOWHERE, Disk, DiskError, FileId, opened, opened_existing
from thence.log.files.identity import Own, identify
from thence.log.files.process_state import new_id
from thence.log.files.segment import current_path, own_folder, segments
from thence.log.files.tail import lines_backwards

OPENING_SOURCE = "thence.open"
MAGIC = b"thence-w"
_TRIES = 8
_NEW = ".new"
_DRAINED, _DRAINED_AT = Struct("<Q"), 8
_POSITION, _POSITION_AT = Struct("<5Q"), 16
_CHECK, _CHECK_AT = Struct("<I"), 56
# outside of the checksum: threads that emit write it beside the thread that writes all else
_MARK, _MARK_AT = Struct("<Q"), 60
# likewise: an offset and 1, or 0
_VALUES, _VALUES_AT = Struct("<Q"), 68
RECORD_BYTES = 76


class Notice(NamedTuple):
    """A notice that a log has to write: kind, facts, the session that the notice is about."""

    kind: str
    facts: dict[str, Any]
    session: str = ""


class DurablePosition(NamedTuple):
    """The end of the durable part of a log: a number of a node, an offset of a segment.

    `node` is the node_id as a number. Inode and generation are those of the segment.
    """

    node: int = 0
    seq: int = 0
    inode: int = 0
    generation: int = 0
    offset: int = 0


class SessionRecord(NamedTuple):
    """The content of a session's file. `is_whole` is false for a file without a valid record.

    `is_draft` is true for one that was never finished. From the offset `values_from` on its large
    values may not be on the device.
    """

    name: str
    path: Path
    is_held: bool = True
    is_draft: bool = False
    is_whole: bool = False
    has_queue: bool = False
    durable: DurablePosition = DurablePosition()
    values_from: int | None = None

    @property
    def is_dead(self) -> bool:
        """True if its process has ended without closing it."""
        return not self.is_held and not self.is_draft


class WriterSession:
    """The file of this session, made when the first event is queued or written.

    `mark` numbers the times at which events began to be queued, `drained` is the last of them
    whose events were all written or reported as failed: while `mark` is higher, some may be
    queued. No method raises an error of this file.
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
        self._last = ("", 0)
        self._generation = 0
        self._record = bytearray(MAGIC.ljust(RECORD_BYTES, b"\0"))
        self._is_saved = False
        self._values_from: int | None = None
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

    def note_values(self, start: int | None) -> None:
        """Records from which offset on large values are not synced yet, None for none."""
        if start != self._values_from:
            self._values_from = start
            if self._descriptor is not None:
                with suppress(DiskError):
                    data = _VALUES.pack(0 if start is None else start + 1)
                    self._disk.write_at(self._descriptor, _VALUES_AT, data)

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

    def durable(self, node_id: str, seq: int, file: FileId, size: int, descriptor: int) -> None:
        """Records that an open segment is on the device up to a size, with all before it.

        The number is the last that the node has given by then.
        """
        if self._durable[0] != file:
            self._generation = 0
            with suppress(DiskError):  # without it the offset counts for nothing
                self._generation = self._disk.generation(descriptor)
        self._durable = (file, size)
        self._last = (node_id, seq)
        self.is_unsynced = False
        position = (int(node_id, 16), seq, file[1], self._generation, size)
        _POSITION.pack_into(self._record, _POSITION_AT, *position)
        self._is_saved = False
        self.save()

    def durable_offset(self, file: FileId) -> int:
        """Returns the offset up to which this session has itself synced a segment, 0 if none.

        Records of other sessions are not used: once a sync has failed, a later success may be
        false.
        """
        return self._durable[1] if self._durable[0] == file else 0

    def limit(self, size: int) -> None:
        """Forgets the synced offset of a segment that has become shorter or was replaced."""
        if size < self._durable[1]:
            self._durable = (NOWHERE, 0)

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
        is_clean = not self.is_unsynced and self._values_from is None
        try:
            if is_clean and self._last[1]:
                leave_mark(self._disk, self._folder.parent.parent, *self._last)
        except DiskError:
            is_clean = False
        self._durable, self._last, self.is_unsynced = (NOWHERE, 0), ("", 0), False
        self._values_from = None
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
        try:
            with suppress(DiskError):
                name = new_id()
                draft = self._folder / f"{name}{_NEW}"
                for _ in range(_TRIES):
                    if self._make_as(draft, name):
                        return
        finally:
            self._is_making = False

    def _make_as(self, draft: Path, name: str) -> bool:
        """Makes the file under a name; False if another session took it for a dead one's."""
        self._disk.make_folder(self._folder)
        descriptor = self._disk.open_lock(draft)
        try:
            if not (self._disk.try_lock(descriptor) and self._disk.links(descriptor)):
                return False
            mark = self.mark
            self._disk.write_at(descriptor, 0, self._packed())
            self._disk.rename(draft, self._folder / name)
            self._descriptor, self.name = descriptor, name
            if self.mark != mark:  # a signal handler has emitted in between
                self._write_mark(self.mark)
            return True
        except BaseException:
            with suppress(DiskError):
                self._disk.unlink(draft)
            raise
        finally:
            if self._descriptor is None:
                self._disk.close_quietly(descriptor)

    def _write_mark(self, number: int) -> None:
        if self._descriptor is not None:
            with suppress(DiskError):
                self._disk.write_at(self._descriptor, _MARK_AT, _MARK.pack(number))

    def _packed(self) -> bytes:
        record = self._record
        _DRAINED.pack_into(record, _DRAINED_AT, self.drained)
        _CHECK.pack_into(record, _CHECK_AT, crc32(record[:_CHECK_AT]))
        _MARK.pack_into(record, _MARK_AT, self.mark)
        values = 0 if self._values_from is None else self._values_from + 1
        _VALUES.pack_into(record, _VALUES_AT, values)
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
                record = SessionRecord(name, open_folder / name, is_held, name.endswith(_NEW))
                data = disk.read_at(descriptor, 0, RECORD_BYTES)
                yield _filled(record, data)
        finally:
            disk.close_quietly(descriptor)


def _filled(record: SessionRecord, data: bytes) -> SessionRecord:
    """Returns a record with what its file holds, if that is valid."""
    if len(data) != RECORD_BYTES or not data.startswith(MAGIC):
        return record
    if _CHECK.unpack_from(data, _CHECK_AT) != (crc32(data[:_CHECK_AT]),):
        return record
    (values,) = _VALUES.unpack_from(data, _VALUES_AT)
    return record._replace(
        values_from=values - 1 if values else None,
        is_whole=True,
        has_queue=_MARK.unpack_from(data, _MARK_AT) > _DRAINED.unpack_from(data, _DRAINED_AT),
        durable=DurablePosition(*_POSITION.unpack_from(data, _POSITION_AT)),
    )


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


def scope(disk: Disk, folder: Path, sessions: Iterable[SessionRecord]) -> list[tuple[Path, int]]:
    """Lists the segment tails whose bytes may not have reached the device, in arrival order.

    The first is the newest segment with a recorded durable offset, from that offset on; all
    newer segments follow. Without such an offset the list is the whole current segment.
    """
    positions = [session.durable for session in sessions]
    newer: list[tuple[Path, int]] = []
    for path in reversed(segments(disk, folder)) if any(positions) else ():
        with opened(disk, path) as descriptor:
            (_, inode), size = disk.file_id(descriptor)
            segment = (inode, disk.generation(descriptor))
        here = [p.offset for p in positions if (p.inode, p.generation) == segment]
        offset = max((offset for offset in here if offset <= size), default=0)
        newer.insert(0, (path, offset))
        if offset:
            return newer
    return [(current_path(folder), 0)]


def loss(session: SessionRecord) -> dict[str, Any]:
    """Returns the facts about what a dead session may have lost, empty for nothing.

    Those are the events that it had queued after its last durable one.
    """
    if not session.is_whole:
        return {"reason": "unknown end"}
    if not session.has_queue:
        return {}
    facts: dict[str, Any] = {"reason": "killed"}
    last = session.durable
    if last.seq:
        facts |= {"node_id": f"{last.node:012x}", "durable_seq": last.seq}
    return facts


class SessionReport:
    """The notices about the sessions before one, which its first append writes under the lock.

    A session's file that no process holds was left by a writer that ended without closing. For a
    log that was closed cleanly two small folders are listed; else the damage is looked for
    (`thence.log.recovery.damage`).
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, session: WriterSession
    ) -> None:
        self.is_finished = False
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._session = session
        self._own: Own | None = None
        self._others: list[SessionRecord] | None = None

    def begin(self) -> tuple[str, str]:
        """Finds the node of this log; returns its node_id and that of the one before, if any.

        The notices of a node that began while the log was open are written too.
        """
        self.is_finished = False
        self._own = identify(self._disk, self._folder)
        return self._own.identity.node_id, self._own.previous_node

    def notices(self, seq: int) -> list[Notice]:
        """Returns the notices to write.

        `seq` is the last number of the own node. Where the disk fails, a later session reports
        the rest.
        """
        assert self._own is not None
        notices: list[Notice] = []
        if self._own.identity.reason and not seq:
            notices.append(Notice("node_changed", self._own.change()))
        self._others = None
        with suppress(DiskError):
            records = session_records(self._disk, self._folder)
            others = [record for record in records if record.name != self._session.name]
            if not self._own.is_copy:  # the sessions of a copy belong to the original
                notices += self._losses(self._own, seq, others)
            self._others = others
        return notices

    @property
    def has_lost_values(self) -> bool:
        """True if a dead session may have left large values that are not on the device."""
        return any(
            record.is_dead and record.values_from is not None for record in self._others or ()
        )

    def finish(self) -> None:
        """Removes the files of dead sessions: the notices about them are durable."""
        if self._others is not None:
            for record in self._others:
                if not record.is_held:
                    with suppress(DiskError):
                        self._disk.unlink(record.path)
            self.is_finished = True

    def _losses(self, own: Own, seq: int, others: list[SessionRecord]) -> list[Notice]:
        """Returns the notices about unclean ends of other sessions."""
        has_file = not all(record.is_draft for record in others)
        is_unknown = not (own.is_new or has_file or not seq) and self._is_end_unknown(own, seq)
        # where no own event can be read, the very first ones may be damaged
        is_spoilt = own.is_known and not seq and not others
        dead = [record for record in others if record.is_dead]
        if not (is_unknown or is_spoilt or dead):
            return []
        # after an unclean end alone
        from thence.log.recovery.damage import reported_sessions, unreported_regions

        notices = [Notice("gap", {"reason": "unknown end"})] if is_unknown else []
        losers = [record for record in dead if loss(record)]
        # who reported one of them may have been killed before its file was removed; the notice is
        # after the durable end of the dead one or, where that is unknown, in the current segment
        begins = [scope(self._disk, self._folder, [record]) for record in losers]
        longest = max(begins, key=lambda tails: (len(tails), -tails[0][1]), default=[])
        reported = reported_sessions(self._disk, longest, self._vocabulary, own, OPENING_SOURCE)
        notices += [
            Notice("gap", loss(record), record.name)
            for record in losers
            if record.name not in reported
        ]
        tails = scope(self._disk, self._folder, others)
        regions = unreported_regions(self._disk, tails, self._vocabulary, own)
        return notices + [Notice("torn", region.facts()) for region in regions]

    def _is_end_unknown(self, own: Own, seq: int) -> bool:
        """Reports whether the log's end differs from its mark.

        Zeros in the last line, which a power cut leaves for lost bytes, differ from any mark.
        """
        mark = own_folder(self._folder) / "marks" / f"{own.identity.node_id}-{seq}"
        if self._disk.path_id(str(mark)) is None:
            return True
        with opened_existing(self._disk, current_path(self._folder)) as descriptor:
            if descriptor is None:
                return False
            _, size = self._disk.file_id(descriptor)
            lines = lines_backwards(self._disk, descriptor, 0, size, LINE_BYTES_MAX)
            return b"\0" in next(filter(None, lines), b"")
