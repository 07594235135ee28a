"""One round of sync of a log, by whichever process has the turn, with its record beside the log.

The target is read from the log's folder and the login from the user's, so that a round begins with
what was last enabled and last logged in.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.wire.authorship import Signer, TeamKeys
from thence.core.wire.messages import BlocksAnswer, BlocksRequest, EventVerdict
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
from thence.sync.credentials import CredentialStore
from thence.sync.engine import RoundProgress, RoundResult, SyncEngine
from thence.sync.http_connection import REQUEST_S
from thence.sync.http_transport import transport_to
from thence.sync.target import (
    CONNECTED,
    OFFLINE,
    OFFLINE_BATCH_MODE,
    PRESENCE,
    RECONNECTING,
    RoundStatus,
    SyncedMark,
    SyncTarget,
    enabled_target,
    read_status,
    sync_folder,
    write_status,
)
from thence.sync.transport import TakenPage, Transport

RECONNECT_FAILURES_MAX = 10
BATCH_PAUSE_S = 5.0
_LOCK = "lock"
_QUEUE = "queue.lock"
_QUEUE_S = 0.5


# makes an engine of a log and a transport, given `target` and `progress` as SyncEngine takes them
EngineFactory = Callable[..., SyncEngine]
Progress = Callable[[RoundProgress], None]


class RoundOutcome(NamedTuple):
    """The record of a round, and the error that ended it early."""

    status: RoundStatus
    error: ThenceError | None

    @property
    def is_complete(self) -> bool:
        """True if nothing stayed behind on either side."""
        return self.error is None and not self.status.left and not self.status.parked

    @property
    def needs_retry(self) -> bool:
        """True if another round may do better; parked lines wait for their user."""
        return self.error is not None or self.status.left > 0


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
    transport: Transport,
    *,
    engine: EngineFactory | None = None,
    signer: Signer | None = None,
    progress: Progress | None = None,
) -> SyncEngine:
    """Makes the engine of a log and a target, by default one that signs with `signer`. Close it."""
    make = engine or partial(SyncEngine, signer=signer)
    return make(log, transport, target=target.key, progress=progress)


def run_round(
    log: Log,
    store: CredentialStore,
    *,
    engine: EngineFactory | None = None,
    wait_s: float = 0.0,
    request_s: float = REQUEST_S,
    progress: Progress | None = None,
    wait: Callable[[float], bool] | None = None,
) -> RoundOutcome | None:
    """Runs one round once it is this process's turn, and records it; None if it was not in time.

    `wait` is that of a background service, whose rounds pause between batches and give way: None
    too for a round that did. Every error of the house is part of the result.
    """
    counts: RoundResult | None = None
    error: ThenceError | None = None
    end = _end_of(log)
    try:
        target = enabled_target(log.folder)
        turn = _turn(log, wait_s)
        if turn is None:
            return None
        with turn, closing(transport_to(target, store, request_s=request_s)) as transport:
            paced = PacedTransport(transport, wait, queue_lock(log)) if wait else None
            with closing(
                opened_engine(
                    log,
                    target,
                    paced or transport,
                    engine=engine,
                    signer=known_key(store.folder),
                    progress=progress,
                )
            ) as made:
                counts = made.round()
                error = counts.error
            if paced and paced.has_given_way:
                return None
    except ThenceError as failure:
        error = failure
    return recorded(log, counts, error, is_background=wait is not None, end=end)


def recorded(
    log: Log,
    counts: RoundResult | None,
    error: ThenceError | None,
    *,
    is_background: bool,
    end: tuple[int, int] | None = None,
) -> RoundOutcome:
    """Stores the record of a round beside the log, and returns it.

    `end` is the segment, by its inode, and its size as the round began.
    """
    before = read_status(log.folder)
    status = _status(before, counts, error, is_background=is_background)
    mark = before.mark if before else None
    if counts is not None and end is not None:
        mark = SyncedMark(*end, taken=counts.taken, left=counts.left)
        if counts.taken_back and (now_end := _end_of(log)):  # segments were rewritten
            mark = SyncedMark(*now_end, taken=0, left=counts.left)
    status = msgspec.structs.replace(status, mark=mark)
    write_status(log.folder, status)
    return RoundOutcome(status, error)


def _end_of(log: Log) -> tuple[int, int] | None:
    with suppress(DiskError):
        found = OS_DISK.path_id(str(current_path(log.folder)))
        return (found[0][1], found[1]) if found else (0, 0)
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


def _status(
    before: RoundStatus | None,
    counts: RoundResult | None,
    error: ThenceError | None,
    *,
    is_background: bool,
) -> RoundStatus:
    at = now()
    is_complete = counts is not None and counts.is_complete and error is None
    has_failed = error is not None or counts is None or counts.left > 0
    failures = (before.failures if before else 0) + 1 if has_failed else 0
    found = RoundStatus(
        at,
        failures=failures,
        error_code=error.code if error else "",
        error_text=str(error) if error else "",
        connection=_connection(error, failures, is_background=is_background),
        succeeded_at=at if is_complete else before.succeeded_at if before else "",
        is_background=is_background,
    )
    if counts is None:
        return found
    return msgspec.structs.replace(
        found,
        taken=counts.taken,
        delivered=counts.delivered,
        duplicate=counts.duplicate,
        rejected=counts.rejected,
        left=counts.left,
        parked=counts.parked,
        taken_back=counts.taken_back,
    )


def _connection(error: ThenceError | None, failures: int, *, is_background: bool) -> str:
    """Returns the word for the connection after a round."""
    if isinstance(error, (ServerUnreachable, ServerBusy, BadAnswer)):
        is_trying = is_background and failures <= RECONNECT_FAILURES_MAX
        return RECONNECTING if is_trying else OFFLINE_BATCH_MODE
    if isinstance(error, (NotLoggedIn, SyncRefused, CursorUnknown)):
        return OFFLINE
    return CONNECTED if error is None else OFFLINE_BATCH_MODE


class PacedTransport:
    """A background service's transport: it pauses between batches, and gives way.

    `wait` pauses for some seconds and returns True once the service is stopped. A round also ends
    when another process holds `queue`, to have its turn.
    """

    def __init__(self, transport: Transport, wait: Callable[[float], bool], queue: Path) -> None:
        self._transport = transport
        self._wait = wait
        self._queue = queue
        self._has_sent = False
        self.has_given_way = False

    def page(self, after: str) -> TakenPage:
        """Returns the lines behind a cursor."""
        self._pause(0.0)
        return self._transport.page(after)

    def blocks(self, request: BlocksRequest) -> BlocksAnswer:
        """Returns the blocks that differ on the server."""
        self._pause(0.0)
        return self._transport.blocks(request)

    def batch(
        self, lines: Sequence[bytes], digests: Sequence[bytes] = (), signer: Signer | None = None
    ) -> Sequence[EventVerdict]:
        """Brings lines to the server, some seconds after the batch before."""
        self._pause(BATCH_PAUSE_S if self._has_sent else 0.0)
        self._has_sent = True
        return self._transport.batch(lines, digests, signer)

    def lines(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those lines that the server holds of these digests."""
        self._pause(0.0)
        return self._transport.lines(digests)

    def signed(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those of some digests whose lines the owners of their nodes pushed."""
        self._pause(0.0)
        return self._transport.signed(digests)

    def keys(self) -> TeamKeys:
        """Returns the keys of the team."""
        self._pause(0.0)
        return self._transport.keys()

    def claim(self, public_key: str, nodes: Sequence[str]) -> TeamKeys:
        """Claims nodes for a key."""
        self._pause(0.0)
        return self._transport.claim(public_key, nodes)

    def _pause(self, pause_s: float) -> None:
        """Pauses; raises SyncError if the round is to end."""
        if self._wait(pause_s) or is_locked(self._queue):
            self.has_given_way = True
            raise SyncError(
                "could not go on with the round",
                cause="the service was stopped, or another process waits for its turn",
                hint="the next round goes on",
            )
