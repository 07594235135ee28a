"""What the routes ask of one log: of its index if it has one, else of its events.

This is the one place of the server that knows how an answer is found. All of it blocks.
"""

from collections.abc import Iterator

import msgspec

from thence.core.answer import Why
from thence.core.event import Event
from thence.core.filter import Filter
from thence.core.lookup import among
from thence.core.order import Cone, downstream, upstream
from thence.index import causality as indexed
from thence.index import listing, lookup, query
from thence.index.page import Page, Paging
from thence.log.disk import OS_DISK
from thence.log.opening import known_info
from thence.server.logs import OpenLog

STREAM_EVENTS = 1_000


class Causality(msgspec.Struct, frozen=True):
    """An event with its causes and effects up to a distance, nearest first, as lines."""

    event: Event
    upstream: tuple[bytes, ...]
    downstream: tuple[bytes, ...]
    truncated: bool


def page(
    log: OpenLog,
    asked: Filter,
    limit: int,
    offset: int = 0,
    cursor: str | None = None,
    descending: bool = False,
) -> Page:
    """Returns a page of what matches; raises InvalidCursor, ReadFailed."""
    info = known_info(OS_DISK, log.folder)
    # two folders may hold copies of one log, which go on apart
    log_id = f"{info.log_id if info else ''} {log.folder}"
    paging: Paging = {
        "limit": limit,
        "offset": offset,
        "cursor": cursor,
        "descending": descending,
    }
    index = log.answers.index()
    if index is None:
        events = log.answers.read()
        return listing.listed(events, asked, log_id, **paging)
    return query.page(index, asked, log_id, **paging)


def every_page(log: OpenLog, asked: Filter) -> Iterator[tuple[Event, ...]]:
    """Yields all events that match, as they are now, many at a time.

    Of an indexed log one batch is held at a time.
    """
    index = log.answers.index()
    if index is None:
        found = [event for event in log.answers.events() if asked.matches(event)]
        for start in range(0, len(found), STREAM_EVENTS):
            yield tuple(found[start : start + STREAM_EVENTS])
        return
    cursor = None
    while True:
        next_page = query.page(index, asked, limit=STREAM_EVENTS, cursor=cursor)
        yield next_page.events
        cursor = next_page.next_cursor
        if cursor is None:
            return


def event(log: OpenLog, event_id: str) -> Event:
    """Returns the event of an id; raises EventNotFound, ReadFailed."""
    return log.answers.get(event_id)


def causality(log: OpenLog, event_id: str, depth: int) -> Causality:
    """Returns an event's cones up to a distance; raises EventNotFound, ReadFailed."""
    index = log.answers.index()
    if index is None:
        events = log.answers.events()
        centre = among(events, event_id, log.folder)
        known = {event.event_id: event for event in events}
        causes = _as_lines(upstream(centre, known, depth=depth))
        effects = _as_lines(downstream(centre, events, depth=depth))
    else:
        centre = lookup.get(index, event_id)
        causes = indexed.cone_lines(index, event_id, "upstream", depth)
        effects = indexed.cone_lines(index, event_id, "downstream", depth)
    return Causality(
        event=centre,
        upstream=tuple(line for line, _ in causes[0]),
        downstream=tuple(line for line, _ in effects[0]),
        truncated=causes[1] or effects[1],
    )


def _as_lines(found: tuple[Cone, bool]) -> tuple[tuple[tuple[bytes, int], ...], bool]:
    return tuple((event.line, distance) for event, distance in found[0]), found[1]


def why(log: OpenLog, event_id: str) -> Why:
    """Says why an event happened; raises EventNotFound, ReadFailed."""
    return log.answers.why(event_id)
