"""How an answer is found: by which index, in how many steps."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from tests.events import OTHER_NODE, drafted, new_id, stamped
from tests.log.index.logs import add, index_of

from thence.core.query.filter import Filter
from thence.log.index import query
from thence.log.index.connection import Index
from thence.log.index.query import count, page

PART = 8_192  # many zones
EVENTS = 2 * PART + 3_000
EVENTS_A_TURN = 500
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)


def when(at: int) -> str:
    return f"{BEGIN + timedelta(seconds=at):%Y-%m-%dT%H:%M:%S.%f}Z"


def said(at: int) -> dict[str, object]:
    """Returns what an event says; some have no stream, no actor, early ones no turn."""
    members = {
        "stream": ("s", "t", None)[at % 3],
        "subject": f"o/{at % 5}",
        "actor": ("ada", "ben", None, "eve")[at % 4],
        "payload": {"status": "failure"} if at % 700 == 5 else None,
        "turn_number": None if at % 70 == 3 and at < PART else at // EVENTS_A_TURN,
    }
    return {key: value for key, value in members.items() if value is not None}


def lines(first: int, end: int) -> Iterator[bytes]:
    """Yields the lines of events that stand far enough apart for others to come between."""
    for at in range(first, end):
        item = drafted(new_id(), "ab"[at % 2], said(at), timestamp=when(at))
        yield stamped(item, at + 1, 2 * at + 2)


def late(at: int) -> bytes:
    """Returns the line of an event that belongs behind another one."""
    item = drafted(new_id(), "late", said(at), timestamp=when(at))
    return stamped(item, at + 1, 2 * at + 3, OTHER_NODE)


def moments(first: int, last: int) -> dict[str, int]:
    begin = int(BEGIN.timestamp())
    return {"since": (begin + first) * 1_000_000, "until": (begin + last) * 1_000_000}


def plan(index: Index, filter: Filter) -> tuple[str | None, str]:
    """Returns which column leads, and what SQLite makes of the question."""

    def work(connection: sqlite3.Connection) -> tuple[str | None, str]:
        scan = query.scan_of(index, connection, filter)
        assert scan is not None
        sql = f"EXPLAIN QUERY PLAN SELECT arrival FROM {scan.in_order()} ORDER BY lamport, stamp"
        return scan.driving_column, "\n".join(
            row[3] for row in connection.execute(sql, scan.values)
        )

    return index.answer(work)


LEADING = [
    (Filter(types=("a",), turn_first=3), "type", "INDEX types (type=? AND lamport>?"),
    (Filter(**moments(3_000, 9_000)), None, "USING INDEX ordered"),
    (Filter(failed=True), "failed", "USING INDEX failures"),
]


@pytest.mark.promise("Q7")
def test_names_lead_through_their_own_index_without_sorting(tmp_path):
    add(tmp_path, lines(0, EVENTS))
    with index_of(tmp_path) as index:
        column, steps_told = plan(index, Filter(types=("a",), subjects=("o/2", "o/3")))
        assert (column, "INDEX subjects (subject=?" in steps_told) == ("subject", True)
        for filter, expected, step in LEADING:
            column, steps_told = plan(index, filter)
            assert (column, step in steps_told) == (expected, True)
            assert "TEMP B-TREE" not in steps_told
        assert plan(index, Filter(failed=False))[0] is None


def test_glob_stands_for_the_types_and_actors_that_it_matches(tmp_path):
    folder = tmp_path / "log"
    types = ["order.placed", "order.shipped", "orders", "note"]
    made = (drafted(new_id(), types[at % 4], {"actor": f"bot{at % 3}"}) for at in range(12))
    add(folder, [stamped(item, at, at) for at, item in enumerate(made, 1)])
    with index_of(folder) as index:
        assert count(index, Filter(types=("order.*",))) == 6
        assert count(index, Filter(types=("order?", "note"))) == 6
        assert count(index, Filter(types=("order.p*",), actors=("bot*",))) == 3
        assert count(index, Filter(actors=("*1",))) == 4
        assert count(index, Filter(actors=("nobody*",))) == 0


WIDE = {
    "all": (Filter(), False),
    "type": (Filter(types=("a",)), False),
    "types": (Filter(types=("a", "late")), True),
    "stream": (Filter(streams=("t",)), False),
    "subject": (Filter(subjects=("o/2",)), True),
    "turns": (Filter(turn_first=3), False),
    "time": (Filter(since=moments(300, 0)["since"]), True),
    "type and turns": (Filter(types=("a",), turn_first=3), False),
}


TOTALS = {
    "total of a type": Filter(types=("a",)),
    "total of both": Filter(types=("b",), actors=("eve", "ben")),
    "total of turns": Filter(turn_first=3),
}


@pytest.mark.promise("Q7")
def test_page_behind_a_cursor_and_totals_take_no_more_steps_of_a_log_four_times_as_long(tmp_path):
    taken: dict[str, list[int]] = {name: [] for name in (*WIDE, *TOTALS)}
    folder = tmp_path / "log"
    at = 0
    with index_of(folder) as index:
        for end in (EVENTS, 4 * EVENTS):
            add(folder, [*lines(at, end), late(at)])
            at = end
            index.refresh()
            for name, (filter, descending) in WIDE.items():
                half = count(index, filter) // 2
                before = page(index, filter, limit=100, offset=half, descending=descending)
                behind = {"limit": 100, "descending": descending, "cursor": before.next_cursor}
                taken[name].append(
                    steps(index, lambda f=filter, words=behind: page(index, f, **words))
                )
            for name, filter in TOTALS.items():
                taken[name].append(steps(index, partial(page, index, filter, limit=100)))
    for name, (short, long) in taken.items():
        bound = PART if name in TOTALS else PART // 2
        assert long - short < bound, (name, short, long)


def steps(index: Index, ask: Callable[[], object]) -> int:
    """Returns how many hundred steps SQLite takes for an answer, times a hundred."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 100

    connection = index.answer(lambda connection: connection)  # the idle one is taken again
    connection.set_progress_handler(step, 100)
    try:
        ask()
    finally:
        connection.set_progress_handler(None, 0)
    assert done
    return done
