"""Positions: which events a follower has read, by number."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import NODE, OTHER_NODE, line_of
from tests.events import event_of as event

import thence
from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.new_event import Position
from thence.core.values.vocabulary import PLAIN


def event_of(node_id: str, seq: int) -> Event:
    event = parse(line_of(node_id=node_id, seq=seq)[:-1], PLAIN)
    assert isinstance(event, Event)
    return event


numbers = st.sets(st.tuples(st.sampled_from([NODE, OTHER_NODE]), st.integers(1, 30)), max_size=40)


@given(read=numbers, more=numbers, asked=numbers)
def test_position_holds_just_what_was_read_in_any_order(read, more, asked):
    position = Position().after(event_of(*each) for each in read)
    position = position.after(event_of(*each) for each in more)
    for each in asked | read | more:
        assert position.holds(event_of(*each)) == (each in read | more)
    for intervals in position.intervals.values():
        for (_, last), (first, _) in pairwise(intervals):
            assert last + 1 < first
    assert msgspec.json.decode(msgspec.json.encode(position), type=Position) == position


@pytest.mark.promise("P1")
def test_read_goes_on_behind_a_position(tmp_path):
    with thence.open(tmp_path) as log:
        first = [log.append("t", {"n": n}) for n in range(5)]
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b'{"event_id":"theirs","event_type":"x"}\n')
        position = Position().after(log.read())
        assert list(log.read(after=position)) == []
        last = log.append("t", {"n": 5})
        assert list(log.read(after=position)) == [last]
        assert list(log.read(after=Position().after(first[1:]))) != [last]
        assert [e.seq for e in log.read(after=Position().after(first[1:]))] == [1, 0, 6]


def test_numbers_are_kept_as_intervals_that_lie_apart():
    position = Position().with_numbers([(NODE, 5), (NODE, 3), (NODE, 1), (NODE, 2), (NODE, 8)])
    assert position.intervals == {NODE: ((1, 3), (5, 5), (8, 8))}
    assert position.with_numbers([(NODE, 4)]).intervals == {NODE: ((1, 5), (8, 8))}
    inside = Position({NODE: ((1, 9),)}).with_numbers([(NODE, 4), (NODE, 5)])
    assert inside.intervals == {NODE: ((1, 9),)}
    assert inside.with_numbers([(NODE, 8), (NODE, 10)]).intervals == {NODE: ((1, 10),)}


def test_event_of_another_tool_is_held_by_its_id():
    theirs = [event(b'{"event_id":"a"}'), event(b'{"event_id":"b"}')]
    position = Position().after(theirs[:1])
    assert position.foreign == {"a"}
    assert [position.holds(each) for each in theirs] == [True, False]
    assert position.with_numbers([], ["b"]).foreign == {"a", "b"}
    assert position.with_numbers([(NODE, 1)]).foreign == {"a"}
    assert not Position().holds(event_of(OTHER_NODE, 1))
