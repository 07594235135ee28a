"""The run of a simulation in memory, without a file.

Events go to the function `emit` in pieces, a turn at least: the orchestrator passes that of an
EventWriter. The components are made by the scenario, or given as objects.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from thence.errors import ScenarioError, ThenceError
from thence.sim.again.replay_input import ReplayInput
from thence.sim.models.actions import HEARD, NEIGHBOURS, talk_reach
from thence.sim.populations.hooks import populations, row_named, table_of
from thence.sim.record.checkpoints import Checkpoint
from thence.sim.record.events import VerbosityLevel
from thence.sim.record.ledger import Ids, Ledger
from thence.sim.record.outcomes import Outcomes
from thence.sim.record.recorder import Emit, RunRecorder
from thence.sim.record.writer import RunEvent
from thence.sim.run.agents import BaseAgent, BaseValidator, Observation, RecordedState, stream
from thence.sim.run.calls import (
    Caller,
    ComponentRef,
    OnWait,
    Waits,
    described,
    mark_error,
    overrides,
    taken_whole,
    watched,
    wrong_answer,
)
from thence.sim.run.engine import BaseEngine
from thence.sim.run.roster import Roster, check_name
from thence.sim.run.trace import SilentTrace, Trace
from thence.sim.run.turn import Order, Turn
from thence.sim.scenario.component_classes import ComponentNotFound, build, component_class
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.scenario_file import Problems, Source, parse_file
from thence.sim.scenario.state import GLOBAL, MAP, State, StateHistory
from thence.sim.space.sight import SightedObservation, sights_of
from thence.sim.space.worlds import World

if TYPE_CHECKING:
    from thence.sim.models.asking import Models


class Components(msgspec.Struct, frozen=True):
    """The components of one run; each run needs its own objects."""

    agents: tuple[BaseAgent, ...]
    engine: BaseEngine
    validator: BaseValidator


def make_components(
    config: SimulationConfig,
    agents: Sequence[BaseAgent] | None = None,
    engine: BaseEngine | None = None,
    validator: BaseValidator | None = None,
) -> Components:
    """Returns the components of a new run; given objects replace those of the scenario.

    Raises ScenarioError if a component refuses its parameters, or two agents share a name.
    """
    if agents is None:
        agents = [
            _make(config, "agents", agent.type, agent.params, agent.name) for agent in config.agents
        ]
    agents = tuple(agents)
    settings = config.engine
    if engine is None:
        engine = _make(config, "engines", settings.type, settings.params, "engine")
    settings = config.validator
    if validator is None:
        validator = _make(config, "validators", settings.type, settings.params, "validator")
    kinds = *((agent, BaseAgent) for agent in agents), (engine, BaseEngine)
    for component, base in (*kinds, (validator, BaseValidator)):
        if not isinstance(component, base):
            cause, hint = f"{component!r:.60} is not a {base.__name__}", "pass objects, not classes"
            raise ScenarioError("could not take the components", cause=cause, hint=hint)
    order_of(config, engine)
    names: set[str] = set()
    for agent in agents:
        check_name(getattr(agent, "name", None), names)
        names.add(agent.name)
    return Components(agents, engine, validator)


def component_states(components: Components) -> dict[str, Any] | None:
    """Returns what the components keep, by `engine`, `validator` and `agent/<name>`.

    That is what their `get_state()` returns, as JSON values. None if an agent remembers and has
    no `get_state`.
    """
    states: dict[str, Any] = {}
    for name, component in _named(components):
        get_state = getattr(component, "get_state", None)
        if get_state is not None:
            try:
                states[name] = get_state()
            except Exception as error:  # boundary: a user's, of which the run tells whose it is
                mark_error(error, ComponentRef(f"get_state of {name}"))
                raise
        elif isinstance(component, BaseAgent) and component.remembers:
            return None
    return states


def restore_components(components: Components, states: Mapping[str, Any]) -> None:
    """Gives each component its state back, by `set_state`; raises ThenceError if it lacks one."""
    for name, component in _named(components):
        if name not in states:
            continue
        set_state = getattr(component, "set_state", None)
        if set_state is None:
            cause = f"{type(component).__name__} has get_state and no set_state"
            hint = "add set_state(state), which takes what get_state returned"
            raise ThenceError(
                "could not continue from a checkpoint", place=name, cause=cause, hint=hint
            )
        set_state(states[name])


def _named(components: Components) -> list[tuple[str, Any]]:
    agents = [(f"agent/{agent.name}", agent) for agent in components.agents]
    return [("engine", components.engine), ("validator", components.validator), *agents]


def order_of(config: SimulationConfig, engine: BaseEngine) -> Order:
    """Returns the order of a scenario, or its function.

    Raises ScenarioError for one that is none, and for one whose engine applies all actions at once.
    """
    order = config.simulation.order
    if order != "together" and overrides(engine, BaseEngine, "apply_actions"):
        kind = type(engine).__name__
        _refuse(
            config, ("simulation", "order"), f"{kind} overrides apply_actions: all act together"
        )
    if order in ("together", "in turn", "random"):
        return order
    from thence.sim.run.thinking import function_of

    try:
        return function_of("order", order, config)  # type: ignore[no-any-return]
    except ValueError as error:
        _refuse(config, ("simulation", "order"), f"{error}; others are together, in turn, random")
        raise


def _refuse(config: SimulationConfig, path: tuple[str | int, ...], message: str) -> None:
    """Raises the ScenarioError for a problem of a component, with its place in the file."""
    raw, source = parse_file(config.source) if config.source else ({}, Source())
    if not config.rows and len(raw.get("agents", ())) != len(config.given.get("agents", ())):
        source = Source()  # of a recorded run, which holds the agents of its tables
    source.rows = {at: (*row[:3], [()]) for at, row in config.rows.items()}
    problems = Problems(source)
    problems.add(path, message)
    problems.raise_any()


def _make(config: SimulationConfig, kind: Any, type_: str, params: Any, name: str) -> Any:
    try:
        cls = component_class(kind, type_, config.source.parent if config.source else None)
        return build(cls, params, name=name, config=config)
    except Exception as error:  # boundary: a user's __init__ may raise anything
        path: tuple[str | int, ...] = (kind[:-1],)
        if kind == "agents":
            names = name, name.rpartition("-")[0]
            path = (kind, [entry["name"] in names for entry in config.given[kind]].index(True))
        is_plain = isinstance(error, (ComponentNotFound, ValueError, TypeError))
        reason = str(error) if is_plain else described(error)
        word = reason.partition(" ")[0].rstrip(":")
        _refuse(config, (*path, *({word} & {*params})), f"{type_} can't be made: {reason}")


class TurnProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a run, reported after each turn.

    `counts` are the events so far by event_type, including those that the verbosity leaves out.
    """

    run_id: str
    turn: int
    max_turns: int
    counts: Mapping[str, int]


# turns after which covers are forgotten where the scenario has no checkpoints
COVER_TURNS = 10
_NOTHING = ReplayInput()


class Simulation:
    """One run, turn by turn.

    `history[n]` is the state after turn n, `history[0]` the one before the first. `reason`
    is the reason of the run's end, empty while it goes on. Events above `verbosity` are not built.
    `outcomes` are those of its components; `again` is what it takes from a recorded run. With
    `is_drafting`, `emit` takes usual events as drafts.
    """

    def __init__(
        self,
        config: SimulationConfig,
        components: Components,
        emit: Emit,
        *,
        simulation_id: str = "simulation",
        verbosity: VerbosityLevel = VerbosityLevel.DETAIL,
        outcomes: Outcomes | None = None,
        again: ReplayInput = _NOTHING,
        is_drafting: bool = False,
    ) -> None:
        self._known_failures, self._stored = again.failures, again.stored
        self._populations = populations(components.agents)
        self.config = config
        self.components = components
        self.outcomes = outcomes or Outcomes()
        self.models: Models | None = None
        if config.llm.endpoints:
            from thence.sim.models import asking

            folder = config.source.parent if config.source else None
            self.models = asking.Models(config.llm, self.outcomes, config.simulation.seed, folder)
        self._emit = emit
        self._waits = Waits()
        blocking = {agent.name for agent in config.agents if agent.blocks}
        for agent in components.agents:
            agent.blocks = agent.blocks or agent.name in blocking
        self.caller = Caller(config.simulation.threads, self._waits)
        self.recorder = RunRecorder(
            simulation_id, self._pass_on, verbosity, again, is_drafting=is_drafting
        )
        self.history = StateHistory()
        self.reason = ""
        self._reads: Ids = ()
        self._near: RecordedState | None = None  # what "neighbours" as a reach has read
        self._is_ended = False
        self._ledger: Ledger
        self._roster: Roster
        self._trace: Trace
        self._turn: Turn

    async def run(
        self,
        turns_max: int | None = None,
        on_turn: Callable[[int, int], None] | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        """Plays until the run is over, or up to turn `turns_max`.

        `on_turn` is called after each turn, with its number and the last one at most.
        """
        with self.watched(on_wait):
            if turns_max is None:
                turns_max = self.config.simulation.max_turns
            while not self.reason and self.recorder.turn < turns_max:
                await self.play_turn()
                if on_turn is not None:
                    on_turn(self.recorder.turn, turns_max)
        if self.reason:
            self.end(f"completed: {self.reason}")

    @property
    def progress(self) -> TurnProgress:
        """How far the run is."""
        return TurnProgress(
            run_id=self.recorder.simulation_id,
            turn=self.recorder.turn,
            max_turns=self.config.simulation.max_turns,
            counts=dict(self.recorder.counts),
        )

    def watched(self, on_wait: OnWait | None = None) -> AbstractContextManager[None]:
        """Returns the context in which components that give no answer are named, see there."""
        turns_max = self.config.simulation.max_turns
        return watched(self._waits, lambda: (self.recorder.turn, turns_max), on_wait)

    async def play_turn(self) -> State:
        """Plays the next turn and checks whether it was the last."""
        if not self.history:
            await self._start()
        if self.recorder.turn % (self.config.simulation.checkpoint_interval or COVER_TURNS) == 0:
            self.recorder.forget_covers()  # where a resume may begin, which knows none
            if self._ledger.world is not None:
                self._ledger.world.forget_departures()
        if (seed := self.recorder.alterations.seed(self.recorder.turn)) is not None:
            self._ledger.seed = seed
            if self.models is not None:
                self.models.seed = seed
        self.recorder.begin_turn(self._reads)
        world, table = self._ledger.world, self._ledger.table
        if self._near is not None and world is not None and world.moves:
            # what "neighbours" reach depends on who is where, which is a cause of all reached
            self._near = RecordedState(self._ledger, self.recorder.turn)
            await self.caller.beside(self._roster.renew_reach)
            indices = [i for i in range(len(table)) if table[i].scope not in (GLOBAL, MAP)]
            self._trace.depend(indices, self._near)
        state = await self.components.engine.run_turn(self._turn.play)
        if self._set_values():
            state = self._ledger.state(self.recorder.turn)
        self.recorder.end_turn({one.name: one.digest for one in self._populations})
        self.history.append(state)
        if self._stored is not None:
            self._stored.check_state(self.recorder.turn, state.as_dict)
        # the engine may end the run; its reads are causes of the next turn
        turns_max, trace = self.config.simulation.max_turns, self._trace
        seen = RecordedState(self._ledger, self.recorder.turn, site="end")
        engine = self.components.engine
        component = ComponentRef("the engine, checking termination", partial(trace.ended_by, seen))
        reason: Any = None
        if overrides(engine, BaseEngine, "check_termination"):
            reason = await self.caller.ask_one(component, partial(engine.check_termination, seen))
        if reason is not None and not isinstance(reason, str):
            hint = "return the reason as text, or None to continue"
            method = "check_termination of the engine"
            raise wrong_answer(component, method, reason, "text", hint)
        if not reason and self.recorder.turn >= turns_max:
            reason = f"max_turns {turns_max} reached"
        self._reads = (*trace.asked(seen), *seen.causes)
        self.reason = reason or ""
        return state

    async def observation(self, agent: str) -> Observation:
        """Returns what an agent that takes part in it would see in the next turn."""
        if not self.history:
            await self._start()
        view = SightedObservation if self._ledger.sights is not None else Observation
        return view(self._ledger, self.recorder.turn + 1, agent)

    async def observations(self) -> dict[BaseAgent, Observation]:
        """Returns what each agent that takes part would see in the next turn, which is not played.

        No turn can be played behind it.
        """
        if not self.history:
            await self._start()
        turn, roster = self.recorder.turn + 1, self._roster
        roster.begin_turn(turn, lambda *_: ())
        return {agent: await self.observation(agent.name) for agent in roster.active}

    def checkpoint(self) -> Checkpoint | None:
        """Returns the checkpoint of the turn that ended, which JSON may not hold: see `is_whole`.

        None if an agent remembers and has no get_state, or was added by the engine.
        """
        roster = self._roster.content()
        states = component_states(self.components)
        if states is None or roster["added"]:
            return None
        places: dict[Ids, int] = {}
        provenance = [places.setdefault(ids, len(places)) for ids in self._ledger.provenance]
        return Checkpoint(
            turn=self.recorder.turn,
            event_id=self.recorder.last_end_id,
            start_id=self.recorder.start_id,
            values=tuple(self._ledger.values),
            causes=tuple(places),
            provenance=tuple(provenance),
            lineage=self.recorder.lineage.recent,
            memory=self._trace.memory,
            turn_causes=self._reads,
            turn_has_causes=self.recorder.turn_has_causes,
            components={name: state for name, state in states.items() if type(state) is not bytes},
            binary={name: state for name, state in states.items() if type(state) is bytes},
            roster=roster,
            decisions=self.recorder.decisions,
            decisions_failed=self.recorder.decisions_failed,
        )

    async def restore(self, checkpoint: Checkpoint) -> None:
        """Begins behind the turn of a checkpoint, instead of before the first one."""
        await self._start()
        self.recorder.restore(checkpoint)
        self._ledger.values[:] = checkpoint.values
        self._ledger.provenance[:] = [checkpoint.causes[place] for place in checkpoint.provenance]
        self._trace.memory.update(checkpoint.memory)
        if self._ledger.world is not None:
            self._ledger.world.take(self._ledger.values)
        self._roster.restore(checkpoint.roster)
        self._reads = checkpoint.turn_causes
        states = {**checkpoint.components, **checkpoint.binary}
        await self.caller.beside(partial(restore_components, self.components, states))
        self.history.clear()
        self.history.append(self._ledger.state(checkpoint.turn), checkpoint.turn)

    def _pass_on(self, piece: Sequence[RunEvent]) -> None:
        """Passes events on, once the outcomes that they depend on are kept."""
        with self._waits.waiting_for("the disk, writing the run's events"):
            self.outcomes.sync()
            self._emit(piece)

    def _set_values(self) -> bool:
        """Sets what `alter` sets at the end of this turn, also rows; reports whether it did."""
        recorder, table = self.recorder, self._ledger.table
        if not (values := recorder.alterations.values_to_set(f"{recorder.turn}.set.-.")):
            return False
        for subject, value in values.items():
            if row := row_named(self._populations, subject):
                population, place, column = row
                summary = population.set_row(place, column, value, recorder.turn)
                variable = table[table.index(f"agent/{population.name}", column)]
                self._trace.set_value(variable, summary, subject)
        for variable in table:
            if variable.subject in values:
                new = variable.converted(values[variable.subject])
                self._trace.set_value(variable, new)
        return True

    def end(self, outcome: str) -> None:
        """Records the end of the run, once."""
        if not self._is_ended:
            self._is_ended = True
            self.recorder.end_run(outcome, self._reads)

    async def _start(self) -> None:
        agents, seed = self.components.agents, self.config.simulation.seed
        for population in self._populations:
            population.begin(seed, self.recorder.alterations)
        table = table_of(self.config, agents)
        initial = State(table, table.defaults()).replace(self.config.initial_values())
        world = World(self.config.spatial, table) if self.config.spatial.has_world else None
        if world is not None:
            initial = world.placed(initial, lambda agent: stream(seed, agent, 0, "place"))
        engine = self.components.engine
        component = ComponentRef("the engine, initializing")
        initialize = partial(engine.initialize_state, initial)
        first_state: Any = await self.caller.ask_one(component, initialize)
        if not isinstance(first_state, State):
            hint = "return the state that it was given, or state.replace({…})"
            method = "initialize_state of the engine"
            raise wrong_answer(component, method, first_state, "a State", hint)
        params = {agent.name: agent.params.get("talk") for agent in self.config.agents}
        talks = {
            agent.name: talk_reach(agent.talk or params.get(agent.name))
            for agent in self.components.agents
        }
        start = (self.recorder.start_id,) if self.recorder.writes_decisions else ()
        self._ledger = Ledger(
            table=table,
            values=list(first_state.values()),
            provenance=[start] * len(table),
            facts=engine.facts,
            outcomes=self.outcomes,
            seed=seed,
            models=self.models,
            world=world,
            sights=sights_of(self.config),
            talks={name: reach for name, reach in talks.items() if reach},
        )
        if world is not None:
            world.take(self._ledger.values)
        settings = self.config.simulation
        make = partial(Roster, self.components.agents, self._ledger, self._reach)
        self._roster = await self.caller.beside(make)
        names_causes = self.recorder.writes_decisions or self.recorder.is_altered
        kind = Trace if names_causes else SilentTrace
        failures = self._known_failures
        self._trace = kind(self._ledger, self.recorder, self._roster, settings, failures)
        self._turn = Turn(
            self._ledger,
            self._roster,
            self._trace,
            self.caller,
            self.components.validator,
            self.config,
            order_of(self.config, engine),
        )
        self._set_values()
        self.history.append(self._ledger.state(0))

    async def close(self) -> None:
        if self.models is not None:
            await self.models.close()

    def _reach(self, agent: str) -> tuple[int, ...]:
        table, world = self._ledger.table, self._ledger.world
        reached: Any = self.config.engine.reach
        if reached is None:
            reached = taken_whole(self.components.engine.reach(agent))
        indices: list[int] = []
        if reached == "neighbours" and f"agent/{reached}" not in table.by_scope:
            self._near = self._near or RecordedState(self._ledger, self.recorder.turn)
            indices += self._near.world_map.reach(agent)
            reached = ()
        elif reached is None or isinstance(reached, str):
            reached = (reached or agent,)
        for variable in reached if isinstance(reached, Iterable) else (reached,):
            if isinstance(variable, tuple | list) and len(variable) == 2:
                indices.append(table.index(*variable))
            elif f"agent/{variable}" in table.by_scope:
                indices += table.of_scope(f"agent/{variable}")
            else:
                cause = f"no agent of the run is named {variable!r:.60}"
                hint = "return pairs of scope and name, or a list of agents' names"
                place = f"of agent {agent}"
                raise ThenceError("could not take the reach", place=place, cause=cause, hint=hint)
        if HEARD in table.names(f"agent/{agent}"):  # any action may be to speak, to anybody
            scopes = [*table.by_scope]
            if self._ledger.talks.get(agent) == NEIGHBOURS:
                self._near = self._near or RecordedState(self._ledger, self.recorder.turn)
                scopes = [f"agent/{one}" for one in self._near.world_map.agents_within(agent, 1)]
            owners = [table.by_scope[scope] for scope in scopes]
            indices += [names[HEARD] for names in owners if HEARD in names]
        return tuple(dict.fromkeys(indices if world is None else world.reachable(indices)))
