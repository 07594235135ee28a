"""A log laid out: in total order, without notices, with causes that close no circle."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.core.twins import events_of
from tests.events import causal_graphs, event_of, line_of

from thence.core.diff.difference import difference
from thence.core.diff.log_side import side
from thence.core.order import totally_ordered


def foreign(event_id, causes, **members):
    line = {"event_id": event_id, "event_type": "note", "caused_by": causes, **members}
    return event_of(json.dumps(line).encode())


@given(causal_graphs(), st.randoms(use_true_random=False))
def test_events_are_laid_out_in_total_order_with_the_places_of_their_causes(events, chance):
    chance.shuffle(events)
    laid = side([*events, *events[:3]])
    assert events_of(laid) == totally_ordered(events)
    assert laid.notices == 0
    for event, causes in zip(events_of(laid), laid.causes, strict=True):
        assert [laid.event_at(cause).event_id for cause in causes] == list(event.caused_by)


names = st.sampled_from("abcdefgh").map(lambda letter: letter * 6)


@given(st.dictionaries(names, st.lists(names, max_size=4)))
def test_circles_of_causes_in_lines_of_other_tools_are_opened(graph):
    events = [foreign(name, causes) for name, causes in graph.items()]
    laid = side(events)
    assert sorted(laid.order) == list(range(len(events)))
    when = {place: at for at, place in enumerate(laid.order)}
    for place, causes in enumerate(laid.causes):
        assert all(when[cause] < when[place] for cause in causes)
        named = {each.event_id for each in laid.contents} & set(laid.event_at(place).caused_by)
        kept = {laid.event_at(cause).event_id for cause in causes}
        assert kept <= named
    assert difference(laid, laid).is_empty


@given(st.dictionaries(names, st.lists(names, max_size=4)))
def test_causes_are_all_kept_where_there_is_no_circle(graph):
    graph = {name: [c for c in causes if c > name] for name, causes in graph.items()}
    laid = side([foreign(name, causes) for name, causes in graph.items()])
    for event, causes in zip(events_of(laid), laid.causes, strict=True):
        kept = {laid.event_at(cause).event_id for cause in causes}
        assert kept == set(event.caused_by) & graph.keys()


def test_circle_is_compared_with_a_circle_of_other_ids():
    a = [
        foreign("aaaaaa", ["cccccc"]),
        foreign("bbbbbb", ["aaaaaa"]),
        foreign("cccccc", ["bbbbbb"]),
    ]
    b = [
        foreign("xxxxxx", ["zzzzzz"]),
        foreign("yyyyyy", ["xxxxxx"]),
        foreign("zzzzzz", ["yyyyyy"]),
    ]
    assert difference(side(a), side(b)).is_empty
    assert not difference(side(a), side(b[:2])).is_empty


def test_notices_are_left_out_and_what_they_name_stands_for_them():
    lines = []

    def add(event_type, *causes):
        lines.append(
            line_of(
                event_type=event_type,
                causes=causes,
                seq=len(lines) + 1,
                lamport_clock=len(lines) + 1,
            )
        )
        return event_of(lines[-1]).event_id

    one, two = add("note"), add("note")
    inner = add("log.joined", two, one)
    outer = add("log.joined", inner, two)
    add("log.recovered")
    add("log.of_mine", outer, one)
    laid = side(map(event_of, lines))
    assert [event.event_type for event in events_of(laid)] == ["note", "note", "log.of_mine"]
    assert laid.notices == 3
    assert sorted(laid.causes[2]) == [0, 1]


def test_notices_that_name_each_other_end():
    events = [
        foreign("aaaaaa", ["bbbbbb"], event_type="log.joined"),
        foreign("bbbbbb", ["aaaaaa"], event_type="log.joined"),
        foreign("cccccc", ["aaaaaa"]),
    ]
    laid = side(events)
    assert [list(causes) for causes in laid.causes] == [[]]
