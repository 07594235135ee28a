"""The end of a log: lines are stamped and written under the append lock, synced after it.

One `SegmentWriter` belongs to one open log; its caller lets one thread at a time in. It
promises that a line it has returned from `write` stands whole in the file, and after
`sync` on the device, with all lines before it. It does not queue, wait or try again.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.codec import Draft, stamper
from thence.core.vocabulary import Vocabulary
from thence.errors import (
    AppendFailed,
    LogFull,
    LogReadOnly,
    OutcomeUnknown,
    ThenceError,
)
from thence.log.disk import DENIED_ERRNOS, FULL_ERRNOS, NOWHERE, Disk, wall_ns
from thence.log.identity import node_id
from thence.log.lock import WAIT_S, AppendLock
from thence.log.recovery import last_numbers, mark_told, recover_tail, untold
from thence.log.segment import (
    FILE_BYTES_MAX,
    current_path,
    older_names,
    own_folder,
    rotated_name,
)

CLOCK_AHEAD_MAX = 2**40
Notice = Callable[[str, Mapping[str, Any]], Draft]
Tell = Callable[[str, Mapping[str, Any]], None]


class Written(NamedTuple):
    """The lines that stand in the file, in order, and why the rest of the batch doesn't."""

    lines: list[bytes]
    error: ThenceError | None


class SegmentWriter:
    """Appends to the current segment of one log.

    `notice` makes the draft of a notice; `tell` hears of rotations. `current_size` is the
    size of the current segment in bytes as far as this process knows.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        notice: Notice,
        tell: Tell,
        file_bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._path = current_path(folder)
        self._path_text = str(self._path)
        self._vocabulary = vocabulary
        self._notice = notice
        self._tell = tell
        self._rotated: list[str] = []
        self._file_bytes_max = file_bytes_max
        self._lock = AppendLock(disk, own_folder(folder) / "lock")
        self._descriptor: int | None = None
        self._file = NOWHERE
        self._size = 0
        self._whole = False
        self._has_told = False
        self._is_opened = False
        self._node = ""
        self._stamp = stamper("")
        self._seq = 0
        self._lamport_clock = 0
        self._received: list[int] = []
        self._unbelieved: list[int] = []
        self._poison: OutcomeUnknown | None = None

    @property
    def folder(self) -> Path:
        """The folder of the log."""
        return self._folder

    @property
    def is_poisoned(self) -> bool:
        """Whether a sync failed, so that this opening takes no more appends."""
        return self._poison is not None

    @property
    def current_size(self) -> int:
        """Bytes in the current segment, as of this process's last append or, before, as found."""
        if self._descriptor is None and not self._is_opened:
            there = self._disk.path_id(self._path_text)
            return there[1] if there is not None else 0
        return self._size

    def write(self, drafts: Sequence[Draft], timeout_s: float = WAIT_S) -> Written:
        """Writes a batch in order and returns what stands of it; not synced yet.

        The lock is waited for up to `timeout_s` seconds. Raises nothing of ThenceError's
        tree: an error, LogBusy too, is in the result beside the lines written before it.
        """
        if self._poison is not None:
            return Written([], self._closed_for_good())
        lines: list[bytes] = []
        try:
            try:
                self._lock.acquire(timeout_s)
                self._settle()
                self._write_all(drafts, lines)
            finally:
                self._lock.release()
                if self._rotated:
                    self._tell_rotations()
                if self._unbelieved:
                    self._tell_unbelieved()
        except OSError as error:
            return Written(lines, self._failure(error))
        except ThenceError as error:
            return Written([] if self._poison else lines, error)
        return Written(lines, None)

    def witness(self, lamport_clock: int) -> None:
        """Has all that is written from now on carry a larger clock than one from elsewhere.

        One that is more than 2^40 ahead of this log is told and not taken over. Any thread
        may call it.
        """
        self._received.append(lamport_clock)

    def sync(self) -> None:
        """Returns when all that was written is on the device.

        A failed sync is never tried again, for a second one would lie: OutcomeUnknown, and
        this opening takes no more appends.
        """
        if self._descriptor is not None:
            self._sync(self._descriptor)

    def _sync(self, descriptor: int) -> None:
        try:
            self._disk.sync_data(descriptor)
        except OSError as error:
            self._poison = OutcomeUnknown(
                "could not sync the events just written to",
                place=self._path,
                cause=error.strerror or error,
                hint="check the device; open the log again to see which events it holds",
            )
            raise self._poison from error

    def close(self) -> None:
        """Closes the files. A later write opens them again."""
        self._lock.close()
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._file = NOWHERE
            self._disk.close(descriptor)

    def after_fork(self) -> None:
        """Closes the parent's files in a child and makes the lock anew, unlocking nothing."""
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
        descriptor = self._require_open()
        if recover_tail(self._disk, descriptor, self._path, self._size, self._vocabulary):
            self._has_told = False
        _, self._size = self._disk.file_id(descriptor)
        if not self._has_told:
            self._tell_recoveries()
        self._whole = True

    def _tell_recoveries(self) -> None:
        for path, facts in untold(self._disk, self._folder):
            self._write_all([self._notice("recovered", facts)], [])
            self._sync(self._require_open())
            mark_told(self._disk, path)
        self._has_told = True

    def _open(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close(descriptor)
        if not self._node:
            self._node = node_id(self._disk, self._folder)
            self._stamp = stamper(self._node)
        self._descriptor = self._disk.open_append(self._path)
        self._is_opened = True
        self._whole = self._has_told = False
        if self._disk.file_id(self._descriptor)[1] == 0:
            self._disk.sync_folder(self._folder)
        if not self._catch_up(0):
            self._read_older()

    def _catch_up(self, offset: int) -> bool:
        """Takes over numbers from what stands behind an offset; False if none of ours does."""
        descriptor = self._require_open()
        self._file, self._size = self._disk.file_id(descriptor)
        self._whole = False
        return self._take_over(descriptor, offset, self._size)

    def _read_older(self) -> None:
        for name in reversed(older_names(self._disk, self._folder)):
            descriptor = self._disk.open_read(self._folder / name)
            try:
                _, size = self._disk.file_id(descriptor)
                if self._take_over(descriptor, 0, size):
                    return
            finally:
                self._disk.close(descriptor)

    def _take_over(self, descriptor: int, start: int, end: int) -> bool:
        found = last_numbers(self._disk, descriptor, start, end, self._node)
        if found is None:
            return False
        self._seq = max(self._seq, found.seq)
        self._lamport_clock = max(self._lamport_clock, found.lamport_clock)
        return found.seq > 0

    def _write_all(self, drafts: Sequence[Draft], lines: list[bytes]) -> None:
        """Stamps and writes, a new segment whenever one is due; extends `lines` as it goes."""
        if self._received:
            self._take_received()
        stamped = self._stamp(drafts, self._seq + 1, self._lamport_clock + 1)
        while stamped:
            if self._size >= self._file_bytes_max:
                self._rotate()
            count = fitting(stamped, self._file_bytes_max - self._size)
            self._write_lines(stamped[:count], lines)
            stamped = stamped[count:]

    def _take_received(self) -> None:
        own = self._lamport_clock
        while self._received:
            clock = self._received.pop()
            if clock > own + CLOCK_AHEAD_MAX:
                self._unbelieved.append(clock)
            else:
                self._lamport_clock = max(self._lamport_clock, clock)

    def _write_lines(self, stamped: list[bytes], lines: list[bytes]) -> None:
        descriptor = self._require_open()
        data = b"".join(stamped)
        start = self._size
        self._whole = False
        written = 0
        try:
            while written < len(data):
                written += self._disk.write(descriptor, data[written:] if written else data)
        except OSError:
            kept = stamped[: self._cut(descriptor, start, data[:written])]
            self._count(kept, sum(map(len, kept)), lines)
            raise
        self._count(stamped, len(data), lines)
        self._whole = True

    def _count(self, stamped: list[bytes], size: int, lines: list[bytes]) -> None:
        lines += stamped
        self._seq += len(stamped)
        self._lamport_clock += len(stamped)
        self._size += size

    def _cut(self, descriptor: int, start: int, written: bytes) -> int:
        """Cuts what follows the last whole line of a broken write; returns the lines kept."""
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            try:
                if self._disk.file_id(descriptor)[1] != start + len(written):
                    raise OSError("somebody else wrote behind it without the lock")
                self._disk.truncate(descriptor, start + whole)
            except OSError as error:
                raise OutcomeUnknown(
                    "could not take back half a line at the end of",
                    place=self._path,
                    cause=error.strerror or error,
                    hint="open the log again: the next append moves the half line aside",
                ) from error
        return written.count(b"\n")

    def _rotate(self) -> None:
        """Makes the current segment an older one, all of it on the device first."""
        descriptor = self._require_open()
        self._sync(descriptor)
        name = rotated_name(wall_ns(), older_names(self._disk, self._folder))
        self._disk.rename(self._path, self._folder / name)
        self._descriptor = None
        self._disk.close(descriptor)
        fresh = self._disk.open_append(self._path)
        try:
            self._disk.sync_folder(self._folder)
        except OSError:  # the next append opens it again, which syncs the folder
            self._disk.close(fresh)
            raise
        self._descriptor = fresh
        self._file, self._size = self._disk.file_id(fresh)
        self._rotated.append(name)

    def _tell_rotations(self) -> None:
        while self._rotated:
            self._tell("rotated", {"file": self._rotated.pop(0)})

    def _tell_unbelieved(self) -> None:
        while self._unbelieved:
            self._tell("clock_ignored", {"lamport_clock": self._unbelieved.pop(0)})

    def _require_open(self) -> int:
        assert self._descriptor is not None
        return self._descriptor

    def _failure(self, error: OSError) -> ThenceError:
        kind: type[ThenceError] = AppendFailed
        hint = "check the device, then try again"
        if error.errno in FULL_ERRNOS:
            kind, hint = LogFull, "free some space, then try again"
        elif error.errno in DENIED_ERRNOS:
            kind, hint = LogReadOnly, "give this user the right to write there"
        failure = kind(
            "could not append to", place=self._path, cause=error.strerror or error, hint=hint
        )
        failure.__cause__ = error
        return failure

    def _closed_for_good(self) -> ThenceError:
        return LogReadOnly(
            "could not append to",
            place=self._path,
            cause="an earlier sync of it failed, so nothing more is written by this opening",
            hint="check the device, then open the log again",
        )


def fitting(lines: Sequence[bytes], room_bytes: int) -> int:
    """Returns how many lines go into a segment: up to the one that fills it."""
    if sum(map(len, lines)) < room_bytes:
        return len(lines)
    sizes = accumulate(map(len, lines))
    return next(count for count, size_bytes in enumerate(sizes, 1) if size_bytes >= room_bytes)
