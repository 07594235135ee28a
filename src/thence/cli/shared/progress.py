"""The progress of long work on stderr, that of a run which is played here above all.

A terminal shows a bar. Elsewhere a run writes a line at times, and the reading of a log nothing.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from thence.cli.output import Output
from thence.core.json_values import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, ProgressColumn

    from thence.sim.run.calls import OnWait, RunWait
    from thence.sim.run.run import RunResult, SimulationOrchestrator, TurnProgress

LINES_MAX = 10


class RunDisplay(NamedTuple):
    """The functions that show a run: after each turn, and while it waits for a component.

    Without `wait`, a component that gives no answer is named by a log record. It is called in
    another thread than the run's.
    """

    turn: Callable[["TurnProgress"], None]
    wait: "Callable[[RunWait | None], None] | None" = None


def is_drawn(out: Output) -> bool:
    """Reports whether stderr is a terminal that can be redrawn."""
    return sys.stderr.isatty() and not out.is_quiet and not out.settings.is_dumb


def _console(out: Output) -> "Console":
    from rich.console import Console

    return Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)


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
        counts = f": {counts_text(turn.counts)}" if turn.counts else ""
        out.notice(f"turn {turn.turn} of {turn.max_turns}{counts}")


def counts_text(counts: Mapping[str, int]) -> str:
    """Returns the counts of the decisions, actions and changes that are recorded so far."""
    kinds = {"DECISION": "decisions", "ACTION": "actions", "STATE": "changes"}
    texts = [f"{counts[kind]:,} {noun}" for kind, noun in kinds.items() if counts.get(kind)]
    return ", ".join(texts) or f"{sum(counts.values()):,} events"


def waiting_text(waiting: "RunWait") -> str:
    """Returns the line of a run that waits for a component."""
    others = f" and {waiting.others} more" if waiting.others else ""
    return (
        f"turn {waiting.turn} of {waiting.max_turns}, waiting for {waiting.component}{others},"
        f" {waiting.waited_s:.0f} s"
    )


def _progress(console: "Console", done: "ProgressColumn", *, transient: bool = False) -> "Progress":
    """Returns the bar of work in parts: what it is, how much is done, and `counts`."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        done,
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    return Progress(*columns, console=console, transient=transient)


@contextmanager
def bar(out: Output) -> Iterator[RunDisplay]:
    """Yields a display that draws a bar with the turns and the events so far.

    While the run waits for a component, a line that names it stands in place of the bar.
    """
    from rich.live import Live
    from rich.progress import MofNCompleteColumn
    from rich.text import Text

    console = _console(out)
    drawn = _progress(console, MofNCompleteColumn())
    task = drawn.add_task("turn", total=None, counts="")
    waiting_for: RunWait | None = None

    def line() -> "RenderableType":
        return Text(printable(waiting_text(waiting_for))) if waiting_for else drawn.get_renderable()

    def show(turn: "TurnProgress") -> None:
        nonlocal waiting_for
        waiting_for = None
        counts = counts_text(turn.counts) if turn.counts else ""
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
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        DownloadColumn(),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console(out), transient=True) as drawn:
        task = drawn.add_task("reading", total=size_bytes)

        def show(read_bytes: int) -> None:
            is_read = read_bytes >= size_bytes
            description = "making order" if is_read else "reading"
            drawn.update(task, completed=read_bytes, description=description)

        yield show


@contextmanager
def parts_done(out: Output, work: str) -> Iterator[Callable[[int, int], None]]:
    """Yields the function to call with how much of some work is done, and how much there is."""
    if not is_drawn(out):
        yield lambda done, total: None
        return
    from rich.progress import TaskProgressColumn

    with _progress(_console(out), TaskProgressColumn(), transient=True) as drawn:
        task = drawn.add_task(work, total=None, counts="")
        yield lambda done, total: drawn.update(task, completed=done, total=total)


@contextmanager
def lines_exchanged(out: Output) -> Iterator[Callable[[int, int, int], None]]:
    """Yields the function to call with the lines pulled and pushed so far, and to be pushed."""
    if not is_drawn(out):
        yield lambda pulled, pushed, total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    text = TextColumn("pulled {task.fields[pulled]:,}, pushed {task.completed:,.0f}")
    with Progress(
        text, BarColumn(bar_width=24), TimeElapsedColumn(), console=_console(out)
    ) as drawn:
        task = drawn.add_task("", total=None, pulled=0)

        yield lambda pulled, pushed, total: drawn.update(
            task, pulled=pulled, completed=pushed, total=total or None
        )


def play(
    out: Output,
    make: "Callable[[Callable[[TurnProgress], None], OnWait | None], SimulationOrchestrator]",
    display: RunDisplay,
) -> "RunResult":
    """Plays the run that `make` returns for the functions `on_turn` and `on_wait`, to its end.

    After Ctrl-C the log is drained and the status of the result is `interrupted`.
    """
    from thence.sim.run.run import RunResult

    send_records_to_stderr(out, names_waits=display.wait is None)
    orchestrator = make(display.turn, display.wait)
    result = orchestrator.run()
    assert isinstance(result, RunResult), "no event loop runs in a command"
    if out.is_debug and orchestrator.failure is not None:
        from thence.cli.failure import show_traceback

        show_traceback(orchestrator.failure, out)
    return result


def report_end(out: Output, result: "RunResult") -> int:
    """Writes the result of a run, and its failure if it failed; returns the exit code."""
    if out.is_json:
        out.json(result.to_dict())
    else:
        counts = {"decisions": result.decisions, "decisions_failed": result.decisions_failed}
        failed = f" {failed_decisions(counts)}," if result.decisions_failed else ""
        out.write(
            f"run {result.run_id} {result.status}: {result.turns} turns, {result.events} events,"
            f"{failed} {result.output_dir}"
        )
    return report_failure(out, result)


def failed_decisions(counts: Mapping[str, Any]) -> str:
    """Returns how many decisions of a run's agents failed, in words."""
    return f"{counts['decisions_failed']:,} of {counts['decisions']:,} decisions failed"


def report_failure(out: Output, result: "RunResult") -> int:
    """Reports the failure of a run, if it failed, and returns the exit code."""
    from thence.cli import FAILED, INTERRUPTED

    if result.dropped:
        out.notice(f"{result.dropped} events were dropped, for which the queue had no room")
    if result.failed and result.status != "completed":
        out.notice(f"{result.failed} events could not be written")
    if result.status == "interrupted" and result.error:
        out.warn(
            f"thence: run {result.run_id} is paused",
            f"  why:  {result.error}",
            f"  next: thence sim resume {result.output_dir}",
        )
        return INTERRUPTED
    if result.status == "interrupted":
        out.notice("interrupted; what happened until then is in the log")
        out.notice(f"next: thence sim resume {result.output_dir}")
        return INTERRUPTED
    if result.status == "completed" and result.failed:
        out.warn(
            f"thence: the log of run {result.run_id} is not complete",
            f"  why:  {result.failed} events could not be written to {result.output_dir}",
            "  next: make room on the disk, and run it again",
        )
        return FAILED
    if result.status == "completed":
        return 0
    lines = (
        f"thence: run {result.run_id} failed",
        f"  why:  {result.error or result.reason}",
        f"  next: thence why @last-error --log {result.output_dir}",
    )
    out.warn(*lines)
    return FAILED


def send_records_to_stderr(out: Output, *, names_waits: bool) -> None:
    """Writes log records of the simulation as lines on stderr: warnings, with -v all.

    With `names_waits` those of components that give no answer are among them.
    """
    import logging

    import structlog

    def write(_: object, level: str, record: Mapping[str, Any]) -> str:
        if record["event"] == "still_waiting" and not names_waits:
            raise structlog.DropEvent
        facts = "".join(f" {key}={value}" for key, value in record.items() if key != "event")
        out.warn(f"{level}: {record['event']}{facts}")
        raise structlog.DropEvent

    lowest = logging.INFO if out.is_verbose else logging.WARNING
    structlog.configure(
        processors=[write],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
