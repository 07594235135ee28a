"""Gates keep a package from being done, and may be given a result again and again."""

import pytest
from tests.work.project_events import SLUG, planned

from thence.work.board.board import fold
from thence.work.board.move_request import (
    GATE_STATUSES,
    GATE_TYPES,
    MoveContext,
    gate_change,
    open_gates,
)
from thence.work.events import checked

GATE = "01J00000000000000000000000"


@pytest.mark.promise("L9")
@pytest.mark.parametrize("gate_type", GATE_TYPES)
@pytest.mark.parametrize("before", GATE_STATUSES)
@pytest.mark.parametrize("after", GATE_STATUSES)
def test_result_of_a_gate_may_come_again_and_change(gate_type, before, after):
    clone = planned()
    gate = {"work_package_id": "WP02", "gate_type": gate_type, "gate_id": GATE}
    assert checked("GateCreated", gate) == gate
    clone.tell("GateCreated", gate)
    first = {"gate_id": GATE, "old_status": "pending", "new_status": before}
    clone.tell("GateResultChanged", first)
    found = gate_change(fold(clone.events).package(SLUG, "WP02").gates[GATE], after, reason="seen")
    assert checked(found.event_type, found.payload) == {
        "gate_id": GATE,
        "old_status": before,
        "new_status": after,
        "result_data": {"gate_type": gate_type, "reason": "seen"},
    }
    clone.tell(found.event_type, found.payload)
    package = fold(clone.events).package(SLUG, "WP02")
    assert [gate.gate_id for gate in open_gates(package, MoveContext(actor="ada"))] == (
        [] if after == "passed" else [GATE]
    )
