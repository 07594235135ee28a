"""Gates are found by their id, and may be given a result again and again."""

import pytest
from tests.work.told import SLUG, planned

from thence.work.board import fold
from thence.work.events import checked
from thence.work.gates import GATE_STATUSES, GATE_TYPES, change, holder, open_gates
from thence.work.verdict import Refusal

GATE = "01J00000000000000000000000"


def gated():
    clone = planned()
    gate = {"work_package_id": "WP02", "gate_type": "CI_CHECK", "gate_id": GATE}
    clone.tell("GateCreated", gate)
    return clone


@pytest.mark.promise("L9")
@pytest.mark.parametrize("before", GATE_STATUSES)
@pytest.mark.parametrize("after", GATE_STATUSES)
def test_result_of_a_gate_may_come_again_and_change(before, after):
    clone = gated()
    result = {"gate_id": GATE, "old_status": "pending", "new_status": before}
    clone.tell("GateResultChanged", result)
    changed = change(fold(clone.events), SLUG, GATE, after)
    assert changed.event_type == "GateResultChanged"
    assert changed.payload == {"gate_id": GATE, "old_status": before, "new_status": after}
    assert checked(changed.event_type, changed.payload) == changed.payload
    clone.tell(changed.event_type, changed.payload)
    package = fold(clone.events).package(SLUG, "WP02")
    assert [gate.gate_id for gate in open_gates(package)] == ([] if after == "passed" else [GATE])


def test_gate_that_is_nowhere_is_refused():
    board = fold(gated().events)
    for feature_slug, gate_id in ((SLUG, GATE[:-1] + "9"), ("029-other", GATE)):
        found = change(board, feature_slug, gate_id, "passed")
        assert isinstance(found, Refusal)
        assert (found.guard, found.may_be_forced) == ("unknown_gate", False)


def test_gate_is_held_by_its_package():
    feature = fold(gated().events).features[SLUG]
    assert holder(feature, GATE).wp_id == "WP02"
    assert holder(feature, "x") is None


@pytest.mark.promise("L9")
@pytest.mark.parametrize("gate_type", GATE_TYPES)
def test_every_type_of_gate_can_be_made(gate_type):
    payload = {"work_package_id": "WP01", "gate_type": gate_type, "gate_id": GATE}
    assert checked("GateCreated", payload) == payload
