"""What a process has once and a forked child anew: its ids, its view of the open logs."""

from collections.abc import Callable
from threading import Lock
from typing import ClassVar, Protocol
from weakref import WeakSet

from thence.core.clock import timestamps
from thence.core.ids import id_source
from thence.log.disk import monotonic_ns, noise_bits, on_fork, wall_ns


class Forked(Protocol):
    """What must be told in a child that a fork made it."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""
        ...


class _Process:
    """The one state that a process keeps: the order of its ids needs it, and so do forks."""

    open_logs: ClassVar[WeakSet[Forked]] = WeakSet()
    source: Callable[[], str] | None = None
    making = Lock()

    @classmethod
    def ids(cls) -> Callable[[], str]:
        with cls.making:
            if cls.source is None:
                cls.source = id_source(wall_ns(), monotonic_ns, noise_bits(40))
            return cls.source

    @classmethod
    def forget(cls) -> None:
        cls.source = None
        cls.making = Lock()
        for log in list(cls.open_logs):
            log.after_fork()


on_fork(_Process.forget)


def new_id() -> str:
    """Returns a new event id, larger than all that this process returned before."""
    source = _Process.source or _Process.ids()
    return source()


def watch_forks(log: Forked) -> None:
    """Has an open log told in every child that a fork makes, as long as it lives."""
    _Process.open_logs.add(log)


# the wall time as UTC ISO 8601 with microseconds, for people
now = timestamps(wall_ns)
