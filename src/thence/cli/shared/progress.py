"""The progress of long work on stderr, and the end of a run that is played here.

One bar shows what is done and what is left, once the work has taken 2 s. Off a terminal it is a
line at each tenth, after 10 s. Of an index that is being made it says so within half a second.
Live displays draw by the same writer.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from thence.cli.output import Output, relative_path
from thence.cli.shared.render import counted
from thence.core.json_values import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from thence.sim.run.calls import OnWait, RunWait
    from thence.sim.run.run import RunResult, SimulationOrchestrator, TurnProgress

DRAWN_AFTER_S, WRITTEN_AFTER_S = 2.0, 10.0
INDEX_AFTER_S = 0.25
BAR_COLUMNS = 24
BAR_COLUMNS_MIN = 8


class Show(Protocol):
    """The function that shows how much of some work is done."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        """Shows so much of a total, which is 0 while it is unknown."""


class RunDisplay(NamedTuple):
    """The functions that show a run: after each turn, and while it waits for a component.

    Without `wait`, a component that gives no answer is named by a log record. It is called in
    another thread than the run's.
    """

    turn: "Callable[[TurnProgress], None]"
    wait: "OnWait | None"


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


@contextmanager
def run_bar(out: Output) -> Iterator[RunDisplay]:
    """Yields the display of a run, which has this process: its turns, or what it waits for."""
    from thence.sim.run.run import collecting_rarely

    with collecting_rarely(), bar(out, "turn") as show:
        last: tuple[int, int, str] = (0, 0, "")

        def turn(progress: "TurnProgress") -> None:
            nonlocal last
            last = progress.turn, progress.max_turns, counts_text(progress.counts)
            show(*last)

        def wait(waiting: "RunWait | None") -> None:
            if waiting is None:
                show(*last)
                return
            others = f" and {waiting.others} more" if waiting.others else ""
            note = f"waiting for {waiting.component}{others}, {waiting.waited_s:.0f} s"
            show(waiting.turn, waiting.max_turns, note)

        yield RunDisplay(turn, wait if is_drawn(out) else None)


def counts_text(counts: Mapping[str, int]) -> str:
    """Returns the counts of the decisions, actions and changes that are recorded so far."""
    kinds = {"DECISION": "decisions", "ACTION": "actions", "STATE": "changes"}
    texts = [f"{counts[kind]:,} {noun}" for kind, noun in kinds.items() if counts.get(kind)]
    return ", ".join(texts) or f"{sum(counts.values()):,} events"


def play(
    out: Output,
    make: "Callable[..., SimulationOrchestrator]",
    *arguments: Any,
    turns_planned: int = 0,
    **named: Any,
) -> int:
    """Plays the run that `make` returns to its end, and reports it; returns the exit code.

    After Ctrl-C the log is drained and the status of the result is `interrupted`. What models cost
    is forecast for the turns that were planned, where the run has fewer.
    """
    from thence.sim.run.run import RunResult

    with run_bar(out) as display:
        send_records_to_stderr(out, names_waits=display.wait is None)
        run = make(*arguments, on_turn=display.turn, on_wait=display.wait, **named)
        result = run.run()
    assert isinstance(result, RunResult), "no event loop runs in a command"
    if out.is_debug and run.failure is not None:
        from thence.cli.failure import show_traceback

        show_traceback(run.failure, out)
    code = report_end(out, result, run.resume_option)
    if result.status == "completed" and 0 < result.turns < turns_planned and result.usage:
        from thence.sim.run.costs import totals

        own = result.usage.get("by_origin", {}).get("own") or totals(result.usage, result.usage)
        factor = turns_planned / result.turns
        sums = {name: value and value * factor for name, value in own.items()}
        if own["calls"]:
            out.notice(f"all {turns_planned:,} turns at this rate: {cost_text(sums)}")
    return code


def cost_text(sums: Mapping[str, Any]) -> str:
    """Returns the calls, tokens and cost of models in a few words."""
    text = f"{counted(round(sums['calls']), 'call')}, {sums['tokens_in']:,.0f} tokens in"
    text += f" and {sums['tokens_out']:,.0f} out"
    return text if sums["cost"] is None else f"{text}, cost {sums['cost']:.4g}"


def report_end(out: Output, result: "RunResult", option: str = "") -> int:
    """Writes the result of a run, and its failure if it failed; returns the exit code.

    `option` is that with which a paused run goes on.
    """
    if out.is_json:
        out.json(result.to_dict())
    else:
        from thence.log.recovery.writers import run_status

        counts = {"decisions": result.decisions, "decisions_failed": result.decisions_failed}
        status = run_status(result.status, counts).text
        out.write(
            f"run {result.run_id} {status}: {counted(result.turns, 'turn')},"
            f" {counted(result.events, 'event')}, {relative_path(result.output_dir)}"
        )
        if origins := result.usage.get("by_origin"):
            own, inherited = (cost_text(origins[name]) for name in ("own", "inherited"))
            new = f"{own}; " if origins["own"]["calls"] else ""
            out.write(f"models: {new}{inherited} from recorded answers")
    return report_failure(out, result, option)


def report_failure(out: Output, result: "RunResult", option: str = "") -> int:
    """Reports the failure of a run, if it failed, and returns the exit code."""
    from thence.cli import FAILED, INTERRUPTED

    if result.dropped:
        out.notice(f"{counted(result.dropped, 'event')} dropped: the queue had no room")
    unwritten = f"{counted(result.failed, 'event')} could not be written"
    if result.failed and result.status != "completed":
        out.notice(unwritten)
    if result.status == "interrupted" and result.error:
        out.warn(
            f"thence: run {result.run_id} is paused",
            f"  why:  {result.error}",
            f"  next: thence sim resume {relative_path(result.output_dir)} {option}".rstrip(),
        )
        return INTERRUPTED
    if result.status == "interrupted":
        out.notice("interrupted; the log has all events until then")
        out.notice(f"next: thence sim resume {relative_path(result.output_dir)}")
        return INTERRUPTED
    if result.status == "completed" and result.failed:
        out.warn(
            f"thence: the log of run {result.run_id} is not complete",
            f"  why:  {unwritten} to {relative_path(result.output_dir)}",
            "  next: make room on the disk, and run it again",
        )
        return FAILED
    if result.status == "completed":
        return 0
    lines = (
        f"thence: run {result.run_id} failed",
        f"  why:  {result.error or result.reason}",
        f"  next: thence why @last-error --log {relative_path(result.output_dir)}",
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
