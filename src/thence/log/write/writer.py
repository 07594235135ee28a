"""The end of a log: lines are stamped and written under the append lock, synced after it.

One `SegmentWriter` belongs to one open log; its caller lets one thread at a time in. It
promises that a line that `write` returned stands whole in the file, and after `sync` on the
device, with all lines before it. It does not queue, wait or try again.

A sync that failed is never tried again, for a second one would lie. The segment is set aside
as suspect, and what of it is not known to be on the device is copied to the next one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thence.core.values.codec import Draft
from thence.core.values.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown, ThenceError
from thence.log.crash.opening_report import OpeningReport
from thence.log.crash.openings import OpeningFile
from thence.log.storage.append_errors import closed_for_good, refusal, unsynced
from thence.log.storage.append_lock import WAIT_S, AppendLock
from thence.log.storage.disk import NOWHERE, Disk, FileId, wall_ns
from thence.log.storage.durability import warnings
from thence.log.storage.identity import known_node_id
from thence.log.storage.numbering import Numbering
from thence.log.storage.recovery import kept_whole, mark_told, recover_tail, untold
from thence.log.storage.segment import (
    CURRENT,
    FILE_BYTES_MAX,
    begin_next,
    current_path,
    fitting,
    own_folder,
)
from thence.log.storage.system_call import DiskError
from thence.log.write.admission import AlreadyStored, Condition, WriteOutcome, merged, verdicts
from thence.log.write.failed_sync import copy_lines, regions, stand_behind, write_again

Notice = Callable[..., Draft]
Tell = Callable[[str, Mapping[str, Any]], None]
NO_CONDITIONS: Mapping[int, Condition] = {}


class SegmentWriter:
    """Appends to the current segment of one log.

    `notice` makes the draft of a notice; `tell` hears of rotations. `suspect` is a segment
    whose sync has failed: if it is still the current one, it is set aside first.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        notice: Notice,
        tell: Tell,
        file_bytes_max: int = FILE_BYTES_MAX,
        suspect: FileId = NOWHERE,
    ) -> None:
        self._arguments = (disk, folder, vocabulary, notice, tell, file_bytes_max)
        self.opening = OpeningFile(disk, folder)
        self._disk = disk
        self.folder = folder
        self._path = current_path(folder)
        self._path_text = str(self._path)
        self._vocabulary = vocabulary
        self._notice = notice
        self._tell = tell
        self._untold: list[tuple[str, dict[str, Any]]] = []
        self._file_bytes_max = file_bytes_max
        self._suspect = suspect
        self._lock = AppendLock(disk, own_folder(folder) / "lock")
        self._descriptor: int | None = None
        self._file = NOWHERE
        self._size = 0
        self._whole = False
        self._has_told = False
        self._aftermath = OpeningReport(disk, folder, vocabulary, self.opening)
        self.numbers = Numbering(disk, folder)
        self._poison: OutcomeUnknown | None = None

    @property
    def is_poisoned(self) -> bool:
        """Whether a sync failed, so that this opening takes no more appends."""
        return self._poison is not None

    @property
    def current_size(self) -> int:
        """Bytes in the current segment, as of this process's last append or, unopened, as found."""
        if self._descriptor is not None:
            return self._size
        return (self._disk.path_id(self._path_text) or (NOWHERE, 0))[1]

    def write(
        self,
        drafts: Sequence[Draft],
        timeout_s: float = WAIT_S,
        conditions: Mapping[int, Condition] = NO_CONDITIONS,
        emitted: int = 0,
    ) -> WriteOutcome:
        """Writes a batch in order and returns what stands of it; not synced yet.

        The lock is waited for up to `timeout_s` seconds. `conditions` are by place. An error,
        LogBusy too, is not raised but in the result, beside the lines written before it.
        """
        if self._poison is not None:
            return WriteOutcome([], closed_for_good(self._path))
        outcomes: list[bytes | ThenceError] = []
        try:
            try:
                self._lock.acquire(timeout_s)
                self._settle()
                self.opening.emitted = emitted
                if conditions:
                    self._write_some(drafts, conditions, outcomes)
                else:
                    self._write_all(drafts, outcomes)
            finally:
                self._lock.release()
                self._tell_untold()
        except DiskError as error:
            return WriteOutcome(outcomes, refusal(self._path, error))
        except ThenceError as error:
            return WriteOutcome([] if self._poison else outcomes, error)
        return WriteOutcome(outcomes, None)

    def write_one(self, draft: Draft) -> bytes | None:
        """Does for one event what `write` does for many; None if the lock is not free now."""
        if not self._whole or self._poison is not None or self._size >= self._file_bytes_max:
            return None
        lines: list[bytes | ThenceError] = []
        try:
            if not self._lock.take():
                return None
            if self._disk.path_id(self._path_text) != (self._file, self._size):
                self._settle()
                if self._size >= self._file_bytes_max:
                    return None
            line = self.numbers.stamp((draft,))
            self._write_lines(line, lines)
            return line[0]
        except DiskError as error:
            raise refusal(self._path, error) from error
        finally:
            self._lock.release()
            self._tell_untold()

    def sync(self, written: Sequence[bytes | ThenceError] = ()) -> None:
        """Returns when all that was written is on the device.

        `written` are the outcomes that the caller will acknowledge. After a failed sync
        they stand in the next segment, synced; where that can't be done OutcomeUnknown is
        raised, and this opening takes no more appends.
        """
        descriptor, file, size = self._descriptor, self._file, self._size
        if descriptor is None:
            return
        try:
            self._disk.sync_data(descriptor)
            self.opening.durable(self.numbers, file, size, descriptor)
        except DiskError as error:
            self._save(written, error)

    def successor(self) -> "SegmentWriter":
        """Returns a writer to try with what this one could not finish."""
        return SegmentWriter(*self._arguments, self._suspect)

    def close(self) -> None:
        """Closes the files. A later write opens them again."""
        self.opening.end()
        self._lock.close()
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._file = NOWHERE
            self._disk.let_go(descriptor)

    def after_fork(self) -> None:
        """Closes the parent's files in a child and makes the lock anew, unlocking nothing."""
        self.opening.after_fork()
        self.close()
        self._whole = False

    def _settle(self) -> None:
        """Finds the end of the log: the right file, whole, the numbers to go on from."""
        there = self._disk.path_id(self._path_text)
        if self._descriptor is None or there is None or there[0] != self._file:
            self._open()
        elif there[1] == self._size and self._whole:
            return
        else:
            self._catch_up(self._size if there[1] >= self._size else 0)
        if self._file == self._suspect:
            self._set_aside(DiskError("an earlier sync of it failed"))
        descriptor = self._require_open()
        if self._size and self._disk.read_at(descriptor, self._size - 1, 1) != b"\n":
            where = (self._disk, descriptor, self._path, self._size, self._vocabulary)
            if recover_tail(*where, self._aftermath.tail_seq(self.numbers)):
                self._has_told = False
                self._sync_under_lock()
            _, self._size = self._disk.file_id(self._require_open())
        if not self._aftermath.is_settled:
            self._tell_aftermath()
        if not self._has_told:
            self._tell_recoveries()
        self._whole = True

    def _tell_aftermath(self) -> None:
        """Tells what the ends of other openings have left."""
        renamed = ""
        for kind, facts, opening in self._aftermath.notices(self.numbers):
            if self._size >= self._file_bytes_max:
                self._rotate()
                renamed = renamed or self._untold[-1][1]["file"]
            if renamed and facts.get("file") == CURRENT:
                facts["file"] = renamed
            self._write_all([self._notice(kind, facts, opening=opening)], [])
        if self._aftermath.has_notices:
            self._sync_under_lock()
        self._aftermath.settle()

    def _tell_recoveries(self) -> None:
        for path, facts in untold(self._disk, self.folder):
            self._write_all([self._notice("recovered", facts)], [])
            self._sync_under_lock()
            mark_told(self._disk, path)
        self._has_told = True

    def _open(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.let_go(descriptor)
        known = known_node_id(self._disk, self.folder)
        if not known or known != self.numbers.node_id:  # the first time, or another log is here now
            self.numbers.begin(*self._aftermath.begin())
            self._untold += warnings(self._disk, self.folder)
        self._descriptor = self._disk.open_append(self._path)
        self.opening.begin()
        self._whole = self._has_told = False
        if self._disk.file_id(self._descriptor)[1] == 0:
            self._disk.sync_folder(self.folder)
        try:
            self._catch_up(0)
        finally:
            self.numbers.forerunner = ""

    def _catch_up(self, offset: int) -> None:
        """Takes over numbers from what stands behind an offset, 0 for all that there is."""
        descriptor = self._require_open()
        file, size = self._disk.file_id(descriptor)
        self._file = NOWHERE  # it is opened anew unless its numbers can be read
        self._whole = False
        is_ours = self.numbers.read(descriptor, offset, size)
        if offset == 0:
            self.numbers.read_older(is_ours)
        self._file, self._size = file, size
        self.opening.found(size)

    def _write_some(
        self,
        drafts: Sequence[Draft],
        conditions: Mapping[int, Condition],
        outcomes: list[bytes | ThenceError],
    ) -> None:
        """Writes what its conditions let in; an id that is known stands for its stored line."""
        where = (self._disk, self.folder, self.numbers.node_id, self._vocabulary)
        found = verdicts(*where, drafts, conditions)
        lines: list[bytes | ThenceError] = []
        try:
            self._write_all([d for d, v in zip(drafts, found, strict=True) if v is None], lines)
            older = [v for v in found if isinstance(v, AlreadyStored) and not v.is_current]
            if older and self._suspect[1]:  # where they stand may be suspect
                self._whole = False
                self._size += write_again(self._disk, self._require_open(), older)
                # behind them, for the last line of a segment has its highest number
                told = [self._notice("segment_suspect", facts) for facts in regions(older)]
                self._write_lines(self.numbers.stamp(told), [])
        finally:
            outcomes += merged(found, lines)

    def _write_all(self, drafts: Sequence[Draft], lines: list[bytes | ThenceError]) -> None:
        """Stamps and writes, a new segment whenever one is due; extends `lines` as it goes."""
        left, seq = len(drafts), -1
        while left:
            if self._size >= self._file_bytes_max:
                self._rotate()
            if self.numbers.seq != seq:  # the first time, or a notice took the number
                stamped = self.numbers.stamp(drafts[len(drafts) - left :])
                self.opening.announce(self.numbers, left, self._file, self._size)
            count = fitting(stamped, self._file_bytes_max - self._size)
            self._write_lines(stamped[:count], lines)
            stamped, left, seq = stamped[count:], left - count, self.numbers.seq

    def _write_lines(self, stamped: list[bytes], lines: list[bytes | ThenceError]) -> None:
        descriptor = self._require_open()
        data = b"".join(stamped)
        start = self._size
        self._whole, self.opening.is_unsynced = False, True
        written = 0
        try:
            while written < len(data):
                written += self._disk.write(descriptor, data[written:] if written else data)
        except BaseException as error:  # a signal handler's too, that ran amid the call
            whole, unknown = kept_whole(self._disk, descriptor, self._path, start, data)
            self._count(stamped[: data.count(b"\n", 0, whole)], whole, lines)
            if unknown is not None and isinstance(error, DiskError):
                raise unknown from unknown.__cause__
            raise
        self._count(stamped, len(data), lines)
        self._whole = True

    def _count(self, stamped: list[bytes], size: int, lines: list[bytes | ThenceError]) -> None:
        lines += stamped
        self.numbers.count(len(stamped))
        self._size += size

    def _rotate(self) -> None:
        """Makes the current segment an older one, all of it on the device first."""
        descriptor = self._require_open()
        if not self._sync_under_lock():
            return
        name, self._descriptor = begin_next(self._disk, self.folder, wall_ns())
        self._disk.let_go(descriptor)
        self._begun(name)

    def _begun(self, name: str) -> None:
        self._file, self._size = self._disk.file_id(self._require_open())
        self._untold.append(("rotated", {"file": name}))

    def _sync_under_lock(self) -> bool:
        try:
            self._disk.sync_data(self._require_open())
            return True
        except DiskError as error:
            self._set_aside(error)
            return False

    @contextmanager
    def _standing_by(self, error: DiskError) -> Iterator[None]:
        """Has this opening append no more if what mends a failed sync fails in its turn."""
        try:
            yield
        except BaseException as failure:
            self._poison = unsynced(self._path, error)
            if isinstance(failure, DiskError | ThenceError):
                raise self._poison from failure
            raise

    def _save(self, written: Sequence[bytes | ThenceError], error: DiskError) -> None:
        """Brings what a failed sync left in doubt to the device in the next segment."""
        suspect = self._suspect = self._file
        with self._standing_by(error):
            try:
                self._lock.acquire()
                there = self._disk.path_id(self._path_text)
                if there is not None and there[0] == suspect:
                    self._catch_up(self._size)
                    self._set_aside(error)
                else:  # another process has set it aside
                    self._settle()
                    if not stand_behind(self._disk, self.folder, written, suspect):
                        raise error
                    self._suspect = self._file
                    self._disk.sync_data(self._require_open())
                    self._suspect = NOWHERE
            finally:
                self._lock.release()
                self._tell_untold()

    def _set_aside(self, error: DiskError) -> None:
        """Gives the segment whose sync failed an older one's name and copies its unsafe end."""
        suspect, start = self._require_open(), self.opening.durable_offset(self._file)
        self._suspect = self._file
        with self._standing_by(error):
            name, self._descriptor = begin_next(self._disk, self.folder, wall_ns())
            try:
                self._begun(name)
                end = copy_lines(self._disk, suspect, start, self._require_open())
            finally:
                self._disk.let_go(suspect)
            _, self._size = self._disk.file_id(self._require_open())
            facts = {"file": name, "offset": start, "bytes": end - start}
            # not in yet another segment, whose sync might fail again, and so on for ever
            self._write_lines(self.numbers.stamp([self._notice("segment_suspect", facts)]), [])
            self._suspect = self._file  # it is the one in doubt if this sync fails too
            self._disk.sync_data(self._require_open())
        self.opening.durable(self.numbers, self._file, self._size, self._require_open())
        self._suspect = NOWHERE
        self._untold.append(("suspect", {**facts, "error": error}))

    def _tell_untold(self) -> None:
        while self.numbers.unbelieved:
            self._tell("clock_ignored", {"lamport_clock": self.numbers.unbelieved.pop()})
        while self._untold:
            self._tell(*self._untold.pop(0))

    def _require_open(self) -> int:
        assert self._descriptor is not None
        return self._descriptor
