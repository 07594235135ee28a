"""The run of a simulation with its folder: settings, events, result.

A failing component ends its run, never the program: log and result record the failure. After
Ctrl-C the log is drained first.
"""

import asyncio
import gc
import math
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path
from typing import Any, Literal, Self, TypedDict

import msgspec
from msgspec.structs import replace

from thence.core.json_values import Plain, repair
from thence.core.ready import ready
from thence.errors import RunDiverged, ScenarioError, ThenceError
from thence.sim.again.replay_input import ReplayInput, versions
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.record.checkpoints import is_whole, with_causes, write_checkpoint
from thence.sim.record.events import VerbosityLevel, level_of
from thence.sim.record.loggers import logger
from thence.sim.record.outcomes import FILE as OUTCOMES
from thence.sim.record.outcomes import Outcomes, read_outcomes
from thence.sim.record.writer import EventWriter, WriteMode
from thence.sim.run.agents import BaseAgent, BaseValidator
from thence.sim.run.calls import (
    ComponentRef,
    OnWait,
    described,
    mark_error,
    message_of,
    take_mark,
)
from thence.sim.run.engine import BaseEngine
from thence.sim.run.run_folder import (
    RunHold,
    count_events,
    make_run_folder,
    write_config,
    write_result,
)
from thence.sim.run.simulation import Simulation, TurnProgress, make_components
from thence.sim.scenario.scenario import SimulationConfig, expected
from thence.sim.scenario.sections import AgentErrorPolicy
from thence.sim.scenario.state import State

# an eighth of the time of a run of 1,000 agents
_COLLECTOR_THRESHOLDS = 50_000, 50, 100
Status = Literal["completed", "failed", "interrupted"]
_INTERRUPTIONS = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Lets Python look for garbage less often, for a run that has its process to itself.

    What a run builds mostly stays, or goes without the collector's help.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run, as result.json holds it.

    `turns` counts complete turns, `events` the lines in the run's files; `dropped` and `failed`
    count events without a line. `decisions` counts the decisions that agents were asked for, even
    if they did nothing, `decisions_failed` those that failed. `reason` is the reason of the end,
    `error` the failure, if any. `final_state` is scope → name → value after the last complete turn.
    `altered` is step → change for an altered run, otherwise empty. `usage` has calls, failures,
    tokens and cost of models by agent and by model, as `by_agent` and `by_model`; it is empty if
    none was asked. Its `without_tokens` and `without_cost` count answers that are in no sum. Where
    a parent or a cassette answered, `by_origin` has what the run's `own` calls came to, which it
    paid for, and the `inherited` ones.
    """

    run_id: str
    status: Status
    turns: int
    reason: str
    events: int
    dropped: int
    failed: int
    decisions: int
    decisions_failed: int
    output_dir: Path
    final_state: Mapping[str, Mapping[str, Any]]
    error: str | None = None
    altered: Mapping[str, Any] = {}
    usage: Mapping[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as JSON values, without `altered` and `usage` where they are empty."""
        members, _ = repair(msgspec.structs.asdict(self), convert=Plain())
        return {
            name: member
            for name, member in members.items()
            if member or name not in ("altered", "usage")
        }

    def _repr_html_(self) -> str:
        from thence.core.notebook import facts_html

        return facts_html(f"{self.run_id}: {self.status}", self.to_dict())

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self


class RunParts(TypedDict, total=False):
    """What a run takes from a program instead of its scenario: components, and what it calls."""

    agents: Sequence[BaseAgent] | None
    engine: BaseEngine | None
    validator: BaseValidator | None
    on_turn: Callable[[TurnProgress], None] | None
    on_wait: OnWait | None


class SimulationOrchestrator:
    """One run of a scenario, which may be given as configuration, mapping, path or name.

    The run's folder is created immediately: `<output_root>/<run_id>/` with config.json,
    events.jsonl and, in the end, result.json. Arguments override the scenario. `on_turn` is called
    after each turn. `on_wait` is called twice a second, in another thread, while a component has
    given no answer for two seconds, and with None when it has; once it raises, that is logged and
    it is not called again. Raises ScenarioError. A run happens once; another run needs another
    object. `failure` is the error that ended a failed run, with its traceback, `resume_option` what
    `thence sim resume` needs to continue a paused one. `thence.sim.resume` and `branch` pass
    `again`.
    """

    resume_option = ""

    def __init__(
        self,
        config: SimulationConfig | Mapping[str, Any] | str | Path,
        *,
        output_root: str | Path | None = None,
        run_id: str | None = None,
        agents: Sequence[BaseAgent] | None = None,
        engine: BaseEngine | None = None,
        validator: BaseValidator | None = None,
        seed: int | None = None,
        max_turns: int | None = None,
        verbosity: VerbosityLevel | str | None = None,
        mode: WriteMode | str | None = None,
        max_file_size: int | None = None,
        max_queue_size: int | None = None,
        on_full: Literal["drop", "block"] | None = None,
        on_turn: Callable[[TurnProgress], None] | None = None,
        on_wait: OnWait | None = None,
        on_agent_error: AgentErrorPolicy | None = None,
        timeout_s: float | None = None,
        threads: int | None = None,
        checkpoint_interval: int | None = None,
        cassette: str | Path | None = None,
        max_calls: int | None = None,
        max_cost: float | None = None,
        again: ReplayInput | None = None,
    ) -> None:
        cassette = None if cassette is None else str(Path(cassette).absolute())
        turns = {"seed": seed, "max_turns": max_turns, "checkpoint_interval": checkpoint_interval}
        calls = {"on_agent_error": on_agent_error, "timeout_s": timeout_s, "threads": threads}
        sizes = {"max_file_size": max_file_size, "max_queue_size": max_queue_size}
        words = {
            "output_root": None if output_root is None else str(output_root),
            "verbosity": None if verbosity is None else level_of(verbosity).name,
            "mode": None if mode is None else str(mode),
        }
        sections: dict[str, dict[str, Any]] = {
            "simulation": {**turns, **calls},
            "llm": {"cassette": cassette, "max_calls": max_calls, "max_cost": max_cost},
            "events": {**words, **sizes, "on_full": on_full},
        }
        if isinstance(config, Mapping):
            config = SimulationConfig.from_mapping(config)
        elif not isinstance(config, SimulationConfig):
            config = SimulationConfig.from_file(config)
        self.config = with_arguments(config, sections)
        components = make_components(self.config, agents, engine, validator)
        self._components = components
        self.agents, self.engine = components.agents, components.engine
        self.validator = components.validator
        self._again = again or ReplayInput()
        terms = msgspec.structs.asdict(self.config.events)
        root, name = Path(terms.pop("output_root")), self.config.simulation.name
        self.output_dir = (self._again.folder or make_run_folder(root, name, run_id)).absolute()
        self.run_id: str = self.output_dir.name
        self._hold = RunHold(self.output_dir)
        self.result: RunResult | None = None
        self.failure: Exception | None = None
        self._on_turn, self._on_wait = on_turn, on_wait
        self._simulation: Simulation | None = None
        self._lost_before, self._checkpoint_fault = 0, ""  # events, at the last checkpoint
        objects = {"agents": agents, "engine": engine, "validator": validator}
        self._run_config = run_config(self.config, self.run_id, self._again.parent, objects)
        if not self._again.folder:
            write_config(self.output_dir, self._run_config)
        self.event_writer = EventWriter(self.output_dir, self.run_id, **terms)

    @property
    def history(self) -> Sequence[State]:
        """The states so far: before the first turn, then after each; only the last are kept."""
        return self._simulation.history if self._simulation else []

    def run(self, *, alter: Mapping[str, object] | None = None) -> RunResult:
        """Plays the run to its end: blocks in plain code, is awaited in a running loop.

        `alter` maps steps to changes: None leaves a DECISION or ACTION out, any other value is set
        by the STATE of that step; config.json and the result record `alter`. After Ctrl-C the
        result has the status interrupted.
        """
        if in_loop():
            return self.run_async(alter=alter)  # type: ignore[return-value]  # `await` gives it
        try:
            return asyncio.run(self.run_async(alter=alter))
        except KeyboardInterrupt:
            if self.result is None:
                raise
            return self.result

    async def run_async(self, *, alter: Mapping[str, object] | None = None) -> RunResult:
        """Plays the run to its end; a cancellation drains the log first.

        Raises ThenceError for a run that has begun.
        """
        if self._simulation is not None:
            cause = "this run has begun" if self.result is None else "this run has ended"
            hint = "make another SimulationOrchestrator"
            raise ThenceError("could not run", place=self.run_id, cause=cause, hint=hint)
        altered = {**self._again.altered, **(alter or {})}
        self._again = replace(self._again, altered=altered)
        is_resumed = self._again.folder is not None
        if altered and not is_resumed:
            write_config(self.output_dir, {**self._run_config, "altered": altered})
        file = self.output_dir / OUTCOMES
        simulation = self._simulation = Simulation(
            self.config,
            self._components,
            self.event_writer.emit_piece,
            simulation_id=self.run_id,
            verbosity=self.event_writer.verbosity,
            outcomes=Outcomes(file, self._again.outcomes, copies=not is_resumed),
            again=self._again,
            is_drafting=True,
        )
        with simulation.watched(self._on_wait):
            while self.result is None:
                await self._play_turn(simulation)
        return self.result

    def close(self) -> None:
        """Lets go of the folder of a run that is not played."""
        self.event_writer.close()
        self._hold.release()

    def _repr_html_(self) -> str | None:
        return self.result._repr_html_() if self.result else None

    async def _play_turn(self, simulation: Simulation) -> None:
        """Plays a turn; a failure or an interruption ends the run with a result."""
        try:
            if self._again.checkpoint is not None and not simulation.history:
                await simulation.restore(self._again.checkpoint)
                simulation.recorder.checkpointed()
            await simulation.play_turn()
            stored = self._again.stored
            if stored is not None and simulation.recorder.turn >= stored.last_turn:
                # the result of an earlier end holds no more
                (self.output_dir / "result.json").unlink(missing_ok=True)
            if self._on_turn is not None:
                self._on_turn(simulation.progress)
            if not simulation.reason:
                await self._write_checkpoint(simulation)
            await asyncio.sleep(0)  # here a Ctrl-C or a cancellation comes in
            fault = ""
            if simulation.reason and self.config.llm.endpoints:
                from thence.sim.models.asking import uselessness

                fault = uselessness(read_outcomes(self.output_dir).values())
            if fault:
                component = ComponentRef("the models", lambda: simulation.recorder.last_failures)
                hint = "look at one, then change the prompt, the actions or the model"
                error = ThenceError(fault, hint=hint)
                mark_error(error, component)
                self._fail(simulation, error, fault)
            elif simulation.models and (fault := simulation.models.useless_turn()):
                place = f"after turn {simulation.recorder.turn}"
                hint = "thence why @last-error shows one; change the prompt or the model"
                raise ModelsUnavailable("could not continue", place=place, cause=fault, hint=hint)
            elif simulation.reason:
                simulation.end(f"completed: {simulation.reason}")
                await self.event_writer.stop()
                self._set_result(simulation, "completed", simulation.reason)
        except _INTERRUPTIONS:
            self._interrupt(simulation)
            raise
        except ModelsUnavailable as error:
            self.resume_option = error.option
            self._interrupt(simulation, "paused", f"{error}; {error.hint}" if error.hint else error)
        except RunDiverged:
            self.event_writer.close()
            self._hold.release()
            await simulation.close()
            raise
        except Exception as error:  # boundary: a failing component ends its run, not the program
            self._fail(simulation, error)
        finally:
            if self.result is not None:
                await simulation.close()

    async def _write_checkpoint(self, simulation: Simulation) -> None:
        """Writes the checkpoint of the turn if it is time for one; a bad disk ends no run.

        After a loss of events it is time at once: the turns before can't be compared any more.
        """
        interval = self.config.simulation.checkpoint_interval
        lost, stored = self.event_writer.failed_count, self._again.stored
        if stored is not None and simulation.recorder.turn < stored.last_turn:
            return  # of turns that may still turn out to be others than those played
        if not interval or (simulation.recorder.turn % interval and lost == self._lost_before):
            return
        try:
            checkpoint = await simulation.caller.beside(simulation.checkpoint)
            if checkpoint is None:
                return
            if not is_whole(checkpoint):
                states = checkpoint.components.items()
                lossy = [f"get_state of {name}" for name, kept in states if not is_whole(kept, Any)]
                cause = f"JSON can't give back {(*lossy, 'a variable')[0]}: no tuple, set or NaN"
                raise ThenceError("could not write the checkpoint", cause=cause)
            await asyncio.to_thread(self.event_writer.flush)
            written = self.event_writer.written_causes
            if written((checkpoint.event_id,)) != (checkpoint.event_id,):
                # no resume could begin here
                raise ThenceError("could not write the checkpoint", cause="its turn has no end")
            checkpoint = with_causes(checkpoint, written)
            write_checkpoint(self.output_dir, checkpoint)
        except ThenceError as error:
            turn, cause = simulation.recorder.turn, str(error)
            if cause != self._checkpoint_fault:  # a value that JSON can't hold may stay
                logger().warning("checkpoint_not_written", turn=turn, cause=cause)
            self._checkpoint_fault = cause
        else:
            simulation.recorder.checkpointed()
            self._lost_before = lost

    def _interrupt(self, simulation: Simulation, reason: str = "", error: object = None) -> None:
        words = filter(None, ("interrupted", reason, error))
        simulation.end(": ".join(map(str, words)))
        self.event_writer.close()
        why = reason or "interrupted"
        self._set_result(simulation, "interrupted", why, str(error) if error else None)

    def _fail(
        self, simulation: Simulation, error: Exception, reason: str = "a component failed"
    ) -> None:
        self.failure = error
        component = take_mark(error) or ComponentRef("the run")
        line = f"{component.name} failed: {described(error)}"
        if isinstance(error, ThenceError):
            line += f"; {error.hint}" if error.hint else ""
        elif frames := traceback.extract_tb(error.__traceback__):
            # of a fault that shows here, or in random.choice, its caller's line says more
            libraries = str(Path(__file__).parents[2]), get_path("stdlib")
            users = [frame for frame in frames if not frame.filename.startswith(libraries)]
            last = (users or frames)[-1]
            line += f" ({Path(last.filename).name}, line {last.lineno})"
        facts = {
            "error": line,
            "exception": type(error).__name__,
            "message": message_of(error),
            "component": component.name,
        }
        recorder = simulation.recorder
        recorder.decisions_failed += component.name == f"agent {component.agent}"
        recorder.failure(facts, component.causes(), component.agent)
        simulation.end(f"failed: {line}")
        self.event_writer.close()
        self._set_result(simulation, "failed", reason, line)

    def _set_result(
        self, simulation: Simulation, status: Status, reason: str, error: str | None = None
    ) -> None:
        unmet, usage = simulation.recorder.alterations.unmet, {}
        if unmet and status == "completed":  # of alterations that no event took
            logger().warning("alteration_not_met", steps=sorted(unmet))
        if self.config.llm.endpoints:
            from thence.sim.run.costs import run_usage

            usage = run_usage(self.output_dir, has_cassette=bool(self.config.llm.cassette))
        self.result = RunResult(
            run_id=self.run_id,
            status=status,
            turns=max(0, len(simulation.history) - 1),
            reason=reason,
            events=count_events(self.output_dir),
            dropped=self.event_writer.dropped_count,
            failed=self.event_writer.failed_count,
            decisions=simulation.recorder.decisions,
            decisions_failed=simulation.recorder.decisions_failed,
            output_dir=self.output_dir,
            final_state=simulation.history[-1].as_dict() if simulation.history else {},
            error=error,
            altered=self._again.altered,
            usage=usage,
        )
        try:
            write_result(self.output_dir, self.result.to_dict())
        except ThenceError as failure:
            logger().warning("result_not_written", folder=str(self.output_dir), cause=str(failure))
        self._hold.release()


Orchestrator = SimulationOrchestrator


def in_loop() -> bool:
    """Reports whether this thread runs an event loop, as that of a notebook does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def with_arguments(config: SimulationConfig, sections: Mapping[str, Any]) -> SimulationConfig:
    """Returns a scenario with other values in its sections, those that are not None.

    Raises ScenarioError for a value that does not fit. A limit that is infinite is none.
    """
    for section, arguments in sections.items():
        settings = getattr(config, section)
        changes = {name: value for name, value in arguments.items() if value is not None}
        types = {field.name: field.type for field in msgspec.structs.fields(settings)}
        for name, value in changes.items():
            try:
                msgspec.convert(value, ready(types[name]))
            except msgspec.ValidationError as error:
                cause = f"{name} should be {expected(types[name])}, not {value!r:.60}"
                operation, hint = "could not take an argument", "correct it, then run it again"
                raise ScenarioError(operation, cause=cause, hint=hint) from error
        config = replace(config, **{section: replace(settings, **changes)})
    if config.llm.max_cost == math.inf:  # for which JSON has no number
        config = replace(config, llm=replace(config.llm, max_cost=None))
    return config


def run_config(
    config: SimulationConfig,
    run_id: str,
    parent: Mapping[str, Any] | None,
    objects: Mapping[str, object],
) -> dict[str, Any]:
    """Returns the content of config.json: the scenario as given, and the settings in force.

    `parent` is the run that this one branches from; `objects` are the components by kind, None
    where the scenario made them.
    """
    source = str(config.source) if config.source else None
    content: dict[str, Any] = {
        "run_id": run_id,
        "made_by": versions(),
        "source": source,
        "simulation": msgspec.to_builtins(config.simulation),
        "events": msgspec.to_builtins(config.events),
        "scenario": dict(config.given),
    }
    if config.files:
        content["files"] = dict(config.files)
    if config.llm.endpoints:
        limits = ("cassette", "max_calls", "max_cost")
        content["llm"] = {name: getattr(config.llm, name) for name in limits}
    if kinds := [kind for kind, component in objects.items() if component is not None]:
        content["given_as_objects"] = kinds
    if parent is not None:
        content["parent"] = dict(parent)
    return content
