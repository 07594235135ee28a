"""What an orchestration shows while it runs.

A terminal sees the board, redrawn, and above it what happened; elsewhere each happening is a line
on stderr, and with --json a line of JSON on stdout.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from thence.cli.shared.progress import is_drawn
from thence.cli.voice import Voice, plain
from thence.work.board.state import LANES
from thence.work.orchestrate.orchestrator import Orchestrator
from thence.work.orchestrate.progress import ProgressNote
from thence.work.vcs.overlaps import at_work, sentence

DRAWN_EVERY_S = 0.5
TITLE_CHARACTERS = 40
OVERLAPS_SHOWN_MAX = 5


class Display(NamedTuple):
    """What is called with each happening, and several times a second."""

    tell: Callable[[ProgressNote], None]
    turn: Callable[[Orchestrator], None]


@contextmanager
def display(voice: Voice) -> Iterator[Display]:
    """Gives what shows an orchestration."""
    if voice.is_json:
        yield Display(lambda happening: _as_json(voice, happening), lambda _: None)
    elif is_drawn(voice):
        with _drawn(voice) as shown:
            yield shown
    else:
        yield Display(lambda happening: voice.note(line(happening)), lambda _: None)


def line(happening: ProgressNote) -> str:
    """Returns a happening as a line of text."""
    wp_id = f"{happening.wp_id}  " if happening.wp_id else ""
    took = f"  ({happening.seconds:.1f} s)" if happening.seconds is not None else ""
    return f"{happening.kind:<9}  {wp_id}{happening.text}{took}"


def board(orchestrator: Orchestrator, now_s: float) -> Iterator[str]:
    """Yields the lines of the board: how many packages are where, who is at work, who will meet."""
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
        who = f" by {task.agent}" if task.agent else ""
        title = packages[wp_id].title[:TITLE_CHARACTERS]
        yield f"  {wp_id}  {now_s - active.begun_s:5.0f} s  {task.phase}{who}  {title}"
    here = at_work(feature)
    meeting = [each for each in orchestrator.forecast.found if {each.first, each.second} <= {*here}]
    for overlap in meeting[:OVERLAPS_SHOWN_MAX]:
        yield f"  {sentence(overlap)}"
    if len(meeting) > OVERLAPS_SHOWN_MAX:
        yield f"  and {len(meeting) - OVERLAPS_SHOWN_MAX} more will meet"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Has the first Ctrl-C wait until what is drawn stands whole.

    A board that was drawn in part could not be taken away again.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _as_json(voice: Voice, happening: ProgressNote) -> None:
    voice.json({"happening": happening._asdict()})
    voice.flush()


@contextmanager
def _drawn(voice: Voice) -> Iterator[Display]:
    """Draws the board below what happened."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, no_color=voice.settings.is_colourless, highlight=False)
    drawn_s = 0.0
    # stdout may be a file, and stays what it is
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
    with live:

        def tell(happening: ProgressNote) -> None:
            with undisturbed():
                console.print(Text(plain(line(happening))))

        def turn(orchestrator: Orchestrator) -> None:
            nonlocal drawn_s
            now_s = time.monotonic()
            if now_s - drawn_s >= DRAWN_EVERY_S:
                drawn_s = now_s
                head, *rest = map(plain, board(orchestrator, now_s))
                # what is typed stands on a line of its own, and so does not wrap
                cut = Text("\n".join([*rest, ""]), no_wrap=True, overflow="ellipsis")
                with undisturbed():
                    live.update(Group(Text(head), cut), refresh=True)

        yield Display(tell, turn)
