"""Disks that fail the way real ones do: everything reaches the real disk until the fault."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event as Signal

from thence.log.files.disk import Disk
from thence.log.files.disk_errors import DiskError
from thence.log.files.segment import CURRENT

WAIT_S = 60.0


class ShortDisk(Disk):
    """Writes at most a few bytes with one call, as the system may."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max

    def write(self, descriptor: int, data: bytes) -> int:
        return super().write(descriptor, data[: self.bytes_max])


class FailingDisk(Disk):
    """Fails chosen calls: `faults` maps a method's name to what it raises, or to None."""

    def __init__(self, **faults: BaseException | None) -> None:
        self.faults = faults

    def _check(self, name: str) -> None:
        fault = self.faults.get(name)
        if fault is not None:
            raise fault


class StruckDisk(FailingDisk):
    """Fails one call, the `nth` of those that have one of some names."""

    def __init__(self, nth: int, *names: str) -> None:
        self.left = nth
        self._names = names

    def _check(self, name: str) -> None:
        self.left -= name in self._names
        if self.left == 0 and name in self._names:
            raise DiskError(errno.EIO, "device error")


class SteppingDisk(FailingDisk):
    """Does something before the `nth` look at a folder: at a name, a list of them, a file."""

    def __init__(self, nth: int, step: Callable[[], object]) -> None:
        self.looks = 0
        self._nth = nth
        self._step = step

    def _check(self, name: str) -> None:
        if name in ("names", "path_id", "open_read"):
            self.looks += 1
            if self.looks == self._nth:
                self._step()


def _checked(name: str) -> Callable[..., object]:
    def method(self: FailingDisk, *arguments: object) -> object:
        self._check(name)
        return getattr(Disk, name)(self, *arguments)

    return method


for _name in vars(Disk):
    if not _name.startswith("_"):
        setattr(FailingDisk, _name, _checked(_name))


class SmallDisk(Disk):
    """Holds so many bytes in the current segment; then half a write goes out, then none."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, data: bytes) -> int:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).name != CURRENT:
            return super().write(descriptor, data)
        left = self.room - os.fstat(descriptor).st_size
        if left <= 0:
            raise DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data[:left])


class GatedDisk(Disk):
    """Stops in every sync until it is let through; says when it has arrived there."""

    def __init__(self) -> None:
        self.arrived = Signal()
        self.gate = Signal()

    def sync_data(self, descriptor: int) -> None:
        self.arrived.set()
        assert self.gate.wait(WAIT_S)
        super().sync_data(descriptor)


class WatchedDisk(Disk):
    """Calls back around what it does, so that a test can step in between."""

    def __init__(self) -> None:
        self.before: dict[str, Callable[[], None]] = {}
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.before.get(name, lambda: None)()

    def write(self, descriptor: int, data: bytes) -> int:
        self._call("write")
        return super().write(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        self._call("sync_data")
        super().sync_data(descriptor)

    def unlock(self, descriptor: int) -> None:
        self._call("unlock")
        super().unlock(descriptor)

    def names(self, folder: Path) -> list[str]:
        found = super().names(folder)
        self._call("names")
        return found

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        super().rename(old, new)

    def sync_folder(self, folder: Path) -> None:
        self._call("sync_folder")
        super().sync_folder(folder)


class FillingDisk(GatedDisk):
    """Gated too; takes so many more whole lines and syncs, None as many as come, then no more.

    Before a write is refused, `at_refusal` is called with the count of those refused so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines_left: int | None = None
        self.syncs_left: int | None = None
        self.error = DiskError(errno.ENOSPC, "as said")
        self.opened: list[str] = []
        self.refused = 0
        self.at_refusal: Callable[[int], None] = lambda _: None

    def write(self, descriptor: int, data: bytes) -> int:
        if self.lines_left is None:
            return super().write(descriptor, data)
        fitting = data.splitlines(keepends=True)[: self.lines_left]
        if not fitting:
            self.refused += 1
            self.at_refusal(self.refused)
            raise self.error
        self.lines_left -= len(fitting)
        return super().write(descriptor, b"".join(fitting))

    def sync_data(self, descriptor: int) -> None:
        super().sync_data(descriptor)
        if self.syncs_left is not None:
            self.syncs_left -= 1
            if self.syncs_left < 0:
                raise DiskError(errno.EIO, "device error")

    def open_read(self, path: Path) -> int:
        self.opened.append(path.name)
        return super().open_read(path)
