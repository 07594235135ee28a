"""The progress of long work, on stderr: a bar on a terminal.

Without a terminal a run writes a line at times, and the reading of a log writes nothing.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thence.cli.output import Output
from thence.cli.shared.run_progress import Show

if TYPE_CHECKING:
    from thence.sim.result import TurnProgress
    from thence.sim.state import State
    from thence.sync.engine import RoundProgress

LINES_MAX = 10


def is_drawn(out: Output) -> bool:
    """Reports whether stderr is a terminal that can be redrawn."""
    return sys.stderr.isatty() and not out.is_quiet and not out.settings.is_dumb


@contextmanager
def progress(out: Output) -> Iterator[Show]:
    """Yields the function to call after each turn."""
    if out.is_quiet:
        yield lambda turn, state: None
    elif is_drawn(out):
        with bar(out) as show:
            yield show
    else:
        yield lambda turn, state: write_line(out, turn)


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


def turns_played(out: Output) -> Callable[[int, int], None]:
    """Returns the function to call with a turn and the number of turns; it writes ten lines."""

    def show(turn: int, turns: int) -> None:
        interval = max(1, -(-turns // LINES_MAX))
        if not out.is_quiet and (turn % interval == 0 or turn == turns):
            out.notice(f"turn {turn} of {turns}")

    return show


@contextmanager
def bar(out: Output) -> Iterator[Show]:
    """Yields a function that draws a bar with the turns and the events so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    columns = (
        TextColumn("turn"),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=console) as drawn:
        task = drawn.add_task("", total=None, counts="")

        def show(turn: "TurnProgress", state: "State") -> None:
            del state
            counts = counts_text(turn.counts)
            drawn.update(task, total=turn.max_turns, completed=turn.turn, counts=counts)

        yield show


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
