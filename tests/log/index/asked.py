"""Logs and filters drawn at random, and what a slow reading of a log answers."""

import json

from hypothesis import strategies as st
from tests.events import NODE, OTHER_NODE, drafted, new_id, stamped

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.core.query.filter import Filter
from thence.core.query.where import Comparison

TYPES = ["a", "b", "c.d", "é", "e.failed"]
ACTORS = ["ada", "ben", None]
SUBJECTS = ["o/1", "o/2", None]
STREAMS = ["s", "t", None]
SECONDS = range(10)
_TIMES = [f"2026-11-20T07:13:0{second}.000000Z" for second in SECONDS]
_STATUSES = [{}, {}, {"status": "failure"}, {"status": "warning"}]
_BEGIN_US = 1_795_158_780_000_000


@st.composite
def lines(draw: st.DrawFn, count_max: int = 30) -> list[bytes]:
    """Draws lines of two nodes and of another tool, in an order that no clock follows."""
    drawn: list[bytes] = []
    for seq in range(1, draw(st.integers(0, count_max)) + 1):
        node = draw(st.sampled_from([NODE, OTHER_NODE, ""]))
        kind, time = draw(st.sampled_from(TYPES)), draw(st.sampled_from(_TIMES))
        members = {
            "stream": draw(st.sampled_from(STREAMS)),
            "subject": draw(st.sampled_from(SUBJECTS)),
            "actor": draw(st.sampled_from(ACTORS)),
            "turn_number": draw(st.sampled_from([None, 0, 1, 2, 3])),
            "payload": {"n": draw(st.integers(0, 5)), **draw(st.sampled_from(_STATUSES))},
        }
        members = {key: value for key, value in members.items() if value is not None}
        if node:
            lamport_clock = draw(st.integers(1, 40))
            made = drafted(new_id(), kind, members, timestamp=time)
            drawn.append(stamped(made, seq, lamport_clock, node))
            continue
        time = draw(st.sampled_from([time, "", "yesterday", f"{time[:-1]}+01:00"]))
        foreign = {"event_id": new_id(), "event_type": kind, "timestamp": time, **members}
        if draw(st.booleans()):
            foreign |= {"node_id": "x", "lamport_clock": draw(st.integers(0, 40))}
        drawn.append(json.dumps(foreign).encode() + b"\n")
        if draw(st.booleans()):
            drawn.append(draw(st.sampled_from(drawn)))  # an id a second time
    return drawn


def _some(values: list[str] | list[str | None]) -> st.SearchStrategy[tuple[str, ...]]:
    names = [*filter(None, values), "nobody", "c.*", "?", "*n", "a*"]
    return st.just(()) | st.lists(st.sampled_from(names), max_size=3).map(tuple)


_times = st.none() | st.integers(-1, 10).map(lambda second: _BEGIN_US + second * 1_000_000)
_turns = st.none() | st.integers(0, 4)
_comparisons = st.builds(
    Comparison,
    st.sampled_from([("payload", "n"), ("n",), ("actor",), ("gone",)]),
    st.sampled_from(["=", "!=", "<", ">=", "~"]),
    st.integers(0, 5) | st.just("ada"),
)
_asked: dict[str, st.SearchStrategy[object]] = {
    "types": _some(TYPES),
    "actors": _some(ACTORS),
    "subjects": _some(SUBJECTS),
    "streams": _some(STREAMS),
    "since": _times,
    "until": _times,
    "turn_first": _turns,
    "turn_last": _turns,
    "failed": st.sampled_from([None, None, True, False]),
    "where": st.just(()) | st.lists(_comparisons, max_size=2).map(tuple),
}
# of few columns, for next to nothing matches a filter of all
filters = st.sets(st.sampled_from([*_asked]), max_size=3).flatmap(
    lambda names: st.builds(Filter, **{name: _asked[name] for name in sorted(names)})
)


def matching(arrived: list[Event], filter: Filter, descending: bool = False) -> list[Event]:
    """Returns what a filter asks for, by the slow and obvious way."""
    found = [event for event in totally_ordered(arrived) if filter.matches(event)]
    return found[::-1] if descending else found
