"""One run of a scenario, as `sim run` and `demo` do it: settings, progress, log records."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from thence.cli.voice import Voice

if TYPE_CHECKING:
    from thence.sim.config import SimulationConfig
    from thence.sim.result import RunResult, TurnProgress
    from thence.sim.state import State

# what is told of a run after each of its turns
Show = Callable[["TurnProgress", "State"], None]


def play(
    voice: Voice, config: "SimulationConfig", show: Show, settings: Mapping[str, Any]
) -> "RunResult":
    """Plays a scenario to its end, in a new folder under the output root.

    `settings` are arguments of the orchestrator; those that are None are the scenario's.
    After Ctrl-C the log is drained and the result says `interrupted`.
    """
    from thence.sim.orchestrator import SimulationOrchestrator
    from thence.sim.result import RunResult

    send_records_to_stderr(voice)

    def on_turn(progress: "TurnProgress") -> None:
        show(progress, orchestrator.history[-1])

    orchestrator = SimulationOrchestrator(config, on_turn=on_turn, **settings)
    result = orchestrator.run()
    assert isinstance(result, RunResult), "no event loop runs in a command"
    if voice.is_debug and orchestrator.failure is not None:
        from thence.cli.failure import show_traceback

        show_traceback(orchestrator.failure, voice)
    return result


def changed(
    config: "SimulationConfig", *, seed: int | None, max_turns: int | None
) -> "SimulationConfig":
    """Returns a scenario with another seed or number of turns, in what config.json tells too."""
    import msgspec

    given = {"seed": seed, "max_turns": max_turns}
    changes = {name: value for name, value in given.items() if value is not None}
    section = {**config.given.get("simulation", {}), **changes}
    return msgspec.structs.replace(
        config,
        simulation=msgspec.structs.replace(config.simulation, **changes),
        given={**config.given, "simulation": section},
    )


def send_records_to_stderr(voice: Voice) -> None:
    """Makes log records of the simulation lines on stderr: warnings, with -v all."""
    import logging

    import structlog

    def write(_: object, level: str, record: Mapping[str, Any]) -> str:
        facts = "".join(f" {key}={value}" for key, value in record.items() if key != "event")
        voice.warn(f"{level}: {record['event']}{facts}")
        raise structlog.DropEvent

    lowest = logging.INFO if voice.is_verbose else logging.WARNING
    structlog.configure(
        processors=[write],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
