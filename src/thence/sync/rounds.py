"""One round of sync of a log, by whichever process has the turn, with its record beside the log.

The target is read from the log's folder and the login from the user's, so that a round begins with
what was last enabled and last logged in.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from io import FileIO
from pathlib import Path

import msgspec

from thence.core.wire.authorship import Signer
from thence.errors import (
    BadAnswer,
    CursorUnknown,
    FileBusy,
    NotLoggedIn,
    ServerBusy,
    ServerUnreachable,
    SyncError,
    SyncRefused,
    ThenceError,
)
from thence.files import file_lock, is_locked
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.segment import current_path
from thence.replica import OS_DISK, Log, now
from thence.signing import known_key
from thence.sync.client import SyncClient, client_to
from thence.sync.connection import REQUEST_S
from thence.sync.credentials import CredentialStore
from thence.sync.engine import RoundProgress, SyncEngine
from thence.sync.target import (
    CONNECTED,
    OFFLINE,
    OFFLINE_BATCH_MODE,
    PRESENCE,
    RECONNECTING,
    SyncedMark,
    SyncReport,
    SyncTarget,
    enabled_target,
    read_status,
    sync_folder,
    write_status,
)

RECONNECT_FAILURES_MAX = 10
_LOCK = "lock"
_QUEUE = "queue.lock"
_QUEUE_S = 0.5


# makes an engine of a log and a client, given `target`, `progress` and `pause` as SyncEngine is
EngineFactory = Callable[..., SyncEngine]
Progress = Callable[[RoundProgress], None]


def sync_lock(log: Log) -> Path:
    """Returns the lock file of those who sync a log; one of all processes holds it."""
    return sync_folder(log.folder) / _LOCK


def service_lock(log: Log) -> Path:
    """Returns the lock file that a background service of a log holds as long as it runs."""
    return sync_folder(log.folder) / PRESENCE


def is_service_running(log: Log) -> bool:
    """Reports whether a background service of any process syncs this log."""
    return is_locked(service_lock(log))


def queue_lock(log: Log) -> Path:
    """Returns the lock file of a command in wait of its turn: a background service gives way."""
    return sync_folder(log.folder) / _QUEUE


def opened_engine(
    log: Log,
    target: SyncTarget,
    client: SyncClient,
    *,
    engine: EngineFactory | None = None,
    signer: Signer | None = None,
    progress: Progress | None = None,
    pause: Callable[[float], None] | None = None,
) -> SyncEngine:
    """Makes the engine of a log and a target, by default one that signs with `signer`. Close it."""
    make = engine or partial(SyncEngine, signer=signer)
    return make(log, client, target=target.key, progress=progress, pause=pause)


def run_round(
    log: Log,
    store: CredentialStore,
    *,
    engine: EngineFactory | None = None,
    wait_s: float = 0.0,
    request_s: float = REQUEST_S,
    progress: Progress | None = None,
    wait: Callable[[float], bool] | None = None,
) -> SyncReport | None:
    """Runs one round once it is this process's turn, and keeps its report; None if not in time.

    `wait` is that of a background service, whose rounds pause between batches and give way: None
    too for a round that did. Every error of the house is part of the report.
    """
    report: SyncReport | None = None
    end = _end_of(log)
    try:
        target = enabled_target(log.folder)
        turn = _turn(log, wait_s)
        if turn is None:
            return None
        with (
            turn,
            closing(client_to(target, store, request_s=request_s)) as client,
            closing(
                opened_engine(
                    log,
                    target,
                    client,
                    engine=engine,
                    signer=known_key(store.folder),
                    progress=progress,
                    pause=partial(_pause, log, wait) if wait else None,
                )
            ) as syncing,
        ):
            report = syncing.round()
        if isinstance(report.error, _GaveWay):
            return None
    except ThenceError as failure:
        end = end if report else None
        report = msgspec.structs.replace(report or SyncReport(), error=failure)
    return recorded(log, report, is_background=wait is not None, end=end)


def recorded(
    log: Log, report: SyncReport, *, is_background: bool, end: tuple[int, int] | None = None
) -> SyncReport:
    """Completes the report of a round, and keeps it beside the log.

    `end` is the segment, by its inode, and its size as the round began; None if none was run.
    """
    before = read_status(log.folder) or SyncReport()
    failures = before.failures + 1 if report.needs_retry else 0
    at, error = now(), report.error
    mark = before.mark
    if end is not None:
        mark = SyncedMark(*end, taken=report.taken, left=report.left)
        if report.taken_back and (now_end := _end_of(log)):  # segments were rewritten
            mark = SyncedMark(*now_end, taken=0, left=report.left)
    report = msgspec.structs.replace(
        report,
        at=at,
        failures=failures,
        error_code=error.code if error else "",
        error_text=str(error) if error else "",
        connection=_connection(error, failures, is_background=is_background),
        succeeded_at=at if report.is_complete else before.succeeded_at,
        is_background=is_background,
        mark=mark,
    )
    write_status(log.folder, report)
    return report


class _GaveWay(SyncError):
    """Error: the round of a background service ended for the sake of somebody else."""


def _pause(log: Log, wait: Callable[[float], bool], pause_s: float) -> None:
    """Waits as `wait` does; raises _GaveWay once it is stopped or a command waits for its turn."""
    if wait(pause_s) or is_locked(queue_lock(log)):
        raise _GaveWay(
            "could not go on with the round",
            cause="the service was stopped, or another process waits for its turn",
            hint="the next round goes on",
        )


def _end_of(log: Log) -> tuple[int, int] | None:
    with suppress(DiskError):
        segment = OS_DISK.path_id(str(current_path(log.folder)))
        return (segment[0][1], segment[1]) if segment else (0, 0)
    return None


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


def _connection(error: ThenceError | None, failures: int, *, is_background: bool) -> str:
    """Returns the word for the connection after a round."""
    if isinstance(error, (ServerUnreachable, ServerBusy, BadAnswer)):
        is_trying = is_background and failures <= RECONNECT_FAILURES_MAX
        return RECONNECTING if is_trying else OFFLINE_BATCH_MODE
    if isinstance(error, (NotLoggedIn, SyncRefused, CursorUnknown)):
        return OFFLINE
    return CONNECTED if error is None else OFFLINE_BATCH_MODE
