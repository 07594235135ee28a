"""Pairs of events are one-to-one, say the same, and have causes that are pairs."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.twins import Told, all_words, causes_of, log_of, twins
from tests.events import event_of, line_of

from thence.core.diff import ALONE, aligned, difference, side


def pairs(a, b):
    """Aligns two logs; returns pairs of events."""
    left, right = side(a), side(b)
    partners = aligned(left, right)
    return [(left.events[x], right.events[y]) for x, y in enumerate(partners) if y != ALONE]


def found_by(event, log, by_step, partner):
    """Says by what an event is found: its step, or its name and where it is."""
    if by_step and event.step is not None:
        return event.step
    begun = {other.event_id: other.begins for other in log}
    named = [cause for cause in event.caused_by if cause in begun]
    name = (event.event_type, event.subject)
    if event.ends in named:
        named, name = [event.ends], "end"
    near = [cause for cause in named if begun[cause]] if name != "end" else named
    return name, frozenset(partner.get(cause, cause) for cause in near or named)


def slowly_paired(a, b):
    """Pairs events as docs/reference/commands.md says, by comparing each with each."""
    by_step = all(any(event.step for event in log) for log in (a, b))
    partner, done = {}, set()
    for first in a:  # in total order, so that all its causes are done
        if first.event_id in done:
            continue
        place = found_by(first, a, by_step, partner)
        left = [x for x in a if found_by(x, a, by_step, partner) == place]
        right = [y for y in b if found_by(y, b, by_step, {}) == place]
        done.update(x.event_id for x in left)
        for likeness in (
            lambda event: (*all_words(event)[:-1], event.begins),
            lambda _: None,
        ):
            for x in list(left):
                y = next((y for y in right if likeness(y) == likeness(x)), None)
                if y is not None:
                    partner[x.event_id] = y.event_id
                    left.remove(x)
                    right.remove(y)
    return partner


@given(twins(), st.randoms(use_true_random=False))
def test_pairs_are_one_to_one_have_one_name_and_paired_causes(logs, chance):
    a, b = logs
    found = pairs(a, b)
    partner = {x.event_id: y.event_id for x, y in found}
    assert len(partner) == len(found) == len(set(partner.values()))
    causes_a, causes_b = causes_of(a), causes_of(b)

    def fit(x, y):
        named = [partner.get(cause) for cause in causes_a[x.event_id]]
        is_named_so = (x.event_type, x.subject) == (y.event_type, y.subject)
        return is_named_so and set(named) == set(causes_b[y.event_id])

    assert all(fit(x, y) for x, y in found)
    taken = set(partner.values())
    for x in a:
        for y in b:
            if x.event_id not in partner and y.event_id not in taken:
                assert not fit(x, y), "two events that fit are left apart"
    chance.shuffle(a)
    chance.shuffle(b)
    assert pairs(a, b) == found


@given(st.booleans().flatmap(lambda steps: twins(with_steps=steps, with_begins=True)))
def test_pairs_are_those_of_plain_slow_means(logs):
    a, b = logs
    assert {(x.event_id, y.event_id) for x, y in pairs(a, b)} == set(slowly_paired(a, b).items())


def test_place_inside_a_step_is_the_step_and_that_of_its_end_too():
    agent = Told("agent.begun", 0, begins=True)
    chat = [Told("chat.begun", 0, (0,), begins=True), Told("chat.ended", 0, (1,), ends=1)]
    pay = [Told("pay.begun", 0, (0, 2), begins=True), Told("pay.ended", 0, (3,), ends=3)]
    end = Told("agent.ended", 0, (0, 2, 4), ends=0)
    a = log_of([agent, *chat, *pay, end])
    b = log_of(
        [
            agent,
            *chat,
            Told("look.begun", 0, (0, 2), begins=True),
            Told("look.ended", 0, (3,), ends=3),
            Told("pay.begun", 0, (0, 4), begins=True),
            Told("pay.failed", 0, (5,), ends=5),
            Told("agent.ended", 0, (0, 2, 4, 6), ends=0),
        ]
    )
    assert pairs(a, b) == list(zip(a, [*b[:3], *b[5:]], strict=True))
    result = difference(side(a), side(b))
    assert [b[y].event_type for _, y in result.changed] == ["pay.failed"]
    assert [b[y].event_type for y in result.only_b] == ["look.begun", "look.ended"]


def test_thousands_of_equal_events_are_paired_in_order():
    a, b = log_of([Told("tick", 0)] * 3_000), log_of([Told("tick", 0)] * 2_999)
    assert pairs(a, b) == list(zip(a[:-1], b, strict=True))
    assert len(pairs(a, log_of([Told("tick", 1)] * 2_999))) == 2_999


@pytest.mark.parametrize("causes", [(1, 0), (0, 1, 0), (1, 1, 0)])
def test_causes_are_the_same_in_any_order_and_however_often_each_is_named(causes):
    roots = [Told("p", 0), Told("p", 1)]
    a = log_of([*roots, Told("q", 0, (0, 1))])
    b = log_of([*roots, Told("q", 0, causes)])
    assert pairs(a, b) == list(zip(a, b, strict=True))
    alone = log_of([*roots, Told("q", 0, (0, 0))])
    assert pairs(alone, log_of([*roots, Told("q", 0, (0,))]))[2][0] == alone[2]
    assert len(pairs(a, alone)) == len(roots)


def test_events_are_paired_by_content_where_one_log_has_no_steps():
    with_steps = log_of([Told("job", 0, step="1.a.-.0"), Told("job", 1, (0,), step="1.b.-.0")])
    without = log_of([Told("job", 0), Told("job", 1, (0,))])
    assert pairs(with_steps, without) == list(zip(with_steps, without, strict=True))
    assert pairs(without, with_steps) == list(zip(without, with_steps, strict=True))


@pytest.mark.parametrize("length", [0, 1, 4_000])
def test_chain_of_any_length_is_aligned_without_recursion(length):
    told = [Told("link", n, (n - 1,) if n else ()) for n in range(length)]
    a, b = log_of(told), log_of(told)
    random.Random(length).shuffle(b)
    assert len(pairs(a, b)) == length


def foreign(event_id, causes, **members):
    line = {"event_id": event_id, "event_type": "note", "caused_by": causes, **members}
    return event_of(json.dumps(line).encode())


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
    assert difference(side(a), side(b)).first is None
    assert difference(side(a), side(b[:2])).first


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
    assert [event.event_type for event in laid.events] == ["note", "note", "log.of_mine"]
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
