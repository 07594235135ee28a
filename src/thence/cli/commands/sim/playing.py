"""A run that is played in this process: its progress, its log records, its end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from thence.cli.output import Output, relative_path
from thence.cli.shared.progress import bar, is_drawn
from thence.cli.shared.render import counted, usage_text

if TYPE_CHECKING:
    from thence.sim.run.calls import OnWait, RunWait
    from thence.sim.run.run import RunResult, SimulationOrchestrator
    from thence.sim.run.simulation import TurnProgress


_KINDS = {"DECISION": "decisions", "ACTION": "actions", "STATE": "changes"}


class RunDisplay(NamedTuple):
    """The functions that show a run: after each turn, and while it waits for a component.

    Without `wait`, a component that gives no answer is named by a log record. It is called in
    another thread than the run's.
    """

    turn: "Callable[[TurnProgress], None]"
    wait: "OnWait | None"


@contextmanager
def run_bar(out: Output) -> Iterator[RunDisplay]:
    """Yields the display of a run, which has this process: its turns, or what it waits for."""
    from thence.sim.run.run import collecting_rarely

    with collecting_rarely(), bar(out, "turn") as show:
        last: tuple[int, int, str] = (0, 0, "")

        def turn(progress: "TurnProgress") -> None:
            nonlocal last
            counts = progress.counts
            texts = [
                f"{counts[kind]:,} {noun}" for kind, noun in _KINDS.items() if counts.get(kind)
            ]
            note = ", ".join(texts) or f"{sum(counts.values()):,} events"
            last = progress.turn, progress.max_turns, note
            show(*last)

        def wait(waiting: "RunWait | None") -> None:
            if waiting is None:
                show(*last)
                return
            others = f" and {waiting.others} more" if waiting.others else ""
            note = f"waiting for {waiting.component}{others}, {waiting.waited_s:.0f} s"
            show(waiting.turn, waiting.max_turns, note)

        yield RunDisplay(turn, wait if is_drawn(out) else None)


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
        from thence.sim.run.costs import pilot

        sums = pilot(result.output_dir, run.config, played=result.turns, planned=turns_planned)
        least, most = sums["calls"]
        words = usage_text({**sums, "calls": most})
        if most:
            words = words if least == most else f"{least:,} to {words}"
            out.notice(f"all {turns_planned:,} turns at this rate: {words}")
    return code


def report_end(out: Output, result: "RunResult", option: str = "") -> int:
    """Writes the result of a run, and its failure if it failed; returns the exit code.

    `option` is that with which a paused run goes on.
    """
    from thence.cli import FAILED, INTERRUPTED

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
            own, inherited = (usage_text(origins[name]) for name in ("own", "inherited"))
            new = f"{own}; " if origins["own"]["calls"] else ""
            out.write(f"models: {new}{inherited} from recorded answers")
    if result.dropped:
        out.notice(f"{counted(result.dropped, 'event')} dropped: the queue had no room")
    unwritten = f"{counted(result.failed, 'event')} could not be written"
    if result.failed and result.status != "completed":
        out.notice(unwritten)
    folder = relative_path(result.output_dir)
    if result.status == "interrupted":
        resume = f"thence sim resume {folder}"
        if result.error:
            out.report(
                f"run {result.run_id} is paused", result.error, f"{resume} {option}".rstrip()
            )
        else:
            out.notice("interrupted; the log has all events until then", f"next: {resume}")
        return INTERRUPTED
    if result.status == "completed" and result.failed:
        message = f"the log of run {result.run_id} is not complete"
        out.report(message, f"{unwritten} to {folder}", "free space on the disk, then run it again")
        return FAILED
    if result.status == "completed":
        return 0
    hint = f"thence why @last-error --log {folder}"
    out.report(f"run {result.run_id} failed", result.error or result.reason, hint)
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
