"""The writer of segments: it stamps and writes lines under the append lock, then syncs.

One `SegmentWriter` belongs to one open log; its caller admits one thread at a time. A line
that `write` returned is complete in the file, and after `sync` it is on the device, with all
lines before it. The writer does not queue, wait or retry. Large values are on the device before a
line that names them is written.

A failed sync is never tried again, because a second one could report a false success. What this
session wrote and had not synced yet, which it keeps in memory, is written again under the same
numbers, to a file that becomes the current segment once it is synced; the one in doubt gets an
older one's name. Where that fails, nothing has changed, and the next append tries it again. Each
process does so for its own lines: the system tells a failed write to each file that was open before
it. What a session leaves that fails and ends, the next one that opens the segment takes over.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Any

from thence.core.bodies import Body
from thence.core.clock import CLOCK_AHEAD_MAX, microseconds, moment
from thence.core.codec import (
    LINE_BYTES_MAX,
    BadLine,
    Draft,
    numbers,
    parse,
    stamper,
)
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.blobs.blob_files import BodyWriter, body_lines
from thence.log.files.disk import (
    CLOSED,
    NOWHERE,
    WAIT_S,
    AppendLock,
    Disk,
    DiskError,
    FileId,
    append_error,
    opened,
    opened_existing,
    sync_error,
    wall_ns,
    warnings,
)
from thence.log.files.identity import identity_file, known_node_id
from thence.log.files.segment import (
    CURRENT,
    FILE_BYTES_MAX,
    begin_next,
    begin_with,
    current_path,
    moment_in,
    older_names,
    own_folder,
    rotated_name,
)
from thence.log.files.sessions import WriterSession
from thence.log.files.tail import (
    cut_broken_write,
    foreign_clock,
    last_numbers,
    lines_backwards,
    mark_reported,
    recover_tail,
    unreported,
)
from thence.log.recovery.sessions import SessionReport
from thence.log.write.conditions import (
    Condition,
    Verdict,
    WriteOutcome,
    first_of,
    merged,
    verdicts,
)

Notice = Callable[..., Draft]
Report = Callable[[str, Mapping[str, Any]], None]
NO_CONDITIONS: Mapping[int, Condition] = {}
_bodies_of = attrgetter("bodies")
# so much of the end of an older segment is read where the current one has numbers too
OLDER_BYTES = 64 * 1024
# so many bytes at its end, a checksum among them, show that a segment is the one that was left
LEFT_BYTES = 64
# so much is kept in memory for a sync that fails, and at most one batch more
UNSYNCED_BYTES_MAX = 8 * 1024 * 1024


def relayed(line: bytes, bodies: tuple[Body, ...] = ()) -> Draft:
    """Returns a complete line of another node as a draft, newline included, with its bodies."""
    return Draft("", b"", line, bodies)


class Numbering:
    """The last numbers of one open log, as far as its writer has read and written.

    They come from the segments alone: numbers that were read are taken over, written events are
    counted, and a clock from elsewhere is witnessed. Relayed lines of other nodes keep their own
    numbers; only their clocks count here.

    A new node has no event yet. While its `previous_node` is set, only the clock is read, back to
    the last event of the previous node.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._stamp = stamper("")
        self._lamport_clock = 0
        self._received: list[int] = []
        self._are_relayed = False  # the lines of the last stamp
        self._left = (NOWHERE, 0, b"")
        self.node_id = ""
        self.previous_node = ""
        self.seq = 0
        self.rejected_clocks: list[int] = []

    def begin(self, node_id: str, previous_node: str = "") -> None:
        """Starts to stamp events as this node's, unless it does."""
        if node_id == self.node_id:
            return
        self.node_id = node_id
        self.previous_node = previous_node
        self.seq = 0
        self._left = (NOWHERE, 0, b"")
        self._stamp = stamper(node_id)

    def stamp(self, drafts: Sequence[Draft]) -> list[bytes]:
        """Returns the lines of events to be written; call `count` after they were written.

        All are new ones, or all were made by `relayed`.
        """
        while self._received:
            clock = self._received.pop()
            if clock > self.seq + CLOCK_AHEAD_MAX:
                self.rejected_clocks.append(clock)
            else:
                self._lamport_clock = max(self._lamport_clock, clock)
        self._are_relayed = bool(drafts) and not drafts[0].head
        if self._are_relayed:
            return [draft.tail for draft in drafts]
        return self._stamp(drafts, self.seq + 1, self._lamport_clock + 1)

    def count(self, lines: Sequence[bytes]) -> None:
        """Counts the numbers of the first lines of the last stamp as given out."""
        if not self._are_relayed:
            self.seq += len(lines)
            self._lamport_clock += len(lines)
            return
        for line in lines:
            stamp = numbers(line)
            clock = stamp[2] if stamp else foreign_clock(line[:-1])
            self._lamport_clock = max(self._lamport_clock, clock)

    def witness(self, lamport_clock: int) -> None:
        """Gives all later events a larger clock than this one from elsewhere.

        A clock that exceeds by more than 2^40 how many events this node has written here is
        not taken over but added to `rejected_clocks`. Any thread may call `witness`.
        """
        self._received.append(lamport_clock)

    def leave(self, descriptor: int, size: int) -> None:
        """Notes that a segment's numbers are known up to this size, for who opens it again."""
        end = self._disk.read_at(descriptor, max(0, size - LEFT_BYTES), min(size, LEFT_BYTES))
        self._left = (self._disk.file_id(descriptor)[0], size, end)

    def left_at(self, descriptor: int) -> int:
        """Returns the offset up to which a segment's numbers are known, 0 if it is another one."""
        file, size, end = self._left
        if self._disk.file_id(descriptor)[0] != file:
            return 0
        return size if self._disk.read_at(descriptor, size - len(end), len(end)) == end else 0

    def read(self, descriptor: int, start: int, end: int) -> int:
        """Takes over the numbers between two offsets; returns the node's last one, 0 if none."""
        node_id = self.previous_node or self.node_id
        seq, clock = last_numbers(self._disk, descriptor, start, end, node_id) or (0, 0)
        if not self.previous_node:
            self.seq = max(self.seq, seq)
        self._lamport_clock = max(self._lamport_clock, clock)
        return seq

    def read_older(self, newest: int) -> None:
        """Takes over the numbers of the older segments, back to the last event of this node.

        Where lines were written again, a notice with a higher number ends them. `newest` is the
        last number in the current segment, 0 if none. From there on the ends of older segments are
        read until one has a smaller number: a restore under a writer at work may have put an older
        file in the place of a newer one.
        """
        for name in reversed(older_names(self._disk, self._folder)):
            with opened_existing(self._disk, self._folder / name) as descriptor:
                if descriptor is None:  # pruned in between
                    continue
                _, size = self._disk.file_id(descriptor)
                seq = self.read(descriptor, max(0, size - OLDER_BYTES) if newest else 0, size)
                if seq < newest:
                    return
                newest = seq


class Unsynced:
    """The lines on which a session relies, and that are not known to be on the device.

    It has written them, or found them in the log where it was to append them. They stand in the
    segment `file` from an offset on, or before; after a failed sync, `error`, that is in doubt.
    """

    def __init__(self) -> None:
        self.clear(NOWHERE, 0)

    def clear(self, file: FileId, offset: int) -> None:
        """Forgets all: a segment is on the device up to an offset."""
        self.lines: list[bytes] = []
        self.size = 0
        self.found: set[bytes] = set()  # those of the lines that others wrote, or this one before
        self.error: DiskError | None = None
        self.file, self.offset = file, offset

    def add(self, lines: Iterable[bytes]) -> None:
        """Adds complete lines."""
        for line in lines:
            self.lines.append(line)
            self.size += len(line)


class SegmentWriter:
    """The writer to the current segment of one log.

    `notice` makes the draft of a notice; `report` is called after a rotation. A segment that began
    `rotate_after_us` ago is closed by the next append.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        notice: Notice,
        report: Report,
        file_bytes_max: int = FILE_BYTES_MAX,
        rotate_after_us: int | None = None,
        numbers: Numbering | None = None,
    ) -> None:
        self.session = WriterSession(disk, folder)
        self._disk = disk
        self.folder = folder
        self._path = current_path(folder)
        self._path_text = str(self._path)
        self._vocabulary = vocabulary
        self._notice = notice
        self._report = report
        self._pending_reports: list[tuple[str, dict[str, Any]]] = []
        self._file_bytes_max = file_bytes_max
        self._rotate_after_us = rotate_after_us
        self._began = (NOWHERE, 0)  # a file with the microsecond at which it began
        self._unsynced = Unsynced()
        self._lock = AppendLock(disk, own_folder(folder) / "lock")
        self._bodies = BodyWriter(disk, folder, self.session, file_bytes_max)
        self._descriptor = CLOSED
        self._file = NOWHERE
        self._size = 0
        self._is_whole = False
        self._has_reported_recoveries = False
        self._session_report = SessionReport(disk, folder, vocabulary, self.session)
        self.numbers = numbers or Numbering(disk, folder)
        self._identity = NOWHERE  # the file of the identity under which is written

    @property
    def current_size(self) -> int:
        """Bytes in the current segment, as of the last append here, or as found if unopened."""
        if self._descriptor != CLOSED:
            return self._size
        return (self._disk.path_id(self._path_text) or (NOWHERE, 0))[1]

    def write(
        self,
        drafts: Sequence[Draft],
        timeout_s: float = WAIT_S,
        conditions: Mapping[int, Condition] = NO_CONDITIONS,
    ) -> WriteOutcome:
        """Writes a batch in order and returns the outcomes; not synced yet.

        The lock is awaited for at most `timeout_s` seconds. `conditions` are by index. An
        error, also LogBusy, is not raised but returned beside the lines written before it.
        """
        outcomes: list[bytes | ThenceError] = []
        refusal: ThenceError | None = None
        try:
            self._lock.acquire(timeout_s)
            self._prepare_end()
            judged: list[Verdict] | None = None
            if conditions:
                disk, node_id, words = self._disk, self.numbers.node_id, self._vocabulary
                judged = verdicts(disk, self.folder, node_id, words, drafts, conditions)
            if any(map(_bodies_of, drafts)):
                values = [draft.bodies for draft in drafts]
                if judged is not None:  # those of a redacted event would come back by a retry
                    pairs = zip(values, judged, strict=True)
                    values = [bodies if why is None else () for bodies, why in pairs]
                if any(values):
                    count, refusal = self._bodies.store(values)
                    drafts = first_of(drafts, conditions, count)
            if judged is None:
                self._write_all(drafts, outcomes)
            else:  # those whose condition is met; a stored id yields its stored line
                judged = judged[: len(drafts)]
                self.rely_on(line for line in judged if isinstance(line, bytes))
                admitted = [draft for draft, why in zip(drafts, judged, strict=True) if why is None]
                lines: list[bytes | ThenceError] = []
                try:
                    self._write_all(admitted, lines)
                finally:
                    outcomes += merged(judged, lines)
            return WriteOutcome(outcomes, refusal)
        except DiskError as error:
            return WriteOutcome(outcomes, append_error(self._path, error))
        except ThenceError as error:
            return WriteOutcome(outcomes, error)
        finally:
            self._lock.release()
            if self._pending_reports or self.numbers.rejected_clocks:
                self._report_pending()

    def sync(self) -> None:
        """Returns when all written lines are on the device.

        After a failed sync they are written again to the next segment. If that fails too,
        OutcomeUnknown is raised.
        """
        if self._unsynced.error is None:
            if self._descriptor == CLOSED:
                return
            descriptor, file, size = self._descriptor, self._file, self._size
            try:
                self._disk.sync_data(descriptor)
            except DiskError as error:
                self._fail(error)
            else:
                unsynced = self._unsynced
                unsynced.lines, unsynced.size, unsynced.offset = [], 0, size
                unsynced.found = set()
                self.session.durable(self.numbers.node_id, self.numbers.seq, file, size, descriptor)
                return
        try:  # what the failed sync left in doubt is written again
            self._lock.acquire()
            self._prepare_end()
        except (DiskError, ThenceError) as failure:
            raise sync_error(self._path, self._unsynced.error or failure) from failure
        finally:
            self._lock.release()
            self._report_pending()

    def rely_on(self, lines: Iterable[bytes]) -> None:
        """Takes lines of the log, found after it was prepared, for what the next sync is about.

        Who wrote them may have failed to sync them.
        """
        found = [*lines]
        self._unsynced.found.update(found)
        self._unsynced.add(found)

    def close(self) -> None:
        """Closes the files; a later write opens them again."""
        if self._is_whole and self._descriptor != CLOSED:
            with suppress(DiskError):
                self.numbers.leave(self._descriptor, self._size)
        self.session.end()
        self._bodies.close()
        self._lock.close()
        self._file = NOWHERE
        self._close_segment()

    def _close_segment(self) -> None:
        descriptor, self._descriptor = self._descriptor, CLOSED
        self._disk.close_quietly(descriptor)

    def after_fork(self) -> None:
        """Closes the parent's files in a child and makes the lock anew, unlocking nothing."""
        self.session.after_fork()
        self.close()
        self._unsynced = Unsynced()
        self._is_whole = False

    def _prepare_end(self) -> None:
        """Prepares the end of the log: the current file, recovered, and the next numbers."""
        current = self._disk.path_id(self._path_text)
        if self._descriptor == CLOSED or current is None or current[0] != self._file:
            is_in_doubt = self._unsynced.size and self._unsynced.error is None
            if self._descriptor != CLOSED and is_in_doubt:  # another has replaced the segment
                try:
                    self._disk.sync_data(self._descriptor)
                    self._unsynced.clear(NOWHERE, 0)
                except DiskError as error:
                    self._fail(error)
            self._open()
        elif self._unsynced.error is not None:
            self._catch_up(self._size if current[1] >= self._size else 0)
        elif current[1] == self._size and self._is_whole:
            return
        elif identity_file(self._disk, self.folder) != self._identity:  # it is another node now
            self._open()
        else:
            self._catch_up(self._size if current[1] >= self._size else 0)
        if self._unsynced.error is not None:
            self._repair()
        if self._size and self._disk.read_at(self._descriptor, self._size - 1, 1) != b"\n":
            is_cut = recover_tail(
                self._disk, self._descriptor, self._path, self._size, self._vocabulary
            )
            _, self._size = self._disk.file_id(self._descriptor)
            self._unsynced.offset = min(self._unsynced.offset, self._size)
            if is_cut:
                self._has_reported_recoveries = False
                self._sync_under_lock()
        if not (self._has_reported_recoveries and self._session_report.is_finished):
            # what others could not sync is written again before anybody relies on it
            for path, start in self._session_report.failed_tails():
                if self._unsynced.size:
                    self._sync_under_lock()
                with opened(self._disk, path) as descriptor:
                    file, _ = self._disk.file_id(descriptor)
                    found = [line for _, line in body_lines(self._disk, descriptor, start)]
                events = [
                    line for line in found if isinstance(parse(line, self._vocabulary), Event)
                ]
                if events:
                    self._unsynced.clear(file, start)
                    self._unsynced.add(line + b"\n" for line in events)
                    self._unsynced.error = DiskError("another session could not sync it")
                    self._repair()
        if not self._session_report.is_finished:
            self._write_session_notices()
        if not self._has_reported_recoveries:
            if untold := dict(unreported(self._disk, self.folder)):
                self._write_all([self._notice("recovered", facts) for facts in untold.values()], [])
                self._sync_under_lock()
                mark_reported(self._disk, untold)
            self._has_reported_recoveries = True
        self._is_whole = True

    def _write_session_notices(self) -> None:
        """Writes the notices about sessions that ended uncleanly."""
        notices = [
            self._notice(kind, facts, session=session)
            for kind, facts, session in self._session_report.notices(self.numbers.seq)
        ]
        if notices:
            # in this segment, however full, which some of them name
            self._write_lines(self.numbers.stamp(notices), [])
            self._sync_under_lock()
        if self._session_report.has_lost_values:
            self._bodies.set_aside()
        self._session_report.finish()

    def _open(self) -> None:
        self._close_segment()
        node_id = known_node_id(self._disk, self.folder)
        # the first time, or another log is here now
        if self._identity == NOWHERE or not node_id or node_id != self.numbers.node_id:
            self.numbers.begin(*self._session_report.begin())
            self._pending_reports += warnings(self._disk, self.folder)
        self._identity = identity_file(self._disk, self.folder)
        self._descriptor = self._disk.open_append(self._path)
        self.session.begin(may_wait=False)
        self._is_whole = self._has_reported_recoveries = False
        if self._disk.file_id(self._descriptor)[1] == 0:
            self._disk.sync_folder(self.folder)
        try:
            known_bytes = self.numbers.left_at(self._descriptor)
            self._session_report.has_looked = known_bytes > 0
            self._catch_up(known_bytes)
        finally:
            self.numbers.previous_node = ""
        if not self._unsynced.size:
            self._unsynced.clear(self._file, self._size)

    def _catch_up(self, offset: int) -> None:
        """Takes over the numbers of the lines after an offset, 0 for the whole log."""
        descriptor = self._descriptor
        file, size = self._disk.file_id(descriptor)
        self._file = NOWHERE  # the file is opened anew unless its numbers can be read
        self._is_whole = False
        last = self.numbers.read(descriptor, offset, size)
        if offset == 0:
            self.numbers.read_older(last)
        self._file, self._size = file, size

    def _write_all(self, drafts: Sequence[Draft], lines: list[bytes | ThenceError]) -> None:
        """Stamps and writes drafts, in a new segment when one is due; extends `lines`."""
        remaining, seq = len(drafts), -1
        while remaining:
            is_full = self._size >= self._file_bytes_max
            if is_full or (self._rotate_after_us is not None and self._is_aged()):
                self._rotate()
            if self.numbers.seq != seq:  # the first time, or a notice took the number
                stamped = self.numbers.stamp(drafts[len(drafts) - remaining :])
            if self._unsynced.size > UNSYNCED_BYTES_MAX:
                self._sync_under_lock()
                continue
            # as many lines as go into the segment, the one that fills it included
            count, room_bytes = remaining, self._file_bytes_max - self._size
            if sum(map(len, stamped)) > room_bytes:
                ends = enumerate(accumulate(map(len, stamped)), 1)
                count = next(count for count, end in ends if end >= room_bytes)
            self._write_lines(stamped[:count], lines)
            stamped, remaining, seq = stamped[count:], remaining - count, self.numbers.seq

    def _write_lines(self, stamped: list[bytes], lines: list[bytes | ThenceError]) -> None:
        data = b"".join(stamped)
        start = self._size
        self._is_whole, self.session.is_unsynced = False, True
        kept_bytes = written = 0
        try:
            while written < len(data):
                part = data[written:] if written else data
                written += self._disk.write(self._descriptor, part)
            kept_bytes = written
        except BaseException as error:  # also an error of a signal handler during the call
            kept_bytes, unknown = cut_broken_write(
                self._disk, self._descriptor, self._path, start, data
            )
            stamped = stamped[: data.count(b"\n", 0, kept_bytes)]
            if unknown is not None and isinstance(error, DiskError):
                raise unknown from unknown.__cause__
            raise
        finally:
            if kept_bytes:
                lines += stamped
                self.numbers.count(stamped)
                self._size += kept_bytes
                self._unsynced.lines += stamped
                self._unsynced.size += kept_bytes
        self._is_whole = True

    def _is_aged(self) -> bool:
        """Reports whether the current segment began too long ago to be appended to.

        It began at the time of its first event, or of the rotation before if that is later: the
        first event may be an old one from another log.
        """
        if self._rotate_after_us is None or not self._size:
            return False
        now_us = wall_ns() // 1000
        if self._began[0] != self._file:
            line = self._disk.read_at(self._descriptor, 0, LINE_BYTES_MAX).partition(b"\n")[0]
            event = parse(line, self._vocabulary)
            times = [] if isinstance(event, BadLine) else [microseconds(event.timestamp)]
            for name in older_names(self._disk, self.folder)[-1:]:
                with suppress(ValueError):
                    times.append(moment(moment_in(name)))
            began_us = max((us for us in times if us is not None), default=now_us)
            self._began = (self._file, began_us)
        return now_us - self._began[1] >= self._rotate_after_us

    def _rotate(self) -> None:
        """Makes the current segment an older one, after all of it was synced."""
        if not self._sync_under_lock():
            return  # the lines are in a new one
        descriptor = self._descriptor
        name, self._descriptor = begin_next(self._disk, self.folder, wall_ns())
        self._disk.close_quietly(descriptor)
        self._file, self._size = self._disk.file_id(self._descriptor)
        self._unsynced.clear(self._file, self._size)
        self._pending_reports.append(("rotated", {"file": name}))

    def _sync_under_lock(self) -> bool:
        """Syncs the segment; returns False if it was set aside because that failed."""
        try:
            self._disk.sync_data(self._descriptor)
        except DiskError as error:
            self._fail(error)
            self._repair()
            return False
        self._unsynced.clear(self._file, self._size)
        return True

    def _fail(self, error: DiskError) -> None:
        """Notes a failed sync: what was written since the last one is in doubt."""
        unsynced = self._unsynced
        if unsynced.error is None:
            unsynced.error = error
            node_id, seq = self.session.last
            file, offset = unsynced.file, unsynced.offset
            self.session.durable(node_id, seq, file, offset, self._descriptor, has_failed=True)

    def _repair(self) -> None:
        """Writes the lines that a failed sync left in doubt to a new segment; under the lock.

        A notice ends them. If it fails, nothing has changed, but that the current segment may have
        an older one's name.
        """
        unsynced, error = self._unsynced, self._unsynced.error
        self._is_whole = False
        older, file, start = older_names(self._disk, self.folder), CURRENT, unsynced.offset
        name = rotated_name(wall_ns(), older) if self._size else ""
        size = self._size
        if self._file == unsynced.file:
            file = name or CURRENT
        else:
            ids = {one: self._disk.path_id(str(self.folder / one)) for one in older}
            named = [(one, i[1]) for one, i in ids.items() if i and i[0] == unsynced.file]
            if not named:
                # a redaction has written the segment anew, and synced it
                unsynced.clear(self._file, self._size)
                return
            file, size = named[0]
        if unsynced.found:  # they may stand before what was written since the last sync
            path = self._path if file == (name or CURRENT) else self.folder / file
            with opened(self._disk, path) as descriptor:
                lines = lines_backwards(self._disk, descriptor, 0, offset := start)
                next(lines)  # nothing is after the last newline
                for line in lines:
                    offset -= len(line) + 1
                    if line + b"\n" in unsynced.found:
                        start = offset
        facts = {"file": file, "offset": start, "bytes": size - start}
        notices = self.numbers.stamp([self._notice("segment_suspect", facts)])
        data = b"".join([*unsynced.lines, *notices])
        descriptor = begin_with(self._disk, self.folder, name, data)
        self._disk.close_quietly(self._descriptor)
        self._descriptor = descriptor
        self._file, self._size = self._disk.file_id(descriptor)
        unsynced.clear(self._file, self._size)
        self.numbers.count(notices)
        self.session.durable(
            self.numbers.node_id, self.numbers.seq, self._file, self._size, descriptor
        )
        if name:
            self._pending_reports.append(("rotated", {"file": name}))
        self._pending_reports.append(("suspect", {**facts, "error": error}))

    def _report_pending(self) -> None:
        while self.numbers.rejected_clocks:
            self._report("clock_ignored", {"lamport_clock": self.numbers.rejected_clocks.pop()})
        while self._pending_reports:
            self._report(*self._pending_reports.pop(0))


def lines_of(outcomes: Iterable[bytes | ThenceError], error: ThenceError | None) -> list[bytes]:
    """Returns the lines among outcomes, or raises the error that kept one from being written."""
    lines: list[bytes] = []
    for outcome in outcomes:
        if isinstance(outcome, ThenceError):
            raise outcome
        lines.append(outcome)
    if error is not None:
        raise copy(error) from error.__cause__  # others of the batch share it
    return lines
