"""A disk whose n-th call fails, once or from then on, whatever the call is.

All public methods of `Disk` are taken over by one loop: a new one is swept by itself. Below
the fault everything reaches the real disk. The disk also notes which bytes a device would
hold: those that stood in a file when a sync of it succeeded. What stood there when a sync
failed is never made good by a later sync.
"""

import errno
import os
import sys
from collections import Counter
from contextlib import suppress
from enum import StrEnum
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from thence.log.files.disk import Disk, DiskError, FileId

# what answers for itself, whatever the calls in it do
NEVER_FAILS = {"close_quietly"}
METHODS = tuple(name for name, made in vars(Disk).items() if callable(made) and name[0] != "_")


class Span(StrEnum):
    """How long a fault lasts."""

    ONCE = "once"
    HEALED = "until healed"  # all calls of the method, until the work is done; then it closes
    FOR_GOOD = "for good"  # all calls of the method, closing too
    DEAD = "dead"  # every call of every method, closing too


class Fault(NamedTuple):
    """What happens at the n-th call.

    `code` is the errno; 0 makes a write short and raises nothing. With `is_half` the first
    write struck goes out by half, and the next one raises.
    """

    call: int
    code: int
    span: Span
    is_half: bool = False

    def __str__(self) -> str:
        kind = errno.errorcode[self.code] if self.code else "short write"
        half = ", half of it written first" if self.is_half else ""
        return f"call {self.call}: {kind}{half}, {self.span}"


class FaultyDisk(Disk):
    """The real disk with one fault, which begins when `arm` was called."""

    def __init__(self, fault: Fault | None = None) -> None:
        self._fault = fault
        self._lock = Lock()
        self._numbers = count(1)
        self._is_armed = False
        self._is_healed = False
        self.is_doomed = False  # the next sync fails, besides the fault
        self._has_halved = False
        self.struck = ""  # the method that the fault fell on, empty before
        self.strikes = 0
        self.failed: Counter[str] = Counter()  # the calls that failed, by their method
        self.calls: list[str] = []
        self.sites: set[tuple[str, int]] = set()
        self._durable: dict[FileId, list[tuple[int, int]]] = {}
        self._marks: dict[FileId, int] = {}
        self._owed: set[int] = set()  # descriptors whose next sync fails, for another's has

    def arm(self) -> None:
        """Begin to count the calls."""
        self._is_armed = True

    def heal(self) -> None:
        """End the fault, for good."""
        self._is_healed = True

    @property
    def is_well(self) -> bool:
        """Whether no call will fail any more."""
        fault = self._fault
        if fault is None or self._is_healed:
            return True
        return fault.span is Span.ONCE and self.strikes > fault.is_half

    def durable(self, file: FileId) -> list[tuple[int, int]]:
        """List the stretches of a file that are on the device, as far as we synced them."""
        return self._durable.get(file, [])

    def strikes_now(self, name: str) -> bool:
        """Count a call; tell whether the fault falls on it."""
        with self._lock:
            if not self._is_armed or self._is_healed or name in NEVER_FAILS:
                return False
            number = next(self._numbers)
            self.calls.append(name)
            fault = self._fault
            if fault is None or number < fault.call:
                return False
            if number == fault.call:
                self.struck = name
            lasts = fault.span is not Span.ONCE or (fault.is_half and self.strikes < 2)
            falls = number == fault.call or (
                lasts and (name == self.struck or fault.span is Span.DEAD)
            )
            falls = falls and (fault.code > 0 or name == "write")
            self.strikes += falls
            self.failed[name] += falls
            return falls

    def fail(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Do what the fault says in place of a call; only a short write returns."""
        fault = self._fault
        assert fault is not None
        if name == "write" and (not fault.code or (fault.is_half and not self._has_halved)):
            self._has_halved = True
            descriptor, data = arguments
            return os.write(descriptor, data[: max(1, len(data) // 2)])
        if name == "close":  # Linux gives the descriptor free whatever it answers
            os.close(*arguments)
        if name == "unmap":
            Disk.unmap(self, *arguments)
        raise DiskError(fault.code, os.strerror(fault.code))

    def begin_sync(self, descriptor: int) -> tuple[FileId, int, int]:
        """Note what a sync that begins now may make durable."""
        found = os.fstat(descriptor)
        file = (found.st_dev, found.st_ino)
        return file, self._marks.get(file, 0), found.st_size

    def end_sync(self, begun: tuple[FileId, int, int], is_good: bool) -> None:
        """Note what a sync made durable, or what no later one will."""
        file, start, end = begun
        self._marks[file] = end
        if not is_good or end <= start:
            return
        known = self._durable.setdefault(file, [])
        if known and known[-1][1] == start:
            start = known.pop()[0]
        known.append((start, end))

    def owes(self, descriptor: int) -> None:
        """Note that a sync failed: Linux says so to each open file once, at its next sync."""
        failed = os.fstat(descriptor)
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.path.samestat(os.fstat(int(name)), failed) and int(name) != descriptor:
                    self._owed.add(int(name))

    def is_told(self, descriptor: int) -> bool:
        """Report whether a sync fails since one by another descriptor did."""
        is_owed = descriptor in self._owed
        self._owed.discard(descriptor)
        return is_owed

    def cut(self, descriptor: int, size: int) -> None:
        """Forget what stood behind a size."""
        found = os.fstat(descriptor)
        file = (found.st_dev, found.st_ino)
        known = self._durable.get(file, [])
        self._durable[file] = [(a, min(b, size)) for a, b in known if a < size]
        self._marks[file] = min(self._marks.get(file, 0), size)

    def made(self, path: Path) -> None:
        """Note a small file that was written and synced whole."""
        found = os.stat(path)
        self._durable[found.st_dev, found.st_ino] = [(0, found.st_size)]


def _taken_over(name: str) -> Any:
    plain = getattr(Disk, name)

    def call(self: FaultyDisk, *arguments: Any) -> Any:
        frame = sys._getframe(1)
        self.sites.add((frame.f_code.co_filename, frame.f_lineno))
        begun = self.begin_sync(*arguments) if name == "sync_data" else None
        if name == "close":
            self.is_told(*arguments)  # its number is free for another file
        if begun is not None and (self.is_told(*arguments) or self.is_doomed):
            if self.is_doomed:
                self.is_doomed = False
                self.owes(*arguments)
            self.failed[name] += 1
            self.end_sync(begun, is_good=False)
            raise DiskError(errno.EIO, os.strerror(errno.EIO))
        if self.strikes_now(name):
            if begun is not None:
                self.end_sync(begun, is_good=False)
                self.owes(*arguments)
            return self.fail(name, arguments)
        result = plain(self, *arguments)
        if begun is not None:
            self.end_sync(begun, is_good=True)
        elif name == "truncate":
            self.cut(*arguments)
        elif name == "open_append" and not os.fstat(result).st_size:
            self.cut(result, 0)
        elif name == "write_new":
            self.made(arguments[0])
        return result

    return call


for _name in METHODS:
    setattr(FaultyDisk, _name, _taken_over(_name))


def faults(calls: list[str]) -> list[Fault]:
    """List every fault at every call of a run that was counted."""
    codes = (errno.EIO, errno.ENOSPC, errno.EINTR)
    found = []
    for number, name in enumerate(calls, 1):
        found += [Fault(number, code, span) for code in codes for span in Span]
        if name == "write":
            found += [Fault(number, 0, span) for span in Span if span is not Span.DEAD]
            halves = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            found += [Fault(number, code, span, is_half=True) for code in halves for span in Span]
            found += [Fault(number, errno.EDQUOT, Span.HEALED)]
    return found


def summary(calls: list[str]) -> str:
    """Tell the calls of a run, most frequent first."""
    return ", ".join(f"{name} {n}" for name, n in Counter(calls).most_common())
