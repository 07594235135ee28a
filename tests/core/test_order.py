"""The total order extends causes, cones are what is reachable, the rest is concurrent."""

import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import causal_graphs, drafted, event_of, line_of, stamped, ulids
from tests.plain_order import chain, common_causes, concurrent_with, downstream, heads, upstream

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


NODES = {"a": "a" * 12, "b": "b" * 12, "f": ""}


def graph(*drawn):
    """Make events from lines such as "b2 < a1 b1": node, seq, the events it names.

    Clocks follow the order of the lines; the node f is another tool, which numbers nothing.
    """
    ids = {text.split()[0]: f"{n:026d}" for n, text in enumerate(drawn, start=1)}
    made = {}
    for clock, text in enumerate(drawn, start=1):
        name, *named = text.replace("<", " ").split()
        causes = [ids.get(cause, cause) for cause in named]
        if name[0] == "f":
            causes_json = str(causes).replace("'", '"')
            line = f'{{"event_id":"{ids[name]}","caused_by":{causes_json}}}'.encode()
        else:
            line = line_of(
                event_id=ids[name],
                node_id=NODES[name[0]],
                seq=int(name[1:]),
                lamport_clock=clock,
                causes=causes,
            )
        made[name] = event_of(line)
    return made


# a request is worked off by two nodes and answered by one of them; a3 lies beside all that
TWO_BRANCHES = ("a1", "a2 < a1", "b1 < a1", "b2 < b1", "a3", "a4 < a2 b2", "b3 < b2")


def names(events, found):
    """Say which of the drawn events were found, in the order found."""
    known = {event: name for name, event in events.items()}
    return " ".join(known[event] for event in found)


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a1", "a3"),
        ("a2", "b1 b2 a3 b3"),
        ("b1", "a2 a3"),
        ("b2", "a2 a3"),
        ("a3", "a1 a2 b1 b2 a4 b3"),
        ("a4", "a3 b3"),
        ("b3", "a2 a3 a4"),
    ],
)
def test_drawn_events_are_concurrent_with_what_lies_beside_them(name, beside):
    events = graph(*TWO_BRANCHES)
    assert names(events, concurrent_with(events[name], events.values())) == beside


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("a2", "b1", "a1"),
        ("a4", "b3", "b2"),
        ("a2", "a4", "a2"),
        ("a4", "a4", "a4"),
        ("a3", "a4", ""),
        ("a1", "b3", "a1"),
    ],
)
def test_drawn_events_share_their_latest_common_causes(one, other, shared):
    events = graph(*TWO_BRANCHES)
    assert names(events, common_causes([events[one], events[other]], events.values())) == shared
    assert names(events, common_causes([events[other], events[one]], events.values())) == shared


@pytest.mark.parametrize(
    ("named", "shared"),
    [("a3 b2", "b1"), ("a3 b3", "a2"), ("a3 b2 b3", "a1"), ("a3 b2 a4", ""), ("a3 b4", "a2 b1")],
)
def test_several_events_share_what_all_of_them_go_back_to(named, shared):
    drawn = ("a1", "a2 < a1", "b1 < a1", "a3 < a2 b1", "b2 < b1", "b3 < a2", "b4 < a2 b1", "a4")
    events = graph(*drawn)
    common = common_causes([events[name] for name in named.split()], events.values())
    assert names(events, common) == shared


def test_causes_that_have_not_arrived_are_passed_over():
    events = graph("a1 < " + "9" * 26, "b1 < " + "9" * 26)
    assert names(events, concurrent_with(events["a1"], events.values())) == "b1"
    assert common_causes([events["a1"], events["b1"]], events.values()) == ()


def test_foreign_lines_in_a_circle_cause_each_other_and_none_of_them_is_the_latest():
    events = graph("f1 < f3", "f2 < f1", "f3 < f2", "f4", "a1 < f2", "a2 < f3", "a3 < f4 f2")
    every = list(events.values())
    assert names(events, concurrent_with(events["f1"], every)) == "f4"
    assert names(events, common_causes([events["a1"], events["a2"]], every)) == ""
    assert names(events, common_causes([events["a3"], events["a3"]], every)) == "a3"
    assert not is_concurrent(events["f1"], events["f2"], every)


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
