"""The working values of a run, each with the events it depends on.

A variable's *provenance* is what a later reader names as its causes: the last STATE that
changed it, or, where a call settled that it stays as it is, the causes which that STATE
would have named. So an event that kept something from changing is a cause too.
"""

from collections.abc import Iterable
from typing import Any

from thence.sim.state import State
from thence.sim.variables import VariableTable

_DEPTH_MAX = 4
_ANCESTORS_MAX = 128


class Lineage:
    """The causes of the events of the last turns, to drop causes that others imply."""

    def __init__(self, start_id: str) -> None:
        self.start_id = start_id
        self._recent: dict[str, tuple[str, ...]] = {}
        self._older: dict[str, tuple[str, ...]] = {}

    def note(self, event_id: str, causes: tuple[str, ...]) -> None:
        """Remembers what an event named."""
        self._recent[event_id] = causes

    def turn_over(self) -> None:
        """Forgets the causes of events older than the turn that ends now."""
        self._older, self._recent = self._recent, {}

    def pruned(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Returns the ids without those that are causes of others among them.

        It looks back over a few steps and two turns only: an id too many is harmless.
        """
        unique = dict.fromkeys(ids)
        if len(unique) > 1:
            unique.pop(self.start_id, None)
        if len(unique) > 1:
            for implied in self._ancestors(unique) & unique.keys():
                del unique[implied]
        return tuple(unique)

    def joined(self, ids: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
        """Returns all the ids, then those of `more` that are no causes of them."""
        new = [event_id for event_id in more if event_id not in ids]
        if not new:
            return ids
        implied = self._ancestors(ids)
        return ids + tuple(event_id for event_id in new if event_id not in implied)

    def _ancestors(self, ids: Iterable[str]) -> set[str]:
        found: set[str] = set()
        ring = list(ids)
        for _ in range(_DEPTH_MAX):
            above = [cause for event_id in ring for cause in self._causes(event_id)]
            ring = [cause for cause in dict.fromkeys(above) if cause not in found]
            found.update(ring)
            if not ring or len(found) > _ANCESTORS_MAX:
                break
        return found

    def _causes(self, event_id: str) -> tuple[str, ...]:
        return self._recent.get(event_id) or self._older.get(event_id, ())


class Ledger:
    """The value and provenance of every variable while a run goes on.

    `facts` is what the engine tells that never changes.
    """

    def __init__(
        self, table: VariableTable, state: State, lineage: Lineage, facts: Any = None
    ) -> None:
        self.facts = facts
        self.table = table
        self.lineage = lineage
        self.values = list(state.values())
        self.provenance: list[tuple[str, ...]] = [(lineage.start_id,)] * len(table)

    def state(self, turn: int) -> State:
        """Returns the values as they are now, frozen."""
        return State(self.table, tuple(self.values), turn)

    def with_old_value(self, index: int, causes: Iterable[str]) -> tuple[str, ...]:
        """Returns the causes with those of the value that a STATE tells as the old one."""
        return self.lineage.joined(tuple(causes), self.provenance[index])

    def change(self, index: int, value: object, event_id: str) -> None:
        """Takes a value over from the STATE that tells of it."""
        self.values[index] = value
        self.provenance[index] = (event_id,)

    def settle(self, index: int, causes: Iterable[str]) -> None:
        """Notes that a variable was given the value it had, for these causes."""
        self.provenance[index] = self.lineage.pruned(causes)

    def lend(self, index: int, causes: Iterable[str]) -> None:
        """Notes that a variable could have been changed, and was not, for these causes."""
        self.provenance[index] = self.lineage.pruned((*self.provenance[index], *causes))
