"""The views of the state for components, which record each read and write.

Only accesses through a view are recorded: a value kept on an engine, or passed from one rule to
another in a Python variable, has no causes. Read it again where it is used.

Random numbers drawn for one purpose change no draw for another; nothing depends on `hash()`.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from thence.sim.actions import Action, Rejection
from thence.sim.concurrency import Part, mark_error
from thence.sim.ledger import Ledger
from thence.sim.run_events import NOBODY, Record
from thence.sim.state import State
from thence.sim.streams import stream
from thence.sim.variables import GLOBAL, own_copy


class Owned:
    """The variables of one owner in one view: `owned["money"]`."""

    __slots__ = ("_scope", "_view")

    def __init__(self, view: "Reads", scope: str) -> None:
        self._view = view
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        return self._view.get(self._scope, name)

    def __setitem__(self, name: str, value: object) -> None:
        self._view.set(self._scope, name, value)

    def set_within(self, name: str, value: float) -> None:
        """Sets a variable to the number within its bounds that is nearest to `value`."""
        self._view.set_within(self._scope, name, value)


class Reads:
    """A view that records the provenance of each variable read in `causes`.

    `facts` are the engine's facts that never change, such as a map; they are no causes.
    """

    def __init__(self, ledger: Ledger, turn: int, seed: int, agent_id: str = NOBODY) -> None:
        self.facts = ledger.facts
        self.turn = turn
        self.agent_id = agent_id
        self.causes: dict[str, None] = {}
        self._ledger = ledger
        self._seed = seed

    def get(self, scope: str, name: str) -> Any:
        """Returns a variable's value; ThenceError if there is no such variable."""
        index = self._ledger.table.index(scope, name)
        for cause in self._ledger.provenance[index]:
            self.causes[cause] = None
        return own_copy(self._ledger.values[index])

    def set(self, scope: str, name: str, value: object) -> None:
        """Raises TypeError: only the view of an engine can change a variable."""
        raise TypeError(f"{scope}/{name} can't be set here; an engine changes variables")

    def set_within(self, scope: str, name: str, value: float) -> None:
        """Sets a variable to the number within its bounds that is nearest to `value`."""
        declaration = self._ledger.table[self._ledger.table.index(scope, name)].declaration
        self.set(scope, name, declaration.nearest(value))

    def agent(self, name: str) -> Owned:
        """Returns the variables of an agent."""
        return Owned(self, f"agent/{name}")

    def place(self, name: str) -> Owned:
        """Returns the variables of a place."""
        return Owned(self, f"place/{name}")

    @property
    def world(self) -> Owned:
        """The global variables."""
        return Owned(self, GLOBAL)

    def random(self, purpose: str) -> random.Random:
        """Returns the stream of random numbers for one purpose of this turn."""
        return stream(self._seed, self.agent_id, self.turn, purpose)


class Observation(Reads):
    """The state as an agent sees it when it decides; `observation["money"]` is its own variable.

    `rejections` are the agent's refused actions of this turn, at a further attempt.
    """

    rejections: tuple[Rejection, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.get(f"agent/{self.agent_id}", name)


class RecordedState(Reads):
    """The state at one moment of a turn, as a validator or engine reads it."""

    def replace(self, changes: Mapping[tuple[str, str], object]) -> State:
        """Returns a frozen state with other values, by (scope, name)."""
        return self._ledger.state(self.turn).replace(changes)


class Call:
    """The reads and writes of one call, or of one rule in it."""

    __slots__ = ("details", "inherited", "may_change", "phase", "reads", "writes")

    def __init__(
        self,
        phase: str,
        inherited: Iterable[Iterable[str]],
        may_change: Iterable[int] = (),
    ) -> None:
        self.phase = phase
        self.inherited = tuple(inherited)
        self.may_change = tuple(may_change)
        self.reads: dict[str, None] = {}
        self.writes: dict[int, object] = {}
        self.details: list[tuple[int, str, Mapping[str, object]]] = []

    def causes(self) -> dict[str, None]:
        """Returns the causes of a write of this call."""
        causes = {cause: None for part in self.inherited for cause in part}
        causes.update(self.reads)
        return causes


class View(Reads):
    """The state as an engine changes it; each changed variable becomes one STATE.

    A STATE names the ACTION that it belongs to, and all reads of its call, or of its rule:
    each read may have decided the written value.
    """

    def __init__(
        self, ledger: Ledger, record: Record, seed: int, call: Call, agent_id: str = NOBODY
    ) -> None:
        super().__init__(ledger, record.turn, seed, agent_id)
        self._record = record
        self._calls = [call]

    def get(self, scope: str, name: str) -> Any:
        """Returns a variable's value, with the writes of this call so far."""
        index = self._ledger.table.index(scope, name)
        for call in reversed(self._calls):
            if index in call.writes:
                return own_copy(call.writes[index])
        reads = self._calls[-1].reads
        for cause in self._ledger.provenance[index]:
            reads[cause] = None
        return own_copy(self._ledger.values[index])

    def set(self, scope: str, name: str, value: object) -> None:
        """Sets a variable; raises ThenceError if it can't hold the value."""
        index = self._ledger.table.index(scope, name)
        self._calls[-1].writes[index] = self._ledger.table[index].converted(value)

    def explain(
        self, scope: str, name: str, calculation: str, values: Mapping[str, object]
    ) -> None:
        """Records, as a DETAIL, the calculation of a variable's value."""
        index = self._ledger.table.index(scope, name)
        self._calls[-1].details.append((index, calculation, values))

    @contextmanager
    def rule(self, name: str, may_change: Iterable[tuple[str, str]] = ()) -> Iterator[None]:
        """Limits reads to one rule: its writes depend on them and on no other rule's reads.

        `may_change` lists variables, by (scope, name), that the rule writes for some values of
        its reads only; when it does not write them, they depend on these reads too.
        """
        indices = [self._ledger.table.index(*variable) for variable in may_change]
        outer = self._calls[-1]
        call = Call(name, (*outer.inherited, outer.reads), indices)
        self._calls.append(call)
        try:
            yield
        except Exception as error:
            agent = None if self.agent_id == NOBODY else self.agent_id
            mark_error(error, Part(f"the engine, applying its rule {name},", call.causes, agent))
            raise
        finally:
            self._calls.pop()
        self._close(call)

    def close(self) -> None:
        """Records all changes of the outermost call; only the framework calls it."""
        self._close(self._calls[0])

    def _close(self, call: Call) -> None:
        causes = call.causes()
        table = self._ledger.table
        for index, calculation, values in call.details:
            phase = f"{call.phase}-{calculation}"
            step = self._record.state_step(phase, self.agent_id, table[index])
            self._record.detail(calculation, values, step, causes)
        for index in sorted(call.writes):
            self._write(index, call.writes[index], call.phase, causes)
        for index in call.may_change:
            if index not in call.writes:
                self._ledger.add_causes(index, causes)

    def _write(self, index: int, value: object, phase: str, causes: Iterable[str]) -> None:
        variable, old = self._ledger.table[index], self._ledger.values[index]
        step = self._record.state_step(phase, self.agent_id, variable)
        if value != old:
            value = self._record.altered_value(step, value)
        if value == old:
            self._ledger.confirm(index, causes)
        else:
            all_causes = self._ledger.with_old_value(index, causes)
            event_id = self._record.state(variable, old, value, step, all_causes)
            self._ledger.change(index, value, event_id)


class Writes:
    """The source of an engine's views, one for each action that the engine applies.

    `applied` maps the identity of an action to its phase and the id of its ACTION.
    """

    def __init__(
        self,
        ledger: Ledger,
        record: Record,
        seed: int,
        applied: Mapping[int, tuple[str, str]],
        reach: Mapping[str, tuple[int, ...]],
        state: RecordedState,
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._seed = seed
        self._applied = applied
        self._reach = reach
        self._state = state

    @contextmanager
    def action(self, action: Action) -> Iterator[View]:
        """Yields the view for one action of this turn.

        A change in the view has that ACTION as a cause; if the action is not one of the
        engine's actions of this turn, all of those are causes.
        """
        phase, event_id = self._applied.get(id(action), ("apply", ""))
        action_ids = (event_id,) if event_id else tuple(each for _, each in self._applied.values())
        agent = action.agent_id or NOBODY
        call = Call(phase, (action_ids, self._state.causes), self._reach.get(agent, ()))
        view = View(self._ledger, self._record, self._seed, call, agent)
        try:
            yield view
            view.close()
        except Exception as error:
            mark_error(
                error,
                Part("the engine, applying actions", call.causes, action.agent_id or None),
            )
            raise
