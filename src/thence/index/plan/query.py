"""Queries of an index: a page of the events that match a filter, and their number.

A page behind a cursor costs no more in a larger log: it is found in the index of a column, from
the key of the page before. A total comes from the counts, from zones, or from a column's index;
an offset is walked to. The matches of `where` are found by reading the events that are left.
"""

import sqlite3
from typing import NamedTuple, Unpack

from thence.core.query.filter import Filter
from thence.index.file.database import Index
from thence.index.file.lookup import events_at, lines_at
from thence.index.plan.matching import count_matching, matching_page
from thence.index.plan.page import Page, PageBounds, PageOfLines, Wanted
from thence.index.plan.scan import Key, Scan, scan_of, selection, total


class PageRows(NamedTuple):
    """The arrivals of a page's events, the highest arrival, and the number of all matches."""

    arrivals: list[int]
    snapshot: int
    total: int


def page(
    index: Index,
    filter: Filter,
    log_id: str = "",
    **paging: Unpack[PageBounds],
) -> Page:
    """Returns a page of the events that match, from the present log.

    The page begins `offset` events behind the first match, or behind the page that returned
    the cursor; then it holds only events that had arrived at the first page. `log_id` is part
    of the cursors. Raises InvalidFilter, InvalidCursor, ReadFailed.
    """
    wanted = Wanted.of(filter, log_id, **paging)

    def work(connection: sqlite3.Connection) -> Page:
        answer = _answer(index, connection, filter, wanted)
        events = events_at(index, connection, answer.arrivals)
        return wanted.page(events, answer.snapshot, answer.total)

    return index.answer(work)


def page_of_lines(
    index: Index,
    filter: Filter,
    log_id: str = "",
    **paging: Unpack[PageBounds],
) -> PageOfLines:
    """Returns the page of `page` with the stored line of each event, not decoded."""
    wanted = Wanted.of(filter, log_id, **paging)

    def work(connection: sqlite3.Connection) -> PageOfLines:
        answer = _answer(index, connection, filter, wanted)
        lines = lines_at(index, connection, answer.arrivals)
        last = _key_of(connection, answer.arrivals[-1]) if answer.arrivals else None
        return wanted.page_of_lines(lines, last, answer.snapshot, answer.total)

    return index.answer(work)


def count(index: Index, filter: Filter) -> int:
    """Counts the events of the present log that match. Raises ReadFailed."""

    def work(connection: sqlite3.Connection) -> int:
        selected = selection(connection, filter)
        if selected is None:
            return 0
        if not filter.where:
            return total(connection, selected)
        scan = scan_of(connection, selected, descending=False)
        return 0 if scan is None else count_matching(index, connection, scan, filter)

    return index.answer(work)


def _answer(
    index: Index, connection: sqlite3.Connection, filter: Filter, wanted: Wanted
) -> PageRows:
    row = connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()
    snapshot = int(row[0])
    selected = selection(connection, filter)
    scan = None if selected is None else scan_of(connection, selected, wanted.descending)
    if selected is None or scan is None:
        return PageRows([], snapshot, 0)
    if wanted.mark is not None:
        scan = scan._replace(behind=wanted.mark.last)
        if wanted.mark.snapshot < snapshot:
            scan = scan._replace(snapshot=wanted.mark.snapshot)
    if filter.where:
        arrivals, matches = matching_page(index, connection, scan, filter, wanted)
        return PageRows(arrivals, snapshot, matches)
    matches = wanted.mark.total if wanted.mark else total(connection, selected)
    if wanted.offset >= matches:
        return PageRows([], snapshot, matches)
    return PageRows(_arrivals(connection, scan, wanted, matches), snapshot, matches)


def _arrivals(
    connection: sqlite3.Connection, scan: Scan, wanted: Wanted, matches: int
) -> list[int]:
    rows = scan.rows(connection, "arrival", wanted.room(matches), wanted.offset)
    return [row[0] for row in rows]


def _key_of(connection: sqlite3.Connection, arrival: int) -> Key:
    """Returns the key of an event in the total order."""
    lamport, stamp, event_id, node = connection.execute(
        "SELECT lamport, stamp, event_id, text FROM events JOIN names ON id = node"
        " WHERE arrival = :arrival",
        {"arrival": arrival},
    ).fetchone()
    own = (node.encode(), b"") if lamport else (b"", stamp.encode())
    return (lamport, *own, event_id.encode())
