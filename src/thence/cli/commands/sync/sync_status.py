"""The command `sync status`: shows the state of a log's sync."""

from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli import FAILED
from thence.cli.commands.sync.synced_log import (
    ROUND_COUNTS,
    check_packages,
    opened_synced_log,
    synced_log_option,
)
from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.shared.render import counted
from thence.errors import InvalidEvent, NotLoggedIn
from thence.log.open import OS_DISK, Log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thence.sync.credentials import CredentialStore
    from thence.sync.outbox import LineKey
    from thence.sync.target import SyncReport, SyncTarget


VALUES_NAMED_MAX = 20


class SyncState(NamedTuple):
    """The state of a log's sync, as it can be seen without the network, under its names in JSON.

    `pending` is the number of lines that the server is not known to hold, None without a target.
    `login` is "valid" as far as is known here, "ended" or "missing". `public_key` is that of this
    user's machine, `node_id` that under which the log is written.
    """

    is_enabled: bool
    target: "SyncTarget | None"
    login: str
    connection: str
    pending: int | None
    parked: int
    failures: int
    background: str
    last: "SyncReport | None"
    public_key: str | None
    node_id: str | None


class Differences(NamedTuple):
    """How many lines of a log its server lacks, and how many more lines it has than that.

    Pruned lines don't count. `values_lost` names the large values that neither has any more, by
    event id and SHA-256; `values_pushed` were lost there and were pushed again.
    """

    missing_there: int
    missing_here: int
    values_lost: "Sequence[tuple[str, str]]"
    values_pushed: int

    @property
    def lines(self) -> int:
        """How many lines differ."""
        return self.missing_there + self.missing_here


@click.command("status", **help_with("thence sync status", "thence sync status --check"))
@synced_log_option
@click.option(
    "--check", "is_checked", is_flag=True, help="Ask the server; exit 1 if anything differs."
)
@output_options
def status_command(log_name: str | None, is_checked: bool) -> int:
    """Show the queue, the connection and the last sync of any process.

    Without --check no network is used. With it, a large value that the server has lost is pushed
    again if this log has it.
    """
    check_packages()
    from thence.sync.credentials import CredentialStore

    out, store = current(), CredentialStore()
    differing: Differences | None = None
    with opened_synced_log(out, log_name) as log:
        state = _state(log, store)
        if is_checked:
            differing = _differences(log, store)
    fields: dict[str, object] = {**state._asdict(), "last": _last_as_json(state.last)}
    if differing is not None:
        is_in_sync = not differing.lines and not differing.values_lost and not state.parked
        fields |= {"is_in_sync": is_in_sync, **differing._asdict()}
    out.result(fields, list(_lines(state, differing)))
    return 0 if fields.get("is_in_sync", True) else FAILED


def _state(log: Log, store: "CredentialStore") -> SyncState:
    """Returns the state of a log's sync; raises `read_failed`, SyncRefused."""
    from thence.log.recovery.writers import next_node_id
    from thence.sync.rounds import engine_offline
    from thence.sync.target import (
        OFFLINE,
        connection_state,
        is_service_running,
        read_status,
        read_target,
    )
    from thence.sync.wire.signing import known_key

    target, last = read_target(log.folder), read_status(log.folder)
    is_running = is_service_running(log.folder)
    pending, parked = None, 0
    if target is not None:
        with closing(engine_offline(log)) as engine:
            pending, parked = engine.pending(), len(engine.parked())
    login, connection = _login(target, store), OFFLINE
    is_enabled = target is not None and target.is_enabled
    if is_enabled and login == "valid":
        connection = connection_state(log.folder, last, is_service_running=is_running)
    key = known_key(store.folder)
    return SyncState(
        is_enabled,
        target,
        login,
        connection,
        pending,
        parked,
        last.failures if last else 0,
        "running" if is_running else "stopped",
        last,
        key.public_key if key else None,
        next_node_id(log.folder),
    )


def _login(target: "SyncTarget | None", store: "CredentialStore") -> str:
    if target is None:
        return "valid" if store.logins() else "missing"
    try:
        login = store.login(target.server, target.user)
    except NotLoggedIn:
        return "missing"
    return "ended" if login.has_ended else "valid"


def _differences(log: Log, store: "CredentialStore") -> Differences:
    """Asks the server about each line of the log; raises what a round does.

    Lines that are brought or taken meanwhile may be counted.
    """
    from thence.sync.client import client_to
    from thence.sync.large_values import lost_values
    from thence.sync.target import enabled_target
    from thence.sync.wire.messages import PAGE_EVENTS_MAX

    keys = set(_keys(log))
    own = sorted({key.digest for key in keys})
    lacking = count = 0
    pruned = log.pruned()
    numbers = sum(last - first + 1 for own in pruned.numbers.values() for first, last in own)
    gone = numbers - sum(pruned.holds(key.node, key.seq) for key in keys)
    with closing(client_to(enabled_target(log.folder), store)) as client:
        for at in range(0, len(own) or 1, PAGE_EVENTS_MAX):
            missing = client.missing(own[at : at + PAGE_EVENTS_MAX])
            lacking += len(missing.digests)
            count = missing.count
        values = lost_values(log, client)
    return Differences(lacking, max(0, count - len(own) + lacking - gone), *values)


def _keys(log: Log) -> "Iterator[LineKey]":
    """Yields the keys of all lines of a log that a server may take."""
    from thence.core.codec import BadLine, parse
    from thence.log.read.reader import raw_lines
    from thence.sync.outbox import key_of

    for _, line, is_whole in raw_lines(OS_DISK, log.folder):
        event = parse(line, log.vocabulary) if is_whole else None
        if event is not None and not isinstance(event, BadLine):
            with suppress(InvalidEvent):
                yield key_of(event)


def _last_as_json(last: "SyncReport | None") -> dict[str, object] | None:
    import msgspec

    members = msgspec.structs.asdict(last).items() if last else ()
    return {
        ROUND_COUNTS.get(name, name): value for name, value in members if name != "error"
    } or None


def _lines(state: SyncState, differing: Differences | None) -> "Iterator[str]":
    from thence.sync.target import connection_words

    target, last, is_running = state.target, state.last, state.background == "running"
    if target is None:
        yield "target      none: thence sync enable"
    else:
        yield f"target      {target.place}{'' if target.is_enabled else ' (turned off)'}"
        yield f"log         {target.log}"
    if state.public_key:
        yield f"key         {state.public_key}"
        yield f"node        {state.node_id or 'none yet'}"
    yield f"login       {state.login}"
    yield f"connection  {connection_words(state.connection, is_service_running=is_running)}"
    if state.pending is not None:
        yield f"queue       {counted(state.pending, 'event')}"
    yield f"parked      {counted(state.parked, 'event')}"
    if last is None:
        yield "last sync   never"
    else:
        by_service = " by the background service" if last.is_background else ""
        moved = f"pulled {last.taken:,}, pushed {last.delivered:,}"
        yield f"last sync   {last.at}{by_service}: {moved}"
        if last.error_text:
            yield f"failed      {counted(last.failures, 'time')} in a row: {last.error_text}"
    yield f"background  {'a service runs' if is_running else 'no service runs'}"
    if differing is not None:
        far, near = (counted(count, "line") for count in differing[:2])
        text = (
            f"{far} missing there, {near} missing here" if differing.lines else "the same as here"
        )
        yield f"server      {text}"
        if differing.values_pushed:
            values = counted(differing.values_pushed, "large value")
            yield f"values      {values} lost there, pushed again"
        for event_id, digest in differing.values_lost[:VALUES_NAMED_MAX]:
            yield f"values      {digest[:16]} of event {event_id} is lost there, and not here whole"
        if (rest := len(differing.values_lost) - VALUES_NAMED_MAX) > 0:
            yield f"values      and {rest:,} more; see --json"
