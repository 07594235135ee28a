"""What the routes ask of one log, answered by its replica.

This is the one place that knows how an answer is found. All of it blocks.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256

import msgspec

from thence.core.answer import Why
from thence.core.event import Event
from thence.core.filter import Filter
from thence.core.lookup import among
from thence.core.order import downstream, totally_ordered, upstream
from thence.errors import InvalidCursor
from thence.replica import Replica

STREAM_EVENTS = 1_000


class Page(msgspec.Struct, frozen=True):
    """Events of a snapshot in total order; `total` counts all that match in it."""

    events: tuple[Event, ...]
    total: int
    has_more: bool
    next_cursor: str | None


class Causality(msgspec.Struct, frozen=True):
    """An event with its causes and effects up to a distance, nearest first."""

    event: Event
    upstream: tuple[Event, ...]
    downstream: tuple[Event, ...]
    truncated: bool


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page ended: behind which event, in which snapshot, of which question."""

    snapshot: int
    total: int
    last_id: str
    asked: str


def page(
    replica: Replica, asked: Filter, limit: int, offset: int = 0, cursor: str | None = None
) -> Page:
    """Returns a page; raises InvalidCursor for one that is not of this question."""
    question = sha256(repr((asked, str(replica.folder))).encode()).hexdigest()[:16]
    behind = _decoded(cursor, question) if cursor is not None else None
    arrived = list(replica.read())
    snapshot = behind.snapshot if behind else len(arrived)
    found = [event for event in totally_ordered(arrived[:snapshot]) if asked.matches(event)]
    if behind:
        ids = [event.event_id for event in found]
        if behind.last_id not in ids:
            raise _unfit()
        offset = ids.index(behind.last_id) + 1
    events = tuple(found[offset : offset + limit])
    has_more = offset + len(events) < len(found)
    after = None
    if has_more and events:
        after = _encoded(_Cursor(snapshot, len(found), events[-1].event_id, question))
    return Page(events, len(found), has_more and bool(events), after)


def every_page(replica: Replica, asked: Filter) -> Iterator[tuple[Event, ...]]:
    """Yields all events that match, as they are now, many at a time."""
    found = [event for event in replica.events() if asked.matches(event)]
    for start in range(0, len(found), STREAM_EVENTS):
        yield tuple(found[start : start + STREAM_EVENTS])


def event(replica: Replica, event_id: str) -> Event:
    """Returns the event of an id; raises EventNotFound."""
    return replica.get(event_id)


def causality(replica: Replica, event_id: str, depth: int) -> Causality:
    """Returns an event's cones up to a distance; raises EventNotFound."""
    events = replica.events()
    centre = among(events, event_id, replica.folder)
    causes, is_cut_above = upstream(centre, {event.event_id: event for event in events})
    effects, is_cut_below = downstream(centre, events)
    truncated = (is_cut_above and causes[-1][1] <= depth) or (
        is_cut_below and effects[-1][1] <= depth
    )
    near_causes = tuple(cause for cause, distance in causes if distance <= depth)
    near_effects = tuple(effect for effect, distance in effects if distance <= depth)
    return Causality(centre, near_causes, near_effects, truncated)


def why(replica: Replica, event_id: str) -> Why:
    """Says why an event happened; raises EventNotFound."""
    return replica.why(event_id)


def _encoded(cursor: _Cursor) -> str:
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _decoded(text: str, question: str) -> _Cursor:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        found = msgspec.json.decode(urlsafe_b64decode(padded), type=_Cursor)
    except (ValueError, msgspec.MsgspecError):
        raise _unfit() from None
    if found.asked != question or found.snapshot < 0:
        raise _unfit()
    return found


def _unfit() -> InvalidCursor:
    return InvalidCursor(
        "could not go on behind the cursor",
        cause="it is not of this log and this filter",
        hint="ask for the first page again, without a cursor",
    )
