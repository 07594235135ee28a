"""Counts and the end of a log by its index are those of a plain reading."""

from collections import Counter
from operator import itemgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests import plain_order
from tests.events import drafted, stamped
from tests.log.index.asked import filters, matching
from tests.log.index.logs import add, index_of, new_index, read
from tests.plain_order import count_events
from tests.tiers import examples

import thence
from thence.core.clock import microseconds, timestamp_at
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.query.filter import Filter
from thence.core.query.why import Group
from thence.errors import EventNotFound
from thence.log.index import lookup
from thence.log.index.overview import latest_steps, log_end, tally
from thence.log.index.segments import passed_over

from tests.log.index.asked import lines as random_lines  # isort: skip


def groups_of(events: list[Event], by: str) -> set[Group]:
    """Returns the groups of events, each event looked at."""

    def key(event: Event) -> str | None:
        time = microseconds(event.timestamp)
        names = {"type": event.event_type, "actor": event.actor, "subject": event.subject}
        names |= {"stream": event.stream}
        if by == "hour" and time is not None:
            return f"{timestamp_at(time)[:13]}:00Z"
        if by == "lane":
            about = (event.subject or "").partition("/")[0]
            both = f"{event.stream}/{event.actor}" if event.stream and event.actor else None
            return both or event.actor or event.stream or about or "-"
        return names.get(by)

    counts = Counter(filter(None, map(key, events)))
    return {Group(name, count) for name, count in counts.items()}


@pytest.mark.promise("Q2")
@settings(max_examples=examples(100), deadline=None)
@given(
    drawn=st.lists(random_lines(12), min_size=1, max_size=3),
    filter=st.just(Filter()) | filters,
    by=st.sampled_from(["type", "actor", "subject", "stream", "lane", "hour", None]),
    bits=st.integers(0, 3),
)
def test_counts_are_those_of_a_reading(drawn, filter, by, bits):
    with new_index(bits) as (folder, index):
        for some in drawn:
            add(folder, some)
            events = matching(read(folder), filter)
            counts = tally(index, filter, by)
            expected = count_events(events)
            assert counts.groups == () or by
            assert thence_equal(counts) == thence_equal(expected)
            if by is not None:
                assert len(counts.groups) == len(set(counts.groups))
                assert set(counts.groups) == groups_of(events, by)


def thence_equal(counts: object) -> list[object]:
    names = ("events", "unverified", "by_type", "by_actor", "nodes", "first", "last")
    return [getattr(counts, name) for name in names]


STEPS = [f"{number:026}" for number in range(8)]


@st.composite
def step_lines(draw: st.DrawFn) -> bytes:
    members: dict[str, object] = {}
    if draw(st.booleans()):
        members["begins"] = True
    if draw(st.booleans()):
        members["ends"] = draw(st.sampled_from([*STEPS, "elsewhere"]))
    if draw(st.booleans()):
        members["payload"] = draw(
            st.sampled_from([{"status": "failure"}, {"status": "warning"}, {"error_type": "e"}, {}])
        )
    kind = draw(st.sampled_from(["a", "a.failed", "b.error", "c.cancelled", "log.write_failed"]))
    item = drafted(draw(st.sampled_from(STEPS)), kind, members)
    return stamped(item, draw(st.integers(1, 9)), draw(st.integers(1, 9)))


@settings(max_examples=examples(100), deadline=None)
@given(batches=st.lists(st.lists(step_lines(), max_size=6), min_size=1, max_size=4))
def test_open_steps_and_the_last_error_are_those_of_a_reading(batches):
    with new_index() as (folder, index):
        for batch in batches:
            add(folder, batch)
            events = read(folder)
            end = log_end(index)
            assert end[:2] == plain_order.log_end(events)[:2]
            assert {event.event_id[-8:] for event in end.still_open} == end.seen_last.keys()
            errors = [event for event in matching(events, Filter()) if is_failure(event)]
            try:
                error = lookup.find(index, "@last-error")
            except EventNotFound:
                error = None
            assert error == (errors[-1] if errors else None)


def test_process_that_left_a_step_open_is_known_by_its_ids_until_its_last_event(tmp_path):
    parts = [
        ("begun", 1, {"begins": True}, "AAAAAAAA"),
        ("begun", 2, {"begins": True}, "BBBBBBBB"),
        ("noted", 3, {}, "AAAAAAAA"),
        ("noted", 4, {}, "CCCCCCCC"),
        ("begun", 5, {"begins": True}, "DDDDDDDD"),
        ("ended", 6, {"ends": f"{5:018}DDDDDDDD"}, "DDDDDDDD"),
    ]
    lines = []
    for number, (kind, second, members, noise) in enumerate(parts, 1):
        time = f"2026-11-20T07:00:{second:02}.000000Z"
        item = drafted(f"{number:018}{noise}", kind, members, timestamp=time)
        lines.append(stamped(item, number, number))
    add(tmp_path, lines)
    with index_of(tmp_path) as index:
        end = log_end(index)
    assert [event.seq for event in end.still_open] == [1, 2]
    seconds = {noise: time[17:19] for noise, time in end.seen_last.items()}
    assert seconds == {"AAAAAAAA": "03", "BBBBBBBB": "02"}


def test_failure_that_is_written_with_escapes_is_the_last_error(tmp_path):
    line = b'{"event_id":"%s","event_type":"x","payload":{"%s":"%s"}}\n'
    add(
        tmp_path,
        [
            line % (b"a", b"status", b"f\\u0061ilure"),
            line % (b"b", b"stat\\u0075s", b"failure"),
            line % (b"c", b"note", b"\\u0061"),
        ],
    )
    with index_of(tmp_path) as index:
        assert lookup.find(index, "@last-error").event_id == "b"


def test_damaged_and_unfinished_lines_are_counted_as_the_log_grows(tmp_path):
    def counts(folder):
        with index_of(folder) as index:
            return index.answer(passed_over)

    with thence.open(tmp_path) as log:
        log.append_many([{"event_type": "a"}] * 3)
    assert counts(tmp_path) == (0, 0)
    path = tmp_path / "events.jsonl"
    with path.open("ab") as segment:
        segment.write(b"{damaged}\n")
    assert counts(tmp_path) == (1, 0)
    with path.open("ab") as segment:
        segment.write(b'{"unfinished":')
    assert counts(tmp_path) == (1, 1)
    with path.open("ab") as segment:
        segment.write(b" now it is whole}\n")
    assert counts(tmp_path) == (2, 0)


@settings(max_examples=examples(60), deadline=None)
@given(
    batches=st.lists(st.lists(step_lines(), max_size=6) | random_lines(8), min_size=1, max_size=3),
    filter=st.just(Filter()) | filters,
    last=st.integers(1, 4),
)
def test_latest_steps_are_those_of_a_reading(batches, filter, last):
    begin_filter = structs.replace(filter, failed=None)
    with new_index() as (folder, index):
        for batch in batches:
            add(folder, batch)
            events = read(folder)
            ends: dict[str, Event] = {}
            for event in matching(events, Filter()):
                if event.ends is not None:
                    ends.setdefault(event.ends, event)
            due = [
                (microseconds(event.timestamp), at, event, ends.get(event.event_id))
                for at, event in enumerate(events)
                if event.begins
                and microseconds(event.timestamp) is not None
                and begin_filter.matches(event)
            ]
            if filter.failed is not None:
                has_failed = [end is not None and is_failure(end) for *_, end in due]
                due = [d for d, f in zip(due, has_failed, strict=True) if f is filter.failed]
            due.sort(key=itemgetter(0, 1))
            found = latest_steps(index, filter, last)
            assert found.total == len(due)
            assert [tuple(step) for step in found.steps] == [one[2:] for one in due[-last:]]
