"""The count of a log's events, without keeping them in memory."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from thence.core.event import Event
from thence.core.order import total_order_key


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of events of each type, actor and node, the most frequent first.

    Events without an actor are in no `by_actor`, unverified ones in no `nodes`. `first` and
    `last` are those of the total order, None where there are no events.
    """

    events: int
    unverified: int
    by_type: Mapping[str, int]
    by_actor: Mapping[str, int]
    nodes: Mapping[str, int]
    first: Event | None
    last: Event | None


def tallied(events: Iterable[Event]) -> Tally:
    """Counts events, in any order."""
    types: Counter[str] = Counter()
    actors: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    first: Event | None = None
    last: Event | None = None
    for event in events:
        types[event.event_type] += 1
        nodes[event.node_id] += 1
        actor = event.actor
        if actor:
            actors[actor] += 1
        key = total_order_key(event)
        if first is None or last is None:
            first = last = event
        elif key > total_order_key(last):
            last = event
        elif key < total_order_key(first):
            first = event
    unverified = nodes.pop("", 0)
    return Tally(
        types.total(), unverified, falling(types), falling(actors), falling(nodes), first, last
    )


def falling(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns counts with the largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
