"""The commands of `thence work` that record what is so of a package: gates, ticks, notes."""

from collections.abc import Sequence

import click

from thence.cli.commands.work.command_runner import feature_option, reason_option, session_command
from thence.cli.shared.completing import complete_package
from thence.core.new_event import Unchanged
from thence.errors import HeadsMoved, PlanningError, Refused
from thence.git.commits import FileEdit, write_files
from thence.log.open import new_id
from thence.work.board.move_request import GATE_STATUSES, GATE_TYPES, REVIEWS, gate_change
from thence.work.board.state import PASSED, FeatureState, GateState, PackageState
from thence.work.journal.store import WorkEvent
from thence.work.names import wp_id_of
from thence.work.plan.tasks import PlannedPackage, Subtask, parse, tick
from thence.work.project.configuration import gates_run, read_rules
from thence.work.session.lane_changes import (
    is_mirrored,
    mirror,
    package_of,
    refuse_agents,
)
from thence.work.session.session import ATTEMPTS_MAX, CommandResult, Session, moved_meanwhile
from thence.work.session.ticks import tick_event

_DECIDING = ("GateCreated", "GateResultChanged")


class _AnyCase(click.Choice[str]):
    """A choice of words in capitals that may be written in small letters."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Returns a word as it is compared and shown."""
        return str(choice).upper()


@click.argument("package", metavar="WP", shell_complete=complete_package)
@click.argument("gate_type", metavar="GATE", type=_AnyCase(GATE_TYPES, case_sensitive=False))
@click.argument("result", required=False, type=click.Choice(GATE_STATUSES))
@feature_option
@reason_option
def gate(
    session: Session,
    package: str,
    gate_type: str,
    result: str | None = None,
    *,
    feature: str | None = None,
    reason: str = "",
) -> CommandResult:
    """Set a gate before a package, or record its result.

    GATE is CI_CHECK, SECURITY_SCAN, MANUAL_REVIEW or ARCHITECTURE_REVIEW. A package is done only
    when each of its gates is passed.
    """
    if result is not None:
        place = f"{gate_type} of {package}"
        refuse_agents("could not set the gate", place, "set_by_an_agent", "sets a gate")
    # a result stated for a gate that the configuration runs is recorded, and does not pass it
    is_run = gate_type in gates_run(session.project)
    for _ in range(ATTEMPTS_MAX):
        session.refresh()
        state = session.feature(feature, package)
        gated = package_of(state, wp_id_of(package))
        place = f"{gate_type} of {state.slug}/{gated.wp_id}"
        is_review = result == PASSED and gate_type in REVIEWS
        is_own = is_review and session.store.actor == gated.agent
        if is_own and not read_rules(session.project).author_may_approve:
            raise Refused(
                "could not set the gate",
                guard="author_approves",
                place=place,
                cause=f"it is the work of {gated.agent}, and nobody here may approve their own",
                hint="have somebody else look at it",
            )
        present = next((one for one in gated.gates.values() if one.gate_type == gate_type), None)
        events, after = _new_events(
            state, gated, present, gate_type, result, reason, session.current_actor()
        )
        watched = {
            gated.subject,
            *(session.store.subject(state.slug, name) for name in gated.gates),
        }
        try:
            if events:
                session.append(*events, guard=Unchanged(session.position, watched, _DECIDING))
            break
        except HeadsMoved:
            continue
    else:
        raise moved_meanwhile(
            "could not set the gate",
            place,
            f"its gates changed {ATTEMPTS_MAX} times meanwhile",
        )
    data = {
        "feature_slug": state.slug,
        "wp_id": gated.wp_id,
        "gate_id": after.gate_id,
        "gate_type": gate_type,
        "status": after.status,
        "is_run": is_run,
    }
    line = f"gate {gate_type} of {gated.wp_id}: {after.status}"
    if is_run:
        stated = f", as {after.stated_by} states" if after.stated_by else ""
        line += f"{stated}; thence work orchestrate runs it, and goes by what it saw"
    return session.result(data, [line])


gate_command = session_command(gate, "gate", "thence work gate WP01 CI_CHECK passed")


def _new_events(
    feature: FeatureState,
    package: PackageState,
    gate: GateState | None,
    gate_type: str,
    result: str | None,
    reason: str,
    actor: str,
) -> tuple[list[WorkEvent], GateState]:
    events = []
    causes: tuple[str, ...] = ()
    if gate is None:
        gate = GateState(new_id(), gate_type)
        payload = {
            "work_package_id": package.wp_id,
            "gate_type": gate_type,
            "gate_id": gate.gate_id,
        }
        rests_on = package.events_of("lane") or package.events_of("package")
        created = WorkEvent("GateCreated", payload, feature.slug, rests_on)
        causes = (created.event_id,)
        events.append(created)
    if result is not None and result != gate.status:
        text = gate_change(gate, result, **({"reason": reason} if reason else {}))
        events.append(WorkEvent(text.event_type, text.payload, feature.slug, causes))
        gate = GateState(gate.gate_id, gate_type, result, actor)
    return events, gate


@click.argument("subtasks", metavar="T...", nargs=-1, required=True)
@click.option("--undo", "is_undone", is_flag=True, help="Open the boxes again.")
@feature_option
def mark_status(
    session: Session,
    subtasks: Sequence[str],
    *,
    feature: str | None = None,
    is_undone: bool = False,
) -> CommandResult:
    """Tick the boxes of subtasks in tasks.md, or open them again.

    Where the project shows lanes and ticks in its planning files, tasks.md is changed too.
    """
    is_done = not is_undone
    session.refresh()
    names = [name.upper() for name in subtasks]
    state = _feature_with(session, feature, names)
    path, packages = _sections(session, state)
    chosen = [_with_package(name, packages, path) for name in names]
    state = session.feature(state.slug, *(package.wp_id for package, _ in chosen))
    states = []
    for package, box in chosen:
        on_board = state.packages.get(package.wp_id)
        in_log = on_board is not None and bool(on_board.subtasks.get(box.id))
        states.append((package, box, box.is_done or in_log))
    changed = [(package, box) for package, box, was in states if was is not is_done]
    if changed:
        append = session.append_or_warn if is_mirrored(session, state) else session.append
        append(*(tick_event(state, p.wp_id, box, is_done) for p, box in changed))
    mirror(session, state)
    is_in_files = not session.planning.is_by_pull_request and not is_done
    if is_in_files or is_mirrored(session, state):
        # a box is opened in the file even if the file shows no ticks: its tick would count
        write_files(
            session.project.main, {path: _with_ticks([box.id for _, box in chosen], path, is_done)}
        )
    result = {
        "feature_slug": state.slug,
        "subtasks": [box.id for _, box in chosen],
        "changed": [box.id for _, box in changed],
    }
    mark = "x" if is_done else " "
    lines = [
        f"[{mark}] {box.id} {box.text}  ({package.wp_id})"
        + ("  (it was already)" if was is is_done else "")
        for package, box, was in states
    ]
    return session.result(result, lines)


mark_status_command = session_command(
    mark_status,
    "mark-status",
    "thence work mark-status T001 T002",
    "thence work mark-status T002 --undo",
)


def _sections(session: Session, feature: FeatureState) -> tuple[str, Sequence[PlannedPackage]]:
    """Returns the path of a feature's tasks.md, and the packages in it."""
    path = session.planning.path(feature.slug, "tasks.md")
    by_pull_request = session.planning.is_by_pull_request
    data = None if by_pull_request else session.planning.read(None, path)
    if data is None:
        data = session.planning.read(session.target_of(feature), path)
    return path, parse(data, path).packages if data is not None else ()


def _feature_with(session: Session, name: str | None, subtasks: Sequence[str]) -> FeatureState:
    """Returns the feature as `Session.feature` does, else the only open one with the subtasks."""
    try:
        return session.feature(name)
    except PlanningError:
        slugs = [slug for slug, state in session.board.features.items() if not state.is_completed]
        owners = [slug for slug in slugs if _has_boxes(session, slug, subtasks)]
        if name is not None or len(owners) != 1:
            raise
        return session.feature(owners[0])


def _has_boxes(session: Session, slug: str, names: Sequence[str]) -> bool:
    try:
        _, packages = _sections(session, session.board.features[slug])
    except PlanningError:  # of a file that can't be read nobody knows what it has
        return True
    return {*names} <= {box.id for package in packages for box in package.subtasks}


def _with_package(
    name: str, packages: Sequence[PlannedPackage], path: str
) -> tuple[PlannedPackage, Subtask]:
    for package in packages:
        for box in package.subtasks:
            if box.id == name:
                return package, box
    names = [box.id for package in packages for box in package.subtasks]
    raise Refused(
        "could not find the subtask",
        guard="unknown_subtask",
        place=repr(name),
        cause=f"{path} has {', '.join(names) or 'none'}",
        hint="write it as `- [ ] T001 text` below its package",
    )


def _with_ticks(ids: Sequence[str], path: str, is_done: bool) -> FileEdit:
    def edit(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        for name in ids:
            try:
                data = tick(data, name, is_done, path)
            except PlanningError:  # the user's unfinished change lacks the box
                continue
        return data

    return edit


@click.argument("package", metavar="WP", shell_complete=complete_package)
@click.argument("text", metavar="TEXT")
@click.option(
    "--type",
    "kind",
    type=click.Choice(("note", "review", "error", "comment")),
    default="note",
    show_default=True,
    help="The kind of entry.",
)
@feature_option
def add_history(
    session: Session,
    package: str,
    text: str,
    *,
    kind: str = "note",
    feature: str | None = None,
) -> CommandResult:
    """Record a note about a package.

    It appends one event, and commits nothing.
    """
    session.refresh()
    state = session.feature(feature, package)
    wp_id = package_of(state, wp_id_of(package)).wp_id
    if not text.strip():
        raise PlanningError(
            f"could not keep the {kind} on",
            place=f"{state.slug}/{wp_id}",
            cause="it says nothing",
            hint=f"thence work add-history {wp_id} 'what there is to say'",
        )
    payload = {
        "wp_id": wp_id,
        "entry_type": kind,
        "entry_content": text,
        "author": session.current_actor(),
    }
    session.append(WorkEvent("HistoryAdded", payload, state.slug))
    data = {"feature_slug": state.slug, "wp_id": wp_id, "entry_type": kind}
    return session.result(data, [f"{kind} on {wp_id} of {state.slug} kept"])


add_history_command = session_command(
    add_history, "add-history", "thence work add-history WP01 'It locks too long'"
)
