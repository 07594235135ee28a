"""The state that each process has once: its source of ids, its set of open logs.

A forked child has ids and nonces of its own.
"""

import sys
from importlib import import_module
from typing import NoReturn, Protocol
from weakref import WeakSet, ref

from thence.core.clock import timestamps
from thence.core.ids import IdSource
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


_ids = IdSource(wall_ns(), monotonic_ns, noise_bits(40))
_nonces: list[bytes] = []
_open_logs: WeakSet[Forked] = WeakSet()

# returns a new event id, larger than all that this process returned before
new_id = _ids.new_id
# the wall time as UTC ISO 8601 with microseconds, for people
now = timestamps(wall_ns)


def _import_late() -> None:
    """Imports what the log otherwise imports late.

    A child that is forked while another thread imports a module would wait for that import
    for ever.
    """
    for name in ("hashlib", "thence.log.recovery.damage"):
        import_module(name)


def _begin_child() -> None:
    _ids.renew(wall_ns(), noise_bits(40))
    _nonces.clear()  # the others are the parent's
    for log in list(_open_logs):
        log.after_fork()


on_fork(_import_late, _begin_child)


def new_nonce() -> bytes:
    """Returns 22 characters of base64url, 128 random bits, for the member `nonce` of an event."""
    while True:
        try:
            return _nonces.pop()
        except IndexError:
            _nonces.extend(noise_texts(_NONCES))


def stays_here(log: object) -> NoReturn:
    """Raises TypeError: it is the `__reduce__` of a log and of what holds one."""
    holder = "" if type(log).__name__ == "Log" else f"{type(log).__name__}: "
    raise TypeError(
        f"{holder}a log can't be sent to another process: open it there: thence.open(path)"
    )


def watch_forks(log: Forked) -> None:
    """Has `after_fork` of an open log called in every forked child, as long as the log lives."""
    _open_logs.add(log)


def at_worker_end(log: Drained) -> None:
    """Has an open log closed when this process ends, if multiprocessing started the process.

    Such a process ends without the callbacks of `atexit`, and so without finalizers.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        def drain(log: ref[Drained]) -> None:
            if (open_log := log()) is not None:
                open_log.close(CLOSE_S)

        Finalize(None, drain, args=(ref(log),), exitpriority=_WORKER_END_PRIORITY)
