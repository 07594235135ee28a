"""Queries of an index: a page of the events that match a filter, and their number.

The cost of a page does not depend on the size of the log: the page is found from the end of
the page before, or by arithmetic, or in the index of a column; a total and an offset by the
count tables. The matches of `where` are found by reading events, and cached.
"""

import sqlite3
from collections.abc import Sequence
from typing import Unpack

from thence.core.query.filter import Filter
from thence.index.file.database import Index
from thence.index.file.lookup import events_at, lines_at
from thence.index.plan.matching import matched, matched_page
from thence.index.plan.page import Key, Page, PageBounds, PageOfLines, Wanted
from thence.index.plan.range_scan import PlaceRange, behind, count_named, count_ranges, scan_range
from thence.index.tables.count_tables import of_turns, of_types_and_actors
from thence.index.tables.selection import selection


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
        places, newest, total = _found(index, connection, filter, wanted)
        return wanted.page(events_at(index, connection, places), newest, total)

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
        places, newest, total = _found(index, connection, filter, wanted)
        lines = lines_at(index, connection, places)
        _, last = _key_from(connection, places[-1]) if places else (0, None)
        return wanted.page_of_lines(lines, last, newest, total)

    return index.answer(work)


def count(index: Index, filter: Filter) -> int:
    """Counts the events of the present log that match. Raises ReadFailed."""
    return index.answer(lambda connection: _count(index, connection, filter))


def _count(index: Index, connection: sqlite3.Connection, filter: Filter) -> int:
    asked = selection(connection, filter)
    if asked is None:
        return 0
    newest = _newest(connection)
    scan = scan_range(connection, asked, newest)
    if filter.where:
        return matched(index, connection, scan, filter).total
    known = _known_total(connection, scan, newest)
    return known if known is not None else _total(connection, scan, count_ranges(connection, scan))


def _found(
    index: Index, connection: sqlite3.Connection, filter: Filter, wanted: Wanted
) -> tuple[list[int], int, int]:
    """Returns the places of a page's events, the highest arrival, the number of matches."""
    newest = _newest(connection)
    asked = selection(connection, filter)
    if asked is None:
        return [], newest, 0
    scan = scan_range(connection, asked, newest)
    if wanted.mark is not None:
        scan = _behind(connection, scan, wanted, newest)
    if filter.where:
        total, places = matched_page(index, connection, scan, filter, wanted)
    elif wanted.mark is not None:
        total = wanted.mark.total
        places = _places(connection, scan, 0, wanted.room(total), wanted.descending)
    else:
        known = _known_total(connection, scan, newest)
        total, places = _first_page(connection, scan, wanted, known)
    return places, newest, total


def _newest(connection: sqlite3.Connection) -> int:
    """Returns the highest arrival, which is the number of events."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()
    return int(row[0])


def _known_total(connection: sqlite3.Connection, scan: PlaceRange, newest: int) -> int | None:
    """Returns the number of all events of a selection if the count tables hold it, else None."""
    names, spans = scan.selection
    if scan.selection.is_open:
        return newest
    if spans:
        is_of_turns = scan.selection.columns == ("turn",)
        return of_turns(connection, spans["turn"]) if is_of_turns else None
    if len(names) > 1:
        return of_types_and_actors(connection, names)
    ((column, ids),) = names.items()
    return count_named(connection, column, ids)


def _total(
    connection: sqlite3.Connection, scan: PlaceRange, found: Sequence[tuple[int, int]] | None
) -> int:
    """Counts all events of a selection by its ranges, or one by one."""
    if found is not None:
        return sum(events for _, events in found)
    columns = scan.selection.columns
    if len(columns) == 1:  # the column's index has all conditions
        scan = scan._replace(lead=columns[0])
    return int(connection.execute(scan.count_sql()).fetchone()[0])


def _behind(
    connection: sqlite3.Connection, scan: PlaceRange, wanted: Wanted, newest: int
) -> PlaceRange:
    """Returns the part of a scan behind the last page, as of the first page."""
    assert wanted.mark is not None
    place, is_there = _place_of(connection, wanted.mark.last, scan.last)
    if wanted.descending:
        scan = scan._replace(last=place - 1 if is_there else place)
    else:
        scan = scan._replace(first=place + 1)
    snapshot = wanted.mark.snapshot
    return scan if snapshot >= newest else scan._replace(snapshot=snapshot)


def _place_of(connection: sqlite3.Connection, key: Key, last: int) -> tuple[int, bool]:
    """Returns the last place up to a key, and whether its event has exactly this key.

    Places are in the order of keys, so the search is binary.
    """
    low, high, is_there = 0, last, False
    while low < high:
        middle = (low + high + 1) // 2
        place, found = _key_from(connection, middle)
        if found is None or found > key:
            high = middle - 1
        else:
            low, is_there = place, found == key
    return low, is_there


def _key_from(connection: sqlite3.Connection, place: int) -> tuple[int, Key | None]:
    """Returns the place and the key of the first event at or behind a place."""
    row = connection.execute(
        "SELECT place, lamport, stamp, event_id, names.text FROM events"
        " JOIN names ON names.id = node WHERE place >= :place ORDER BY place LIMIT 1",
        {"place": place},
    ).fetchone()
    if row is None:
        return place, None
    there, lamport, stamp, event_id, node = row
    own = (node.encode(), b"") if lamport else (b"", (stamp or "").encode())
    return there, (lamport, *own, event_id.encode())


def _first_page(
    connection: sqlite3.Connection, scan: PlaceRange, wanted: Wanted, total: int | None
) -> tuple[int, list[int]]:
    """Returns the total and the places of a page whose offset counts from the beginning."""
    offset, descending = wanted.offset, wanted.descending
    is_arithmetic = scan.known_count is not None
    if total is None or (0 < offset < total and not is_arithmetic):
        found = count_ranges(connection, scan)
        total = _total(connection, scan, found) if total is None else total
        if found is not None and offset:
            scan, offset = behind(scan, found, offset, descending)
    elif is_arithmetic:
        scan, offset = scan.behind(offset, descending), 0
    return total, _places(connection, scan, offset, wanted.room(total), descending)


def _places(
    connection: sqlite3.Connection, scan: PlaceRange, offset: int, limit: int, descending: bool
) -> list[int]:
    """Returns the places of at most `limit` events of a range, behind `offset` others."""
    found = connection.execute(scan.sql(descending), {"limit": limit, "offset": offset})
    return [place for (place,) in found]
