"""Runs that are played again: resumed after a kill, replayed to the same events, or branched.

A run is determined by its scenario, its seed and its recorded outcomes. What an earlier process has
written is compared with what is built again, so that a component which depends on more is found
out.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack, cast

import msgspec
from msgspec import structs

from thence.core.diff import VOLATILE
from thence.core.event import Event
from thence.core.ready import ready
from thence.core.vocabulary import SIM
from thence.errors import RunDiverged, ScenarioError, ThenceError
from thence.sim.again.replay_input import (
    SEED,
    RecordedSteps,
    ReplayInput,
    changed_files,
    is_of_an_end,
)
from thence.sim.populations.hooks import row_named, table_of
from thence.sim.record.checkpoints import Checkpoint, read_checkpoints
from thence.sim.record.events import level_of
from thence.sim.record.loggers import logger
from thence.sim.record.outcomes import Key, Outcomes, RecordedOutcome, read_outcomes
from thence.sim.record.recorder import NOBODY
from thence.sim.results.recorded import RecordedRun
from thence.sim.run.run import RunParts, SimulationOrchestrator
from thence.sim.run.run_folder import write_config
from thence.sim.run.simulation import (
    Components,
    Simulation,
    component_states,
    make_components,
)
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.sections import EventSettings, RunSettings


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a replay of the first `turns` turns of a run, with their `events`.

    `sha256` is that of the content of these events, without ids and times. `step` is that of the
    first difference, with the reason; both are empty if the replay came to the same events.
    """

    run_id: str
    turns: int
    events: int
    sha256: str
    step: str = ""
    difference: str = ""


def resume(
    folder: str | Path,
    *,
    max_turns: int | None = None,
    max_calls: int | None = None,
    max_cost: float | None = None,
    **parts: Unpack[RunParts],
) -> SimulationOrchestrator:
    """Returns the run in a folder, ready to continue where a kill, a stop or a failure ended it.

    It begins at the newest checkpoint that its log holds, otherwise at turn 0. What it comes to
    again is compared with the log; what is new is appended. Components that the run was given as
    objects must be given again, as they were at its start. Raises ThenceError for a run that is
    completed, `run_goes_on`, ScenarioError; `run()` of the result raises RunDiverged.
    """
    with RecordedRun(folder) as run:
        is_completed = run.result.get("status") == "completed"
        if is_completed and max_turns is None:
            cause = f"the run is completed: {run.result.get('reason')}"
            raise _not_resumed(run, cause, "give more turns")
        config = recorded_config(run, parts, max_turns)
        components = _components(config, parts)
        run.log.recover()  # what the next append would keep of a torn end counts too
        events = list(run.log.read())
        turns = complete_turns(events)
        if max_turns is not None and max_turns < turns + is_completed:
            cause = f"the run has played {turns} turns already"
            raise _not_resumed(run, cause, f"give more than {turns} turns")
        if changed := changed_files(run.config):
            hint = "the turns so far were played with the old files; branch to compare"
            logger().warning("files_changed", files=", ".join(changed), hint=hint)
        checkpoint = _checkpoint(run.folder, events, components)
        parts |= cast(RunParts, structs.asdict(components))
        orchestrator = SimulationOrchestrator(
            config,
            **parts,
            max_calls=max_calls,
            max_cost=max_cost,
            again=ReplayInput(
                outcomes=_outcomes(run, events),
                altered=altered_steps(run),
                folder=run.folder,
                stored=RecordedSteps(
                    events,
                    None if checkpoint is None else checkpoint.event_id,
                    run.config,
                    _last_states(run, config, components),
                ),
                failures=failures_by_step(events),
                checkpoint=checkpoint,
            ),
        )
        if max_turns is not None:  # a later resume or replay plays as many turns
            simulation = {**run.config["simulation"], "max_turns": max_turns}
            write_config(run.folder, {**run.config, "simulation": simulation})
        return orchestrator


def replay(folder: str | Path, **parts: Unpack[RunParts]) -> Replay:
    """Replays the complete turns of a run in memory, and compares all their events.

    Nothing is written and nothing outside is asked: outcomes are those recorded. `on_turn` and
    `on_wait` are called as by the orchestrator. Blocks; call it in a thread of a running loop.
    Raises ScenarioError, and ThenceError where components must be given again.
    """
    with RecordedRun(folder) as run:
        config = recorded_config(run, parts)
        events = list(run.log.read())
        turns, played = complete_turns(events), _of_complete_turns(events)
        compared = [event for event in played if not SIM.is_notice(event)]
        outcome = Replay(
            run_id=run.run_id, turns=turns, events=len(compared), sha256=content_hash(compared)
        )
        simulation, stored = again_in_memory(run, config, parts, events)
    on_turn, on_wait = parts.get("on_turn"), parts.get("on_wait")

    def show(*_: int) -> None:
        if on_turn is not None:
            on_turn(structs.replace(simulation.progress, max_turns=turns))

    try:
        asyncio.run(simulation.run(turns, show, on_wait))
        stored.check_all_done()
    except RunDiverged as error:
        return structs.replace(outcome, step=error.step, difference=str(error.cause))
    return outcome


def again_in_memory(
    run: RecordedRun,
    config: SimulationConfig,
    parts: RunParts,
    events: Sequence[Event],
    alter: Mapping[str, object] = MappingProxyType({}),
) -> tuple[Simulation, RecordedSteps]:
    """Returns a simulation that plays a run again, and the recorded events that it compares.

    `config` is its `recorded_config`, `events` are those of the turns that are played. Nothing
    outside is asked. Where `alter` maps steps to other values, nothing is compared.
    """
    components = _components(config, parts)
    states = _last_states(run, config, components)
    stored = RecordedSteps(_of_complete_turns(events), None, run.config, states)
    simulation = Simulation(
        config,
        components,
        lambda piece: None,
        simulation_id=run.run_id,
        verbosity=level_of(config.events.verbosity),
        outcomes=Outcomes(recorded=read_outcomes(run.folder), may_ask=False),
        again=ReplayInput(
            altered={**altered_steps(run), **alter},
            stored=None if alter else stored,
            failures=failures_by_step(events),
        ),
    )
    return simulation, stored


def _last_states(
    run: RecordedRun, config: SimulationConfig, components: Components
) -> dict[int, dict[str, Any]]:
    """Returns the last known states of a run by turn: of its result, of its newest checkpoint."""
    states: dict[int, dict[str, Any]] = {}
    if (newest := next(read_checkpoints(run.folder), None)) is not None:
        of_scopes = states.setdefault(newest.turn, {})
        table = table_of(config, components.agents)
        for variable, value in zip(table, newest.values, strict=False):
            of_scopes.setdefault(variable.scope, {})[variable.declaration.name] = value
    result = run.result
    if "turns" in result and "final_state" in result:
        states[result["turns"]] = result["final_state"]
    return states


def _of_complete_turns(events: Sequence[Event]) -> list[Event]:
    turns = complete_turns(events)
    return [e for e in events if (e.turn_number or 0) <= turns and not is_of_process(e)]


def branch(
    folder: str | Path,
    at: int,
    *,
    set: Mapping[str, object] | None = None,
    decide: Mapping[str, object] | None = None,
    seed: int | None = None,
    output_root: str | Path | None = None,
    run_id: str | None = None,
    max_turns: int | None = None,
    **parts: Unpack[RunParts],
) -> SimulationOrchestrator:
    """Returns a new run that is as another one up to turn `at`, then continues with changes.

    `set` maps variables, as "agent/ada/money" or "global/price", to values that they have at the
    end of that turn. `decide` maps steps of later turns, as "3.decide.ada.0", to another action, or
    to None. Outcomes that the change leaves as they were are not asked again. With `seed` later
    turns draw with another seed, and ask everything again: one of many futures. The new run records
    its parent and the changes. Raises ThenceError for changes that can't be, and as `resume` does.
    """
    with RecordedRun(folder) as run:
        config = recorded_config(run, parts, max_turns)
        if at not in range((turns := complete_turns(run.log.read())) + 1):
            cause = f"it has played {turns} turns, and none with the number {at}"
            hint = f"name a turn from 0 to {turns}"
            raise ThenceError("could not branch", place=run.folder, cause=cause, hint=hint)
        try:
            changes = _changes(config, _components(config, parts), at, set or {}, decide or {})
        except ThenceError as error:
            error.code = "scenario_error"  # a command's wrong usage
            raise
        outcomes = read_outcomes(run.folder)
        if seed is not None:
            changes[f"{at}{SEED}"] = seed
            outcomes = {key: outcomes[key] for key in outcomes if int(key[0].split(".")[0]) <= at}
        return SimulationOrchestrator(
            config,
            **parts,
            run_id=run_id,
            output_root=output_root or run.folder.absolute().parent,
            again=ReplayInput(
                outcomes=outcomes,
                altered={**altered_steps(run), **changes},
                parent={"run_id": run.run_id, "turn": at},
            ),
        )


def content_hash(events: Sequence[Event]) -> str:
    """Returns the SHA-256 of the content of a run's events: the same for the same history.

    Of each event count its type, step, agent, details without latency and cost, and its causes as
    steps.
    """
    steps = {event.event_id: event.step or "" for event in events}
    digest = sha256()
    for event in events:
        details = {name: value for name, value in event.payload.items() if name not in VOLATILE}
        causes = sorted(steps.get(cause, "") for cause in event.caused_by)
        content = [event.event_type, event.step, event.actor, details, causes]
        digest.update(msgspec.json.encode(content, order="deterministic") + b"\n")
    return digest.hexdigest()


def recorded_config(
    run: RecordedRun, parts: Mapping[str, Any], max_turns: int | None = None
) -> SimulationConfig:
    """Returns the scenario of a run with the settings in force, as config.json holds them.

    Raises ThenceError if `parts` lack a kind of component that the run was given as objects.
    """
    what, config_file = "could not replay", run.folder / "config.json"
    scenario, source = run.config.get("scenario"), run.config.get("source")
    try:
        if not isinstance(scenario, dict):
            raise ValueError("it holds no scenario")
        config = SimulationConfig.from_mapping(scenario, Path(source) if source else None)
        simulation = msgspec.convert(run.config.get("simulation"), ready(RunSettings))
        settings = msgspec.convert(run.config.get("events"), ready(EventSettings))
        llm = structs.replace(config.llm, **run.config.get("llm", {}))
    except ScenarioError:
        raise
    except (ValueError, TypeError) as error:
        hint = "only runs with an intact config.json can be replayed"
        raise ThenceError(what, place=config_file, cause=error, hint=hint) from error
    kinds = run.config.get("given_as_objects", ())
    components = ("agents", "engine", "validator")
    missing = [kind for kind in components if kind in kinds and parts.get(kind) is None]
    if missing:
        cause = f"its {' and '.join(missing)} came as objects, not from the scenario"
        hint = f"call it from Python, with {', '.join(f'{kind}=…' for kind in missing)}"
        raise ThenceError(what, place=run.folder, cause=cause, hint=hint)
    if max_turns is not None:
        simulation = structs.replace(simulation, max_turns=max_turns)
    files = run.config.get("files", {})
    return structs.replace(config, simulation=simulation, llm=llm, events=settings, files=files)


def _components(config: SimulationConfig, parts: RunParts) -> Components:
    return make_components(config, parts.get("agents"), parts.get("engine"), parts.get("validator"))


def _outcomes(run: RecordedRun, events: Iterable[Event]) -> Mapping[Key, RecordedOutcome]:
    """Returns the outcomes without what was of no use where the run failed, which is asked anew."""
    from thence.sim.models.asking import given_up, is_failure

    outcomes = read_outcomes(run.folder)
    if run.result.get("status") != "failed":
        return outcomes
    ended, failed_in = 0, 0
    for event in events:
        failed_in = max(failed_in, event.turn_number or 0)
        ended = max(ended, event.turn_number or 0) if _milestone(event) == "turn_end" else ended
    retried = given_up(outcomes.values())
    if ended == failed_in:  # in the check behind a turn
        retried = {key for key in retried if key[0] == f"{ended}.look.{NOBODY}"}
    else:
        retried |= {key for key in outcomes if is_failure(outcomes[key])}
        retried = {key for key in retried if key[0].startswith(f"{failed_in}.")}
    return {key: outcome for key, outcome in outcomes.items() if key not in retried}


def complete_turns(events: Iterable[Event]) -> int:
    """Returns the number of the last complete turn."""
    return max((e.turn_number or 0 for e in events if _milestone(e) == "turn_end"), default=0)


def _not_resumed(run: RecordedRun, cause: str, hint: str) -> ThenceError:
    hint = f"{hint}, or branch the run"
    return ThenceError("could not resume", place=run.folder, cause=cause, hint=hint)


def altered_steps(run: RecordedRun) -> dict[str, Any]:
    """Returns what a run altered itself, by step."""
    altered = run.config.get("altered")
    return dict(altered) if isinstance(altered, dict) else {}


def _checkpoint(folder: Path, events: Sequence[Event], components: Components) -> Checkpoint | None:
    """Returns the newest checkpoint whose turn_end the log holds; None to begin at turn 0."""
    if component_states(components) is None:
        agent = next(a for a in components.agents if a.remembers and not hasattr(a, "get_state"))
        cause = f"agent {agent.name} remembers, and has no get_state"
        hint = "add get_state and set_state, or remembers = False"
        logger().warning("resume_begins_at_turn_0", folder=str(folder), cause=cause, hint=hint)
        return None
    return newest_checkpoint(folder, events)


def newest_checkpoint(
    folder: Path, events: Iterable[Event], before: float = inf
) -> Checkpoint | None:
    """Returns the newest checkpoint of a turn before one whose turn_end is among the events."""
    ids = {event.event_id for event in events if _milestone(event) == "turn_end"}
    checkpoints = read_checkpoints(folder, before)
    return next((newest for newest in checkpoints if newest.event_id in ids), None)


def _milestone(event: Event) -> object:
    return event.payload.get("milestone_type")


def is_of_process(event: Event) -> bool:
    """Reports whether an event tells of the process that played, and not of the run."""
    return is_of_an_end(event) or event.payload.get("error_type") == "checkpoint"


def failures_by_step(events: Sequence[Event]) -> dict[str, Mapping[str, Any]]:
    """Returns the facts of agents' failures by step."""
    return {
        event.step: event.payload
        for event in events
        if event.step and event.payload.get("error_type") == "agent_failed"
    }


def _changes(
    config: SimulationConfig,
    components: Components,
    at: int,
    set: Mapping[str, object],
    decide: Mapping[str, object],
) -> dict[str, Any]:
    """Returns the changes of a branch by step; raises ThenceError for one that can't be."""
    agents = components.agents
    table = table_of(config, agents)
    changes: dict[str, Any] = {}
    for subject, value in set.items():
        scope, slash, name = subject.rpartition("/")
        if not slash:
            hint = "name a variable by its scope too, such as agent/ada/money or global/price"
            cause = "it has no scope"
            raise ThenceError("could not branch", place=f"set {subject}", cause=cause, hint=hint)
        if row := row_named(agents, subject):
            changes[f"{at}.set.-.{subject}"] = row[0].converted(row[2], value)
            continue
        variable = table[table.index(scope, name)]
        changes[f"{at}.set.-.{variable.subject}"] = variable.converted(value)
    for step, action in decide.items():
        turn, _, rest = step.partition(".")
        if not (turn.isdecimal() and rest.startswith("decide")) or int(turn) <= at:
            cause = f"it is not a step of a decision after turn {at}"
            hint = f"name one such as {at + 1}.decide.ada.0; thence log --type DECISION has them"
            raise ThenceError("could not branch", place=f"decide {step}", cause=cause, hint=hint)
        changes[step] = action
    return changes
