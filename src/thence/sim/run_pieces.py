"""The events that a run builds, passed on in pieces; recorded ones are taken in their place."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from thence.core.values.codec import CAUSES_MAX, Members
from thence.core.values.vocabulary import SIM
from thence.replica import new_id, now
from thence.sim.ledger import Ids, Lineage
from thence.sim.stored_steps import StoredSteps

Emit = Callable[[Sequence[Members]], object]
# so many of the last effective events are covered besides the ids that ask for a cover
_EFFECTIVE_MAX = 4_096


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
        self._cover_id = ""
        self._covered: set[str] = set()
        self._effective: deque[str] = deque(maxlen=_EFFECTIVE_MAX)

    def flush(self) -> None:
        """Passes on what was built so far; raises RunDiverged if recorded events did not come."""
        if self._ready:
            if self._stored:
                self._stored.check_done(self._ready)
            ready, self._ready = self._ready, []
            self._emit(ready)

    def forget_covers(self) -> None:
        """Starts a new chain of covers, as a run that is resumed here does."""
        self._cover_id = ""
        self._covered.clear()
        self._effective.clear()

    def cover(self, ids: Ids) -> str:
        """Returns the id of a notice that stands for many causes.

        The last such notice serves again if it covers all of them. Else a new one names that one,
        the causes, and the effective events since: what is wide rests on most of them anyway, and
        a notice for each wide set would outnumber the events
        (docs/decisions/0047-one-chain-of-covers.md).
        """
        if not self._covered.issuperset(ids):
            new_ids = dict.fromkeys((*ids, *self._effective))
            names = [event_id for event_id in new_ids if event_id not in self._covered]
            self._covered.update(names)
            self._effective.clear()
            if self._cover_id:
                names.insert(0, self._cover_id)
            while len(names) > CAUSES_MAX:
                starts = range(0, len(names), CAUSES_MAX)
                names = [self._notice(names[start : start + CAUSES_MAX]) for start in starts]
            self._cover_id = self._notice(names)
            self._covered.add(self._cover_id)
        return self._cover_id

    def uncovered(self, ids: Ids, provenance: Ids) -> Ids:
        """Returns the ids without those that a cover in a provenance stands for."""
        if self._cover_id not in provenance:
            return ids
        return tuple([event_id for event_id in ids if event_id not in self._covered])

    def _begin_turn(self) -> None:
        self.turn += 1
        self.lineage.drop_older()

    def _notice(self, causes: Iterable[str]) -> str:
        named = tuple(causes)
        _, members = SIM.notice("joined", {"count": len(named)}, {})
        return self._add("SYSTEM", None, named, None, members["details"])

    def _add(
        self,
        event_type: str,
        agent: str | None,
        causes: Ids,
        step: str | None,
        details: Mapping[str, Any],
        **more: Any,
    ) -> str:
        if len(causes) > CAUSES_MAX:  # the first, such as the decision of an action, stays
            causes = (causes[0], self.cover(self.lineage.prune(causes[1:])))
        event = Members(
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
        event_id = event.event_id
        if self._stored is not None and (stored_id := self._stored.take(event)):
            event_id = stored_id
        else:
            self._ready.append(event)
        if event_type != "MILESTONE":
            self.lineage.add(event_id, causes)
        self.counts[event_type] = self.counts.get(event_type, 0) + 1
        return event_id
