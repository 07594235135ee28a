"""The position of a reader in a log: per node the numbers of the events read.

A position consists of numbers, not of offsets in a file: it stays valid when segments rotate,
and when another node's events arrive out of order. Foreign events have no numbers, so their ids
are kept.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

import msgspec

from thence.core.event import Event

Intervals = tuple[tuple[int, int], ...]


class Position(msgspec.Struct, frozen=True):
    """A set of events: `intervals` are (first, last) seqs per node, in order, apart.

    The empty position is before the first event. `msgspec.json` encodes and decodes it.
    """

    intervals: Mapping[str, Intervals] = {}
    foreign: frozenset[str] = frozenset()

    def holds(self, event: Event) -> bool:
        """Reports whether an event is among those read."""
        if event.is_foreign:
            return event.event_id in self.foreign
        own = self.intervals.get(event.node_id, ())
        at = bisect_right(own, (event.seq, event.seq)) - 1
        inside = at >= 0 and own[at][0] <= event.seq <= own[at][1]
        is_next_start = at + 1 < len(own) and own[at + 1][0] == event.seq
        return inside or is_next_start

    def after(self, events: Iterable[Event]) -> "Position":
        """Returns the position of a reader of these events too, in any order."""
        numbers = []
        foreign = []
        for event in events:
            if event.is_foreign:
                foreign.append(event.event_id)
            else:
                numbers.append((event.node_id, event.seq))
        return self.with_numbers(numbers, foreign)

    def with_numbers(
        self, numbers: Iterable[tuple[str, int]], foreign: Iterable[str] = ()
    ) -> "Position":
        """Returns the position with more events added, as (node_id, seq), in any order."""
        by_node: dict[str, list[tuple[int, int]]] = {
            node_id: list(ranges) for node_id, ranges in self.intervals.items()
        }
        for node_id, seq in numbers:
            ranges = by_node.setdefault(node_id, [])
            if ranges and ranges[-1][1] + 1 == seq:
                ranges[-1] = (ranges[-1][0], seq)
            else:
                ranges.append((seq, seq))
        joined = {node_id: _joined(ranges) for node_id, ranges in by_node.items()}
        return Position(joined, self.foreign.union(foreign))


def _joined(intervals: list[tuple[int, int]]) -> Intervals:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)
