"""The total order extends causes, and cones are what is reachable."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import causal_graphs, drafted, event_of, line_of, stamped, ulids
from tests.plain_order import chain, downstream, heads, upstream

from thence.core.order import topological_sort, total_order_key, totally_ordered
from thence.errors import CyclicDependencyError


@pytest.mark.promise("L5")
@given(causal_graphs(), st.randoms(use_true_random=False))
def test_total_order_extends_causes_and_is_independent_of_input_order(events, chance):
    ordered = totally_ordered(events)
    shuffled = [*events, *events[:5]]
    chance.shuffle(shuffled)
    assert totally_ordered(shuffled) == ordered
    place = {event.event_id: position for position, event in enumerate(ordered)}
    for event in events:
        assert all(place[cause] < place[event.event_id] for cause in event.caused_by)
    for node in {event.node_id for event in events}:
        seqs = [event.seq for event in ordered if event.node_id == node]
        assert seqs == sorted(seqs)
    keys = [total_order_key(event)[:3] for event in ordered]
    assert keys == [(event.lamport_clock, event.node_id, event.event_id) for event in ordered]
    assert all(before < after for before, after in pairwise(keys))


@pytest.mark.promise("L5")
@given(causal_graphs(), st.randoms(use_true_random=False))
def test_topological_sort_puts_each_event_after_its_causes(events, chance):
    expected = topological_sort(events)
    chance.shuffle(events)
    assert topological_sort(events) == expected
    assert expected == totally_ordered(events)


@given(st.lists(ulids, min_size=2, max_size=12, unique=True), st.data())
def test_topological_sort_needs_no_true_clocks(ids, data):
    events = [
        event_of(
            line_of(
                event_id=event_id,
                seq=position + 1,
                lamport_clock=data.draw(st.integers(1, 9)),
                causes=data.draw(st.lists(st.sampled_from(ids[:position]), unique=True))
                if position
                else [],
            )
        )
        for position, event_id in enumerate(ids)
    ]
    ordered = topological_sort(events)
    assert sorted(map(hash, ordered)) == sorted(map(hash, events))
    place = {event.event_id: position for position, event in enumerate(ordered)}
    for event in events:
        assert all(place[cause] < place[event.event_id] for cause in event.caused_by)


@pytest.mark.promise("L5")
@given(st.lists(ulids, min_size=1, max_size=8, unique=True), st.integers(0, 3))
def test_circle_of_causes_is_refused(ids, tail):
    ring = [*ids[1:], ids[0]]
    lines = [
        line_of(event_id=own, seq=n + 1, lamport_clock=n + 1, causes=[other])
        for n, (own, other) in enumerate(zip(ids, ring, strict=True))
    ]
    lines += [line_of(causes=[ids[0]], seq=50 + n) for n in range(tail)]
    with pytest.raises(CyclicDependencyError) as caught:
        topological_sort(map(event_of, lines))
    assert caught.value.place in ids
    assert caught.value.cause == "it is a cause of itself, through the events that it names"
    assert caught.value.hint == "leave out one of the causes that close the circle"


def test_long_chain_of_causes_is_sorted_without_recursion():
    events, last = [], []
    for number in range(1, 5_000):
        event = event_of(line_of(seq=number, lamport_clock=5_000 - number, causes=last))
        last = [event.event_id]
        events.append(event)
    chance = random.Random(7)
    shuffled = chance.sample(events, len(events))
    assert topological_sort(shuffled) == events


def on_subject(event, subject, event_type="t"):
    members = {"subject": subject} if subject else {}
    made = drafted(event.event_id, event_type, members, event.caused_by)
    return event_of(stamped(made, event.seq, event.lamport_clock, event.node_id))


def test_event_that_led_to_another_by_way_of_one_that_does_not_count_is_no_head():
    first = on_subject(event_of(line_of()), "a")
    remark = on_subject(event_of(line_of(causes=[first.event_id])), "a", "remarked")
    second = on_subject(event_of(line_of(causes=[remark.event_id])), "a")
    other = on_subject(event_of(line_of(causes=[second.event_id])), "a", "remarked")
    events = [first, remark, second, other]
    assert heads("a", events, ("remarked",)) == (second,)
    assert heads("a", events) == (other,)


def test_chain_passes_through_a_milestone_only_where_nothing_else_is_named():
    start = event_of(line_of(event_type="MILESTONE"))
    decision = event_of(line_of(lamport_clock=2, seq=2, causes=[start.event_id]))
    turn = event_of(
        line_of(event_type="MILESTONE", lamport_clock=3, seq=3, causes=[start.event_id])
    )
    both = [decision.event_id, turn.event_id]
    action = event_of(line_of(lamport_clock=4, seq=4, causes=both))
    known = {event.event_id: event for event in (start, decision, turn, action)}
    assert chain(action, known) == (start, decision, action)


def test_line_that_sorts_first_stands_for_an_id_with_two_contents():
    event_id = "0" * 26
    lines = [line_of({"a": n}, event_id=event_id) for n in (2, 1)]
    expected = event_of(min(lines))
    assert totally_ordered(map(event_of, lines)) == [expected]
    assert totally_ordered(map(event_of, reversed(lines))) == [expected]


def test_foreign_lines_sort_before_all_others_by_time_then_id_then_bytes():
    own = event_of(line_of())
    foreign = [
        event_of(b'{"event_id":"b","timestamp":"1"}'),
        event_of(b'{"event_id":"a","timestamp":"2"}'),
        event_of(b'{"event_id":"c","timestamp":"2"}'),
    ]
    assert totally_ordered([own, *reversed(foreign)]) == [*foreign, own]


def test_cause_that_is_not_there_is_passed_over():
    event = event_of(line_of(causes=["0" * 26]))
    assert topological_sort([event]) == [event]
    assert upstream(event, {event.event_id: event}) == ((), False)
    assert chain(event, {event.event_id: event}) == (event,)
    assert heads("a", [on_subject(event, "a")]) == (on_subject(event, "a"),)


def test_walks_that_run_into_a_circle_end():
    first, second = "0" * 25 + "1", "0" * 25 + "2"
    one = event_of(line_of(event_id=first, causes=[second]))
    two = event_of(line_of(event_id=second, causes=[first], lamport_clock=2, seq=2))
    last = event_of(line_of(causes=[second], lamport_clock=3, seq=3))
    known = {event.event_id: event for event in (one, two, last)}
    assert chain(one, known) == (two, one)
    assert chain(last, known) == (one, two, last)
    assert upstream(last, known) == (((two, 1), (one, 2)), False)
    assert upstream(one, known) == (((two, 1),), False)
    assert downstream(one, known.values()) == (((two, 1), (last, 2)), False)
