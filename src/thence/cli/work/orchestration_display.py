"""The display of an orchestration while it runs.

A terminal shows the board, redrawn, below the progress notes; elsewhere each note is a line on
stderr, and with --json a line of JSON on stdout.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from thence.cli.output import Output
from thence.cli.shared.progress import is_drawn
from thence.core.values.payload import printable
from thence.work.board.state import LANES
from thence.work.orchestrate.orchestrator import Orchestrator, ProgressNote
from thence.work.vcs.overlaps import at_work, sentence

DRAWN_EVERY_S = 0.5
TITLE_CHARACTERS = 40
OVERLAPS_SHOWN_MAX = 5


class Display(NamedTuple):
    """The functions to call with each progress note, and several times a second."""

    report: Callable[[ProgressNote], None]
    turn: Callable[[Orchestrator], None]


@contextmanager
def display(out: Output) -> Iterator[Display]:
    """Yields the display of an orchestration."""
    if out.is_json:
        yield Display(lambda progress_note: _as_json(out, progress_note), lambda _: None)
    elif is_drawn(out):
        with _live_display(out) as live:
            yield live
    else:
        yield Display(lambda progress_note: out.notice(line(progress_note)), lambda _: None)


def line(progress_note: ProgressNote) -> str:
    """Returns a progress note as a line of text."""
    wp_id = f"{progress_note.wp_id}  " if progress_note.wp_id else ""
    took = f"  ({progress_note.seconds:.1f} s)" if progress_note.seconds is not None else ""
    return f"{progress_note.kind:<9}  {wp_id}{progress_note.text}{took}"


def board(orchestrator: Orchestrator, now_s: float) -> Iterator[str]:
    """Yields the lines of the board: packages by lane, packages at work, overlaps to come."""
    feature = orchestrator.feature
    packages = feature.packages
    counts = ", ".join(
        f"{count} {lane}"
        for lane in LANES
        if (count := sum(package.lane == lane for package in packages.values()))
    )
    yield f"{orchestrator.slug}: {counts}"
    for wp_id, active in sorted(orchestrator.active.items()):
        task = active.task
        agent = f" by {task.agent}" if task.agent else ""
        title = packages[wp_id].title[:TITLE_CHARACTERS]
        yield f"  {wp_id}  {now_s - active.begun_s:5.0f} s  {task.phase}{agent}  {title}"
    packages_at_work = at_work(feature)
    overlaps = [
        overlap
        for overlap in orchestrator.forecast.overlaps
        if {overlap.first, overlap.second} <= {*packages_at_work}
    ]
    for overlap in overlaps[:OVERLAPS_SHOWN_MAX]:
        yield f"  {sentence(overlap)}"
    if len(overlaps) > OVERLAPS_SHOWN_MAX:
        yield f"  and {len(overlaps) - OVERLAPS_SHOWN_MAX} pairs more"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delays the first Ctrl-C until the drawing is complete.

    A partly drawn board could not be erased.
    """
    signals: list[int] = []

    def defer(number: int, frame: FrameType | None) -> None:
        if signals:
            signal.default_int_handler(number, frame)
        signals.append(number)

    handlers = {number: signal.signal(number, defer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if signals:
        signal.raise_signal(signals[0])


def _as_json(out: Output, progress_note: ProgressNote) -> None:
    out.json({"happening": progress_note._asdict()})
    out.flush()


@contextmanager
def _live_display(out: Output) -> Iterator[Display]:
    """Draws the board below the progress notes."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    drawn_s = 0.0
    # stdout may be a file, and is not redirected
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
    with live:

        def report(progress_note: ProgressNote) -> None:
            with undisturbed():
                console.print(Text(printable(line(progress_note))))

        def turn(orchestrator: Orchestrator) -> None:
            nonlocal drawn_s
            now_s = time.monotonic()
            if now_s - drawn_s >= DRAWN_EVERY_S:
                drawn_s = now_s
                head, *rest = map(printable, board(orchestrator, now_s))
                # the empty last line takes what the user types, so that the board does not wrap
                cut = Text("\n".join([*rest, ""]), no_wrap=True, overflow="ellipsis")
                with undisturbed():
                    live.update(Group(Text(head), cut), refresh=True)

        yield Display(report, turn)
