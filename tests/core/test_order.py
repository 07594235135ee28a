"""The total order extends causes, cones are what is reachable, the rest is concurrent."""

import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import causal_graphs, event_of, line_of, ulids
from tests.plain_order import concurrent_with, downstream, upstream

from thence.core.order import is_concurrent, topological_sort, total_order_key, totally_ordered
from thence.core.redaction import claim_order
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
    assert caught.value.hint == "leave out one of the causes that close the cycle"


def test_long_chain_of_causes_is_sorted_without_recursion():
    events, last = [], []
    for number in range(1, 5_000):
        event = event_of(line_of(seq=number, lamport_clock=5_000 - number, causes=last))
        last = [event.event_id]
        events.append(event)
    chance = random.Random(7)
    shuffled = chance.sample(events, len(events))
    assert topological_sort(shuffled) == events


def test_line_with_the_first_claim_stands_for_an_id_with_two_contents():
    event_id = "0" * 26
    lines = [line_of({"a": n}, event_id=event_id) for n in (2, 1)]
    expected = min(map(event_of, lines), key=claim_order)
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


NODES = {"a": "a" * 12, "b": "b" * 12}


def graph(*drawn):
    """Make events from lines such as "b2 < a1 b1": node, seq, the events it names.

    Clocks follow the order of the lines.
    """
    ids = {text.split()[0]: f"{n:026d}" for n, text in enumerate(drawn, start=1)}
    made = {}
    for clock, text in enumerate(drawn, start=1):
        name, *named = text.replace("<", " ").split()
        line = line_of(
            event_id=ids[name],
            node_id=NODES[name[0]],
            seq=int(name[1:]),
            lamport_clock=clock,
            causes=[ids[cause] for cause in named],
        )
        made[name] = event_of(line)
    return made


@pytest.mark.promise("L5")
def test_concurrent_is_told_by_causes_among_events_or_by_equal_clocks():
    events = graph("a1", "a2", "b1 < a1", "b2 < b1")
    every = list(events.values())
    assert not is_concurrent(events["a1"], events["b2"], every)
    assert is_concurrent(events["a2"], events["b2"], every)
    # what links them is not among the events
    assert is_concurrent(events["a1"], events["b2"], [events["a1"]])
    # a direct cause needs no others
    assert not is_concurrent(events["a1"], events["b1"], [])
    assert not is_concurrent(events["b1"], events["a1"], [])
    # the approximation: other clocks are taken for an order
    assert not is_concurrent(events["a2"], events["b2"])
    one, other = (event_of(line_of(node_id=NODES[node], lamport_clock=7)) for node in "ab")
    naming = event_of(line_of(lamport_clock=7, seq=2, causes=[one.event_id]))
    assert is_concurrent(one, other)
    assert not is_concurrent(one, one)
    assert not is_concurrent(one, naming)
    assert not is_concurrent(naming, one)


@pytest.mark.promise("L5")
@given(causal_graphs(), st.randoms(use_true_random=False))
def test_concurrent_is_symmetric_and_apart_from_both_cones(events, chance):
    known = {event.event_id: event for event in events}
    beside = {event: concurrent_with(event, events) for event in events}
    for event, others in beside.items():
        up = {cause for cause, _ in upstream(event, known)[0]}
        down = {effect for effect, _ in downstream(event, events)[0]}
        assert up.isdisjoint(down)
        assert set(others) == set(events) - up - down - {event}
        assert list(others) == totally_ordered(others)
        shuffled = [*events, *events[:3]]
        chance.shuffle(shuffled)
        assert concurrent_with(event, shuffled) == others
    for one, other in combinations(events, 2):
        assert (one in beside[other]) == (other in beside[one])
        assert is_concurrent(one, other, events) == (one in beside[other])
        assert is_concurrent(other, one, events) == (one in beside[other])


@given(causal_graphs())
def test_equal_clocks_of_true_ones_are_never_caused(events):
    for one, other in combinations(events, 2):
        if is_concurrent(one, other):
            assert is_concurrent(one, other, events)
