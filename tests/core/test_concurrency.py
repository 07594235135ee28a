"""What events share by their causes: graphs drawn by hand, and the laws on random ones."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import causal_graphs, event_of, line_of
from tests.plain_order import common_causes, concurrent_with, downstream, upstream

from thence.core.order import is_concurrent, topological_sort, totally_ordered

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


def test_long_chain_has_its_answers_without_recursion():
    drawn = ["a1", *(f"a{n} < a{n - 1}" for n in range(2, 300))]
    events = graph(*drawn)
    every = list(events.values())
    assert topological_sort(every) == every
    assert common_causes([every[-1], every[100]], every) == (every[100],)
    assert concurrent_with(every[7], every) == ()
