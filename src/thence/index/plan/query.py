"""Questions to an index: a page of the events that match a filter, and how many there are.

The cost of a page does not depend on the size of the log: it is found from where the page
before ended, or by arithmetic, or in the index of a column; a total and an offset by what is
tallied. What `where` asks is found by reading events, and remembered.
"""

import sqlite3
from collections.abc import Sequence
from typing import Unpack

from thence.core.query.filter import Filter
from thence.index.build.selection import selection
from thence.index.build.tallies import of_turns, of_types_and_actors
from thence.index.file.database import Index
from thence.index.file.lookup import events_at, lines_at
from thence.index.plan.cursor import Key
from thence.index.plan.matching import matched, some_matched
from thence.index.plan.page import Page, PageBounds, PageOfLines, Wanted
from thence.index.plan.range_scan import PlaceRange, behind, counts, named, stretch


def page(
    index: Index,
    filter: Filter,
    log_id: str = "",
    **paging: Unpack[PageBounds],
) -> Page:
    """Returns a page of the events that match, from what the log holds now.

    It begins `offset` events behind the first one that matches, or behind the page that gave
    out the cursor; then it shows what had arrived at the first page. `log_id` marks the
    cursors. Raises InvalidFilter, InvalidCursor, ReadFailed.
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
    """Returns what `page` does, with the stored bytes of each event, which is not decoded."""
    wanted = Wanted.of(filter, log_id, **paging)

    def work(connection: sqlite3.Connection) -> PageOfLines:
        places, newest, total = _found(index, connection, filter, wanted)
        lines = lines_at(index, connection, places)
        _, last = _key_from(connection, places[-1]) if places else (0, None)
        return wanted.page_of_lines(lines, last, newest, total)

    return index.answer(work)


def count(index: Index, filter: Filter) -> int:
    """Counts the events that match, in what the log holds now. Raises ReadFailed."""
    return index.answer(lambda connection: _count(index, connection, filter))


def _count(index: Index, connection: sqlite3.Connection, filter: Filter) -> int:
    asked = selection(connection, filter)
    if asked is None:
        return 0
    newest = _newest(connection)
    whole = stretch(connection, asked, newest)
    if filter.where:
        return matched(index, connection, whole, filter).total
    known = _known_total(connection, whole, newest)
    return known if known is not None else _total(connection, whole, counts(connection, whole))


def _found(
    index: Index, connection: sqlite3.Connection, filter: Filter, wanted: Wanted
) -> tuple[list[int], int, int]:
    """Returns where the events of a page stand, the highest arrival, how many match."""
    newest = _newest(connection)
    asked = selection(connection, filter)
    if asked is None:
        return [], newest, 0
    whole = stretch(connection, asked, newest)
    if wanted.mark is not None:
        whole = _behind(connection, whole, wanted, newest)
    if filter.where:
        total, places = some_matched(index, connection, whole, filter, wanted)
    elif wanted.mark is not None:
        total = wanted.mark.total
        places = _places(connection, whole, 0, wanted.room(total), wanted.descending)
    else:
        known = _known_total(connection, whole, newest)
        total, places = _first_page(connection, whole, wanted, known)
    return places, newest, total


def _newest(connection: sqlite3.Connection) -> int:
    """Returns the highest arrival, which is how many events there are."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()
    return int(row[0])


def _known_total(connection: sqlite3.Connection, whole: PlaceRange, newest: int) -> int | None:
    """Counts the events of all of a selection, where that is known without them."""
    names, spans = whole.selection
    if whole.selection.is_open:
        return newest
    if spans:
        is_of_turns = whole.selection.columns == ("turn",)
        return of_turns(connection, spans["turn"]) if is_of_turns else None
    if len(names) > 1:
        return of_types_and_actors(connection, names)
    ((column, ids),) = names.items()
    return named(connection, column, ids)


def _total(
    connection: sqlite3.Connection, whole: PlaceRange, found: Sequence[tuple[int, int]] | None
) -> int:
    """Counts the events of all of a selection by its shelves, or one by one."""
    if found is not None:
        return sum(events for _, events in found)
    columns = whole.selection.columns
    if len(columns) == 1:  # its index holds all that is asked
        whole = whole._replace(lead=columns[0])
    return int(connection.execute(whole.count_sql()).fetchone()[0])


def _behind(
    connection: sqlite3.Connection, whole: PlaceRange, wanted: Wanted, newest: int
) -> PlaceRange:
    """Returns what of a stretch stands behind the last page, as of the first one."""
    assert wanted.mark is not None
    place, is_there = _place_of(connection, wanted.mark.last, whole.last)
    if wanted.descending:
        whole = whole._replace(last=place - 1 if is_there else place)
    else:
        whole = whole._replace(first=place + 1)
    snapshot = wanted.mark.snapshot
    return whole if snapshot >= newest else whole._replace(snapshot=snapshot)


def _place_of(connection: sqlite3.Connection, key: Key, last: int) -> tuple[int, bool]:
    """Returns the last place up to a key, and whether the event of this very key stands there.

    Places are in the order of keys, so that it is found by halving.
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
    """Returns the first place from a place on where an event stands, and the key of that one."""
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
    connection: sqlite3.Connection, whole: PlaceRange, wanted: Wanted, total: int | None
) -> tuple[int, list[int]]:
    """Returns the total and the places of a page that counts its offset from the beginning."""
    offset, descending = wanted.offset, wanted.descending
    is_arithmetic = whole.known_count is not None
    if total is None or (0 < offset < total and not is_arithmetic):
        found = counts(connection, whole)
        total = _total(connection, whole, found) if total is None else total
        if found is not None and offset:
            whole, offset = behind(whole, found, offset, descending)
    elif is_arithmetic:
        whole, offset = whole.behind(offset, descending), 0
    return total, _places(connection, whole, offset, wanted.room(total), descending)


def _places(
    connection: sqlite3.Connection, whole: PlaceRange, offset: int, limit: int, descending: bool
) -> list[int]:
    """Finds the places of so many events of a stretch, behind so many others."""
    found = connection.execute(whole.sql(descending), {"limit": limit, "offset": offset})
    return [place for (place,) in found]
