"""The state that each process has once: its source of ids, its set of open logs.

A forked child gets a new source of ids, and of nonces.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from threading import RLock
from typing import ClassVar, NoReturn, Protocol
from weakref import WeakSet, ref

from thence.core.clock import timestamps
from thence.core.ids import id_source
from thence.log.files.disk import monotonic_ns, noise_bits, noise_texts, on_fork, wall_ns

CLOSE_S = 10.0
_NONCES = 256
_WORKER_END_PRIORITY = 100


class Forked(Protocol):
    """An object that is notified in a child process after a fork."""

    def after_fork(self) -> None:
        """Resets the object; called in the child, before anything else runs there."""


class Drained(Protocol):
    """An object that must be closed before its process ends."""

    def close(self, timeout_s: float) -> bool:
        """Writes the queued events, within `timeout_s` seconds."""


class _Process:
    """The global state of a process, needed for the order of its ids and for forks."""

    open_logs: ClassVar[WeakSet[Forked]] = WeakSet()
    source: Callable[[], str] | None = None
    making = RLock()
    nonces: ClassVar[list[bytes]] = []

    @classmethod
    def ids(cls) -> Callable[[], str]:
        with cls.making:
            source = cls.source or id_source(wall_ns(), monotonic_ns, noise_bits(40))
            cls.source = cls.source or source  # a signal handler may have come first
            return cls.source

    @classmethod
    def forget(cls) -> None:
        cls.source = None
        cls.nonces = []  # the others are the parent's
        cls.making = RLock()
        for log in list(cls.open_logs):
            log.after_fork()


def _import_late() -> None:
    """Imports what the log otherwise imports late.

    A child that is forked while another thread imports a module would wait for that import
    for ever.
    """
    for name in ("hashlib", "thence.log.recovery.damage"):
        import_module(name)


on_fork(_import_late, _Process.forget)


def new_id() -> str:
    """Returns a new event id, larger than all that this process returned before."""
    source = _Process.source or _Process.ids()
    return source()


def ids_of_process() -> Callable[[], str]:
    """Returns the function behind `new_id`, for many ids with no fork in between."""
    return _Process.source or _Process.ids()


def new_nonce() -> bytes:
    """Returns 22 characters of base64url, 128 random bits, for the member `nonce` of an event."""
    while True:
        try:
            return _Process.nonces.pop()
        except IndexError:
            _Process.nonces += noise_texts(_NONCES)


def stays_here(log: object) -> NoReturn:
    """Raises TypeError: it is the `__reduce__` of a log and of what holds one."""
    holder = "" if type(log).__name__ == "Log" else f"{type(log).__name__}: "
    raise TypeError(
        f"{holder}a log can't be sent to another process: open it there: thence.open(path)"
    )


def watch_forks(log: Forked) -> None:
    """Has `after_fork` of an open log called in every forked child, as long as the log lives."""
    _Process.open_logs.add(log)


def at_worker_end(log: Drained) -> None:
    """Has an open log closed when this process ends, if multiprocessing started the process.

    Such a process ends without the callbacks of `atexit`, and so without finalizers.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _drain, args=(ref(log),), exitpriority=_WORKER_END_PRIORITY)


def _drain(log: ref[Drained]) -> None:
    open_log = log()
    if open_log is not None:
        open_log.close(CLOSE_S)


# the wall time as UTC ISO 8601 with microseconds, for people
now = timestamps(wall_ns)
