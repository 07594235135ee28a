"""The questions of the routes to one log, each answered by the log's index.

Only this module of the server depends on how an answer is found. All of its functions block.
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
from thence.server.logs.open_logs import OpenLog


def page(log: OpenLog, event_filter: Filter, **paging: Unpack[PageBounds]) -> Page:
    """Returns a page of the events that match; raises InvalidCursor, ReadFailed."""
    return query.page(log.index, event_filter, log.mark, **paging)


def page_of_lines(log: OpenLog, event_filter: Filter, **paging: Unpack[PageBounds]) -> PageOfLines:
    """Returns what `page` does, with the stored bytes of each event."""
    return query.page_of_lines(log.index, event_filter, log.mark, **paging)


def hint(log: OpenLog, event_filter: Filter) -> str | None:
    """Returns a hint that names the key in `where` that no event has; raises ReadFailed."""
    return log.answers.unknown_key(event_filter.where)


def event(log: OpenLog, event_id: str) -> Event:
    """Returns the event with an id; raises EventNotFound, ReadFailed."""
    return lookup.get(log.index, event_id)


def causality(log: OpenLog, event_id: str, depth: int) -> CausalityLines:
    """Returns an event's causes and effects up to `depth`; raises EventNotFound, ReadFailed."""
    return indexed.causality(log.index, event_id, depth)


def why(log: OpenLog, event: str) -> NamedCauses:
    """Returns the causes of an event that is named as in `find`; raises AmbiguousId too."""
    found = log.answers.named(event)
    return indexed.named_causes(log.index, id_of(found), log.vocabulary)
