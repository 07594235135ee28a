"""The run of a simulation in memory, without a file.

Events go to the function `emit` in pieces, a turn at least: the orchestrator passes that of an
EventWriter, a program that needs no file passes `one_by_one(list.append)` or its own function. The
components are made by the scenario, or given as objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from thence.core.values.codec import Members
from thence.errors import ScenarioError
from thence.sim.agent_failures import policy_of
from thence.sim.agents import BaseAgent
from thence.sim.concurrency import Caller, Part, await_result
from thence.sim.config import SimulationConfig
from thence.sim.engine import BaseEngine
from thence.sim.events import Event, event_of
from thence.sim.ledger import Ids, Ledger
from thence.sim.roster import Roster, check_name
from thence.sim.run_events import Emit, Record
from thence.sim.settings import TerminationSettings
from thence.sim.state import State
from thence.sim.turn import Participants, Turn
from thence.sim.validator import BaseValidator
from thence.sim.verbosity import VerbosityLevel
from thence.sim.views import RecordedState


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
    else:
        _check_names(agents)
    settings = config.engine
    if engine is None:
        engine = _make(config, "engines", settings.type, settings.params, "engine")
    settings = config.validator
    if validator is None:
        validator = _make(config, "validators", settings.type, settings.params, "validator")
    return Components(tuple(agents), engine, validator)


def one_by_one(emit: Callable[[Event], object]) -> Emit:
    """Returns a function for pieces of a run that passes each event to `emit`."""

    def emit_each(piece: Sequence[Members]) -> None:
        for members in piece:
            emit(event_of(members))

    return emit_each


class Simulation:
    """One run, turn by turn.

    `history[n]` is the state after turn n, `history[0]` the one before the first. `reason`
    is the reason of the run's end, empty while it goes on. Events above `verbosity` are not built.
    """

    def __init__(
        self,
        config: SimulationConfig,
        components: Components,
        emit: Emit,
        *,
        simulation_id: str = "simulation",
        alter: Mapping[str, object] | None = None,
        verbosity: VerbosityLevel = VerbosityLevel.DETAIL,
        known_failures: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._known_failures = known_failures or {}
        self.config = config
        self.components = components
        self.record = Record(simulation_id, emit, alter or {}, verbosity)
        self.history: list[State] = []
        self.reason = ""
        self._reads: Ids = ()
        self._is_ended = False
        self._ledger: Ledger
        self._participants: Participants

    async def run(self, turns_max: int | None = None) -> State:
        """Plays until the run is over, or up to turn `turns_max`; returns the last state."""
        while not self.reason and (turns_max is None or self.record.turn < turns_max):
            await self.play_turn()
        if self.reason:
            self.end(f"completed: {self.reason}")
        return self.history[-1]

    async def play_turn(self) -> State:
        """Plays the next turn and checks whether it was the last."""
        if not self.history:
            await self._start()
        self.record.begin_turn(self._reads)
        state = await self.components.engine.run_turn(
            Turn(self._participants, self._ledger, self.record)
        )
        self.record.end_turn()
        self.history.append(state)
        await self._check_termination()
        return state

    def end(self, outcome: str) -> None:
        """Records the end of the run, once."""
        if not self._is_ended:
            self._is_ended = True
            self.record.end_run(outcome, self._reads)

    @property
    def roster(self) -> Roster:
        """The agents of the run, once it has begun."""
        return self._participants.roster

    async def _start(self) -> None:
        table = self.config.table([agent.name for agent in self.components.agents])
        given = State(table, table.defaults()).replace(self.config.initial_values())
        engine = self.components.engine
        part = Part("the engine, initializing")
        first_state = await await_result(part, lambda: engine.initialize_state(given))
        start = (self.record.start_id,) if self.record.writes_decisions else ()
        self._ledger = Ledger(table, first_state, start, engine.facts)
        self._participants = Participants(
            roster=Roster(self.components.agents, self._ledger, self._reach),
            validator=self.components.validator,
            retries=self.config.retries,
            seed=self.config.simulation.seed,
            memory={},
            caller=Caller(self.config.simulation.threads),
            failures=policy_of(self.config, self._known_failures),
        )
        self.history.append(self._ledger.state(0))

    def _reach(self, agent: str) -> tuple[int, ...]:
        table = self._ledger.table
        variables = self.components.engine.reach(agent)
        if variables is None:
            return table.of_scope(f"agent/{agent}")
        return tuple(table.index(scope, name) for scope, name in variables)

    async def _check_termination(self) -> None:
        """Checks the engine, then the scenario; their reads are causes of the next turn."""
        settings = self.config.simulation
        state = RecordedState(self._ledger, self.record.turn, settings.seed)
        engine = self.components.engine
        part = Part("the engine, checking termination", lambda: state.causes)
        reason = await await_result(part, lambda: engine.check_termination(state))
        for condition in settings.termination:
            reason = reason or _reason_of(condition, state)
        if not reason and self.record.turn >= settings.max_turns:
            reason = f"max_turns {settings.max_turns} reached"
        self._reads = tuple(state.causes)
        self.reason = reason or ""


def _reason_of(condition: TerminationSettings, state: RecordedState) -> str:
    value: Any = state.get(condition.scope, condition.variable)
    subject = f"{condition.scope}/{condition.variable}"
    if condition.above is not None and value > condition.above:
        return f"{subject} is above {condition.above:g}"
    if condition.below is not None and value < condition.below:
        return f"{subject} is below {condition.below:g}"
    if condition.equals is not None and value == condition.equals:
        return f"{subject} is {condition.equals}"
    return ""


def _make(config: SimulationConfig, kind: Any, type_: str, params: Any, name: str) -> Any:
    from thence.sim.component_classes import ComponentNotFound, build, component_class

    try:
        cls = component_class(kind, type_, config.source.parent if config.source else None)
        return build(kind, cls, params, name=name, config=config)
    except (ComponentNotFound, ValueError, TypeError) as error:
        place = str(config.source or "given as a mapping")
        problem = {"file": place, "line": 0, "key": name, "message": str(error), "hint": ""}
        raise ScenarioError(
            f"could not make {name} of type {type_}", place=place, cause=error, problems=[problem]
        ) from error


def _check_names(agents: Sequence[BaseAgent]) -> None:
    seen: set[str] = set()
    for agent in agents:
        name = getattr(agent, "name", None)
        check_name(name, seen)
        seen.add(agent.name)
