"""The filter for the events of a run, in the words of a simulation.

An `EventFilter` is a `core.query.filter.Filter`, with the same rules for names, times and turns,
and a page of its results: a limit and an offset.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from msgspec.structs import force_setattr

from thence.core import event as stored
from thence.core.query.filter import (
    Filter,
    flag,
    invalid,
    moments,
    names,
    shown,
    turn,
)
from thence.sim.record.events import Event

LIMIT_MAX = 10_000
OFFSET_MAX = 2**63 - 1


class EventFilter(msgspec.Struct, kw_only=True, frozen=True, dict=True):
    """The conditions for an event of a simulation; all given ones must hold.

    Times are ISO 8601 text, a date or an aware datetime; a date includes its whole day. An
    event needs one of the types and one of the agents; an empty list is not a condition. Both
    ends are inclusive; if they are crossed nothing matches. `failed` asks for failures (a model's
    call, an agent, the run), or for all others. A wrong value raises a ValueError
    (InvalidFilter) that names the field: `limit` is 1 to 10,000, `offset` and turns are
    from 0.
    """

    start_timestamp: str | date | None = None
    end_timestamp: str | date | None = None
    event_types: Iterable[str] | None = None
    agent_ids: Iterable[str] | None = None
    turn_start: int | None = None
    turn_end: int | None = None
    failed: bool | None = None
    limit: int = 1000
    offset: int = 0

    def __post_init__(self) -> None:
        for field in ("event_types", "agent_ids"):
            value = getattr(self, field)
            if value is not None:
                force_setattr(self, field, names(field, value))
        _check_within("limit", self.limit, 1, LIMIT_MAX)
        _check_within("offset", self.offset, 0, OFFSET_MAX)
        self.__dict__["filter"] = Filter(
            types=tuple(self.event_types or ()),
            actors=tuple(self.agent_ids or ()),
            since=moments("start_timestamp", self.start_timestamp)[0],
            until=moments("end_timestamp", self.end_timestamp)[1],
            turn_first=None if self.turn_start is None else turn("turn_start", self.turn_start),
            turn_last=None if self.turn_end is None else turn("turn_end", self.turn_end),
            failed=flag("failed", self.failed),
        )

    @property
    def filter(self) -> Filter:
        """The same conditions, without limit and offset, as a filter for any log."""
        return cast(Filter, self.__dict__["filter"])

    def matches(self, event: Event | stored.Event | Mapping[str, Any]) -> bool:
        """Reports whether an event meets all conditions; limit and offset are not applied.

        The event is one that a simulation builds, a stored one, or the members of a line.
        """
        if isinstance(event, stored.Event):
            return self.filter.matches(event)
        members = event.to_dict() if isinstance(event, Event) else event
        turn_number, timestamp = members.get("turn_number"), members.get("timestamp")
        details = members.get("details")
        filtered = SimpleNamespace(  # all that a filter without `where` reads
            event_type=members.get("event_type", ""),
            actor=members.get("agent_id"),
            turn_number=turn_number if type(turn_number) is int else None,
            timestamp=timestamp if isinstance(timestamp, str) else "",
            cut_payload=details if isinstance(details, Mapping) else {},
        )
        return self.filter.matches(cast(stored.Event, filtered))


def _check_within(field: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        wording = f"an integer from {least}" + (f" to {most:,}" if most == LIMIT_MAX else "")
        raise invalid(field, f"{shown(value)} is not {wording}", f"pass {wording} as {field}")
