"""What components see of the state, recording what they read or write.

Only what goes through a view is known: a value kept on an engine or carried from one rule
to another in a Python variable has no causes. Read it again where it is used.

A draw of random numbers in one place changes no draw elsewhere, and nothing depends on `hash()`.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

from thence.sim.actions import Action, Rejection
from thence.sim.concurrency import Part, blame
from thence.sim.ledger import Ledger
from thence.sim.record import NOBODY, Record
from thence.sim.state import State
from thence.sim.variables import GLOBAL, own_copy


def stream(seed: int, agent: str, turn: int, purpose: str) -> random.Random:
    """Returns the stream of one purpose, always from its beginning."""
    name = f"{seed}\x00{agent}\x00{turn}\x00{purpose}"
    return random.Random(int.from_bytes(blake2b(name.encode(), digest_size=8).digest()))


class Owned:
    """The variables of one owner, as one view shows them: `owned["money"]`."""

    __slots__ = ("_scope", "_view")

    def __init__(self, view: "Reads", scope: str) -> None:
        self._view = view
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        return self._view.get(self._scope, name)

    def __setitem__(self, name: str, value: object) -> None:
        self._view.set(self._scope, name, value)

    def set_within(self, name: str, value: float) -> None:
        """Gives a variable the number nearest to this one that its bounds allow."""
        self._view.set_within(self._scope, name, value)


class Reads:
    """A view that records the provenance of each variable read in `causes`.

    `facts` is what the engine tells that never changes, such as a map; it causes nothing.
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
        """Raises TypeError: only the view that an engine gets can change a variable."""
        raise TypeError(f"{scope}/{name} can't be set here; an engine changes variables")

    def set_within(self, scope: str, name: str, value: float) -> None:
        """Gives a variable the number nearest to this one that its bounds allow."""
        declared = self._ledger.table[self._ledger.table.index(scope, name)].declared
        self.set(scope, name, declared.nearest(value))

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

    `rejections` are its refused actions of this turn, when it is asked once more.
    """

    rejections: tuple[Rejection, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.get(f"agent/{self.agent_id}", name)


class RecordedState(Reads):
    """The state as a validator or engine reads it at one moment of a turn."""

    def replace(self, changes: Mapping[tuple[str, str], object]) -> State:
        """Returns a frozen state with other values, by (scope, name)."""
        return self._ledger.state(self.turn).replace(changes)


class Call:
    """What one call, or one rule of it, read and wrote."""

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
        """Returns what a write of this call depends on."""
        causes = {cause: None for part in self.inherited for cause in part}
        causes.update(self.reads)
        return causes


class View(Reads):
    """The state as an engine changes it; each changed variable becomes one STATE.

    A STATE names the ACTION it serves and everything that its call, or its rule, has read:
    whatever a call reads may have decided what it wrote.
    """

    def __init__(
        self, ledger: Ledger, record: Record, seed: int, call: Call, agent_id: str = NOBODY
    ) -> None:
        super().__init__(ledger, record.turn, seed, agent_id)
        self._record = record
        self._calls = [call]

    def get(self, scope: str, name: str) -> Any:
        """Returns a variable's value as this call left it so far."""
        index = self._ledger.table.index(scope, name)
        for call in reversed(self._calls):
            if index in call.writes:
                return own_copy(call.writes[index])
        reads = self._calls[-1].reads
        for cause in self._ledger.provenance[index]:
            reads[cause] = None
        return own_copy(self._ledger.values[index])

    def set(self, scope: str, name: str, value: object) -> None:
        """Gives a variable a value; ThenceError if it can't hold it."""
        index = self._ledger.table.index(scope, name)
        self._calls[-1].writes[index] = self._ledger.table[index].checked(value)

    def explain(
        self, scope: str, name: str, calculation: str, values: Mapping[str, object]
    ) -> None:
        """Records, as a DETAIL, how a variable's value was found."""
        index = self._ledger.table.index(scope, name)
        self._calls[-1].details.append((index, calculation, values))

    @contextmanager
    def rule(self, name: str, may_change: Iterable[tuple[str, str]] = ()) -> Iterator[None]:
        """Scopes reads to one rule: what it writes depends on them and on no other rule's.

        `may_change` lists variables, by (scope, name), that the rule leaves alone for some
        values of what it reads; unless it always writes them, they depend on that reading.
        """
        indices = [self._ledger.table.index(*variable) for variable in may_change]
        outer = self._calls[-1]
        call = Call(name, (*outer.inherited, outer.reads), indices)
        self._calls.append(call)
        try:
            yield
        except Exception as error:
            agent = None if self.agent_id == NOBODY else self.agent_id
            blame(error, Part(f"the engine, applying its rule {name},", call.causes, agent))
            raise
        finally:
            self._calls.pop()
        self._close(call)

    def close(self) -> None:
        """Records all that the outermost call changed; the framework calls it."""
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
                self._ledger.lend(index, causes)

    def _write(self, index: int, value: object, phase: str, causes: Iterable[str]) -> None:
        variable, old = self._ledger.table[index], self._ledger.values[index]
        step = self._record.state_step(phase, self.agent_id, variable)
        if value != old:
            value = self._record.altered(step, value)
        if value == old:
            self._ledger.settle(index, causes)
        else:
            named = self._ledger.with_old_value(index, causes)
            event_id = self._record.state(variable, old, value, step, named)
            self._ledger.change(index, value, event_id)


class Writes:
    """Gives an engine one view for each action that it applies.

    `applied` has, by identity of the action, its phase and the id of its ACTION.
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
        """Yields the view in which one action of this turn is applied.

        A change that is written in the view is caused by that ACTION; by all of the turn, if
        the action is not one that the engine was given.
        """
        phase, event_id = self._applied.get(id(action), ("apply", ""))
        own = (event_id,) if event_id else tuple(each for _, each in self._applied.values())
        agent = action.agent_id or NOBODY
        call = Call(phase, (own, self._state.causes), self._reach.get(agent, ()))
        view = View(self._ledger, self._record, self._seed, call, agent)
        try:
            yield view
            view.close()
        except Exception as error:
            blame(error, Part("the engine, applying actions", call.causes, action.agent_id or None))
            raise
