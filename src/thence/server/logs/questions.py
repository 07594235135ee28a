"""What the routes ask of one log: each answer is found by its index.

This is the one place of the server that knows how an answer is found. All of it blocks.
"""

from typing import Unpack

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.values.causes import id_of
from thence.index.file import lookup
from thence.index.graph import causality as indexed
from thence.index.graph.causality import CausalityLines, NamedCauses
from thence.index.plan import query
from thence.index.plan.page import Page, PageBounds, PageOfLines
from thence.server.logs.logs import OpenLog


def page(log: OpenLog, asked: Filter, **paging: Unpack[PageBounds]) -> Page:
    """Returns a page of what matches; raises InvalidCursor, ReadFailed."""
    return query.page(log.index, asked, log.mark, **paging)


def page_of_lines(log: OpenLog, asked: Filter, **paging: Unpack[PageBounds]) -> PageOfLines:
    """Returns what `page` does, with the stored bytes of each event."""
    return query.page_of_lines(log.index, asked, log.mark, **paging)


def hint(log: OpenLog, asked: Filter) -> str | None:
    """Says which key in `where` no event has, for an answer without events; raises ReadFailed."""
    return log.answers.unknown_key(asked.where)


def event(log: OpenLog, event_id: str) -> Event:
    """Returns the event of an id; raises EventNotFound, ReadFailed."""
    return lookup.get(log.index, event_id)


def causality(log: OpenLog, event_id: str, depth: int) -> CausalityLines:
    """Returns an event's cones up to a distance; raises EventNotFound, ReadFailed."""
    return indexed.causality(log.index, event_id, depth)


def why(log: OpenLog, event: str) -> NamedCauses:
    """Says why an event, or what `find` takes, happened; raises AmbiguousId too, ReadFailed."""
    found = log.answers.named(event)
    return indexed.named_causes(log.index, id_of(found), log.vocabulary)
