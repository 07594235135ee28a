"""Totals and offsets by the counts of ranges: what a look at each event finds, sooner."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.events import OTHER_NODE, drafted, new_id, stamped
from tests.index.asked import matching, read
from tests.index.logs import add, fits, index_of

from thence.core.query.filter import Filter
from thence.index.file.database import Index
from thence.index.plan.query import count, page
from thence.index.tables.count_tables import RANGE_BITS
from thence.index.tables.places import STRIDE

RANGE_EVENTS = 2**RANGE_BITS // STRIDE
EVENTS = 2 * RANGE_EVENTS + 3_000
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
        "turn_number": None if at % 70 == 3 and at < RANGE_EVENTS else at // EVENTS_A_TURN,
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
    Filter(**moments(RANGE_EVENTS - 5, RANGE_EVENTS + 5)),
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
def range_lines() -> list[bytes]:
    """Makes the lines of three ranges."""
    return list(lines(0, EVENTS))


@pytest.fixture
def log(tmp_path: Path, range_lines: list[bytes]) -> Iterator[tuple[Index, Path]]:
    """Indexes a log of three ranges."""
    folder = tmp_path / "log"
    add(folder, range_lines)
    with index_of(folder) as index:
        index.refresh()
        yield index, folder


@pytest.mark.promise("Q2")
def test_totals_and_pages_of_several_ranges_are_those_of_a_reading(log):
    index, folder = log
    tells(index, folder)
    fits(index, folder)


@pytest.mark.promise("Q2")
def test_events_that_arrive_late_are_counted_where_they_stand(log):
    index, folder = log
    middle = RANGE_EVENTS + 100
    add(folder, [late(middle), late(middle + 1, turn_number=9_999), late(5, turn_number=33)])
    tells(index, folder)
    fits(index, folder)
    # one whose time lies far from its neighbours' makes its range one that has to be looked at
    item = drafted(new_id(), "a", said(7), timestamp=when(-7))
    add(folder, [stamped(item, 9, 2 * middle + 5, OTHER_NODE)])
    tells(index, folder)
    fits(index, folder)


@pytest.mark.promise("Q2")
def test_served_line_that_moves_to_another_range_is_counted_there(log):
    index, folder = log
    event_id, later = new_id(), new_id()
    foreign = b'{"event_id":"%s","event_type":"a","turn_number":33,"timestamp":"2026-11-20"}\n'
    add(folder, [foreign % event_id.encode(), foreign % later.encode()])
    tells(index, folder)
    ours = said(7, turn_number=4, stream="t")
    for number, own_id in enumerate((event_id, later)):
        item = drafted(own_id, "late", ours, timestamp=when(RANGE_EVENTS))
        clock = (2 * RANGE_EVENTS + 801, 9 * EVENTS)[number]
        add(folder, [stamped(item, number + 1, clock, OTHER_NODE)])
        tells(index, folder)
        fits(index, folder)


@pytest.mark.promise("Q2")
def test_events_that_get_new_places_are_counted_anew(log):
    index, folder = log
    assert end_of(index) == EVENTS * STRIDE
    add(folder, [late(RANGE_EVENTS, event_type="a") for _ in range(STRIDE + 1)])
    tells(index, folder, [*SPANS, *BOTH])
    assert end_of(index) > (EVENTS + 1) * STRIDE  # there was no room for them
    fits(index, folder)
    index.rebuild()
    assert end_of(index) == (EVENTS + STRIDE + 1) * STRIDE
    tells(index, folder, [*SPANS, *BOTH])
    fits(index, folder)


def end_of(index: Index) -> int:
    return index.answer(lambda db: db.execute("SELECT max(place) FROM events").fetchone()[0])


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
def test_turns_at_random_are_counted_all_the_same(tmp_path):
    folder = tmp_path / "log"
    odd = (
        stamped(drafted(new_id(), "a", said(at, turn_number=at * 7_919 % 40)), at + 1, at + 1)
        for at in range(EVENTS)
    )
    add(folder, odd)
    with index_of(folder) as index:
        tells(index, folder, [*SPANS[:4], *BOTH[:1], *BOTH[2:]])


WIDE = {
    "place": (Filter(), {"offset": -2_000}),
    "type": (Filter(types=("a",)), {"offset": 6_000}),
    "stream": (Filter(streams=("t",)), {"offset": 5_000}),
    "turns": (Filter(turn_first=3), {"offset": 12_000}),
    "time": (Filter(since=moments(300, 0)["since"]), {}),
    "type and turns": (Filter(types=("a",), turn_first=3), {"offset": 6_000}),
    "last turns": (Filter(turn_first=5), {"descending": True}),
}


@pytest.mark.promise("Q7")
def test_page_takes_no_more_steps_of_a_log_four_times_as_long(tmp_path):
    taken = {name: [] for name in WIDE}
    folder = tmp_path / "log"
    at = 0
    with index_of(folder) as index:
        for end in (EVENTS, 4 * EVENTS):
            add(folder, [*lines(at, end), late(at)])  # so that no offset is arithmetic
            at = end
            index.refresh()
            for name, (filter, paging) in WIDE.items():
                offset = paging.get("offset", 0) % end
                asked = {**paging, "limit": 100, "offset": offset}
                taken[name].append(steps(index, lambda f=filter, a=asked: page(index, f, **a)))
    for name, (short, long) in taken.items():
        # where in a range a page begins makes a difference, how many ranges there are hardly
        assert long - short < 6 * RANGE_EVENTS, (name, short, long)


@pytest.mark.promise("Q7")
def test_totals_take_no_more_steps_of_a_log_four_times_as_long(tmp_path):
    subject = Filter(subjects=("o/2",))
    pair = Filter(types=("b",), actors=("eve", "ben"))
    folder = tmp_path / "log"
    spanned = Filter(types=pair.types, actors=pair.actors, turn_first=3)
    taken = []
    with index_of(folder) as index:
        for first, end in ((0, EVENTS), (EVENTS, 4 * EVENTS)):
            add(folder, lines(first, end))
            index.refresh()
            ways = (
                partial(page, index, subject, limit=100),
                partial(count, index, spanned),
                partial(page, index, pair, limit=100, offset=end // 6),
                partial(page, index, Filter(types=("a",), streams=("s",)), limit=100),
                partial(page, index, Filter(streams=("t",), actors=("ada",)), limit=100),
            )
            taken.append([steps(index, way) for way in ways])
    more = (long - short for short, long in zip(*taken, strict=True))
    of_subject, of_span, of_pair, *of_streams = more
    assert of_subject < RANGE_EVENTS // 4
    # at the ends of a span events are looked at; how many lie between makes hardly a difference
    assert of_span < 6 * RANGE_EVENTS
    assert of_pair < 6 * RANGE_EVENTS
    assert max(of_streams) < RANGE_EVENTS


def steps(index: Index, ask: Callable[[], object]) -> int:
    """Returns how many hundred steps SQLite takes for an answer, times a hundred."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 100

    with index.reading() as connection:
        pass  # the one that is idle is taken again
    connection.set_progress_handler(step, 100)
    try:
        ask()
    finally:
        connection.set_progress_handler(None, 0)
    assert done
    return done
