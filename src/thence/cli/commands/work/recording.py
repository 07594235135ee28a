"""The commands of `thence work` that record what is so of a package: ticks, notes."""

from collections.abc import Sequence

import click

from thence.cli.commands.work.command_runner import feature_option, session_command
from thence.errors import PlanningError, Refused
from thence.work.board.attempts import REVIEW
from thence.work.board.state import APPROVED, FOR_REVIEW
from thence.work.journal.store import WorkEvent
from thence.work.names import wp_id_of
from thence.work.plan.tasks import parse
from thence.work.session.lane_changes import (
    package_of,
    refuse_agents,
    refuse_author,
    tick_event,
)
from thence.work.session.session import CommandResult, Session


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
    """Tick subtasks, or open them again.

    The log alone has the ticks. A box that somebody ticks in tasks.md counts until the log says
    something of that subtask.
    """
    is_done = not is_undone
    session.refresh()
    names = [name.upper() for name in subtasks]
    state = session.feature(feature)
    path = session.planning.path(state.slug, "tasks.md")
    is_here = not session.planning.is_by_pull_request
    data = session.planning.read(None, path) if is_here else None
    if data is None:
        data = session.planning.read(session.snapshot.target_of(state), path)
    packages = parse(data, path).packages if data is not None else ()
    boxes = [(package, box) for package in packages for box in package.subtasks]
    by_id = {box.id: (package, box) for package, box in reversed(boxes)}
    for name in names:
        if name not in by_id:
            raise Refused(
                "could not find the subtask",
                guard="unknown_subtask",
                place=repr(name),
                cause=f"{path} has {', '.join(box.id for _, box in boxes) or 'none'}",
                hint="write it as `- [ ] T001 text` below its package",
            )
    chosen = [by_id[name] for name in names]
    state = session.feature(state.slug, *(package.wp_id for package, _ in chosen))
    states = []
    for package, box in chosen:
        on_board = state.packages.get(package.wp_id)
        # a box that somebody ticked by hand has no event yet, and counts where the log is silent
        silent = box.is_done and not is_done
        was = on_board.subtasks.get(box.id, silent) if on_board else silent
        states.append((package, box, was))
    changed = [(package, box) for package, box, was in states if was is not is_done]
    if changed:
        session.append(*(tick_event(state, p.wp_id, box, is_done) for p, box in changed))
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


@click.argument("package", metavar="WP")
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
    """Record a note about a package, or a review of it.

    It appends one event, and commits nothing. A review whose text is `approved` approves what was
    handed in; to send it back: `thence work move-task WP --to doing --reason TEXT`.
    """
    session.refresh()
    state = session.feature(feature, package)
    about = package_of(state, wp_id_of(package))
    wp_id = about.wp_id
    if not text.strip():
        raise PlanningError(
            f"could not keep the {kind} on",
            place=f"{state.slug}/{wp_id}",
            cause="it says nothing",
            hint=f"thence work add-history {wp_id} 'what there is to say'",
        )
    if (kind, text) == (REVIEW, APPROVED):
        place = f"{state.slug}/{wp_id}"
        refuse_agents("could not approve", place, "approved_by_an_agent", "approves a package")
        refuse_author(session, about, "could not approve", place)
        if about.lane != FOR_REVIEW:
            words = f"{wp_id} is in {about.lane}: an approval counts once it is in {FOR_REVIEW}"
            session.warnings.append(words)
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
    add_history,
    "add-history",
    "thence work add-history WP01 'It locks too long'",
    "thence work add-history WP01 approved --type review",
)
