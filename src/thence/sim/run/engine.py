"""The base of every engine, and the views through which it changes the state."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, final

import msgspec

from thence.errors import ThenceError
from thence.sim.models.actions import EVERYONE, HEARD, NEIGHBOURS, SAY
from thence.sim.record.ledger import Ledger
from thence.sim.record.recorder import NOBODY
from thence.sim.run.agents import Accepted, Action, BaseAgent, RecordedState, RecordedView
from thence.sim.run.calls import ComponentRef, mark_error
from thence.sim.run.roster import Roster, RosterChange
from thence.sim.run.trace import Trace, WriteScope
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.state import IMMUTABLE, State, VariableTable, own_copy

if TYPE_CHECKING:
    from thence.sim.models.asking import ModelCall

_APPLYING = "the engine, applying actions"
# words that wait for an agent
HEARD_MAX = 100


class View(RecordedView, kw_only=True, eq=False):
    """The state as an engine changes it; each changed variable becomes one STATE.

    A STATE names the ACTION that it belongs to, and all reads of its call, or of its rule:
    each read may have decided the written value.
    """

    _trace: Trace
    _scope: WriteScope
    _accepted: Accepted | None = None
    _roster: Roster | None = None
    _outer: tuple[WriteScope, ...] = ()
    _asked: tuple[Any, ...] = ()
    _entrances: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def phase(self) -> str:  # type: ignore[override]
        """The phase of the call, or of the rule in it."""
        return self._scope.phase

    def value(self, index: int) -> Any:
        """Returns the value of a variable, with the writes of this call so far."""
        scope = self._scope
        if scope.writes and index in scope.writes:
            return own_copy(scope.writes[index])
        for outer in self._outer:
            if index in outer.writes:
                return own_copy(outer.writes[index])
        ledger = self.ledger
        self.reads[index] = ledger.provenance[index]
        value = ledger.values[index]
        return value if type(value) in IMMUTABLE else own_copy(value)

    def pending(self) -> Iterable[int]:
        """Returns the indices of the variables that this call has set so far."""
        return [index for scope in (self._scope, *self._outer) for index in scope.writes]

    def put(self, index: int, value: object) -> None:
        """Sets the variable with an index; raises ThenceError if it can't hold the value."""
        self._scope.writes[index] = self.ledger.table.converted(index, value)

    @property
    def causes(self) -> dict[str, None]:
        """The causes of a write of this call, or of the rule in it, so far."""
        return self._scope.causes()

    def _called(self, call: "ModelCall") -> None:
        """Records a call of a model; what is written behind it names it."""
        self.calls, self._asked = (call,), (*self._asked, call)
        self._scope.inherited = (*self._scope.inherited, [self._trace.asked(self)])

    def explain(
        self, scope: str, name: str, calculation: str, values: Mapping[str, object]
    ) -> None:
        """Records, as a DETAIL, the calculation of a variable's value."""
        index = self.ledger.table.index(scope, name)
        self._scope.details += ((index, calculation, values),)

    def add_agent(
        self, agent: BaseAgent, initial: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        """Adds an agent, which decides from the next turn on; `initial` are its first values.

        Its variables exist after this turn. Raises ThenceError for a name that was used before,
        and, as the three methods below, outside `apply_engine_rules`.
        """
        self._ask(RosterChange("added", agent.name, agent, initial))

    def remove_agent(self, name: str) -> None:
        """Removes an agent from the next turn on; its variables stay."""
        self._ask(RosterChange("removed", name))

    def pause(self, name: str, until: int | None = None) -> None:
        """Lets an agent do nothing from the next turn on, until it decides again in turn `until`.

        Without `until` it is paused until `resume`.
        """
        self._ask(RosterChange("paused", name, until=until))

    def resume(self, name: str) -> None:
        """Lets a paused agent decide again from the next turn on."""
        self._ask(RosterChange("resumed", name))

    def _ask(self, change: RosterChange) -> None:
        if self._roster is None:
            what, place = f"could not have an agent {change.kind}", f"agent {change.name}"
            cause, hint = "this view is that of an action", "do it in apply_engine_rules"
            raise ThenceError(what, place=place, cause=cause, hint=hint)
        if self._roster.ask(change, self.turn):
            self._scope.roster += (change,)

    @contextmanager
    def rule(self, name: str, may_change: Iterable[tuple[str, str]] = ()) -> Iterator[None]:
        """Limits reads to one rule: its writes depend on them and on no other rule's reads.

        `may_change` lists variables, by (scope, name), that the rule writes for some values of
        its reads only; when it does not write them, they depend on these reads too.
        """
        indices = [self.ledger.table.index(*variable) for variable in may_change]
        outer = self._scope
        scope = WriteScope(name, [[tuple(outer.causes())]], indices)
        around = self.site, self.streams, self._entrances
        nth = self._entrances[name] = self._entrances.get(name, 0) + 1
        self.begin_scope((self.site, name, nth))
        self._entrances = {}
        self._outer = (outer, *self._outer)
        self._scope, self.reads = scope, scope.reads
        try:
            yield
        except Exception as error:
            self._mark(error, f"the engine, applying its rule {name},")
            raise
        finally:
            self._scope, self.reads, self._outer = outer, outer.reads, self._outer[1:]
            self.site, self.streams, self._entrances = around
        self._trace.wrote(scope, self.agent_id, self._accepted)

    @contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        """Takes back what the block has set, explained and asked for if it raises an error."""
        scope = self._scope
        before = scope.writes.copy(), scope.details, scope.roster
        try:
            yield
        except Exception:
            scope.writes, scope.details, scope.roster = before
            raise

    def __enter__(self) -> "View":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._trace.wrote(self._scope, self.agent_id, self._accepted)
        elif isinstance(error, Exception):
            self._mark(error, _APPLYING)

    def last_causes(self, scope: WriteScope) -> Iterable[str]:
        """Returns the causes of a failure that ends the run; its calls of models are marked."""
        last = takewhile(lambda call: not call.is_used, reversed(self._asked))
        self.calls = (*reversed([*last]),)
        self._trace.ended_by(self)
        return scope.causes()

    def _mark(self, error: Exception, component: str) -> None:
        """Marks an error in this call; its causes are asked for when its action is written."""
        scope = self._scope

        def causes() -> Iterable[str]:
            own = self.last_causes(scope)
            return self._trace.applied(self._accepted, own) if self._accepted else own

        agent = None if self.agent_id == NOBODY else self.agent_id
        mark_error(error, ComponentRef(component, causes, agent))


class Writes:
    """The source of an engine's views, one for each action that the engine applies.

    `accepted` are the actions of the turn, `state` is what the engine reads besides its views.
    """

    def __init__(
        self,
        ledger: Ledger,
        trace: Trace,
        accepted: Iterable[Accepted],
        reach: Mapping[str, tuple[int, ...]],
        state: RecordedState,
    ) -> None:
        self._ledger = ledger
        self._trace = trace
        self._accepted = {id(act.action): act for act in accepted}
        self._reach = reach
        self._state = state
        self._views: dict[tuple[str, str], int] = {}

    def action(self, action: Action) -> View:
        """Returns the view for one action of this turn, to be used in a `with`.

        A change in the view has that ACTION as a cause; if the action is not one of the
        engine's actions of this turn, all of those are causes.
        """
        act, trace, state = self._accepted.get(id(action)), self._trace, self._state
        phase = "apply" if act is None else act.phase
        all_ids = () if act else (self.all_ids(),)
        agent = action.agent_id or NOBODY
        scope = WriteScope(phase, (all_ids, state.reads.values()), self._reach.get(agent, ()))
        nth = self._views[agent, phase] = self._views.get((agent, phase), 0) + 1
        state.begin_scope((agent, phase, nth))  # draws between two actions share nothing
        return View(
            self._ledger,
            trace.turn,
            agent,
            reads=scope.reads,
            site=(None, phase, nth),
            _trace=trace,
            _scope=scope,
            _accepted=act,
        )

    def apply(self, actions: Iterable[Action], apply_one: Callable[[View, Action], object]) -> None:
        """Applies actions one by one, each in its view."""
        for action in actions:
            view = self.action(action)
            try:
                apply_one(view, action)
            except Exception as error:
                view._mark(error, _APPLYING)
                raise
            self._trace.wrote(view._scope, view.agent_id, view._accepted)

    def all_ids(self) -> tuple[str, ...]:
        """Returns the ids of all actions of the turn, which are written by then."""
        applied = self._trace.applied
        return tuple([ids[0] for act in self._accepted.values() if (ids := applied(act))])


def speaks(table: VariableTable, agent: str, action: Action) -> bool:
    """Reports whether an action of an agent is to say something, where agents talk."""
    return action.action_type == SAY and HEARD in table.names(f"agent/{agent}")


def passed_on(view: View, action: Action) -> bool:
    """Lets the receivers of an action `say` hear it when they decide; False for another action.

    What waits for an agent is its variable `heard`, a list of (turn, speaker, text). Of more than
    HEARD_MAX words the oldest are dropped, and the first entry counts them. An engine that
    overrides `apply_actions` calls this itself. An agent of `reach: neighbours` is heard by those.
    """
    ledger, speaker, to = view.ledger, action.agent_id, action.payload.get("to")
    if not speaks(ledger.table, speaker, action):
        return False
    names = [name for name in view.agents() if name in ledger.talks and name != speaker]
    if to != EVERYONE:
        names = [name for name in names if name == to]
    if ledger.talks.get(speaker) == NEIGHBOURS:
        near = view.world_map.agents_within(speaker, 1)
        names = [name for name in names if name in near]
    entry = [view.turn, speaker, str(action.payload.get("text", ""))]
    for scope in [f"agent/{name}" for name in names]:
        words = [*view.get(scope, HEARD), entry]
        if len(words) > HEARD_MAX:
            (_, who, count), *words = words
            dropped = int(count.split()[0]) + 1 if who == NOBODY else 2
            words[0] = [view.turn, NOBODY, f"{dropped} earlier words were dropped"]
        view.set(scope, HEARD, words)
    return True


class BaseEngine:
    """The rules of a simulated world; every method that a child overrides may be `async`.

    Keyword parameters of a child's `__init__` are the keys that `engine` in the scenario may
    have besides `type` and `reach`. State belongs in variables: values that an engine keeps on
    itself between calls have no causes.
    """

    facts: Any = None
    """The facts that never change in this world, such as a map; every observation shows them."""

    def __init__(self, config: SimulationConfig | None = None) -> None:
        self.config = config

    def initialize_state(self, state: State) -> State | Awaitable[State]:
        """Returns the state before the first turn; `state` has the scenario's values."""
        return state

    def apply_actions(
        self, state: RecordedState, actions: Sequence[Action], writes: Writes
    ) -> Awaitable[None] | None:
        """Applies the actions of a turn, one by one, through `apply_action`.

        A child may override this: `with writes.action(action) as view:` gives the view that
        records changes as effects of that action.
        """
        if inspect.iscoroutinefunction(self.apply_action):
            return self._apply_each(actions, writes)
        writes.apply(actions, self._apply_one)
        return None

    def apply_action(self, view: View, action: Action) -> Awaitable[None] | None:
        """Applies one action to the variables, through the view."""
        return None

    def apply_engine_rules(self, view: View) -> Awaitable[None] | None:
        """Applies the rules of the world once a turn, through the view.

        `with view.rule("price"):` keeps the causes of one rule apart from those of others.
        """
        return None

    def check_termination(self, state: RecordedState) -> str | Awaitable[str | None] | None:
        """Returns the reason to end the simulation after this turn, or None to continue."""
        return None

    def reach(self, agent: str) -> Iterable[tuple[str, str] | str] | str | None:
        """Returns the variables, by (scope, name), that an action of this agent may change.

        The name of an agent represents all its variables, so a function that returns an agent's
        neighbours will do. "neighbours" represents all variables of the agent, of those one step
        from it in the world, of its place and the places next to it. When the agent does nothing,
        or something else, these variables depend on that too, in each turn: name no more than an
        action can change. None means all variables of the agent itself; override this if actions
        change others.
        """
        return None

    @final
    async def run_turn(self, play: Callable[["BaseEngine"], Awaitable[State]]) -> State:
        """Plays one turn, writes its events and returns the state after it."""
        return await play(self)

    def _apply_one(self, view: View, action: Action) -> Awaitable[None] | None:
        if action.action_type == SAY and passed_on(view, action):
            return None
        return self.apply_action(view, action)

    async def _apply_each(self, actions: Sequence[Action], writes: Writes) -> None:
        for action in actions:
            with writes.action(action) as view:
                pending = self._apply_one(view, action)
                if pending is not None:
                    await pending
