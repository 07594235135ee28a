"""The state of a log's sync, as it can be seen without the network or by asking the server."""

from collections.abc import Sequence
from contextlib import closing

import msgspec

from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.digests import digests, same_event_key
from thence.core.wire.blocks import BlockDigest, Place, by_node, place_of
from thence.core.wire.messages import BlockPlace, BlocksRequest
from thence.errors import BadAnswer, InvalidEvent, NotLoggedIn
from thence.inspection.writers import next_node_id
from thence.log.read.reader import raw_lines
from thence.log.storage.disk import OS_DISK
from thence.replica import Log
from thence.signing import known_key
from thence.sync.client import SyncClient, client_to
from thence.sync.credentials import CredentialStore, Login
from thence.sync.engine import SyncEngine
from thence.sync.parked_lines import ParkedLine
from thence.sync.rounds import EngineFactory, is_service_running, opened_engine
from thence.sync.target import (
    OFFLINE,
    RoundStatus,
    SyncTarget,
    connection_state,
    enabled_target,
    read_status,
    read_target,
)

LOGIN_VALID = "valid"
LOGIN_ENDED = "ended"
LOGIN_MISSING = "missing"
_ANSWERS_MAX = 10_000


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
    last: RoundStatus | None
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


def blocks_that_differ(log: Log, store: CredentialStore) -> int:
    """Asks the server how many blocks of at most 1,024 lines differ; raises what a round does."""
    target = enabled_target(log.folder)
    count, after = 0, None
    request = BlocksRequest(by_node(_blocks(log)))
    with closing(client_to(target, store)) as client:
        for _ in range(_ANSWERS_MAX):
            answer = client.blocks(msgspec.structs.replace(request, after=after))
            count += len(answer.differing)
            if answer.next is None:
                return count
            if after is not None and _place(answer.next) <= _place(after):
                break
            after = answer.next
    raise BadAnswer(
        "could not compare with",
        place=target.server,
        cause="the pages of differing blocks do not end",
        hint="check the address: another program answers there",
    )


def _blocks(log: Log) -> dict[Place, BlockDigest]:
    """Returns the blocks of all lines of a log, each distinct line once."""
    counted: set[bytes] = set()
    blocks: dict[Place, BlockDigest] = {}
    for _, line, is_whole in raw_lines(OS_DISK, log.folder):
        event = parse(line, log.vocabulary) if is_whole else None
        digest = _digest(event) if isinstance(event, Event) else None
        if digest is None or digest in counted or not isinstance(event, Event):
            continue
        counted.add(digest)
        place = place_of(event.node_id, 0 if event.is_foreign else event.seq, digest)
        blocks[place] = blocks.get(place, BlockDigest()).plus(digest)
    return blocks


def _digest(event: Event) -> bytes | None:
    try:
        return same_event_key(event) if event.is_foreign else digests(event.line).line
    except InvalidEvent:
        return None


def _place(block: BlockPlace) -> Place:
    return Place(block.node, block.block)


def _login(target: SyncTarget | None, store: CredentialStore) -> str:
    if target is None:
        return LOGIN_VALID if store.logins() else LOGIN_MISSING
    try:
        login = store.login(target.server, target.user)
    except NotLoggedIn:
        return LOGIN_MISSING
    return LOGIN_ENDED if login.has_ended else LOGIN_VALID
