"""The events that a run builds, passed on in pieces; recorded ones are taken in their place."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thence.core.values.codec import Members
from thence.core.values.vocabulary import SIM
from thence.replica import new_id, now
from thence.sim.ledger import Ids, Lineage
from thence.sim.stored_steps import StoredSteps

Emit = Callable[[Sequence[Members]], object]


class Pieces:
    """The events of a run that are built and not passed on to `emit` yet.

    `counts` are the events by type. Where an event is one of the `stored`, it is not passed on
    again.
    """

    def __init__(self, simulation_id: str, emit: Emit, stored: StoredSteps | None) -> None:
        self.simulation_id = simulation_id
        self.turn = 0
        self.counts: dict[str, int] = {}
        self.lineage = Lineage("")
        self._emit = emit
        self._stored = stored
        self._ready: list[Members] = []
        self._joined: dict[frozenset[str], str] = {}

    def flush(self) -> None:
        """Passes on what was built so far; raises RunDiverged if recorded events did not come."""
        if self._ready:
            if self._stored:
                self._stored.check_done(self._ready)
            ready, self._ready = self._ready, []
            self._emit(ready)

    def _begin_turn(self) -> None:
        self.turn += 1
        self._joined.clear()
        self.lineage.drop_older()

    def _join(self, causes: Ids) -> str:
        """Returns the id of the notice that names some causes, which is written once a turn."""
        key = frozenset(causes)
        event_id = self._joined.get(key)
        if event_id is None and self._stored is not None:
            event_id = self._stored.joined(self.turn, causes)
            if event_id is not None:
                self.lineage.add(event_id, causes)
        if event_id is None:
            _, members = SIM.notice("joined", {"count": len(causes)}, {})
            event_id = self._add("SYSTEM", None, causes, None, members["details"])
            if self._stored is not None:
                self._stored.note_joined(event_id, causes)
        self._joined[key] = event_id
        return event_id

    def _add(
        self,
        event_type: str,
        agent: str | None,
        causes: Ids,
        step: str | None,
        details: Mapping[str, Any],
        **more: Any,
    ) -> str:
        made = Members(
            new_id(),
            event_type,
            1,
            now(),
            causes,
            simulation_id=self.simulation_id,
            turn_number=self.turn,
            agent_id=agent,
            step=step,
            details=details,
            **more,
        )
        event_id = made.event_id
        if self._stored is not None and (stored_id := self._stored.take(made)):
            event_id = stored_id
        else:
            self._ready.append(made)
        if event_type != "MILESTONE":
            self.lineage.add(event_id, causes)
        self.counts[event_type] = self.counts.get(event_type, 0) + 1
        return event_id
