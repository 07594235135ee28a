"""Pairs of events are one-to-one, say the same, and have causes that are pairs."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.plainly import slowly_paired
from tests.core.twins import Told, causes_of, log_of, orders, tolds, twins, words

from thence.core.diff.alignment import ALONE, aligned
from thence.core.diff.log_side import side


def pairs(a, b):
    """Aligns two logs; returns pairs of events."""
    left, right = side(a), side(b)
    partners = aligned(left, right)
    return [(left.event_at(x), right.event_at(y)) for x, y in enumerate(partners) if y != ALONE]


@given(twins(), st.randoms(use_true_random=False))
def test_pairs_are_one_to_one_say_the_same_and_have_paired_causes(logs, chance):
    a, b = logs
    found = pairs(a, b)
    partner = {x.event_id: y.event_id for x, y in found}
    assert len(partner) == len(found) == len(set(partner.values()))
    causes_a, causes_b = causes_of(a), causes_of(b)

    def fit(x, y):
        named = [partner.get(cause) for cause in causes_a[x.event_id]]
        return words(x) == words(y) and set(named) == set(causes_b[y.event_id])

    assert all(fit(x, y) for x, y in found)
    taken = set(partner.values())
    for x in a:
        for y in b:
            if x.event_id not in partner and y.event_id not in taken:
                assert not fit(x, y), "two events that fit are left apart"
    chance.shuffle(a)
    chance.shuffle(b)
    assert pairs(a, b) == found


@given(twins(with_steps=True))
def test_events_that_both_have_a_step_are_paired_by_it_alone(logs):
    a, b = logs
    found = pairs(a, b)
    for x, y in found:
        if x.step and y.step:
            assert x.step == y.step
        else:
            assert words(x) == words(y)
    for step in {event.step for event in a} - {None}:
        mine, theirs = ([e for e in log if e.step == step] for log in (a, b))
        common = min(len(mine), len(theirs))
        by_step = [(x, y) for x, y in found if x.step == step == y.step]
        assert by_step == list(zip(mine[:common], theirs[:common], strict=True))


@given(twins(with_steps=True))
def test_pairs_are_those_of_plain_slow_means(logs):
    a, b = logs
    assert {(x.event_id, y.event_id) for x, y in pairs(a, b)} == set(slowly_paired(a, b).items())


@given(tolds(with_steps=True))
def test_copy_under_other_ids_is_aligned_event_by_event(told):
    a, b = log_of(told), log_of(told)
    assert pairs(a, b) == list(zip(a, b, strict=True))


@given(tolds(causes_max=1), st.data())
def test_events_that_are_alike_are_told_apart_by_what_they_led_to(told, data):
    a = log_of(told, data.draw(orders(told)))
    b = log_of(told, data.draw(orders(told)))
    assert len(pairs(a, b)) == len(told)


def test_of_many_equal_events_those_with_equal_members_are_paired_first():
    a = log_of([Told("job", 0, actor=name) for name in ("ada", "ben", "cleo")])
    b = log_of([Told("job", 0, actor=name) for name in ("ben", "dora", "ada")])
    by_actor = {x.actor: y.actor for x, y in pairs(a, b)}
    assert by_actor == {"ada": "ada", "ben": "ben", "cleo": "dora"}


def test_thousands_of_equal_events_are_paired_in_order():
    a, b = log_of([Told("tick", 0)] * 3_000), log_of([Told("tick", 0)] * 2_999)
    assert pairs(a, b) == list(zip(a[:-1], b, strict=True))


@pytest.mark.parametrize("causes", [(1, 0), (0, 1, 0), (1, 1, 0)])
def test_causes_are_the_same_in_any_order_and_however_often_each_is_named(causes):
    roots = [Told("p", 0), Told("p", 1)]
    a = log_of([*roots, Told("q", 0, (0, 1))])
    b = log_of([*roots, Told("q", 0, causes)])
    assert pairs(a, b) == list(zip(a, b, strict=True))
    alone = log_of([*roots, Told("q", 0, (0, 0))])
    assert pairs(alone, log_of([*roots, Told("q", 0, (0,))]))[2][0] == alone[2]
    assert len(pairs(a, alone)) == len(roots)


def test_event_with_a_step_is_one_by_content_with_one_that_has_none():
    with_steps = log_of([Told("job", 0, step="1.a.-.0"), Told("job", 1, (0,), step="1.b.-.0")])
    without = log_of([Told("job", 0), Told("job", 1, (0,))])
    assert pairs(with_steps, without) == list(zip(with_steps, without, strict=True))
    assert pairs(without, with_steps) == list(zip(without, with_steps, strict=True))
    other = log_of([Told("job", 0, step="2.a.-.0")])
    assert pairs(with_steps, other) == []


@pytest.mark.parametrize("length", [0, 1, 4_000])
def test_chain_of_any_length_is_aligned_without_recursion(length):
    told = [Told("link", n, (n - 1,) if n else ()) for n in range(length)]
    a, b = log_of(told), log_of(told)
    random.Random(length).shuffle(b)
    assert len(pairs(a, b)) == length
