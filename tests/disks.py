"""Disks that fail or wait on purpose; all else they do on the real one."""

import errno
import os
from threading import Event

from thence.log.files.disk import Disk
from thence.log.files.disk_errors import DiskError


class FullDisk(Disk):
    """Takes no more bytes while `is_full`."""

    def __init__(self) -> None:
        self.is_full = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.is_full:
            raise DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data)


class GatedDisk(Disk):
    """Keeps every sync waiting until `gate` is set; `reached` tells that one waits."""

    def __init__(self) -> None:
        self.gate = Event()
        self.reached = Event()

    def sync_data(self, descriptor: int) -> None:
        self.reached.set()
        assert self.gate.wait(60)
        super().sync_data(descriptor)


class CountingDisk(Disk):
    """Notes the order of writes and syncs."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def write(self, descriptor: int, data: bytes) -> int:
        self.calls.append("write")
        return super().write(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        super().sync_data(descriptor)
        self.calls.append("sync")


class LyingDisk(Disk):
    """Fails to sync, once `is_broken`."""

    def __init__(self) -> None:
        self.is_broken = False

    def sync_data(self, descriptor: int) -> None:
        if self.is_broken:
            raise DiskError(errno.EIO, os.strerror(errno.EIO))
        super().sync_data(descriptor)


class ReadingDisk(Disk):
    """Counts what is read; `read_bytes` may be set back."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        data = super().read_at(descriptor, offset, size)
        self.read_bytes += len(data)
        return data
