"""Counts are the same in any order of reading, and sum up to the number of events."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.events import NODE, causal_graphs, drafted, event_of, new_id, stamped
from tests.plain_order import count_events

from thence.core.order import totally_ordered
from thence.core.query.answer import descending


def test_nothing_is_counted_where_there_is_nothing():
    found = count_events([])
    assert (found.events, found.unverified, found.by_type, found.nodes) == (0, 0, {}, {})
    assert (found.first, found.last) == (None, None)


def test_types_actors_and_nodes_are_counted_the_most_frequent_first():
    said = [("paid", {"actor": "ben"}), ("noted", {}), ("paid", {"actor": "ada"})]
    events = [
        event_of(stamped(drafted(new_id(), kind, members), number, number))
        for number, (kind, members) in enumerate(said, 1)
    ]
    foreign = event_of(b'{"event_id":"elsewhere","event_type":"noted","actor":"ada"}')
    found = count_events([*events, foreign])
    assert (found.events, found.unverified) == (4, 1)
    assert found.by_type == {"noted": 2, "paid": 2}
    assert list(found.by_actor.items()) == [("ada", 2), ("ben", 1)]
    assert found.nodes == {NODE: 3}
    assert (found.first, found.last) == (foreign, events[-1])


@given(causal_graphs(), st.randoms(use_true_random=False))
def test_first_and_last_are_those_of_the_total_order(events, chance):
    ordered = totally_ordered(events)
    chance.shuffle(events)
    found = count_events(events)
    assert found.events == sum(found.nodes.values()) == len(ordered)
    assert found.nodes == Counter(event.node_id for event in ordered)
    assert [found.first, found.last] == ([ordered[0], ordered[-1]] if ordered else [None, None])


def test_node_that_another_tool_names_is_none_of_the_logs_own():
    line = b'{"event_id":"elsewhere","event_type":"noted","node_id":"%s"}' % NODE.encode()
    found = count_events([event_of(line)])
    assert (found.unverified, found.nodes) == (1, {})


def test_equal_counts_fall_by_name():
    assert list(descending({"b": 1, "c": 2, "a": 1})) == ["c", "a", "b"]


def test_events_of_one_type_and_node_are_counted_one_by_one():
    events = [event_of(stamped(drafted(new_id(), "t", {"actor": "ada"}), n, n)) for n in (1, 2, 3)]
    found = count_events(events)
    assert (found.events, found.by_type, found.by_actor) == (3, {"t": 3}, {"ada": 3})
    assert (found.nodes, found.unverified) == ({NODE: 3}, 0)
    assert (found.first, found.last) == (events[0], events[-1])
