"""The current values of a run, each with the events that it depends on.

A variable's *provenance* are the causes that a later reader names: the event that changed the
variable; or, where a call wrote the value that it had, the causes which a STATE would have named.
So an event that prevented a change is a cause too. The event that changed a variable is its STATE;
at a lower verbosity the ACTION, or the DECISION, whose application wrote it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from thence.sim.record.outcomes import Outcomes
from thence.sim.scenario.sections import SightSettings
from thence.sim.scenario.state import State, VariableTable
from thence.sim.space.worlds import World

_DEPTH_MAX = 4
_ANCESTORS_MAX = 128
Ids = tuple[str, ...]


class Lineage:
    """The causes of the events of the last turns, by which implied causes are dropped.

    `recent` are those of this turn, by event.
    """

    def __init__(self, start_id: str) -> None:
        self.start_id = start_id
        self.recent: dict[str, Ids] = {}
        self._older: dict[str, Ids] = {}

    def drop_older(self) -> None:
        """Forgets the causes of events before the turn that ends now."""
        self._older, self.recent = self.recent, {}

    def prune(self, ids: Iterable[str]) -> Ids:
        """Returns the ids without those that are causes of others among them.

        Only a few steps and two turns are searched: an id too many is harmless.
        """
        unique = dict.fromkeys(ids)
        if len(unique) > 1:
            unique.pop(self.start_id, None)
        if len(unique) > 1:
            for implied in self.ancestors(unique) & unique.keys():
                del unique[implied]
        return tuple(unique)

    def join(self, ids: Ids, other_ids: Iterable[str]) -> Ids:
        """Returns all the ids, then those of `other_ids` that are no causes of the former."""
        new = [event_id for event_id in other_ids if event_id not in ids]
        if not new:
            return ids
        implied = self.ancestors(ids)
        return ids + tuple([event_id for event_id in new if event_id not in implied])

    def ancestors(self, ids: Iterable[str]) -> set[str]:
        """Returns the run's start and causes of events, some steps back, of two turns."""
        ancestors: set[str] = set()
        generation: Iterable[str] = ids
        recent, older = self.recent, self._older
        for _ in range(_DEPTH_MAX):
            parents: set[str] = set()
            for event_id in generation:
                parents.update(recent.get(event_id) or older.get(event_id, ()))
            generation = parents - ancestors
            ancestors |= parents
            if not generation or len(ancestors) > _ANCESTORS_MAX:
                break
        ancestors.add(self.start_id)
        return ancestors


class Ledger(msgspec.Struct, eq=False, kw_only=True):
    """The value and provenance of every variable during a run, by the variable's index.

    `facts` are the engine's facts that never change, `outcomes` what components learned outside,
    `seed` is that of all random numbers, `models` are those that components may ask, `world` is the
    one that the scenario has. `sights` are those of the agents by name, None where all see all.
    `talks` is the reach of the agents that speak and hear, `present` are those of the roster. Reads
    name the events `around` where no provenance is kept.
    """

    table: VariableTable
    values: list[object]
    provenance: list[Ids]
    facts: Any
    outcomes: Outcomes
    seed: int
    models: Any  # Models, whose module is loaded only for a scenario with models
    world: World | None
    sights: Mapping[str, SightSettings] | None
    talks: dict[str, str] = {}
    present: Mapping[str, object] = {}
    around: Ids = ()

    def add_agent(self, name: str, values: Mapping[str, object], causes: Ids) -> None:
        """Adds the variables of an agent with their first values, which depend on `causes`."""
        self.table.add_agent(name)
        for variable in self.table.names(f"agent/{name}"):
            self.values.append(values[variable])
            self.provenance.append(causes)
        if self.world is not None:
            self.world.take(self.values, (name,))

    def remove_agent(self, name: str) -> None:
        """Takes an agent off the map; its variables stay."""
        if self.world is not None:
            self.world.leave(name)

    def follow(self, written: Iterable[int], add_causes: Callable[..., None]) -> None:
        """Follows moves behind writes: who asks who is where depends on them from now on."""
        if self.world is not None:
            for index in self.world.follow(written, self.values):
                add_causes(self.provenance, (self.world.whereabouts,), self.provenance[index])

    def state(self, turn: int) -> State:
        """Returns the current values as a frozen state."""
        return State(self.table, tuple(self.values), turn)
