"""Pairs of logs made for tests of a comparison, and the comparison by plain, slow means."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from tests.events import NODE, drafted, event_of, new_id, stamped

from thence.core.event import Event


class Told(NamedTuple):
    """What an event of a test says, and which earlier ones of its list caused it."""

    event_type: str
    n: int
    causes: tuple[int, ...] = ()
    subject: str | None = None
    actor: str | None = None
    step: str | None = None
    begins: bool = False
    ends: int | None = None
    payload: Mapping[str, Any] | None = None


def log_of(told: Sequence[Told], order: Sequence[int] | None = None) -> list[Event]:
    """Makes the events of a log with ids of their own, numbered in an order."""
    ids = [new_id() for _ in told]
    events = []
    for number, place in enumerate(range(len(told)) if order is None else order, 1):
        each = told[place]
        members: dict[str, Any] = {"subject": each.subject, "actor": each.actor, "step": each.step}
        if each.begins:
            members["begins"] = True
        if each.ends is not None:
            members["ends"] = ids[each.ends]
        members["payload"] = {"n": each.n} if each.payload is None else each.payload
        made = drafted(ids[place], each.event_type, members, [ids[c] for c in each.causes])
        events.append(event_of(stamped(made, number, number, NODE)))
    return events


@st.composite
def tolds(
    draw: st.DrawFn, causes_max: int = 3, with_steps: bool = False, with_begins: bool = False
) -> list[Told]:
    """Draws what a log says: few words, so that many events are alike."""
    found: list[Told] = []
    for place in range(draw(st.integers(0, 9))):
        named = st.lists(st.integers(0, place - 1), max_size=causes_max, unique=True)
        step = (
            draw(st.sampled_from([None, "1.a.-.0", "1.b.-.0", "2.a.-.0"])) if with_steps else None
        )
        found.append(
            Told(
                draw(st.sampled_from("pq")),
                draw(st.integers(0, 1)),
                tuple(draw(named)) if place else (),
                draw(st.sampled_from([None, "s"])),
                draw(st.sampled_from([None, "ada"])),
                step,
                draw(st.booleans()) if with_begins else False,
                draw(st.sampled_from([None, *range(place)])) if with_begins else None,
            )
        )
    return found


@st.composite
def orders(draw: st.DrawFn, told: Sequence[Told]) -> list[int]:
    """Draws an order in which each event comes after its causes."""
    found: list[int] = []
    left = list(range(len(told)))
    while left:
        ready = [place for place in left if set(told[place].causes) <= set(found)]
        chosen = draw(st.sampled_from(ready))
        found.append(chosen)
        left.remove(chosen)
    return found


@st.composite
def twins(
    draw: st.DrawFn, with_steps: bool = False, with_begins: bool = False
) -> tuple[list[Event], list[Event]]:
    """Draws a log and one that was changed here and there, in another order."""
    told = draw(tolds(with_steps=with_steps, with_begins=with_begins))
    other: list[Told] = []
    places: dict[int, int] = {}
    for place, each in enumerate(told):
        change = draw(st.sampled_from(["", "", "", "left out", "n", "cause", "actor", "twice"]))
        if change == "left out":
            continue
        causes = tuple(places[cause] for cause in each.causes if cause in places)
        ends = None if each.ends is None else places.get(each.ends)
        changed = each._replace(causes=causes[1:] if change == "cause" else causes, ends=ends)
        if change == "n":
            changed = changed._replace(n=2)
        if change == "actor":
            changed = changed._replace(actor="ben")
        places[place] = len(other)
        other += [changed] * (2 if change == "twice" else 1)
    return log_of(told, draw(orders(told))), log_of(other, draw(orders(other)))


def words(event: Event) -> tuple[Any, ...]:
    """What two events that are one by their content have in common."""
    return event.event_type, event.subject, json.dumps(dict(event.payload), sort_keys=True)


def all_words(event: Event) -> tuple[Any, ...]:
    """What an event says."""
    return (*words(event), event.actor, event.step)


def reached(event_id: str, neighbours: dict[str, list[str]]) -> set[str]:
    """Finds the ids that are reached from an event, one by one."""
    ids: set[str] = set()
    stack = list(neighbours[event_id])
    while stack:
        event_id = stack.pop()
        if event_id not in ids:
            ids.add(event_id)
            stack += neighbours[event_id]
    return ids


def causes_of(events: Sequence[Event]) -> dict[str, list[str]]:
    """Maps ids to the causes that the log holds."""
    known = {event.event_id for event in events}
    return {e.event_id: [cause for cause in e.caused_by if cause in known] for e in events}


def effects_of(events: Sequence[Event]) -> dict[str, list[str]]:
    """Maps ids to the events that name them."""
    return {e.event_id: [o.event_id for o in events if e.event_id in o.caused_by] for e in events}
