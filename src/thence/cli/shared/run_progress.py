"""One run of a scenario for `sim run` and `demo`: settings, progress, log records."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from thence.cli.output import Output

if TYPE_CHECKING:
    from thence.sim.config import SimulationConfig
    from thence.sim.orchestrator import SimulationOrchestrator
    from thence.sim.result import RunResult, RunWait, TurnProgress
    from thence.sim.waits import OnWait


class RunDisplay(NamedTuple):
    """The functions that show a run: after each turn, and while it waits for a component.

    Without `wait`, a component that gives no answer is named by a log record. It is called in
    another thread than the run's.
    """

    turn: Callable[["TurnProgress"], None]
    wait: "Callable[[RunWait | None], None] | None" = None


def play(
    out: Output, config: "SimulationConfig", display: RunDisplay, settings: Mapping[str, Any]
) -> "RunResult":
    """Runs a scenario to its end, in a new folder under the output root.

    `settings` are arguments of the orchestrator; for None the scenario's value is used.
    After Ctrl-C the log is drained and the status of the result is `interrupted`.
    """
    from thence.sim.orchestrator import SimulationOrchestrator

    return play_to_end(
        out,
        lambda on_turn, on_wait: SimulationOrchestrator(
            config, on_turn=on_turn, on_wait=on_wait, **settings
        ),
        display,
    )


def play_to_end(
    out: Output,
    make: "Callable[[Callable[[TurnProgress], None], OnWait | None], SimulationOrchestrator]",
    display: RunDisplay,
) -> "RunResult":
    """Plays the run that `make` returns for the functions `on_turn` and `on_wait`."""
    from thence.sim.result import RunResult

    send_records_to_stderr(out, names_waits=display.wait is None)
    orchestrator = make(display.turn, display.wait)
    result = orchestrator.run()
    assert isinstance(result, RunResult), "no event loop runs in a command"
    if out.is_debug and orchestrator.failure is not None:
        from thence.cli.failure import show_traceback

        show_traceback(orchestrator.failure, out)
    return result


def report_end(out: Output, result: "RunResult", *, is_json: bool) -> int:
    """Writes the result of a run, and its failure if it failed; returns the exit code."""
    if is_json:
        out.json(result.to_dict())
    else:
        out.write(
            f"run {result.run_id} {result.status}: {result.turns} turns, {result.events} events,"
            f" {result.output_dir}"
        )
    return report_failure(out, result)


def report_failure(out: Output, result: "RunResult") -> int:
    """Reports the failure of a run, if it failed, and returns the exit code."""
    from thence.cli.exit_codes import FAILED, INTERRUPTED

    if result.dropped:
        out.notice(f"{result.dropped} events were dropped, for which the queue had no room")
    if result.failed and result.status != "completed":
        out.notice(f"{result.failed} events could not be written")
    if result.status == "interrupted":
        out.notice("interrupted; what happened until then is in the log")
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


def with_changes(
    config: "SimulationConfig", *, seed: int | None, max_turns: int | None
) -> "SimulationConfig":
    """Returns a scenario with another seed or number of turns, also in its config.json."""
    import msgspec

    given = {"seed": seed, "max_turns": max_turns}
    changes = {name: value for name, value in given.items() if value is not None}
    section = {**config.given.get("simulation", {}), **changes}
    return msgspec.structs.replace(
        config,
        simulation=msgspec.structs.replace(config.simulation, **changes),
        given={**config.given, "simulation": section},
    )


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
