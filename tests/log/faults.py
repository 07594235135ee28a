"""Disks that fail the way real ones do: everything reaches the real disk until the fault."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from tests.disks import GatedDisk, Scripted

from thence.log.files.disk import Disk, DiskError
from thence.log.files.segment import CURRENT

WAIT_S = 60.0


class ShortDisk(Disk):
    """Writes at most a few bytes with one call, as the system may."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max

    def write(self, descriptor: int, data: bytes) -> int:
        return super().write(descriptor, data[: self.bytes_max])


class StruckDisk(Scripted):
    """Fails one call, the `nth` of those that have one of some names."""

    def __init__(self, nth: int, *names: str) -> None:
        super().__init__()
        self.left = nth
        self.before = dict.fromkeys(names, self._strike)

    def _strike(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise DiskError(errno.EIO, "device error")


class SteppingDisk(Scripted):
    """Does something before the `nth` look at a folder: at a name, a list of them, a file."""

    def __init__(self, nth: int, step: Callable[[], object]) -> None:
        super().__init__()
        self.looks = 0
        self._nth = nth
        self._step = step
        self.before = dict.fromkeys(("names", "path_state", "open_read"), self._look)

    def _look(self, *_: object) -> None:
        self.looks += 1
        if self.looks == self._nth:
            self._step()


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


class FillingDisk(GatedDisk):
    """Gated too; takes so many more whole lines and syncs, None as many as come, then no more.

    Before a write is refused, `at_refusal` is called with the count of those refused so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines_left: int | None = None
        self.syncs_left: int | None = None
        self.refusal = DiskError(errno.ENOSPC, "as said")
        self.refused = 0
        self.at_refusal: Callable[[int], None] = lambda _: None

    def write(self, descriptor: int, data: bytes) -> int:
        if self.lines_left is None:
            return super().write(descriptor, data)
        fitting = data.splitlines(keepends=True)[: self.lines_left]
        if not fitting:
            self.refused += 1
            self.at_refusal(self.refused)
            raise self.refusal
        self.lines_left -= len(fitting)
        return super().write(descriptor, b"".join(fitting))

    def sync_data(self, descriptor: int) -> None:
        super().sync_data(descriptor)
        if self.syncs_left is not None:
            self.syncs_left -= 1
            if self.syncs_left < 0:
                raise DiskError(errno.EIO, "device error")
