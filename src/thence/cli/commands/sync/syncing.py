"""The commands `sync now`, `sync status` and `sync parked`, and the log that they sync."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli import FAILED
from thence.cli.frame import checked_name, help_with, output_options, require_packages
from thence.cli.output import Output, current
from thence.cli.shared.locate import find_log, named_log, places
from thence.cli.shared.logs import take_in_hooks
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.errors import (
    InvalidEvent,
    LogBusy,
    NotLoggedIn,
    SuppressCodes,
    SyncRefused,
    ThenceError,
)
from thence.log.open import OS_DISK, Log, open_log

if TYPE_CHECKING:
    from thence.sync.credentials import CredentialStore
    from thence.sync.target import SyncReport, SyncTarget
    from thence.work.project.project import Project

_WAIT_S = 60.0
_ROUNDS_MAX = 5
NAMED_MAX = 20

# the counts of a round, and their names in `--json`
ROUND_COUNTS = {
    "taken": "pulled",
    "delivered": "pushed",
    "duplicate": "duplicate",
    "rejected": "rejected",
    "taken_back": "redacted",
}

synced_log_option = click.option(
    "--log",
    "log_name",
    metavar="LOG",
    callback=checked_name,
    help="The log: its folder, one of its files, or a run's id. Default: THENCE_LOG, or the one"
    " that `thence log` shows; all but enable prefer the first for which sync was enabled.",
)


def find_synced_log(out: Output, log_name: str | None) -> Path:
    """Returns the folder of the log; raises NotALog, PlanningError.

    Without a name it is the first of this folder's logs that sync was enabled for, else the one
    that `thence log` shows.
    """
    if named_log(out, log_name) is None:
        from thence.sync.target import target_path

        for number, place in enumerate(places(out)):
            if target_path(place.folder).is_file():
                if number or place.is_noted:
                    place.note(out)
                return place.folder
    return find_log(out, log_name)


@contextmanager
def opened_synced_log(out: Output, log_name: str | None) -> Iterator[Log]:
    """Opens the log, with what hooks of agents left for it, and closes it."""
    folder = find_synced_log(out, log_name)
    take_in_hooks(folder)
    with open_log(folder, create=False) as log:
        yield log


def check_packages() -> None:
    """Raises ExtraMissing if the package is missing that speaks HTTP."""
    require_packages("could not speak to a server", "sync", "httpcore2")


@click.command("now", **help_with("thence sync now"))
@synced_log_option
@output_options
def now_command(log_name: str | None) -> None:
    """Push events that the server does not have, and pull those of others.

    Exit code 0: both sides hold everything; 1: something stayed behind. If another process syncs
    the log, the command waits for its turn. Redacted lines go from a project's day files too.
    """
    check_packages()
    out = current()
    with opened_synced_log(out, log_name) as log:
        try:
            counts = drained(out, log)
        finally:  # also after a round that failed once it had redacted; the sync stands
            try:
                unwritten = _redact_files(log)
            except (OSError, ThenceError) as error:
                unwritten = [str(error)]
            for reason in unwritten:
                out.notice(f"note: redacted text stays until the next `thence sync now`: {reason}")
    notes = {
        "duplicate": "were there already",
        "redacted": "were redacted: they say nothing any more",
    }
    out.result(
        counts,
        [f"pulled {counts['pulled']:,}, pushed {counts['pushed']:,}"],
        [f"{counts[name]:,} {words}" for name, words in notes.items() if counts[name]],
    )


def _redact_files(log: Log) -> Sequence[str]:
    """Removes what a project's files hold of redacted lines; returns those that stay.

    Raises OSError, GitFailed, and what reading the log raises.
    """
    project = project_of(log)
    if project is None:
        return ()
    from thence.work.journal.redacted_views import is_redacted, redact_files

    if is_redacted(project):
        return ()
    return redact_files(project, log).unwritten


def project_of(log: Log) -> "Project | None":
    """Returns the project whose journal a log is.

    It is the one of this folder, or the one in whose git folder the journal lies.
    """
    if log.vocabulary.name != "work":
        return None
    from thence.work.project.project import find_project

    above = log.folder.absolute().parents  # REPOSITORY/.git/thence/ID
    for folder in (Path(), *above[2:3]):
        with SuppressCodes("not_a_project", "git_failed"):
            project = find_project(folder, create=False)
            if project.home.is_dir() and project.home.samefile(log.folder):
                return project
    return None


def drained(out: Output, log: Log) -> dict[str, int]:
    """Runs rounds while they move anything; raises the error that ended one, or `sync_error`."""
    from thence.sync.credentials import CredentialStore
    from thence.sync.rounds import run_round
    from thence.sync.target import RESTORED

    store = CredentialStore()
    out.resumption = "thence sync now"
    sums = dict.fromkeys(ROUND_COUNTS.values(), 0)
    is_restored = False
    with bar(out, "lines pushed") as show:

        def progress(pulled: int, pushed: int, total: int) -> None:
            show(pushed, total, f"{pulled:,} pulled")

        for rounds_left in reversed(range(_ROUNDS_MAX)):
            report = run_round(log, store, wait_s=_WAIT_S, progress=progress)
            if report is None:
                raise LogBusy(
                    "could not sync",
                    place=log.folder,
                    cause=f"another process has synced it for {_WAIT_S:g} s",
                    hint="see what it does: thence sync status; then try again",
                )
            for name, key in ROUND_COUNTS.items():
                sums[key] += getattr(report, name)
            is_restored = is_restored or report.is_restored
            has_moved = report.taken or report.delivered
            if not rounds_left or report.error or report.is_complete or not has_moved:
                break
    for note in [*store.notes, *([RESTORED] if is_restored else [])]:
        out.notice(f"note: {note}")
    assert report is not None
    if report.error is not None:
        raise report.error
    if not report.is_complete:
        raise SyncRefused(
            "could not sync all of",
            place=log.folder,
            cause=f"{report.left:,} stayed behind without a verdict, {report.parked:,} are parked",
            hint="see why: thence sync parked" if report.parked else "try again: thence sync now",
            code="sync_error",
        )
    return sums


class SyncState(NamedTuple):
    """The state of a log's sync, as it can be seen without the network, under its names in JSON.

    `pending` is the number of lines that the server is not known to hold, None without a target.
    `login` is "valid" as far as is known here, "ended" or "missing". `node_id` is that under which
    the log is written. `redactions` are ids of events whose redactions wait for their authors, or
    for an admin.
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
    node_id: str | None
    redactions: Sequence[str]


class Differences(NamedTuple):
    """How many lines of a log its server lacks, and how many more lines it has than that.

    Pruned lines don't count, nor such as other logins are to bring. `values_lost` names the large
    values that neither has any more, by event id and SHA-256; `values_pushed` were lost there and
    were pushed again.
    """

    missing_there: int
    missing_here: int
    values_lost: Sequence[tuple[str, str]]
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
    import msgspec

    from thence.sync.credentials import CredentialStore

    out, store = current(), CredentialStore()
    differing: Differences | None = None
    with opened_synced_log(out, log_name) as log:
        state = _state(log, store)
        if is_checked:
            differing = _differences(log, store)
    members = msgspec.structs.asdict(state.last).items() if state.last else ()
    last = {ROUND_COUNTS.get(name, name): value for name, value in members if name != "error"}
    fields: dict[str, object] = {**state._asdict(), "last": last or None}
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

    target, last = read_target(log.folder), read_status(log.folder)
    is_running = is_service_running(log.folder)
    pending, parked = None, 0
    redactions: Sequence[str] = ()
    if target is not None:
        with closing(engine_offline(log)) as engine:
            pending, parked = engine.pending(), len(engine.parked())
            redactions = engine.left_to_others()
    login, connection = "missing", OFFLINE
    if target is None:
        login = "valid" if store.logins() else "missing"
    else:
        with suppress(NotLoggedIn):
            login = "ended" if store.login(target.server, target.user).has_ended else "valid"
    is_enabled = target is not None and target.is_enabled
    if is_enabled and login == "valid":
        connection = connection_state(log.folder, last, is_service_running=is_running)
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
        next_node_id(log.folder),
        redactions,
    )


def _differences(log: Log, store: "CredentialStore") -> Differences:
    """Asks the server about each line of the log; raises what a round does.

    Lines that are brought or taken meanwhile may be counted.
    """
    from thence.core.codec import BadLine
    from thence.log.read.reader import lines
    from thence.sync.client import client_to
    from thence.sync.large_values import lost_values
    from thence.sync.outbox import key_of
    from thence.sync.rounds import engine_offline
    from thence.sync.target import enabled_target
    from thence.sync.wire.messages import PAGE_EVENTS_MAX

    keys = set()
    for line in lines(OS_DISK, log.folder, log.vocabulary):
        if line.is_whole and not isinstance(line.content, BadLine):
            with suppress(InvalidEvent):  # a server takes no such line
                keys.add(key_of(line.content))
    own = sorted({key.digest for key in keys})
    lacking = count = left_count = 0
    with closing(engine_offline(log)) as engine:
        left = {digest.hex() for digest in engine.left()}
    pruned = log.pruned()
    numbers = sum(last - first + 1 for own in pruned.numbers.values() for first, last in own)
    gone = numbers - sum(pruned.holds(key.node, key.seq) for key in keys)
    with closing(client_to(enabled_target(log.folder), store)) as client:
        for at in range(0, len(own) or 1, PAGE_EVENTS_MAX):
            missing = client.missing(own[at : at + PAGE_EVENTS_MAX])
            lacking += len(missing.digests)
            left_count += len(left.intersection(missing.digests))
            count = missing.count
        values = lost_values(log, client)
    missing_here = max(0, count - len(own) + lacking - gone)
    return Differences(lacking - left_count, missing_here, *values)


def _lines(state: SyncState, differing: Differences | None) -> Iterator[str]:
    from thence.sync.target import connection_words

    target, last, is_running = state.target, state.last, state.background == "running"
    if target is None:
        yield "target      none: thence sync enable"
    else:
        yield f"target      {target.place}{'' if target.is_enabled else ' (turned off)'}"
        yield f"log         {target.log}"
        yield f"node        {state.node_id or 'none yet'}"
    yield f"login       {state.login}"
    yield f"connection  {connection_words(state.connection, is_service_running=is_running)}"
    if state.pending is not None:
        yield f"queue       {counted(state.pending, 'event')}"
    yield f"parked      {counted(state.parked, 'event')}"
    for event_id in state.redactions[:NAMED_MAX]:
        yield f"redaction   of {event_id} waits for who wrote it, or an admin: thence redact"
    if (more := len(state.redactions) - NAMED_MAX) > 0:
        yield f"redaction   and of {more:,} more; see --json"
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
        for event_id, digest in differing.values_lost[:NAMED_MAX]:
            yield f"values      {digest[:16]} of event {event_id} is lost there, and not here whole"
        if (rest := len(differing.values_lost) - NAMED_MAX) > 0:
            yield f"values      and {rest:,} more; see --json"


@click.command(
    "parked",
    **help_with(
        "thence sync parked",
        "thence sync parked retry",
        "thence sync parked send 01JQXW5D8GSCGYB15ZC3R10NTF",
    ),
)
@click.argument(
    "action",
    metavar="[retry | send EVENT_ID]",
    required=False,
    type=click.Choice(["retry", "send"]),
)
@click.argument("event_id", metavar="", required=False)
@synced_log_option
@output_options
def parked_command(action: str | None, event_id: str | None, log_name: str | None) -> None:
    """Show parked events with the reasons; `retry` tries them again.

    A parked push was refused by the server, or seems to hold a secret: then it was never sent, and
    `retry` skips it; `send EVENT_ID` has the next round send it as it is. A parked pull is an event
    that this log can't take.
    """
    check_packages()
    if (action == "send") != (event_id is not None):
        raise click.UsageError("name the event with `send` only")
    from thence.sync.rounds import engine_offline

    out = current()
    count = 0
    with (
        opened_synced_log(out, log_name) as log,
        closing(engine_offline(log)) as engine,
    ):
        if event_id is not None:
            count = engine.send_parked(event_id)
            if not count:
                raise SyncRefused(
                    "could not send",
                    place=event_id,
                    cause="no event with this id is parked for a secret",
                    hint="see what is parked: thence sync parked",
                )
        elif action:
            count = engine.retry_parked()
        parked = engine.parked()
    value = {"parked": [{**one._asdict(), "next": one.way_out} for one in parked]}
    if action:
        text = f"the next round tries {counted(count, 'event')} again"
        out.result({**value, "retried": count}, [text])
        return
    out.result(
        value,
        [f"{one.direction}  {one.event_id}  {one.reason}; {one.way_out}" for one in parked],
        () if parked else ["nothing is parked"],
    )
