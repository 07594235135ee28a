"""What `where` has found is told again, with what has arrived since."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.events import OTHER_NODE, line_of, new_id
from tests.index.asked import matching, read
from tests.index.logs import add, index_of

from thence.core.query.filter import Filter
from thence.index.file.database import Index
from thence.index.file.match_cache import (
    ANSWERS_MAX,
    PLACES_MAX,
    IndexVersion,
    MatchCache,
    Matches,
    found,
    state,
)
from thence.index.plan.query import count, page

ASKED = Filter.of(where="n > 3")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[Index, Path]]:
    """Indexes a log of 40 events, of which every second one has a number above 3."""
    folder = tmp_path / "log"
    add(
        folder,
        [line_of({"n": (at + 1) % 2 * 5}, seq=at, lamport_clock=2 * at) for at in range(1, 41)],
    )
    with index_of(folder) as index:
        yield index, folder


def tells(index: Index, folder: Path) -> None:
    """Asserts that pages are those of a reading, asked for twice."""
    due = matching(read(folder), ASKED)
    for _ in range(2):
        for descending in (False, True):
            turned = due[::-1] if descending else due
            found = page(index, ASKED, limit=4, offset=3, descending=descending)
            assert list(found.events) == turned[3:7]
            assert found.total == count(index, ASKED) == len(due)
            cursor = found.next_cursor
            behind = page(index, ASKED, limit=4, cursor=cursor, descending=descending)
            assert list(behind.events) == turned[7:11]


@pytest.mark.promise("Q2")
def test_answer_found_before_is_not_told_of_a_log_that_has_changed(log):
    index, folder = log
    tells(index, folder)
    add(folder, [line_of({"n": 9}, seq=50, lamport_clock=99)])
    tells(index, folder)
    add(folder, [line_of({"n": 9}, node_id=OTHER_NODE, lamport_clock=7)])  # a late one
    tells(index, folder)
    event_id = new_id()
    add(folder, [b'{"event_id":"%s","event_type":"x","payload":{"n":9}}\n' % event_id.encode()])
    tells(index, folder)
    # the line that is served from now on says something else, and there is no event more
    add(folder, [line_of({"n": 1}, event_id=event_id, seq=51, lamport_clock=101)])
    tells(index, folder)
    index.rebuild()
    tells(index, folder)


@pytest.mark.promise("Q2")
def test_answer_found_before_is_not_told_of_another_log_in_its_place(log):
    index, folder = log
    tells(index, folder)
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(b"".join(lines[10:]))
    tells(index, folder)


@pytest.mark.promise("Q2")
@pytest.mark.parametrize("descending", [False, True])
def test_pages_begun_before_the_log_grew_hold_what_was_there(log, descending):
    index, folder = log
    due = matching(read(folder), ASKED, descending)
    first = page(index, ASKED, limit=4, descending=descending)
    add(folder, [line_of({"n": 9}, node_id=OTHER_NODE, lamport_clock=at) for at in (3, 41, 90)])
    assert page(index, ASKED, limit=4, descending=descending).total == len(due) + 3
    cursor = first.next_cursor
    behind = page(index, ASKED, limit=99, cursor=cursor, descending=descending)
    assert [*first.events, *behind.events] == due
    assert behind.total == len(due)


@pytest.mark.promise("Q7")
def test_second_page_reads_no_more_than_its_own_events(log):
    index, folder = log
    first = page(index, ASKED, limit=4)
    # the last line breaks, unseen: whoever read it again would find one event less
    segment = folder / "events.jsonl"
    state = segment.stat()
    *lines, last = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines, last.replace(b'"n":', b'"m":')]))
    os.utime(segment, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert page(index, ASKED, limit=4, offset=4).total == first.total == 20
    behind = page(index, ASKED, limit=4, cursor=first.next_cursor)
    assert [event.seq for event in behind.events] == [10, 12, 14, 16]
    index.match_cache = MatchCache()
    assert page(index, ASKED, limit=4, offset=4).total == 19


def test_places_beyond_the_bound_are_counted_and_not_kept():
    assert found(range(PLACES_MAX), 1).places is not None
    assert found(range(PLACES_MAX + 1), 1) == (PLACES_MAX + 1, None, 1)
    most = found(range(PLACES_MAX - 1), 1).extended([PLACES_MAX], 2)
    assert most.places is not None
    assert most.extended([PLACES_MAX + 1], 3) == (PLACES_MAX + 1, None, 3)
    assert most.extended([7, 8], 3).extended([9], 4) == (PLACES_MAX + 3, None, 4)


def test_places_that_come_behind_or_between_others_are_kept_in_order():
    first = found([10, 20], 5)
    assert first.extended([30, 40], 7) == (4, array("q", [10, 20, 30, 40]), 7)
    assert first.extended([30, 15, 5], 8) == (5, array("q", [5, 10, 15, 20, 30]), 8)
    assert found([], 5).extended([3, 1], 6) == (2, array("q", [1, 3]), 6)
    assert first == (2, array("q", [10, 20]), 5)


@pytest.mark.promise("Q2")
def test_pages_of_more_places_than_are_kept_are_found_by_reading(tmp_path):
    asked = Filter.of(where="event_type = noted")
    with index_of(tmp_path / "log") as index:
        add(tmp_path / "log", [line_of(seq=at, lamport_clock=at) for at in range(1, 31)])
        whole = page(index, asked)
        now = index.answer(state)
        index.match_cache = MatchCache()
        index.match_cache.put(now, asked, Matches(30, None, 30))
        for descending in (False, True):
            turned = whole.events[::-1] if descending else whole.events
            behind = page(index, asked, offset=7, limit=5, descending=descending)
            assert behind.events == turned[7:12]
            cursor = behind.next_cursor
            last = page(index, asked, cursor=cursor, limit=99, descending=descending)
            assert last.events == turned[12:]
        add(tmp_path / "log", [line_of(seq=99, lamport_clock=99)])
        assert count(index, asked) == 31


def test_answers_whose_places_are_others_by_now_and_the_oldest_are_forgotten():
    match_cache = MatchCache()
    now = IndexVersion(1, 1, 9)
    for turn in range(ANSWERS_MAX + 3):
        match_cache.put(now, Filter(turn_first=turn), found([turn], 9))
    known = [match_cache.get(now, Filter(turn_first=turn)) for turn in range(ANSWERS_MAX + 3)]
    assert [each is None for each in known] == [True] * 3 + [False] * ANSWERS_MAX
    assert match_cache.get(IndexVersion(2, 1, 9), Filter(turn_first=9)) is None
    match_cache.put(IndexVersion(1, 2, 9), ASKED, found([], 9))
    assert match_cache.get(now, Filter(turn_first=9)) is None
    assert match_cache.get(IndexVersion(1, 2, 9), ASKED) == (0, array("q"), 9)


def test_answer_of_fewer_events_takes_the_place_of_none_of_more():
    match_cache = MatchCache()
    match_cache.put(IndexVersion(1, 1, 9), ASKED, found([1, 2], 9))
    match_cache.put(IndexVersion(1, 1, 8), ASKED, found([1], 8))
    assert match_cache.get(IndexVersion(1, 1, 9), ASKED) == found([1, 2], 9)
    assert match_cache.get(IndexVersion(1, 1, 10), ASKED) == found([1, 2], 9)
    assert (
        match_cache.get(IndexVersion(1, 1, 8), ASKED) is None
    )  # its reader sees fewer than were found
