"""A page of an answer made by reading a log: what an index is held to, and faster on a small one.

It holds all events of the log in memory while it works.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Unpack

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.index.plan.cursor import key_of
from thence.index.plan.page import Page, PageBounds, Wanted


def listed(
    events: Iterable[Event],
    filter: Filter,
    log_id: str = "",
    **paging: Unpack[PageBounds],
) -> Page:
    """Returns a page of those events that match, as `index.query.page` does.

    The events come in arrival order, each once, as `log.reader.events` yields them. Raises
    InvalidFilter, InvalidCursor.
    """
    wanted = Wanted.of(filter, log_id, **paging)
    arrived = list(events)
    snapshot = wanted.mark.snapshot if wanted.mark else len(arrived)
    found = [event for event in arrived[:snapshot] if filter.matches(event)]
    found.sort(key=lambda event: event.order_key)
    begin = wanted.offset
    if wanted.mark is not None:
        begin = bisect_right(found, wanted.mark.last, key=key_of)
        if wanted.descending:  # the mark's own event, if it is there still, stands before `begin`
            begin = len(found) - bisect_left(found, wanted.mark.last, key=key_of)
    if wanted.descending:
        found.reverse()
    total = wanted.mark.total if wanted.mark else len(found)
    return wanted.page(found[begin : begin + wanted.room(total)], snapshot, total)


def counted(events: Iterable[Event], filter: Filter) -> int:
    """Counts the events that match."""
    return sum(map(filter.matches, events))
