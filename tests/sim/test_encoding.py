"""A simulation's event made a line: what is repaired is named, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_payload import wild_values
from tests.events import stamped

from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.vocabulary import SIM
from thence.sim import EventWriter, create_action_event
from thence.sim.writer import draft_of


def test_event_that_needed_no_repair_names_none(tmp_path):
    event = create_action_event("run", 1, "ada", "sell", {"goods": ["salt", 3]})
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        assert writer.emit(event)
    assert "repairs" not in json.loads((tmp_path / "events.jsonl").read_bytes())


@pytest.mark.promise("W10")
@given(st.dictionaries(st.text(max_size=4) | st.integers(), wild_values, max_size=4))
def test_whatever_an_action_holds_becomes_a_line(payload):
    event = create_action_event("run", 1, "ada", "act", payload)
    line = stamped(draft_of(event, ()), 1, 1)
    read = parse(line[:-1], SIM)
    assert isinstance(read, Event)
    assert read.event_id == event.event_id
    assert read.payload["action_type"] == "act"
    assert read.members.get("repairs", "something") not in ((), None)
