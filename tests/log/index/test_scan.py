"""Totals and offsets by the counts of ranges: what a look at each event finds, sooner."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import OTHER_NODE, drafted, new_id, stamped
from tests.log.index.asked import filters, matching, read
from tests.log.index.asked import lines as random_lines
from tests.log.index.logs import add, fits, index_of
from tests.tiers import examples

from thence.core.query.filter import Filter
from thence.log.index import query, zones
from thence.log.index.connection import Index
from thence.log.index.query import count, page

PART = 8_192  # many zones
EVENTS = 2 * PART + 3_000
EVENTS_A_TURN = 500
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)


def when(at: int) -> str:
    return f"{BEGIN + timedelta(seconds=at):%Y-%m-%dT%H:%M:%S.%f}Z"


def said(at: int, **other: object) -> dict[str, object]:
    """Returns what an event says; some have no stream, no actor, early ones no turn."""
    members = {
        "stream": ("s", "t", None)[at % 3],
        "subject": f"o/{at % 5}",
        "actor": ("ada", "ben", None, "eve")[at % 4],
        "payload": {"status": "failure"} if at % 700 == 5 else None,
        "turn_number": None if at % 70 == 3 and at < PART else at // EVENTS_A_TURN,
        **other,
    }
    return {key: value for key, value in members.items() if value is not None}


def lines(first: int, end: int) -> Iterator[bytes]:
    """Yields the lines of events that stand far enough apart for others to come between."""
    for at in range(first, end):
        item = drafted(new_id(), "ab"[at % 2], said(at), timestamp=when(at))
        yield stamped(item, at + 1, 2 * at + 2)


def late(at: int, event_type: str = "late", **other: object) -> bytes:
    """Returns the line of an event that belongs behind another one."""
    item = drafted(new_id(), event_type, said(at, **other), timestamp=when(at))
    return stamped(item, at + 1, 2 * at + 3, OTHER_NODE)


def moments(first: int, last: int) -> dict[str, int]:
    begin = int(BEGIN.timestamp())
    return {"since": (begin + first) * 1_000_000, "until": (begin + last) * 1_000_000}


SPANS = [
    Filter(turn_first=3, turn_last=30),
    Filter(turn_first=17),
    Filter(turn_last=0),
    Filter(turn_first=9_999),
    Filter(**moments(100, EVENTS - 100)),
    Filter(**moments(PART - 5, PART + 5)),
    Filter(**moments(-9, -5)),
]
NAMES = [
    Filter(),
    Filter(types=("a",)),
    Filter(types=("a", "late")),
    Filter(actors=("ada", "eve")),
    Filter(streams=("t",)),
    Filter(streams=tuple("rstuvw") + tuple(map(str, range(30)))),
    Filter(subjects=("o/2",)),
    Filter(types=("b",), actors=("eve",)),
    Filter(types=("a", "b"), streams=("s", "t")),
    Filter(streams=("s",), actors=("ada", "ben")),
    Filter(types=("a",), streams=("s",), actors=("ada",)),
    Filter(failed=True),
    Filter(failed=False),
    Filter(types=("a",), failed=True),
]
BOTH = [
    Filter(types=("a",), turn_first=5, turn_last=35),
    Filter(streams=("s", "t"), **moments(3_000, EVENTS - 2_000)),
    Filter(turn_first=2, turn_last=33, **moments(2_000, EVENTS)),
    Filter(subjects=("o/2",), turn_first=5),
    Filter(types=("b",), actors=("eve",), turn_first=5),
    Filter(types=("b",), streams=("t",), turn_first=5),
]
QUESTIONS = [*SPANS, *NAMES, *BOTH]


def tells(index: Index, folder: Path, questions: list[Filter] = QUESTIONS) -> None:
    """Asserts that totals, and pages anywhere, are what a reading of the log gives."""
    index.refresh()
    ordered = matching(read(folder), Filter())
    for filter in questions:
        due = [event for event in ordered if filter.matches(event)]
        assert count(index, filter) == len(due), filter
        for offset in {0, 1, len(due) // 3, len(due) // 2, len(due) - 2, len(due), len(due) + 9}:
            for descending in (False, True):
                found = page(index, filter, limit=3, offset=max(offset, 0), descending=descending)
                turned = due[::-1] if descending else due
                assert list(found.events) == turned[max(offset, 0) :][:3], (filter, offset)
                assert found.total == len(due)


@pytest.fixture(scope="module")
def zone_lines() -> list[bytes]:
    """Makes the lines of many zones."""
    return list(lines(0, EVENTS))


@pytest.fixture
def log(tmp_path: Path, zone_lines: list[bytes]) -> Iterator[tuple[Index, Path]]:
    """Indexes a log of many zones."""
    folder = tmp_path / "log"
    add(folder, zone_lines)
    with index_of(folder) as index:
        index.refresh()
        yield index, folder


@pytest.mark.promise("Q2")
def test_totals_and_pages_of_several_zones_are_those_of_a_reading(log):
    index, folder = log
    tells(index, folder)
    fits(index, folder)


@pytest.mark.promise("Q2")
def test_events_that_arrive_late_are_counted_where_they_stand(log):
    index, folder = log
    middle = PART + 100
    add(folder, [late(middle), late(middle + 1, turn_number=9_999), late(5, turn_number=33)])
    tells(index, folder)
    fits(index, folder)
    # one whose time lies far from its neighbours' makes its range one that has to be looked at
    item = drafted(new_id(), "a", said(7), timestamp=when(-7))
    add(folder, [stamped(item, 9, 2 * middle + 5, OTHER_NODE)])
    tells(index, folder)
    fits(index, folder)


@pytest.mark.promise("Q2")
def test_served_line_that_moves_to_another_zone_is_counted_there(log):
    index, folder = log
    event_id, later = new_id(), new_id()
    foreign = b'{"event_id":"%s","event_type":"a","turn_number":33,"timestamp":"2026-11-20"}\n'
    add(folder, [foreign % event_id.encode(), foreign % later.encode()])
    tells(index, folder)
    ours = said(7, turn_number=4, stream="t")
    for number, own_id in enumerate((event_id, later)):
        item = drafted(own_id, "late", ours, timestamp=when(PART))
        clock = (2 * PART + 801, 9 * EVENTS)[number]
        add(folder, [stamped(item, number + 1, clock, OTHER_NODE)])
        tells(index, folder)
        fits(index, folder)


@pytest.mark.promise("Q2")
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("filter", [SPANS[0], NAMES[2], NAMES[4], BOTH[0], BOTH[2]])
def test_pages_of_a_growing_log_hold_what_was_there_at_the_first(log, filter, descending):
    index, folder = log
    due = matching(read(folder), filter, descending)
    begin = len(due) // 2
    found = page(index, filter, limit=2_000, offset=begin, descending=descending)
    events = list(found.events)
    at = EVENTS
    while found.next_cursor is not None:
        spread = range(0, EVENTS, EVENTS // 9)
        grown = [late(other, turn_number=20, stream="t") for other in spread]
        add(folder, [*grown, *lines(at, at + 50)])
        at += 50
        cursor = found.next_cursor
        found = page(index, filter, limit=2_000, descending=descending, cursor=cursor)
        assert found.total == len(due)
        events += found.events
    assert events == due[begin:]


@pytest.mark.promise("Q2")
@settings(max_examples=examples(150), deadline=None)
@given(
    drawn=st.lists(random_lines(), min_size=1, max_size=3),
    filter=filters,
    bits=st.integers(0, 3),
    sorted_max=st.integers(0, 8),
    skipped=st.integers(0, 20),
    descending=st.booleans(),
)
def test_answers_are_those_of_a_reading_whatever_leads(
    drawn, filter, bits, sorted_max, skipped, descending
):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(zones, "ZONE_BITS", bits)
        patch.setattr(query, "SORTED_MAX", sorted_max)
        folder = Path(name)
        with index_of(folder) as index:
            for some in drawn:
                add(folder, some)
                due = matching(read(folder), filter, descending)
                assert count(index, filter) == len(due)
                answer = page(index, filter, limit=5, offset=skipped, descending=descending)
                assert list(answer.events) == due[skipped : skipped + 5]
                assert answer.total == len(due)


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


@pytest.mark.promise("Q7")
def test_names_lead_through_their_own_index_without_sorting(log):
    index, _ = log
    column, steps_told = plan(index, Filter(types=("a",), subjects=("o/2", "o/3")))
    assert (column, "INDEX subjects (subject=?" in steps_told) == ("subject", True)
    column, steps_told = plan(index, Filter(types=("a",), turn_first=3))
    assert (column, "INDEX types (type=? AND lamport>?" in steps_told) == ("type", True)
    assert "TEMP B-TREE" not in steps_told
    column, steps_told = plan(index, Filter(**moments(3_000, 9_000)))
    assert (column, "USING INDEX ordered" in steps_told) == (None, True)
    assert "TEMP B-TREE" not in steps_told
    column, steps_told = plan(index, Filter(failed=True))
    assert (column, "INDEX failures (lamport>?" in steps_told) == ("failed", True)
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
