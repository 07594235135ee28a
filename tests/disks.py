"""Disks that do on purpose what real ones may: all that no test scripts reaches the real one."""

import errno
import os
from collections.abc import Callable
from threading import Event
from typing import Any

from thence.log.files.disk import Disk, DiskError

HELD_S = 60.0
FULL = DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN = DiskError(errno.EIO, os.strerror(errno.EIO))


def raising(error: BaseException) -> Callable[..., object]:
    """Returns a function that raises an error, whatever it is called with."""

    def fail(*_: object) -> object:
        raise error.with_traceback(None)

    return fail


class Scripted(Disk):
    """The real disk, with a script for chosen calls, each under the name of its method.

    `before[name]` is called with the arguments ahead of the call, `after[name]` behind it.
    `error[name]` is what each such call raises; a list is raised one by one, None is nothing.
    `instead[name]` is called in place of the call, with the real one and the arguments.
    `calls` holds all calls with their arguments, but for bytes. `gate` keeps those that are on
    `hold` waiting until it is set; `arrived` says that one of them waits.
    """

    def __init__(self, **error: BaseException | list[BaseException] | None) -> None:
        self.error = error
        self.before: dict[str, Callable[..., object]] = {}
        self.after: dict[str, Callable[..., object]] = {}
        self.instead: dict[str, Callable[..., Any]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.arrived, self.gate = Event(), Event()

    def hold(self, name: str) -> None:
        """Has these calls wait for `gate`."""
        self.before[name] = self._wait

    def once(self, name: str, act: Callable[[], object]) -> None:
        """Does something ahead of the next such call alone."""

        def first(*_: object) -> None:
            del self.before[name]
            act()

        self.before[name] = first

    def order(self, *names: str) -> list[str]:
        """Returns the names of the calls so far, of those that have one of these."""
        return [call[0] for call in self.calls if call[0] in names]

    def count(self, name: str) -> int:
        return len(self.order(name))

    def _wait(self, *_: object) -> None:
        self.arrived.set()
        assert self.gate.wait(HELD_S)

    def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        self.calls.append((name, *(one for one in arguments if not isinstance(one, bytes))))
        if name in self.before:
            self.before[name](*arguments)
        error = self.error.get(name)
        if isinstance(error, list):
            error = error.pop(0) if error else None
        if error is not None:
            raise error.with_traceback(None)  # that of the call before
        real = getattr(super(), name)
        instead = self.instead.get(name)
        result = real(*arguments) if instead is None else instead(real, *arguments)
        if name in self.after:
            self.after[name](*arguments)
        return result


def _scripted(name: str) -> Callable[..., Any]:
    return lambda self, *arguments: self._call(name, arguments)


for _name in vars(Disk):
    if not _name.startswith("_"):
        setattr(Scripted, _name, _scripted(_name))


def answering(**answers: object) -> Scripted:
    """Returns a disk that has one answer for each call of a name."""
    disk = Scripted()
    disk.instead = {name: lambda *_, answer=answer: answer for name, answer in answers.items()}
    return disk


class GatedDisk(Scripted):
    """Stops in every sync until it is let through; says when it has arrived there."""

    def __init__(self) -> None:
        super().__init__()
        self.hold("sync_data")


class ReadingDisk(Scripted):
    """Counts what is read; `read_bytes` may be set back."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0

    def read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        data = super().read_at(descriptor, offset, size)
        self.read_bytes += len(data)
        return data
