"""The progress of long work on stderr.

One bar shows what is done and what is left, once the work has taken 2 s. Off a terminal it is a
line at each tenth, after 10 s. Of an index that is being made it says so within half a second.
Live displays draw by the same writer.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from thence.cli.output import Output
from thence.core.json_values import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

DRAWN_AFTER_S, WRITTEN_AFTER_S = 2.0, 10.0
INDEX_AFTER_S = 0.25
BAR_COLUMNS = 24
BAR_COLUMNS_MIN = 8


class Show(Protocol):
    """The function that shows how much of some work is done."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        """Shows so much of a total, which is 0 while it is unknown."""


def is_drawn(out: Output) -> bool:
    """Reports whether stderr is a terminal that can be redrawn."""
    return sys.stderr.isatty() and not out.is_quiet and not out.settings.is_dumb


def live(
    out: Output, draw: "Callable[[int], RenderableType] | None" = None, **options: Any
) -> "Live":
    """Returns the writer of what is redrawn on stderr, which is taken away in the end.

    `draw` returns that for a width in columns; else it is given by `update`.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    if draw is not None:
        options["get_renderable"] = lambda: draw(console.width)
    # what components print goes above it; stdout may be a file
    options["redirect_stdout"] = sys.stdout.isatty()
    return Live(console=console, transient=True, **options)


@contextmanager
def bar(out: Output, work: str, after_s: float | None = None) -> Iterator[Show]:
    """Yields the function that shows how much of some work is done.

    `after_s` is when the bar is drawn, or its first line written. Work that reports no progress
    has a line with its name.
    """
    done, total, note = 0, 0, ""
    tenths, written_from_s = 0, monotonic() + WRITTEN_AFTER_S

    def show(new_done: int, new_total: int, new_note: str = "") -> None:
        nonlocal done, total, note
        done, total, note = new_done, new_total, new_note

    def line() -> str:
        if not (done or total):
            return f"{work}…"
        of_total = f" of {total:,}" if total else ""
        return printable(f"{work} {done:,}{of_total}{note and f', {note}'}")

    def write(*progress: Any) -> None:
        nonlocal tenths
        show(*progress)
        if total and done * 10 // total > tenths and monotonic() > written_from_s:
            tenths = done * 10 // total
            out.notice(line())

    def draw(width: int) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        text = Text(line())
        columns = min(BAR_COLUMNS, width - text.cell_len - 1)
        if not total or columns < BAR_COLUMNS_MIN:
            return text
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total, min(done, total), width=columns), text)
        return row

    screen: Live | None = None

    def begin() -> None:
        nonlocal screen
        if is_drawn(out):
            # its thread draws, also while the work blocks this one
            screen = live(out, draw, refresh_per_second=10)
            screen.start()
        elif after_s is not None:
            out.notice(line())

    timer = Timer(DRAWN_AFTER_S if after_s is None else after_s, begin)
    timer.daemon = True
    timer.start()
    try:
        yield show if is_drawn(out) else write
    finally:
        timer.cancel()
        timer.join()
        if screen is not None:
            screen.stop()
