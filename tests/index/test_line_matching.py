"""Judging fast is judging: what core says of a comparison holds here."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.events import event_of, line_of, payloads, scalars, texts

from thence.core.event import Event
from thence.core.query.where import OPERATORS, Comparison
from thence.core.values.codec import parse
from thence.core.values.vocabulary import PLAIN, SIM
from thence.index.query import judge

steps = texts | st.integers(-2, 2)


@st.composite
def asked(draw: st.DrawFn) -> tuple[Event, Comparison]:
    """Draws an event with a comparison that often asks for what it holds."""
    payload = draw(payloads)
    if draw(st.booleans()):
        event = event_of(line_of(payload, event_type=draw(st.sampled_from(["a", "noted"]))))
    else:  # another tool's line, with escapes where ours has none
        members = {"event_id": "x", "actor": "ada", "details": payload, "payload": payload}
        found = parse(json.dumps(members).encode(), draw(st.sampled_from([PLAIN, SIM])))
        assert isinstance(found, Event)
        event = found
    path: list[str | int] = [draw(st.sampled_from(["payload", "actor", "subject", "event_type"]))]
    value: object = event.payload
    while isinstance(value, dict | tuple) or hasattr(value, "keys"):
        if not value:
            break
        keys = list(value) if hasattr(value, "keys") else range(len(value))
        path.append(draw(st.sampled_from(keys)))
        value = value[path[-1]]
    known = scalars if isinstance(value, dict | tuple) or hasattr(value, "keys") else st.just(value)
    if isinstance(value, str):
        known = known | st.just(value[1:3])
    wanted = draw(known | st.sampled_from(["ada", "noted", "a"]) | scalars)
    return event, Comparison(tuple(path), draw(st.sampled_from(OPERATORS)), wanted)


@given(drawn=asked(), more=st.lists(asked(), max_size=1))
def test_what_is_judged_by_bytes_is_what_core_says(drawn, more):
    event, comparison = drawn
    comparisons = [comparison, *(other for _, other in more)]
    due = all(other.matches(event) for other in comparisons)
    assert judge(comparisons, event.vocabulary)(event.line) is due
    assert judge([comparison], event.vocabulary)(event.line) is comparison.matches(event)


def test_subject_that_a_host_puts_together_is_found():
    line = (
        b'{"event_id":"x","event_type":"STATE","details":{"scope":"agent","variable_name":"gold"}}'
    )
    event = parse(line, SIM)
    assert isinstance(event, Event)
    assert judge([Comparison(("subject",), "=", "agent/gold")], SIM)(line)
    assert not judge([Comparison(("subject",), "=", "agent/corn")], SIM)(line)
