"""The progress of long work, on stderr: a bar on a terminal.

Without a terminal a run writes a line at times, and the reading of a log writes nothing.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thence.cli.output import Output, plain
from thence.cli.shared.run_progress import RunDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

    from thence.sim.result import RunWait, TurnProgress
    from thence.sync.engine import RoundProgress

LINES_MAX = 10


def is_drawn(out: Output) -> bool:
    """Reports whether stderr is a terminal that can be redrawn."""
    return sys.stderr.isatty() and not out.is_quiet and not out.settings.is_dumb


@contextmanager
def progress(out: Output) -> Iterator[RunDisplay]:
    """Yields the display of a run."""
    if out.is_quiet:
        yield RunDisplay(lambda turn: None)
    elif is_drawn(out):
        with bar(out) as display:
            yield display
    else:
        yield RunDisplay(lambda turn: write_line(out, turn))


def write_line(out: Output, turn: "TurnProgress") -> None:
    """Writes one line at most ten times a run."""
    interval = max(1, -(-turn.max_turns // LINES_MAX))
    if turn.turn % interval == 0 or turn.turn == turn.max_turns:
        out.notice(f"turn {turn.turn} of {turn.max_turns}: {counts_text(turn.counts)}")


def counts_text(counts: Mapping[str, int]) -> str:
    """Returns the counts of the decisions, actions and changes that are recorded so far."""
    kinds = {"DECISION": "decisions", "ACTION": "actions", "STATE": "changes"}
    found = [f"{counts[kind]:,} {noun}" for kind, noun in kinds.items() if counts.get(kind)]
    return ", ".join(found) or f"{sum(counts.values()):,} events"


def waiting_text(waiting: "RunWait") -> str:
    """Returns the line of a run that waits for a component."""
    others = f" and {waiting.others} more" if waiting.others else ""
    return (
        f"turn {waiting.turn} of {waiting.max_turns}, waiting for {waiting.component}{others},"
        f" {waiting.waited_s:.0f} s"
    )


@contextmanager
def turns_played(
    out: Output,
) -> "Iterator[tuple[Callable[[int, int], None], Callable[[RunWait | None], None] | None]]":
    """Yields the functions `on_turn` and `on_wait` of a replay.

    A terminal shows one line, which is redrawn; elsewhere `on_turn` writes ten lines.
    """

    def write(turn: int, turns: int) -> None:
        interval = max(1, -(-turns // LINES_MAX))
        if not out.is_quiet and (turn % interval == 0 or turn == turns):
            out.notice(f"turn {turn} of {turns}")

    if not is_drawn(out):
        yield write, None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    turn_text = line_text = ""

    def show(turn: int, turns: int) -> None:
        nonlocal turn_text, line_text
        turn_text = line_text = f"turn {turn} of {turns}"

    def wait(waiting: "RunWait | None") -> None:
        nonlocal line_text
        line_text = waiting_text(waiting) if waiting else turn_text

    def line() -> Text:
        return Text(plain(line_text))

    with Live(console=console, get_renderable=line, refresh_per_second=10, transient=True):
        yield show, wait


@contextmanager
def bar(out: Output) -> Iterator[RunDisplay]:
    """Yields a display that draws a bar with the turns and the events so far.

    While the run waits for a component, a line that names it stands in place of the bar.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    columns = (
        TextColumn("turn"),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[counts]}"),
    )
    drawn = Progress(*columns, console=console)
    task = drawn.add_task("", total=None, counts="")
    waiting_for: RunWait | None = None

    def line() -> "RenderableType":
        return Text(plain(waiting_text(waiting_for))) if waiting_for else drawn.get_renderable()

    def show(turn: "TurnProgress") -> None:
        nonlocal waiting_for
        waiting_for = None
        counts = counts_text(turn.counts)
        drawn.update(task, total=turn.max_turns, completed=turn.turn, counts=counts)

    def wait(waiting: "RunWait | None") -> None:
        nonlocal waiting_for
        waiting_for = waiting

    # its thread draws, also while a component blocks the thread of the run
    with Live(console=console, get_renderable=line, refresh_per_second=10):
        yield RunDisplay(show, wait)


@contextmanager
def bytes_read(out: Output, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """Yields the function to call with the bytes of a log that are read so far."""
    if not is_drawn(out):
        yield lambda read_bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        DownloadColumn(),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as drawn:
        task = drawn.add_task("reading", total=size_bytes)

        def show(read_bytes: int) -> None:
            is_read = read_bytes >= size_bytes
            description = "making order" if is_read else "reading"
            drawn.update(task, completed=read_bytes, description=description)

        yield show


@contextmanager
def lines_exchanged(out: Output) -> "Iterator[Callable[[RoundProgress], None]]":
    """Yields the function to call with the lines that were taken and brought so far."""
    if not is_drawn(out):
        yield lambda shown: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    text = TextColumn("took {task.fields[taken]:,}, brought {task.completed:,.0f}")
    with Progress(text, BarColumn(bar_width=24), TimeElapsedColumn(), console=console) as drawn:
        task = drawn.add_task("", total=None, taken=0)

        def show(shown: "RoundProgress") -> None:
            drawn.update(
                task, taken=shown.taken, completed=shown.brought, total=shown.to_bring or None
            )

        yield show
