"""Histories for the court: events of packages on several nodes that witness each other."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from tests.events import drafted, event_of, new_id, stamped, ulids

from thence.core.event import Event

LANES = ("planned", "doing", "for_review", "done", "rejected")
NODES = {name: name * 12 for name in "abc"}


def canonical(state: object) -> bytes:
    """Return bytes that are equal for equal states; an event stands for its id."""
    return msgspec.json.encode(state, enc_hook=_plain, order="sorted")


def _plain(value: object) -> object:
    return value.event_id if isinstance(value, Event) else dict(value)


def on(
    subject: str | None,
    payload: Mapping[str, Any] | None = None,
    *,
    event_type: str = "WPStatusChanged",
    node: str = "a",
    clock: int = 1,
    causes: Sequence[Event | str] = (),
    event_id: str = "",
    **members: Any,
) -> Event:
    """Make a plain event on a subject; seq is the clock, which is enough for one line."""
    named = [cause.event_id if isinstance(cause, Event) else cause for cause in causes]
    if subject is not None:
        members["subject"] = subject
    if payload is not None:
        members["payload"] = payload
    made = drafted(event_id or new_id(), event_type, members, named)
    return event_of(stamped(made, clock, clock, NODES[node]))


def move(subject: str, previous: str, new: str, **rest: Any) -> Event:
    """Make a change of lane."""
    return on(subject, {"previous_status": previous, "new_status": new}, **rest)


def foreign(event_id: str, causes: Sequence[str] = (), **members: Any) -> Event:
    """Make an event as another tool would write it, without numbers."""
    told = {"event_id": event_id, "event_type": "WPStatusChanged", "caused_by": list(causes)}
    return event_of(json.dumps(told | members).encode())


_payloads = st.one_of(
    st.builds(
        lambda previous, new: {"previous_status": previous, "new_status": new},
        st.sampled_from(LANES),
        st.sampled_from(LANES),
    ),
    st.builds(lambda agent: {"agent_id": agent, "phase": "review"}, st.sampled_from(["x", "y"])),
    st.builds(lambda tags: {"tags": tags}, st.lists(st.sampled_from("klm"), max_size=2)),
    st.builds(lambda delta: {"delta": delta}, st.integers(-3, 3)),
)


def _type_of(payload: Mapping[str, Any]) -> str:
    if "new_status" in payload:
        return "WPStatusChanged"
    return "WPAssigned" if "agent_id" in payload else "noted"


@st.composite
def histories(draw: st.DrawFn, size_max: int = 14) -> list[Event]:
    """Draws events of up to three nodes on up to two subjects, in an order they may arrive in.

    A node names the heads that it knows of the subject, or any events that it knows, or none;
    its clock is past that of all that it knows.
    """
    known: dict[str, list[Event]] = {name: [] for name in NODES}
    clocks = dict.fromkeys(NODES, 0)
    events: list[Event] = []
    for event_id in draw(st.lists(ulids, max_size=size_max, unique=True)):
        node = draw(st.sampled_from(sorted(NODES)))
        if draw(st.booleans()):
            known[node] += [event for event in events if event not in known[node]]
        subject = draw(st.sampled_from(["p/028-sync/WP01", "p/028-sync/WP02", None]))
        before = [event for event in known[node] if event.subject == subject]
        how = draw(st.sampled_from(["latest", "latest", "any", "none"]))
        causes = before[-1:] if how == "latest" else []
        if how == "any" and known[node]:
            causes = draw(st.lists(st.sampled_from(known[node]), max_size=3, unique=True))
        clocks[node] = 1 + max([clocks[node], *(event.lamport_clock for event in known[node])])
        payload = draw(_payloads)
        made = on(
            subject,
            payload,
            event_type=_type_of(payload),
            node=node,
            clock=clocks[node],
            causes=causes,
            event_id=event_id,
        )
        known[node].append(made)
        events.append(made)
    return events


@st.composite
def foreign_graphs(draw: st.DrawFn, *, has_circles: bool = False) -> list[Event]:
    """Draws events of other tools that name any of each other, whatever their clocks."""
    ids = draw(st.lists(ulids, min_size=1, max_size=8, unique=True))
    return [
        foreign(
            event_id,
            draw(st.lists(st.sampled_from(ids if has_circles else ids[:place]), max_size=2))
            if has_circles or place
            else [],
            subject=draw(st.sampled_from("ss2")),
            node_id=draw(st.sampled_from(["x", "y", None, 7])),
            lamport_clock=draw(st.sampled_from([None, 1, 2, 3])),
            payload={"new_status": draw(st.sampled_from(LANES))},
        )
        for place, event_id in enumerate(ids)
    ]


@st.composite
def mixed_histories(draw: st.DrawFn) -> list[Event]:
    """Draws a history in which lines of other tools stand that name no causes."""
    events = draw(histories(10))
    ids = [f"z{number}" for number in range(draw(st.integers(1, 5)))]
    return events + [
        foreign(
            event_id,
            subject=draw(st.sampled_from(["p/028-sync/WP01", "p/028-sync/WP02"])),
            node_id=draw(st.sampled_from(["x", "c" * 12])),
            lamport_clock=draw(st.integers(0, 8)),
            payload={"new_status": draw(st.sampled_from(LANES))},
        )
        for event_id in ids
    ]
