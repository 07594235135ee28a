"""A guard on an append: events that must not have come in since the caller read the log."""

from collections.abc import Collection

import msgspec

from thence.core.event import Event
from thence.core.values.position import Position
from thence.errors import InvalidEvent


class Unchanged(msgspec.Struct, frozen=True):
    """A guard, which holds as long as no event behind a position is about certain subjects.

    `since` is the position that the caller has read, up to its last event in arrival order.
    `subjects` are compared with the event's subject; `types`, when given, limit the guard to
    events of these types. A guard is data: the log checks it under the append lock, against the
    file and against the events written just before in the same batch.
    """

    since: Position
    subjects: Collection[str]
    types: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in ("subjects", "types"):
            if isinstance(getattr(self, name), str):
                raise InvalidEvent(
                    "could not guard the append",
                    place=f"field {name}",
                    cause="a text is no collection of texts",
                    hint=f"pass {name}={{{getattr(self, name)!r}}}",
                )

    def is_broken_by(self, event: Event) -> bool:
        """Reports whether an event is behind the position and breaks the guard."""
        if event.subject not in self.subjects or (
            self.types and event.event_type not in self.types
        ):
            return False
        return not self.since.holds(event)

    def reaches_back_to(self, event: Event, node_id: str) -> bool:
        """Reports whether all events before an event in a node's file are certainly held.

        That is so for an event of this node that is held along with all numbers below it.
        """
        known = self.since.intervals.get(node_id, ())
        is_own = event.node_id == node_id and event.seq > 0
        return is_own and bool(known) and known[0][0] == 1 and known[0][1] >= event.seq
