"""One round of sync of a log, by whichever process has the turn, with its record beside the log.

The target is read from the log's folder and the login from the user's, so that a round begins with
what was last enabled and last logged in.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from io import FileIO
from pathlib import Path

import msgspec

from thence.errors import ThenceError
from thence.files import FileBusy, file_lock, is_locked
from thence.log.open import OS_DISK, Log
from thence.sync.client import client_to
from thence.sync.credentials import CredentialStore
from thence.sync.engine import Progress, SyncEngine
from thence.sync.outbox import Outbox
from thence.sync.target import (
    SyncReport,
    enabled_target,
    read_target,
    recorded,
    sync_folder,
)

_QUEUE_S = 0.5

# makes an engine of a log and a client, with options as those of SyncEngine
EngineFactory = Callable[..., SyncEngine]


def sync_lock(log: Log) -> Path:
    """Returns the lock file of those who sync a log; one of all processes holds it."""
    return sync_folder(log.folder) / "lock"


def queue_lock(log: Log) -> Path:
    """Returns the lock file of a command in wait of its turn: a background service gives way."""
    return sync_folder(log.folder) / "queue.lock"


def outbox_of(log: Log) -> Outbox:
    """Returns the outbox of a log, up to date; nothing is asked of the server. Close it.

    Raises SyncRefused for a log without a target, `read_failed`.
    """
    target = read_target(log.folder) or enabled_target(log.folder)
    outbox = Outbox(OS_DISK, log.folder, log.vocabulary, target.key)
    outbox.update()
    return outbox


def run_round(
    log: Log,
    store: CredentialStore,
    *,
    engine: EngineFactory = SyncEngine,
    wait_s: float = 0.0,
    progress: Progress = lambda *_: None,
    wait: Callable[[float], bool] | None = None,
) -> SyncReport | None:
    """Runs one round once it is this process's turn, and keeps its report; None if not in time.

    `wait` is that of a background service, whose rounds pause between batches and give way: None
    too for a round that did. Every error of the house is part of the report.
    """

    def pause(pause_s: float) -> None:
        if wait is not None and (wait(pause_s) or is_locked(queue_lock(log))):
            raise _GaveWay(
                "could not go on with the round",
                cause="the service was stopped, or another process waits for its turn",
                hint="the next round goes on",
            )

    report = SyncReport()
    try:
        target = enabled_target(log.folder)
        turn = _turn(log, wait_s)
        if turn is None:
            return None
        with (
            turn,
            closing(client_to(target, store)) as client,
            closing(engine(log, client, target=target.key, progress=progress, pause=pause)) as own,
        ):
            report = own.round()
        if isinstance(report.error, _GaveWay):
            return None
    except ThenceError as failure:
        report = msgspec.structs.replace(report, error=failure)
    return recorded(log.folder, report, is_background=wait is not None)


class _GaveWay(ThenceError):
    """Error: the round of a background service ended for the sake of somebody else."""


def _turn(log: Log, wait_s: float) -> FileIO | None:
    """Takes the lock of a round; a caller that waits for it has a background service give way."""
    with suppress(FileBusy):
        return file_lock(sync_lock(log))
    if not wait_s:
        return None
    with ExitStack() as queue, suppress(FileBusy):
        with suppress(FileBusy):  # a look at the lock takes it for a moment
            queue.enter_context(file_lock(queue_lock(log), min(wait_s, _QUEUE_S)))
        return file_lock(sync_lock(log), wait_s)
    return None
