"""A simulation's event made a line: what is repaired is named, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_payload import wild_values
from tests.events import stamped

from thence.core.event import Event as StoredEvent
from thence.core.values.codec import parse
from thence.core.values.vocabulary import SIM
from thence.sim import Event, EventWriter, create_action_event
from thence.sim.writer import draft_of


def test_event_that_needed_no_repair_names_none(tmp_path):
    event = create_action_event("run", 1, "ada", "sell", {"goods": ["salt", 3]})
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        assert writer.emit(event)
    assert "repairs" not in json.loads((tmp_path / "events.jsonl").read_bytes())


@pytest.mark.promise("W10")
def test_type_that_is_too_long_or_moves_the_cursor_is_cut_and_listed(tmp_path):
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        for event_type in ("a\nb", "x" * 300, "Order Placed!"):
            assert writer.emit(Event(event_type=event_type))
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert [line["event_type"] for line in told] == ["a\\nb", "x" * 200, "Order Placed!"]
    assert [line.get("repairs") for line in told] == [
        [{"path": "event_type", "was": "3 characters"}],
        [{"path": "event_type", "was": "300 characters"}],
        None,
    ]


@pytest.mark.promise("W10")
@given(st.dictionaries(st.text(max_size=4) | st.integers(), wild_values, max_size=4))
def test_whatever_an_action_holds_becomes_a_line(payload):
    event = create_action_event("run", 1, "ada", "act", payload)
    line = stamped(draft_of(event, ()), 1, 1)
    read = parse(line[:-1], SIM)
    assert isinstance(read, StoredEvent)
    assert read.event_id == event.event_id
    assert read.payload["action_type"] == "act"
    assert read.members.get("repairs", "something") not in ((), None)
