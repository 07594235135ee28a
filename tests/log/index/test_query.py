"""Pages of an answer: the index tells what a slow reading of the log tells, by few reads."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codes import raises_code
from tests.events import event_of, line_of, payloads, scalars
from tests.log.index.asked import filters, lines, matching
from tests.log.index.logs import add, generation, new_index, read, rotate
from tests.plain_order import page_of_events
from tests.tiers import examples

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.query.where import OPERATORS, Comparison
from thence.core.vocabulary import PLAIN, SIM
from thence.errors import InvalidFilter
from thence.log.files.disk import OS_DISK
from thence.log.index import query
from thence.log.index.connection import Index
from thence.log.index.page import Page
from thence.log.index.query import count, judge, page, page_of_lines
from thence.log.open import open_log

ALL = Filter()
Ask = Callable[..., Page]


@contextmanager
def log_of(drawn: list[bytes]) -> Iterator[tuple[Path, Index]]:
    """Writes a log into a folder of its own, with its index opened."""
    with new_index() as (folder, index):
        add(folder, drawn)
        index.refresh()
        yield folder, index


def both(folder: Path, index: Index) -> list[Ask]:
    """Returns the two ways to ask: the index, and a reading of the log."""
    return [
        lambda filter, **paging: page(index, filter, **paging),
        lambda filter, **paging: page_of_events(read(folder), filter, **paging),
    ]


def all_pages(ask: Ask, filter: Filter, **paging: object) -> Iterator[Page]:
    """Yields a page, then those to which cursors lead; the next one is asked for when it is."""
    found = ask(filter, **paging)
    yield found
    paging.pop("offset", None)
    while found.next_cursor is not None:
        found = ask(filter, **paging, cursor=found.next_cursor)
        yield found


@pytest.mark.promise("Q2")
@settings(max_examples=examples(150), deadline=None)
@given(
    drawn=st.lists(lines(), min_size=1, max_size=3),
    filter=filters,
    bits=st.integers(0, 3),
    sorted_max=st.integers(0, 8),
    limit=st.integers(1, 12),
    offset=st.integers(0, 20),
    descending=st.booleans(),
)
def test_every_filter_and_page_tells_what_a_slow_reading_tells_whatever_leads(
    drawn, filter, bits, sorted_max, limit, offset, descending
):
    asked = {"limit": limit, "offset": offset, "descending": descending}
    with new_index(bits) as (folder, index), pytest.MonkeyPatch.context() as patch:
        patch.setattr(query, "SORTED_MAX", sorted_max)
        for number, some in enumerate(drawn):
            rotate(folder, number)
            add(folder, some)
            due = matching(read(folder), filter, descending)
            assert count(index, filter) == sum(map(filter.matches, read(folder))) == len(due)
            for ask in both(folder, index):
                found = ask(filter, **asked)
                assert list(found.events) == due[offset : offset + limit]
                assert found.total == len(due)
                assert found.has_more == (found.next_cursor is not None)
                assert found.has_more == (offset + limit < len(due))
            found, read_through = (ask(filter, **asked) for ask in both(folder, index))
            assert found == read_through
            bare = page_of_lines(index, filter, **asked)
            assert bare.lines == tuple(event.line for event in found)
            end = (found.total, found.has_more, found.next_cursor)
            assert (bare.total, bare.has_more, bare.next_cursor) == end


@pytest.mark.promise("Q2")
@settings(max_examples=examples(150), deadline=None)
@given(
    drawn=st.lists(lines(12), min_size=1, max_size=4),
    filter=filters,
    limit=st.integers(1, 8),
    descending=st.booleans(),
    bits=st.integers(0, 3),
    data=st.data(),
)
def test_pages_of_a_growing_log_are_disjoint_and_complete(
    drawn, filter, limit, descending, bits, data
):
    first, *later = drawn
    with new_index(bits) as (folder, index):
        add(folder, first)
        index.refresh()
        due = matching(read(folder), filter, descending)
        ways = both(folder, index)

        def ask(asked: Filter, **paging: object) -> Page:
            return data.draw(st.sampled_from(ways))(asked, **paging)

        found: list[Event] = []
        for turned in all_pages(ask, filter, limit=limit, descending=descending):
            assert turned.total == len(due)
            found += turned.events
            if later:
                add(folder, later.pop())
                index.refresh()
            if data.draw(st.booleans()):
                index.rebuild()
        assert found == due


@pytest.mark.promise("Q2")
@settings(max_examples=examples(60), deadline=None)
@given(drawn=lines(20), gone=st.integers(0, 19), limit=st.integers(1, 8), data=st.data())
def test_pages_go_on_behind_an_event_that_is_gone(drawn, gone, limit, data):
    descending = data.draw(st.booleans())
    with log_of(drawn) as (folder, index):
        for ask in both(folder, index):
            before = ask(ALL, limit=limit, descending=descending)
            if before.next_cursor is None:
                return
            last = before.events[-1].event_id.encode()
            (folder / "events.jsonl").write_bytes(
                b"".join(line for line in drawn if last not in line)
            )
            index.refresh()
            due = matching(read(folder), ALL, descending)
            key = before.events[-1].order_key
            rest = [event for event in due if (event.order_key > key) != descending]
            found = ask(ALL, limit=limit, descending=descending, cursor=before.next_cursor)
            room = before.total - limit
            assert list(found.events) == rest[: min(limit, room)]
            (folder / "events.jsonl").write_bytes(b"".join(drawn))
            index.refresh()


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Ask]:
    """Asks the index of a log of nine events."""
    with open_log(tmp_path / "log") as log:
        log.append_many([{"event_type": "abc"[n % 3], "payload": {"n": n}} for n in range(9)])
    with Index(OS_DISK, tmp_path / "log", PLAIN) as index:
        index.refresh()
        yield lambda filter=ALL, **paging: page(index, filter, **paging)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "a b", "=", "A" * 10_000, "\ud800"])
def test_garbage_is_no_cursor(pages, cursor):
    with raises_code("invalid_cursor", match="it is not a cursor"):
        pages(cursor=cursor)


def test_cursor_with_one_changed_character_is_none(pages):
    cursor = pages(limit=2).next_cursor
    for place, was in enumerate(cursor):
        changed = cursor[:place] + ("A" if was != "A" else "B") + cursor[place + 1 :]
        with raises_code("invalid_cursor"):
            pages(cursor=changed)
    with raises_code("invalid_cursor"):
        pages(cursor=cursor[:-1])


def test_cursor_fits_its_own_question_alone(pages):
    cursor = pages(Filter(types=("a",)), limit=1, log_id="one").next_cursor
    assert pages(Filter(types=("a",)), cursor=cursor, log_id="one").total == 3
    for filter, paging in (
        (ALL, {"log_id": "one"}),
        (Filter(types=("b",)), {"log_id": "one"}),
        (Filter(types=("a",)), {"log_id": "one", "descending": True}),
        (Filter(types=("a",)), {"log_id": "another"}),
    ):
        with raises_code("invalid_cursor", match="another filter, order or log"):
            pages(filter, cursor=cursor, **paging)


@pytest.mark.parametrize(
    ("paging", "key"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 2**63}, "limit"),
        ({"limit": "7"}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"offset": 1.0}, "offset"),
    ],
)
def test_paging_that_makes_no_sense_is_named(pages, paging, key):
    with pytest.raises(InvalidFilter) as caught:
        pages(**paging)
    assert caught.value.key == key


def test_cursor_and_offset_exclude_each_other(pages):
    cursor = pages(limit=2).next_cursor
    with pytest.raises(InvalidFilter, match="where the page begins"):
        pages(cursor=cursor, offset=1)


def test_widest_page_holds_everything(pages):
    found = pages(limit=2**63 - 1)
    assert (len(found.events), found.has_more, found.next_cursor) == (9, False, None)
    assert pages(offset=2**63 - 1).events == ()
    assert pages(offset=2**63 - 1).total == 9


ASKED = Filter.of(where="n > 3")


@pytest.mark.promise("Q7")
@pytest.mark.parametrize("descending", [False, True])
def test_page_behind_a_cursor_reads_only_its_own_events(tmp_path, descending):
    folder = tmp_path / "log"
    add(folder, [line_of({"n": 9}, seq=at, lamport_clock=at) for at in range(1, 3_001)])
    with Index(OS_DISK, folder, PLAIN) as index:
        first = page(index, ASKED, limit=1_500, descending=descending)
        built = generation(index)
        # the first and the last line break, unseen: an index that read one is made again
        segment = folder / "events.jsonl"
        state, lines = segment.stat(), segment.read_bytes().splitlines(keepends=True)
        broken = [line.replace(b'"n":', b'"m":') for line in (lines[0], lines[-1])]
        segment.write_bytes(b"".join([broken[0], *lines[1:-1], broken[1]]))
        os.utime(segment, ns=(state.st_atime_ns, state.st_mtime_ns))
        behind = page(index, ASKED, limit=4, cursor=first.next_cursor, descending=descending)
        expected = range(1_500, 1_496, -1) if descending else range(1_501, 1_505)
        assert [event.seq for event in behind.events] == [*expected]
        assert (behind.total, generation(index)) == (3_000, built)
        assert page(index, ASKED, limit=4).total == 2_998
        assert generation(index) != built


def test_where_of_a_large_log_is_judged_in_batches(tmp_path):
    payloads = [{"n": n, "text": "x" * 100_000} for n in range(100)]
    with open_log(tmp_path, bodies_from=None) as log:
        log.append_many([{"event_type": "a", "payload": payload} for payload in payloads])
    with Index(OS_DISK, tmp_path, PLAIN) as index:
        index.refresh()
        filter = Filter.of(where="n >= 40 and n < 70")
        found = page(index, filter, limit=10, offset=15)
        assert [event.payload["n"] for event in found.events] == list(range(55, 65))
        assert found.total == count(index, filter) == 30


@st.composite
def asked(draw: st.DrawFn) -> tuple[Event, Comparison]:
    """Draws an event with a comparison that often asks for what it holds."""
    payload = draw(payloads)
    if draw(st.booleans()):
        event = event_of(line_of(payload, event_type=draw(st.sampled_from(["a", "noted"]))))
    else:  # another tool's line, with escapes where ours has none
        members = {"event_id": "x", "actor": "ada", "details": payload, "payload": payload}
        found = parse(json.dumps(members).encode(), draw(st.sampled_from([PLAIN, SIM])))
        assert isinstance(found, Event)
        event = found
    path: list[str | int] = [draw(st.sampled_from(["payload", "actor", "subject", "event_type"]))]
    value: object = event.payload
    while isinstance(value, dict | tuple) or hasattr(value, "keys"):
        if not value:
            break
        keys = list(value) if hasattr(value, "keys") else range(len(value))
        path.append(draw(st.sampled_from(keys)))
        value = value[path[-1]]
    known = scalars if isinstance(value, dict | tuple) or hasattr(value, "keys") else st.just(value)
    if isinstance(value, str):
        known = known | st.just(value[1:3])
    wanted = draw(known | st.sampled_from(["ada", "noted", "a"]) | scalars)
    return event, Comparison(tuple(path), draw(st.sampled_from(OPERATORS)), wanted)


@given(drawn=asked(), more=st.lists(asked(), max_size=1))
def test_what_is_judged_by_bytes_is_what_core_says(drawn, more):
    event, comparison = drawn
    comparisons = [comparison, *(other for _, other in more)]
    due = all(other.matches(event) for other in comparisons)
    assert judge(comparisons, event.vocabulary)(event.line) is due
    assert judge([comparison], event.vocabulary)(event.line) is comparison.matches(event)


def test_subject_that_a_host_puts_together_is_found():
    line = (
        b'{"event_id":"x","event_type":"STATE","details":{"scope":"agent","variable_name":"gold"}}'
    )
    event = parse(line, SIM)
    assert isinstance(event, Event)
    assert judge([Comparison(("subject",), "=", "agent/gold")], SIM)(line)
    assert not judge([Comparison(("subject",), "=", "agent/corn")], SIM)(line)
