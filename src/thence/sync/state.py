"""The state of a log's sync, as it can be seen without the network or by asking the server."""

from collections.abc import Sequence
from contextlib import closing, suppress

import msgspec

from thence.core.values.codec import BadLine, parse
from thence.core.wire.messages import PAGE_EVENTS_MAX
from thence.errors import InvalidEvent, NotLoggedIn
from thence.inspection.writers import next_node_id
from thence.log.read.reader import raw_lines
from thence.log.storage.disk import OS_DISK
from thence.replica import Log
from thence.signing import known_key
from thence.sync.client import SyncClient, client_to
from thence.sync.credentials import CredentialStore, Login
from thence.sync.engine import SyncEngine
from thence.sync.outbox import ParkedLine, digest_of
from thence.sync.rounds import EngineFactory, is_service_running, opened_engine
from thence.sync.target import (
    OFFLINE,
    SyncReport,
    SyncTarget,
    connection_state,
    enabled_target,
    read_status,
    read_target,
)

LOGIN_VALID = "valid"
LOGIN_ENDED = "ended"
LOGIN_MISSING = "missing"


class SyncState(msgspec.Struct, frozen=True):
    """The state of a log's sync.

    `pending` is the number of lines that the server is not known to hold, None without a target.
    `login` is "valid" as far as is known here, "ended" or "missing". `public_key` is that of this
    user's machine, "" without one; `node_id` that under which the log is written.
    """

    target: SyncTarget | None
    login: str
    connection: str
    pending: int | None
    parked: int
    failures: int
    is_service_running: bool
    last: SyncReport | None
    public_key: str = ""
    node_id: str | None = None


def sync_state(
    log: Log, store: CredentialStore, *, engine: EngineFactory = SyncEngine
) -> SyncState:
    """Returns the state of a log's sync, without the network; raises ReadFailed, SyncError."""
    target, last = read_target(log.folder), read_status(log.folder)
    is_running = is_service_running(log)
    pending: int | None = None
    parked: Sequence[ParkedLine] = ()
    if target is not None:
        with closing(engine_offline(log, engine=engine)) as offline:
            pending, parked = offline.pending(), offline.parked()
    login = _login(target, store)
    connection = OFFLINE
    if target is not None and target.is_enabled and login == LOGIN_VALID:
        connection = connection_state(log.folder, last, is_service_running=is_running)
    failures = last.failures if last else 0
    key = known_key(store.folder)
    return SyncState(
        target,
        login,
        connection,
        pending,
        len(parked),
        failures,
        is_running,
        last,
        key.public_key if key else "",
        next_node_id(log.folder),
    )


def engine_offline(log: Log, *, engine: EngineFactory = SyncEngine) -> SyncEngine:
    """Returns the engine of a log that is asked nothing of the server. Close it.

    Raises SyncRefused for a log without a target.
    """
    target = read_target(log.folder) or enabled_target(log.folder)
    nobody = Login(target.server, target.user, "", "")
    return opened_engine(log, target, SyncClient(target, nobody), engine=engine)


class Differences(msgspec.Struct, frozen=True):
    """How many lines of a log its server lacks, and how many more lines it has than that."""

    missing_there: int
    missing_here: int

    def __bool__(self) -> bool:
        return bool(self.missing_there or self.missing_here)


def differences(log: Log, store: CredentialStore) -> Differences:
    """Asks the server about each line of the log; raises what a round does.

    Lines that are brought or taken meanwhile may be counted.
    """
    own = sorted(_digests(log))
    lacking = count = 0
    with closing(client_to(enabled_target(log.folder), store)) as client:
        for at in range(0, len(own) or 1, PAGE_EVENTS_MAX):
            missing = client.missing(own[at : at + PAGE_EVENTS_MAX])
            lacking += len(missing.digests)
            count = missing.count
    return Differences(lacking, max(0, count - len(own) + lacking))


def _digests(log: Log) -> set[bytes]:
    """Returns the digests of all lines of a log that a server may take."""
    own: set[bytes] = set()
    for _, line, is_whole in raw_lines(OS_DISK, log.folder):
        event = parse(line, log.vocabulary) if is_whole else None
        if event is not None and not isinstance(event, BadLine):
            with suppress(InvalidEvent):
                own.add(digest_of(event))
    return own


def _login(target: SyncTarget | None, store: CredentialStore) -> str:
    if target is None:
        return LOGIN_VALID if store.logins() else LOGIN_MISSING
    try:
        login = store.login(target.server, target.user)
    except NotLoggedIn:
        return LOGIN_MISSING
    return LOGIN_ENDED if login.has_ended else LOGIN_VALID
