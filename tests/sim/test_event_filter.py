"""`EventFilter` on events as they are built, as they are stored, and as members of a line."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.core.codec import parse
from thence.core.query.filter import Filter
from thence.core.vocabulary import SIM
from thence.errors import InvalidFilter
from thence.sim import (
    Event,
    EventFilter,
    EventWriter,
    create_decision_event,
    create_milestone_event,
)

pytestmark = pytest.mark.promise("E5")

TYPES = ("MILESTONE", "DECISION", "NOTE")
AGENTS = ("ada", "ben")
BEGIN = datetime(2026, 11, 20, 7, tzinfo=UTC)


@st.composite
def events(draw):
    """Draws an event as a program builds it, with a time within three seconds."""
    when = BEGIN + timedelta(microseconds=draw(st.integers(0, 3_000_000)))
    return Event(
        event_type=draw(st.sampled_from(TYPES)),
        simulation_id="run",
        turn_number=draw(st.integers(0, 4)),
        agent_id=draw(st.none() | st.sampled_from(AGENTS)),
        timestamp=when,
    )


moments = st.integers(-500_000, 3_500_000).map(lambda us: BEGIN + timedelta(microseconds=us))
fields = {
    "start_timestamp": moments,
    "end_timestamp": moments,
    "event_types": st.lists(st.sampled_from(TYPES), min_size=1, max_size=2),
    "agent_ids": st.lists(st.sampled_from(AGENTS), min_size=1, max_size=2),
    "turn_start": st.integers(0, 5),
    "turn_end": st.integers(0, 5),
    "failed": st.booleans(),
    "limit": st.integers(1, 10_000),
    "offset": st.integers(0, 100),
}


def is_asked(event, asked):
    """Judges by what was drawn, each field by a sentence of its own."""
    when = datetime.fromisoformat(event.timestamp)
    before = "start_timestamp" in asked and when < asked["start_timestamp"]
    after = "end_timestamp" in asked and when > asked["end_timestamp"]
    other_type = event.event_type not in asked.get("event_types", TYPES)
    other_agent = "agent_ids" in asked and event.agent_id not in asked["agent_ids"]
    early = event.turn_number < asked.get("turn_start", 0)
    late = event.turn_number > asked.get("turn_end", 99)
    failed = asked.get("failed") in (None, event.details.get("status") == "failure")
    return failed and not (before or after or other_type or other_agent or early or late)


def stored(event):
    """The event as a foreign line holds it, read back."""
    return parse(json.dumps(event.to_dict()).encode(), SIM)


@given(events(), st.fixed_dictionaries({}, optional=fields))
def test_each_field_alone_and_combined_asks_the_same_of_all_three_shapes(event, asked):
    asking = EventFilter(**asked)
    for shape in (event, stored(event), event.to_dict(), json.loads(event.to_json())):
        assert asking.matches(shape) is is_asked(event, asked), type(shape)
    alone = [EventFilter(**{field: value}).matches(event) for field, value in asked.items()]
    assert asking.matches(event) is all(alone)


def test_defaults_ask_for_everything_a_thousand_at_a_time():
    asking = EventFilter()
    assert (asking.limit, asking.offset) == (1000, 0)
    assert asking.filter == Filter()
    assert asking.matches(create_milestone_event("run", 1, "turn_start"))
    assert asking.matches({})


def test_ends_are_inclusive_and_a_date_is_its_whole_day():
    event = create_decision_event("run", 3, "ada", "trade")
    for asked in (
        {"start_timestamp": event.timestamp, "end_timestamp": event.timestamp},
        {"turn_start": 3, "turn_end": 3},
        {"start_timestamp": event.timestamp[:10], "end_timestamp": event.timestamp[:10]},
        {"end_timestamp": date.fromisoformat(event.timestamp[:10])},
        {"event_types": "DECISION", "agent_ids": "ada"},
        {"event_types": iter(["DECISION"]), "agent_ids": {"ada"}},
        {"event_types": [], "agent_ids": ()},
    ):
        assert EventFilter(**asked).matches(event), asked


def test_filter_is_the_same_question_in_the_words_of_all_hosts(tmp_path):
    asking = EventFilter(event_types=["DECISION"], agent_ids=["ada"], turn_start=1, turn_end=2)
    assert asking.filter == Filter.of(type="DECISION", actor="ada", turn=(1, 2))
    assert asking.event_types == ("DECISION",)
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        for turn in range(4):
            writer.emit(create_decision_event("run", turn, "ada", "trade"))
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    found = [event for event in (parse(line, SIM) for line in lines) if asking.matches(event)]
    assert [event.turn_number for event in found] == [1, 2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", 0),
        ("limit", 10_001),
        ("limit", True),
        ("offset", -1),
        ("offset", 2**63),
        ("turn_start", -1),
        ("turn_end", 1.5),
        ("event_types", [""]),
        ("event_types", [5]),
        ("agent_ids", ""),
        ("failed", "true"),
        ("start_timestamp", "yesterday"),
        ("end_timestamp", datetime.fromisoformat("2026-11-20T07:13")),
    ],
)
def test_wrong_value_is_refused_with_its_field(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        EventFilter(**{field: value})
    assert isinstance(caught.value, InvalidFilter)
    assert caught.value.key == field


@pytest.mark.parametrize(
    "line",
    [
        {"event_type": ["NOTE"], "turn_number": "3", "timestamp": 5, "agent_id": {}},
        {"event_type": None, "turn_number": None, "timestamp": None, "agent_id": None},
        {"turn_number": True, "timestamp": "soon"},
    ],
)
def test_odd_members_of_a_line_match_nothing_that_asks_for_them(line):
    for asked in (
        {"event_types": ["NOTE"]},
        {"agent_ids": ["ada"]},
        {"turn_start": 0},
        {"turn_end": 9},
        {"start_timestamp": "1970-01-01"},
        {"end_timestamp": "2100-01-01"},
    ):
        assert not EventFilter(**asked).matches(line), asked
