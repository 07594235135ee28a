"""Hostile spans and log records, from a seed: none raises, no end is lost, drops are counted."""

import asyncio

import pytest
from tests.frameworks.hostile import attacked, attacked_in_a_loop

import thence

SPANS = 100


@pytest.mark.promise("A4b")
@pytest.mark.parametrize("durable", [True, False, None])
def test_hostile_spans_and_records_are_all_recorded_or_counted(tmp_path, durable):
    seed, folder = 56, tmp_path / "log"
    if durable is None:
        assert asyncio.run(attacked_in_a_loop(folder, SPANS, seed)) == []
    else:
        assert attacked(folder, SPANS, seed, durable) == []
    with thence.open(tmp_path / "log") as log:
        events = list(log.read())
    reasons = {entry["was"] for event in events for entry in event.members.get("repairs", ())}
    assert {"the number NaN", "a lone surrogate", "an integer of more than 64 bits"} <= reasons
    assert any(len(str(event.payload)) > 5_000_000 for event in events)
