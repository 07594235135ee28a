"""The facts of a notice `log.pruned`: what was removed from a log on purpose."""

from collections.abc import Mapping
from typing import Any

import msgspec

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.ids import ulid_value
from thence.core.new_event import Intervals, Position, is_within, joined_ranges
from thence.core.ready import ready

PRUNED = "pruned"


class Pruned(msgspec.Struct, frozen=True):
    """What a log's last prune removed, and up to where all of its prunes did.

    `files`, `events` and `bytes` are of that prune. Of all prunes are `until`, the latest time,
    and `numbers`, the numbers of the events by node_id, as a Position has them.
    """

    files: int = 0
    events: int = 0
    bytes: int = 0
    until: str = ""
    numbers: Mapping[str, Intervals] = {}

    def facts(self) -> dict[str, Any]:
        """Returns the facts of the notice."""
        return dict(msgspec.to_builtins(self))

    def holds(self, node_id: str, seq: int) -> bool:
        """Reports whether a number was pruned."""
        return is_within(self.numbers.get(node_id, ()), seq)

    def last(self, node_id: str) -> int:
        """Returns the highest number of a node that was pruned, 0 for none."""
        ranges = self.numbers.get(node_id)
        return ranges[-1][1] if ranges else 0

    def with_numbers(self, numbers: Mapping[str, Intervals]) -> Mapping[str, Intervals]:
        """Returns some numbers, and all that were pruned."""
        own = {
            node_id: joined_ranges((*numbers.get(node_id, ()), *pruned))
            for node_id, pruned in self.numbers.items()
        }
        return {**numbers, **own}

    def is_held_by(self, position: Position) -> bool:
        """Reports whether a position holds all that was pruned."""
        return self.with_numbers(position.intervals) == position.intervals

    def may_hold(self, event_id: str) -> bool:
        """Reports whether the log pruned events as late as an id, which is not in it."""
        value, until_us = ulid_value(event_id), microseconds(self.until)
        return value is not None and until_us is not None and value >> 80 <= until_us // 1000

    @property
    def words(self) -> str:
        """What was pruned, for people."""
        return f"events up to {self.until[:16].replace('T', ' ')} were pruned"


NOT_PRUNED = Pruned()


def pruned_by(notice: Event) -> Pruned:
    """Returns what a notice tells of; what can't be read says nothing."""
    try:
        return msgspec.convert(notice.payload, ready(Pruned))
    except msgspec.ValidationError:
        return NOT_PRUNED
