"""The command `thence work orchestrate`: works a feature off with agent programs.

While it runs a terminal shows the board, redrawn, below the progress notes; elsewhere each note is
a line on stderr, and with --json a line of JSON on stdout.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import click

from thence.cli.commands.work.command_runner import feature_option, session_command
from thence.cli.output import Output, current
from thence.cli.shared.progress import is_drawn, live
from thence.core.json_values import printable
from thence.errors import ThenceError
from thence.work.board.move_request import LandingStatus
from thence.work.board.remarks import next_steps
from thence.work.board.state import COLUMNS, DONE, FOR_REVIEW, REJECTED, FeatureState
from thence.work.orchestrate.orchestrator import (
    Orchestrator,
    ProgressNote,
    choose,
    open_dependencies,
)
from thence.work.project.configuration import read_setup
from thence.work.session.command_commit import check_committer
from thence.work.session.lane_changes import refuse_agents
from thence.work.session.package_code import code_of_packages
from thence.work.session.session import CommandResult, Session
from thence.work.session.sharing import refresh_first, send_new

STRANDED = 1
DRAWN_EVERY_S = 0.5
TITLE_CHARACTERS = 40


class Display(NamedTuple):
    """The functions to call with each progress note, and several times a second."""

    report: Callable[[ProgressNote], None]
    turn: Callable[[Orchestrator], None]


@click.option(
    "--dry-run", "is_dry", is_flag=True, help="Show what would begin now, and what the rest awaits."
)
@feature_option
def orchestrate(
    session: Session, *, feature: str | None = None, is_dry: bool = False
) -> CommandResult:
    """Have agent programs work on a feature until all of it is done.

    `.kittify/config.yaml` lists the agents. Ctrl-C stops them and releases their packages; what was
    committed stays. Exit code 1 if packages remain that no agent can do.
    """
    if is_dry:
        return _dry_run(session, feature)
    place, rule = feature or "a feature", "begins an orchestration"
    refuse_agents("could not orchestrate", place, "run_by_an_agent", rule)
    signals = list[int]()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as by nohup
            signal.signal(number, lambda came, _: signals.append(came))
    current().resumption = "run the same command again; it continues this work"
    refresh_first(session)
    check_committer(session)
    state = _feature(session, feature)
    setup = read_setup(session.project)
    session.snapshot.planned(state)  # a file that can't be read is reported at once
    with _display(current()) as shown:  # it ends before the result is written
        orchestrator = Orchestrator(
            session.project.here,
            state.slug,
            setup,
            shown.report,
            shown.turn,
            lambda: bool(signals),
        )
        summary = orchestrator.run()
    send_new(session)
    packages, histories = orchestrator.shared.feature.packages, orchestrator.shared.histories
    codes: dict[tuple[str, str], LandingStatus] = {}
    if summary.stranded:
        with suppress(ThenceError):  # the run itself went well
            session.refresh()
            codes = code_of_packages(
                session.snapshot, [session.board.features[state.slug]], (DONE, FOR_REVIEW)
            )
    where, stranded, exit_code = session.board.option_of(state.slug), list[dict[str, str]](), 0
    lines = [f"{state.slug}: {len(summary.done)} packages are done"]
    for wp_id, why in summary.stranded.items():
        needs = packages[wp_id].dependencies
        is_rejected = any(packages[name].lane == REJECTED for name in needs if name in packages)
        past = f"thence work orchestrate{where}, once that is settled"
        if is_rejected:
            past = f"thence work implement {wp_id}{where} --force --reason TEXT"
        code, history = codes.get((state.slug, wp_id)), histories.get(wp_id)
        step = "; or ".join(next_steps(packages[wp_id], history, code, where=where)) or past
        stranded.append({"wp_id": wp_id, "reason": why, "next": step})
        lines += [f"{wp_id} stays: {why}", f"  next: {step}"]
        exit_code = STRANDED
    if not stranded:
        is_idle = state.is_completed  # before the run began
        lines = [f"{'nothing is left to do: ' if is_idle else ''}all of {state.slug} is done"]
    data = {
        "events": [
            *(event.event_id for event in session.appended),
            *orchestrator.appended,
        ],
        "feature_slug": state.slug,
        "status": "stranded" if stranded else "completed",
        "done": list(summary.done),
        "stranded": stranded,
    }
    return session.result(data, lines, exit_code)


orchestrate_command = session_command(
    orchestrate, "orchestrate", "thence work orchestrate --feature 001 --dry-run"
)


def _feature(session: Session, name: str | None) -> FeatureState:
    """Returns the feature as `Session.feature` does; where all are completed, the last of them."""
    features = session.board.features
    is_idle = all(feature.is_completed for feature in features.values())
    if name is None and features and is_idle and not session.snapshot.not_imported():
        name = max(features)
    return session.feature(name)


def _dry_run(session: Session, feature: str | None) -> CommandResult:
    """Returns what would begin now with nobody else at work, and what each other package awaits."""
    session.refresh()
    state, setup = _feature(session, feature), read_setup(session.project)
    tasks = choose(state, setup, (), {}, (), 0.0)
    lines, waits = list[str](), dict[str, str]()
    for task in tasks:
        lines.append(f"{task.wp_id} begins: {task.phase} by {task.agent}")
    for wp_id in state.packages.keys() - {task.wp_id for task in tasks}:
        package = state.packages[wp_id]
        if package.lane not in (DONE, REJECTED):
            needed = open_dependencies(state, package)
            waits[wp_id] = f"waits for {', '.join(needed)}" if needed else f"is {package.column}"
    waits = dict(sorted(waits.items()))
    lines += [f"{wp_id} {why}" for wp_id, why in waits.items()]
    data = {
        "feature_slug": state.slug,
        "begins": [task._asdict() for task in tasks],
        "waits": waits,
        "dry_run": True,
    }
    return session.result(data, lines or ["nothing is left to do"])


def line(progress_note: ProgressNote) -> str:
    """Returns a progress note as a line of text."""
    wp_id = f"{progress_note.wp_id}  " if progress_note.wp_id else ""
    took = f"  ({progress_note.seconds:.1f} s)" if progress_note.seconds is not None else ""
    return f"{progress_note.kind:<9}  {wp_id}{progress_note.text}{took}"


def board(orchestrator: Orchestrator, now_s: float) -> Iterator[str]:
    """Yields the lines of the board: packages by column, packages at work."""
    feature = orchestrator.shared.feature
    packages = feature.packages
    counts = ", ".join(
        f"{count} {column}"
        for column in COLUMNS
        if (count := sum(package.column == column for package in packages.values()))
    )
    yield f"{orchestrator.slug}: {counts}"
    for wp_id, active in sorted(orchestrator.active.items()):
        task = active.task
        agent = f" by {task.agent}" if task.agent else ""
        title = packages[wp_id].title[:TITLE_CHARACTERS]
        yield f"  {wp_id}  {now_s - active.begun_s:5.0f} s  {task.phase}{agent}  {title}"


@contextmanager
def _display(out: Output) -> Iterator[Display]:
    """Yields the display of an orchestration: on a terminal the board below the notes."""
    if out.is_json or not is_drawn(out):

        def report(note: ProgressNote) -> None:
            if out.is_json:
                out.json({"happening": note._asdict()})
                out.flush()
            else:
                out.notice(line(note))

        yield Display(report, lambda _: None)
        return
    from rich.console import Group
    from rich.text import Text

    drawn_s = 0.0
    with live(out, auto_refresh=False) as screen:

        def print_note(note: ProgressNote) -> None:
            screen.console.print(Text(printable(line(note))))

        def turn(orchestrator: Orchestrator) -> None:
            nonlocal drawn_s
            now_s = time.monotonic()
            if now_s - drawn_s >= DRAWN_EVERY_S:
                drawn_s = now_s
                head, *rest = map(printable, board(orchestrator, now_s))
                # the empty last line takes what the user types, so that the board does not wrap
                cut = Text("\n".join([*rest, ""]), no_wrap=True, overflow="ellipsis")
                screen.update(Group(Text(head), cut), refresh=True)

        yield Display(print_note, turn)
