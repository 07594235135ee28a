"""What the routes ask of one log: of its index if it has one, else of its events.

This is the one place of the server that knows how an answer is found. All of it blocks.
"""

from collections.abc import Iterable, Iterator
from typing import Unpack

from thence.core.answer import Why
from thence.core.event import Event
from thence.core.filter import Filter
from thence.core.lookup import among
from thence.core.order import downstream, upstream
from thence.index import causality as indexed
from thence.index import listing, query
from thence.index.causality import Causality
from thence.index.page import Page, PageOfLines, Paging
from thence.server.logs import OpenLog

STREAM_EVENTS = 1_000


def page(log: OpenLog, asked: Filter, **paging: Unpack[Paging]) -> Page:
    """Returns a page of what matches; raises InvalidCursor, ReadFailed."""
    index = log.answers.index()
    if index is None:
        return listing.listed(log.answers.read(), asked, log.mark, **paging)
    return query.page(index, asked, log.mark, **paging)


def page_of_lines(log: OpenLog, asked: Filter, **paging: Unpack[Paging]) -> PageOfLines:
    """Returns what `page` does, with the stored bytes of each event."""
    index = log.answers.index()
    if index is None:
        found = listing.listed(log.answers.read(), asked, log.mark, **paging)
        lines = _lines(found.events)
        return PageOfLines(lines, found.total, found.has_more, found.next_cursor)
    return query.page_of_lines(index, asked, log.mark, **paging)


def every_page(log: OpenLog, asked: Filter) -> Iterator[tuple[bytes, ...]]:
    """Yields the lines of all events that match, as they are now, many at a time.

    Of an indexed log one batch is held at a time.
    """
    index = log.answers.index()
    if index is None:
        found = [event for event in log.answers.events() if asked.matches(event)]
        for start in range(0, len(found), STREAM_EVENTS):
            yield _lines(found[start : start + STREAM_EVENTS])
        return
    cursor = None
    while True:
        next_page = query.page_of_lines(index, asked, limit=STREAM_EVENTS, cursor=cursor)
        yield next_page.lines
        cursor = next_page.next_cursor
        if cursor is None:
            return


def _lines(events: Iterable[Event]) -> tuple[bytes, ...]:
    return tuple(event.line for event in events)


def event(log: OpenLog, event_id: str) -> Event:
    """Returns the event of an id; raises EventNotFound, ReadFailed."""
    return log.answers.get(event_id)


def causality(log: OpenLog, event_id: str, depth: int) -> Causality:
    """Returns an event's cones up to a distance; raises EventNotFound, ReadFailed."""
    index = log.answers.index()
    if index is not None:
        return indexed.causality(index, event_id, depth)
    events = log.answers.events()
    centre = among(events, event_id, log.folder)
    causes, is_cut = upstream(centre, {event.event_id: event for event in events}, depth=depth)
    effects, is_cut_too = downstream(centre, events, depth=depth)
    return Causality(
        event=centre,
        upstream=_lines(event for event, _ in causes),
        downstream=_lines(event for event, _ in effects),
        truncated=is_cut or is_cut_too,
    )


def why(log: OpenLog, event_id: str) -> Why:
    """Says why an event happened; raises EventNotFound, ReadFailed."""
    return log.answers.why(event_id)
