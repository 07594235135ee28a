"""The commands `sync now`, `sync status` and `sync parked`, and the log that they sync."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thence.cli import FAILED
from thence.cli.frame import PATH, help_with, output_options, require_packages
from thence.cli.output import Output, current
from thence.cli.shared.locate import find_log, named_log, places
from thence.cli.shared.logs import take_in_hooks
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.errors import LogBusy, NotALog, NotLoggedIn, SuppressCodes, SyncRefused, ThenceError
from thence.git.git import Git
from thence.log.open import Log, open_log
from thence.sync.target import TARGET, read_target, sync_folder, team_of

if TYPE_CHECKING:
    from thence.sync.credentials import CredentialStore
    from thence.sync.target import SyncReport, SyncTarget
    from thence.work.project.project import Project

_WAIT_S = 60.0
_ROUNDS_MAX = 5
_NAMED_MAX = 20

# the counts of a round
ROUND_COUNTS = ("pulled", "pushed", "duplicate", "rejected", "redacted")

synced_log_option = click.option(
    "--log",
    "log_name",
    type=PATH,
    metavar="LOG",
    help="The log: its folder, one of its files, or a run's id. Default: THENCE_LOG, or the one"
    " that `thence log` shows; all but enable prefer the first for which sync was enabled.",
)


def find_synced(
    out: Output, log_name: str | None, *, create: bool = False
) -> "tuple[Path, Project | None]":
    """Returns the folder of the log, and the project whose board goes over a git remote, if any.

    Without a name it is the first of this folder's logs that sync was enabled for, then the journal
    of this folder's project, then the log that `thence log` shows. With `create` a clone without a
    log is a project that lacks its board so far. Raises NotALog, PlanningError.
    """
    if named_log(out, log_name) is not None:
        folder = find_log(out, log_name)
        return folder, project_of(folder)
    for number, place in enumerate(places(out)):
        if (sync_folder(place.folder) / TARGET).is_file():
            if number or place.is_noted:
                place.note(out)
            return place.folder, project_at(Path())
    if (project := project_at(Path())) is not None:
        return project.home, project
    try:
        return find_log(out, None), None
    except NotALog:
        has_remote = create and Git(Path()).ask("remote").out
        project = project_at(Path(), create=True) if has_remote else None
        if project is None:
            raise
        return project.home, project


def check_packages() -> None:
    """Raises ExtraMissing if the package is missing that speaks HTTP."""
    require_packages("could not speak to a server", "sync", "httpcore2")


@click.command("now", **help_with("thence sync now"))
@synced_log_option
@output_options
def now_command(log_name: str | None) -> None:
    """Push the events that others lack, and pull theirs: over a git remote, a server, or both.

    In a project with a git remote and no server, the first sync makes the board shared, on the
    branch thence-board, which nothing else uses. Exit code 0: both sides hold everything; 1:
    something is not synced. If another process syncs the log, the command waits for its turn.
    """
    out = current()
    folder, project = find_synced(out, log_name, create=True)
    is_enabled = team_of(folder) is not None
    counts = dict.fromkeys(ROUND_COUNTS, 0)
    place: dict[str, str | None] = {}
    lines: list[str] = []
    failure: ThenceError | None = None
    with ExitStack() as stack:
        if project is not None:
            from thence.work.session.sharing import turn

            stack.enter_context(turn(project))
            try:
                place = _exchange(out, project, counts, lines, may_begin=not is_enabled)
            except ThenceError as error:
                failure = error
        if project is None or is_enabled:
            check_packages()
            take_in_hooks(folder)
            with open_log(folder, create=False) as log:
                try:
                    moved = drained(out, log)
                finally:  # also after a round that failed once it had redacted; the sync stands
                    unwritten: Sequence[str] = ()
                    try:
                        if (holder := project_of(folder)) is not None:
                            from thence.work.journal.redacted_views import is_redacted, redact_files

                            if not is_redacted(holder):
                                unwritten = redact_files(holder, log).unwritten
                    except (OSError, ThenceError) as error:
                        unwritten = [str(error)]
                    for reason in unwritten:
                        again = "redacted text stays until the next `thence sync now`"
                        out.notice(f"note: {again}: {reason}")
            for name, count in moved.items():
                counts[name] += count
            lines.append(f"pulled {moved['pulled']:,}, pushed {moved['pushed']:,}")
            if moved["pulled"] and place and project is not None and failure is None:
                _exchange(out, project, counts, lines, may_begin=False)
    if failure is not None:
        raise failure
    notes = {
        "duplicate": "were there already",
        "redacted": "were redacted: they no longer say anything",
    }
    said = [f"{counts[name]:,} {words}" for name, words in notes.items() if counts[name]]
    out.result({**counts, **place}, lines, said)


def _exchange(
    out: Output, project: "Project", counts: dict[str, int], lines: list[str], *, may_begin: bool
) -> dict[str, str | None]:
    """Exchanges a board over its git remote, if it is shared there or `may_begin` to be.

    Adds to the counts and the lines, and returns the place.
    """
    from thence.work.session import sharing
    from thence.work.session.session import Session

    with Session(project.here) as session:
        if not may_begin and not sharing.is_on_remote(session):
            return {}
        session.refresh()
        is_new = not sharing.is_on_remote(session)
        remote = sharing.remote_of(session)
        sharing.set_private(project, is_private=False)
        result = sharing.exchange(session, remote)
        counts["pushed"] += result.pushed
        counts["pulled"] += session.events_received
        counts["redacted"] += result.redacted
        for note in session.warnings:
            out.notice(f"note: {note}")
        name = f"{remote.remote}/{remote.branch}"
        lines.append(f"pulled {session.events_received:,}, pushed {result.pushed:,}: {name}")
        if is_new and (result.commit or sharing.is_on_remote(session)):
            out.notice(f"the board is now shared on {name}; thence sync disable stops that")
    return {"remote": remote.remote, "branch": remote.branch, "commit": result.commit}


def project_of(folder: Path) -> "Project | None":
    """Returns the project whose journal is in a folder.

    It is the one of this folder, or the one in whose git folder the journal lies.
    """
    from thence.work.project.project_id import is_id

    if not is_id(folder.name):
        return None
    above = folder.absolute().parents  # REPOSITORY/.git/thence/ID
    for place in (Path(), *above[2:3]):
        project = project_at(place)
        if project is not None and project.home.is_dir() and project.home.samefile(folder):
            return project
    return None


def project_at(place: Path, *, create: bool = False) -> "Project | None":
    """Returns the project that a folder belongs to; with `create` a repository becomes one."""
    from thence.work.project.project import find_project

    with SuppressCodes("not_a_project", "git_failed"):
        project = find_project(place, create=create)
        return project if project.uuid else None
    return None


def drained(out: Output, log: Log) -> dict[str, int]:
    """Runs rounds while they move anything; raises the error that ended one, or `sync_error`."""
    from thence.sync.credentials import CredentialStore
    from thence.sync.engine import run_round
    from thence.sync.target import RESTORED

    store = CredentialStore()
    out.resumption = "thence sync now"
    sums = dict.fromkeys(ROUND_COUNTS, 0)
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
            for name in ROUND_COUNTS:
                sums[name] += getattr(report, name)
            is_restored = is_restored or report.is_restored
            has_moved = report.pulled or report.pushed
            if not rounds_left or report.error or report.is_complete or not has_moved:
                break
    if is_restored:
        out.notice(f"note: {RESTORED}")
    assert report is not None
    if report.error is not None:
        raise report.error
    if not report.is_complete:
        raise SyncRefused(
            "could not sync all of",
            place=log.folder,
            cause=f"{report.left:,} are not synced yet, {report.parked:,} are parked",
            hint="see why: thence sync parked" if report.parked else "try again: thence sync now",
            code="sync_error",
        )
    return sums


@click.command("status", **help_with("thence sync status", "thence sync status --check"))
@synced_log_option
@click.option(
    "--check", "is_checked", is_flag=True, help="Ask the server; exit 1 if anything differs."
)
@output_options
def status_command(log_name: str | None, is_checked: bool) -> int:
    """Show the queue, the connection and the last sync of any process.

    Without --check no network is used.
    """
    out = current()
    folder, project = find_synced(out, log_name)
    target = read_target(folder)
    fields: dict[str, object] = {}
    lines: list[str] = []
    is_in_sync = True
    if project is not None:
        from thence.work.session import sharing
        from thence.work.session.session import Session

        with Session(project.here, create=False) as session:
            session.refresh()
            board = sharing.state_of(session, is_checked=is_checked)
        fields["board"] = {**board._asdict(), "last": _as_json(board.last)}
        is_in_sync = not board.differs and (target is not None or board.is_shared)
        if target is None or board.is_shared:
            lines.append(f"board       {board.place or 'no git remote: git remote add NAME URL'}")
            if board.is_shared:
                lines.append(f"unshared    {counted(board.unshared, 'event')}")
            elif board.place:
                lines.append("unshared    all: not shared yet: thence sync now")
            lines += _last_lines(board.last)
            if board.differs is not None:
                words = "not the same as here: thence sync now"
                lines.append(f"remote      {words if board.differs else 'the same as here'}")
    if project is None or target is not None:
        check_packages()
        from thence.sync.credentials import CredentialStore

        store = CredentialStore()
        take_in_hooks(folder)
        with open_log(folder, create=False) as log:
            state = _state(log, target, store)
            if is_checked:
                there, here = _missing(log, store)
                state |= {"missing_there": there, "missing_here": here}
                is_in_sync = is_in_sync and not (there or here or state["parked"])
        fields |= state
        lines += _lines(state, target, folder)
    if is_checked:
        fields["is_in_sync"] = is_in_sync
    out.result(fields, lines)
    return FAILED if is_checked and not is_in_sync else 0


def _as_json(last: "SyncReport | None") -> dict[str, object] | None:
    import msgspec

    fields = msgspec.structs.asdict(last) if last else {}
    fields.pop("error", None)
    return fields or None


def _state(log: Log, target: "SyncTarget | None", store: "CredentialStore") -> dict[str, Any]:
    """Returns the state of a log's sync as it can be seen without the network, under its names.

    `pending` is the number of lines that the server is not known to hold, None without a target.
    `login` is "valid" as far as is known here, "ended" or "missing". `node_id` is that under which
    the log is written. `redactions` are ids of events whose redactions wait for their authors, or
    for an admin. Raises `read_failed`, SyncRefused.
    """
    from thence.log.recovery.writers import next_node_id
    from thence.sync.outbox import outbox_of
    from thence.sync.redactions import left_to_others
    from thence.sync.target import OFFLINE, connection_state, is_service_running, read_status

    last, is_running = read_status(log.folder), is_service_running(log.folder)
    state: dict[str, Any] = {
        "is_enabled": target is not None and target.is_enabled,
        "target": target,
        "login": "valid" if target is None and store.logins() else "missing",
        "connection": OFFLINE,
        "pending": None,
        "parked": 0,
        "failures": last.failures if last else 0,
        "background": "running" if is_running else "stopped",
        "last": _as_json(last),
        "node_id": next_node_id(log.folder),
        "redactions": (),
    }
    if target is not None:
        with closing(outbox_of(log.folder, log.vocabulary)) as outbox:
            state |= {"pending": outbox.pending(), "parked": outbox.parked_count()}
            state["redactions"] = left_to_others(log, outbox)
        with suppress(NotLoggedIn):
            has_ended = store.login(target.server, target.user).has_ended
            state["login"] = "ended" if has_ended else "valid"
        if target.is_enabled and state["login"] == "valid":
            word = connection_state(log.folder, last, is_service_running=is_running)
            state["connection"] = word
    return state


def _missing(log: Log, store: "CredentialStore") -> tuple[int, int]:
    """Returns how many lines of a log its server lacks, and how many more it has than that.

    It is asked about each line; pruned ones don't count, nor such as other logins are to push.
    Lines that are pushed or pulled meanwhile may be counted. Raises what a round does.
    """
    from thence.sync.client import client_to
    from thence.sync.outbox import outbox_of
    from thence.sync.target import enabled_target
    from thence.sync.wire.messages import PAGE_EVENTS_MAX

    with closing(outbox_of(log.folder, log.vocabulary)) as outbox:
        keys = outbox.keys()
        leaving = {one.key.digest.hex() for one in outbox.left()}
    own = sorted({key.digest for key in keys})
    pruned = log.pruned()
    numbers = sum(last - first + 1 for own in pruned.numbers.values() for first, last in own)
    gone = numbers - sum(pruned.holds(key.node, key.seq) for key in keys)
    lacking: set[str] = set()
    count = 0
    with closing(client_to(enabled_target(log.folder), store)) as client:
        for at in range(0, len(own) or 1, PAGE_EVENTS_MAX):
            missing = client.missing(own[at : at + PAGE_EVENTS_MAX])
            lacking.update(missing.digests)
            count = missing.count
    return len(lacking - leaving), max(0, count - (len(own) - len(lacking)) - gone)


def _last_lines(last: "SyncReport | None") -> Iterator[str]:
    if last is None:
        yield "last sync   never"
        return
    by_service = " by the background service" if last.is_background else ""
    yield f"last sync   {last.at}{by_service}: pulled {last.pulled:,}, pushed {last.pushed:,}"
    if last.error_text:
        yield f"failed      {counted(last.failures, 'time')} in a row: {last.error_text}"


def _lines(state: Mapping[str, Any], target: "SyncTarget | None", folder: Path) -> Iterator[str]:
    from thence.sync.target import read_status

    if target is None:
        yield "target      none: thence sync enable"
    else:
        yield f"target      {target.place}{'' if target.is_enabled else ' (turned off)'}"
        yield f"log         {target.log}"
        yield f"node        {state['node_id'] or 'none yet'}"
    yield f"login       {state['login']}"
    yield f"connection  {state['connection']}"
    if state["pending"] is not None:
        yield f"queue       {counted(state['pending'], 'event')}"
    yield f"parked      {counted(state['parked'], 'event')}"
    for event_id in state["redactions"][:_NAMED_MAX]:
        yield f"redaction   of {event_id} waits for its author or an admin: thence redact"
    if (more := len(state["redactions"]) - _NAMED_MAX) > 0:
        yield f"redaction   and of {more:,} more; see --json"
    yield from _last_lines(read_status(folder))
    is_running = state["background"] == "running"
    yield f"background  {'a service is running' if is_running else 'no service is running'}"
    if "missing_there" in state:
        counts = state["missing_there"], state["missing_here"]
        far, near = (counted(count, "line") for count in counts)
        differs = f"{far} missing there, {near} missing here"
        yield f"server      {differs if any(counts) else 'the same as here'}"


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
    from thence.sync.outbox import outbox_of

    out = current()
    count = 0
    folder, _ = find_synced(out, log_name)
    take_in_hooks(folder)
    with (
        open_log(folder, create=False) as log,
        closing(outbox_of(folder, log.vocabulary)) as outbox,
    ):
        if event_id is not None:
            count = outbox.let_out(event_id)
            if not count:
                raise SyncRefused(
                    "could not send",
                    place=event_id,
                    cause="no event with this id is parked for a secret",
                    hint="see what is parked: thence sync parked",
                )
        elif action:
            count = outbox.retry()
        parked = outbox.parked()
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
