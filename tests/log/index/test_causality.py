"""What the index says of causes is what plain algorithms say."""

import random
from contextlib import contextmanager
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.events import line_of
from tests.log.index.logs import add, new_index, read
from tests.log.index.worlds import MISSING, SUBJECTS, TYPES, arrivals
from tests.plain_order import named
from tests.tiers import examples

from thence.core import order
from thence.core.vocabulary import PLAIN
from thence.errors import EventNotFound, ThenceError
from thence.log.index import causality, lookup
from thence.log.index.causality import Walk
from thence.log.index.lookup import arrival_of, event_at, events_at

on_disk = settings(deadline=None, max_examples=examples(40))


@contextmanager
def world(batches):
    """Open the index of a log with these lines, beside its events in total order."""
    with new_index() as (folder, index):
        for batch in batches:
            add(folder, batch)
            index.refresh()
        yield index, order.totally_ordered(read(folder))


def cone(index, event_id, direction, depth=None, limit=order.CONE_EVENTS_MAX):
    """Return the causes or effects that a walk finds, as `order.upstream` returns them."""

    def work(connection):
        arrival = arrival_of(index, connection, event_id)
        distances, is_cut = Walk(connection, direction).cone(arrival, depth, limit)
        found = events_at(index, connection, distances)
        return tuple(zip(found, distances.values(), strict=True)), is_cut

    return index.answer(work)


def chain(index, event_id, limit=order.CHAIN_EVENTS_MAX):
    """Return the chain of causes that a walk finds, as `order.chain` returns it."""

    def work(connection):
        arrival = arrival_of(index, connection, event_id)
        walk = Walk(connection, "upstream")
        found = walk.chain(arrival, limit, lambda link: event_at(index, connection, link))
        return tuple(events_at(index, connection, found))

    return index.answer(work)


@on_disk
@given(arrivals())
def test_cones_of_the_index_are_those_of_core(batches):
    with world(batches) as (index, events):
        known = {event.event_id: event for event in events}
        for event in events:
            event_id = event.event_id
            for limit, depth in ((10_000, None), (10_000, 0), (10_000, 2), (3, None), (2, 1)):
                found = cone(index, event_id, "upstream", depth, limit)
                assert found == plain_order.upstream(event, known, limit, depth)
                found = cone(index, event_id, "downstream", depth, limit)
                assert found == plain_order.downstream(event, events, limit, depth)
                causes, is_cut = plain_order.upstream(event, known, limit, depth)
                around = causality.causality(index, event_id, depth, limit)
                assert around.event == event
                assert around.upstream == tuple(cause.line for cause, _ in causes)
                assert around.downstream == tuple(effect.line for effect, _ in found[0])
                assert around.truncated == (is_cut or found[1])


@on_disk
@given(arrivals())
def test_why_and_effects_of_the_index_are_those_of_core(batches):
    with world(batches) as (index, events):
        known = {event.event_id: event for event in events}
        for event in events:
            event_id = event.event_id
            assert causality.why(index, event_id, PLAIN) == plain_order.why(event, events, PLAIN)
            assert causality.effects(index, event_id, PLAIN) == plain_order.effects(
                event, events, PLAIN
            )
            for limit in (1, 2, 10_000):
                found = chain(index, event_id, limit)
                assert found == plain_order.chain(event, known, limit)


@on_disk
@given(arrivals())
def test_what_is_concurrent_by_the_index_is_so_in_core(batches):
    with world(batches) as (index, events):
        for event in events:
            for limit in (0, 2, 10_000):
                found = causality.concurrent(index, event.event_id, limit)
                assert found == plain_order.concurrent(event, events, limit)


@on_disk
@given(arrivals(), st.data())
def test_common_causes_of_the_index_are_those_of_core(batches, data):
    with world(batches) as (index, events):
        if not events:
            return
        some = st.lists(st.sampled_from(events), min_size=1, max_size=4)
        for chosen in [*([a, b] for a in events for b in events), data.draw(some)]:
            found = causality.common_causes(index, [event.event_id for event in chosen])
            assert found == plain_order.common_causes(chosen, events)


@on_disk
@given(arrivals())
def test_heads_of_the_index_are_those_of_core(batches):
    with world(batches) as (index, events):
        subjects = ("nobody's", "\ud800", *filter(None, SUBJECTS))
        for subject, but in product(subjects, ((), TYPES[:1], ("no type", *TYPES[1:]))):
            assert causality.heads(index, [subject], but) == plain_order.heads(subject, events, but)


def asked(ask):
    """Return what a lookup finds, or the error that it raises."""
    try:
        return ask()
    except ThenceError as error:
        if error.code not in ("ambiguous_id", "event_not_found"):
            raise
        return error.code, str(error)


@on_disk
@given(arrivals(), st.data())
def test_what_a_text_names_by_the_index_is_what_it_names_in_core(batches, data):
    with world(batches) as (index, events):
        texts = ["@last", "@last-error", "", "12345", MISSING, MISSING[:9], "\ud800" * 7, "%" * 7]
        texts += [*TYPES, *filter(None, SUBJECTS), "order"]
        for event in events:
            size = data.draw(st.integers(6, 26))
            texts += [event.event_id, event.event_id[:size], event.event_id[:size].lower()]
        for text in texts:
            found = asked(lambda text=text: lookup.find(index, text))
            assert found == asked(lambda text=text: named(text, events, PLAIN, index.folder))
        for event in events:
            assert lookup.get(index, event.event_id) == event
        with pytest.raises(EventNotFound):
            lookup.get(index, MISSING)


def test_ids_of_other_tools_are_found_by_their_beginning_whatever_they_hold():
    ids = ["order:", "order:\U0010ffff", "order:\U0010ffff\U0010ffff", "orders", "ORDER:1", "é" * 8]
    batch = [f'{{"event_id":"{event_id}"}}\n'.encode() for event_id in ids]
    with world([batch]) as (index, events):
        for text in (*ids, "order:\U0010ffff"[:7], "éééééé", "Order:"):
            found = asked(lambda text=text: lookup.find(index, text))
            assert found == asked(lambda text=text: named(text, events, PLAIN, index.folder))


def grown(seed, events, reach, causes):
    """Make the lines of a log whose events name some of those shortly before them."""
    chance = random.Random(seed)
    ids = [f"{number:026d}" for number in range(events)]
    lines = []
    for number, event_id in enumerate(ids):
        before = ids[max(0, number - reach) : number]
        named_ids = chance.sample(before, min(len(before), chance.randint(0, causes)))
        lines.append(
            line_of(event_id=event_id, seq=number + 1, lamport_clock=number + 1, causes=named_ids)
        )
    return lines


@pytest.mark.parametrize(("reach", "causes"), [(1, 1), (3, 3), (500, 2), (3_000, 3)])
def test_walks_through_many_layers_find_what_core_finds(reach, causes):
    """Longer than what is read ahead, so that a walk reads many times."""
    lines = grown(20261120 + reach, 3_000, reach, causes)
    with world([lines]) as (index, events):
        known = {event.event_id: event for event in events}
        for event in (events[0], events[1_700], events[-1]):
            event_id = event.event_id
            assert cone(index, event_id, "upstream") == plain_order.upstream(event, known)
            found = cone(index, event_id, "downstream")
            assert found == plain_order.downstream(event, events)
            assert chain(index, event_id) == plain_order.chain(event, known)
            found = causality.concurrent(index, event_id)
            assert found == plain_order.concurrent(event, events, 10_000)
