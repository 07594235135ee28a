"""A move is told whole: its event, what it overruled, what follows, what it rests on."""

import pytest
from msgspec.structs import replace
from tests.work.project_events import PROJECT, SLUG, Clone, planned

from thence.errors import Refused
from thence.work.board.board import fold
from thence.work.board.move_request import Move, MoveContext
from thence.work.board.transitions import DECIDING_TYPES, move
from thence.work.events import checked

GATE = "01J00000000000000000000000"


def moved(clone, wp_id, to, **context):
    found = move(fold(clone.events), SLUG, wp_id, to, MoveContext(**{"actor": "ada", **context}))
    assert isinstance(found, Move), found
    for each in (found, *found.follow_ups):
        event_type = getattr(each, "event_type", "WPStatusChanged")
        assert checked(event_type, each.payload) == each.payload
    return found


def test_move_tells_its_event():
    found = moved(planned(), "WP01", "doing")
    assert found.payload == {
        "wp_id": "WP01",
        "previous_status": "planned",
        "new_status": "doing",
        "changed_by": "ada",
        "feature_slug": SLUG,
    }
    assert (found.wp_id, found.previous, found.to) == ("WP01", "planned", "doing")
    assert (found.overruled, found.follow_ups) == ((), ())


def test_claim_tells_how_its_dependencies_stood_and_done_how_its_gates_did():
    clone = planned(WP02=["WP01"])
    clone.move("WP01", "planned", "done")
    assert moved(clone, "WP02", "doing").payload["dependency_status"] == {"WP01": "done"}
    gate = {"work_package_id": "WP02", "gate_type": "CI_CHECK", "gate_id": GATE}
    clone.tell("GateCreated", gate)
    result = {"gate_id": GATE, "old_status": "pending", "new_status": "passed"}
    clone.tell("GateResultChanged", result)
    clone.move("WP02", "planned", "for_review")
    found = moved(clone, "WP02", "done")
    assert found.payload["gate_results"] == [{"gate_type": "CI_CHECK", "status": "passed"}]
    assert "dependency_status" not in found.payload


@pytest.mark.promise("L14")
def test_move_rests_on_its_package_its_dependencies_and_its_gates():
    clone = planned(count=3, WP02=["WP01"])
    clone.tell("GateCreated", {"work_package_id": "WP02", "gate_type": "CI_CHECK", "gate_id": GATE})
    clone.move("WP01", "planned", "done")
    names = ("WP01", "WP02", GATE)
    assert moved(clone, "WP02", "doing").watched == {f"{PROJECT}/{SLUG}/{name}" for name in names}
    assert not DECIDING_TYPES & {"ErrorLogged", "HistoryAdded"}


@pytest.mark.promise("L14")
def test_move_names_what_its_guards_have_read_and_nothing_that_stood_there_before():
    clone = planned(count=3, WP02=["WP01", "WP03"])
    created = {each.header.aggregate_id: each.event_id for each in clone.events}
    clone.move("WP01", "planned", "doing")
    closed = clone.move("WP01", "doing", "done")
    skipped = {"wp_id": "WP02", "dependency_wp_id": "WP03", "resolution_type": "skipped"}
    waived = clone.tell("DependencyResolved", skipped)
    claim = moved(clone, "WP02", "doing")
    assert {*claim.caused_by} == {created["WP02"], closed.event_id, waived.event_id}
    begun = clone.move("WP02", "planned", "doing", changed_by="ada")
    tick = {"work_package_id": "WP02", "subtask_index": "T001", "subtask_text": "x"}
    clone.tell("SubtaskCompleted", tick)
    clone.tell("SubtaskReopened", tick)
    ticked = clone.tell("SubtaskCompleted", tick)
    found = moved(clone, "WP02", "for_review", open_subtasks=("T001",))
    assert {*found.caused_by} == {begun.event_id, ticked.event_id}
    clone.move("WP02", "doing", "for_review")
    clone.tell("GateCreated", {"work_package_id": "WP02", "gate_type": "CI_CHECK", "gate_id": GATE})
    for status in ("failed", "passed"):
        result = {"gate_id": GATE, "old_status": "pending", "new_status": status}
        result_event = clone.tell("GateResultChanged", result)
    found = moved(clone, "WP02", "done", rests_on=("approval",))
    assert {result_event.event_id, "approval"} <= {*found.caused_by}
    assert clone.events[-2].event_id not in found.caused_by, "a result that another one replaced"
    seen = {"gates_run": frozenset(("CI_CHECK",)), "gates_seen": {"CI_CHECK": "mine"}}
    found = moved(clone, "WP02", "done", **seen)
    assert "mine" in found.caused_by
    assert result_event.event_id not in found.caused_by, "whoever said it, it did not count"


@pytest.mark.promise("L14")
def test_move_that_rests_on_one_side_of_a_conflict_names_all_sides():
    clone = planned(WP02=["WP01"])
    clone.move("WP01", "planned", "for_review")
    other = Clone("b", clone.events)
    sides = {clone.move("WP01", "for_review", "rejected").event_id}
    sides.add(other.move("WP01", "for_review", "done").event_id)  # the last writer wins
    clone.take_in(other)
    assert sides <= {*moved(clone, "WP02", "doing").caused_by}


@pytest.mark.promise("L8")
def test_force_overrules_with_a_reason_and_tells_what():
    clone = planned(WP02=["WP01"])
    found = moved(clone, "WP02", "done", is_forced=True, reason="done by hand")
    assert found.overruled == ("not_in_lane", "dependencies_open")
    assert found.payload["reason"] == "done by hand"
    claim = moved(clone, "WP02", "doing", is_forced=True, reason="in parallel")
    assert claim.overruled == ("dependencies_open",)
    bare = move(fold(clone.events), SLUG, "WP02", "done", MoveContext(actor="ada", is_forced=True))
    assert (bare.guard, bare.may_be_forced) == ("reason_missing", False)


@pytest.mark.promise("L8")
def test_done_ticks_each_package_that_waited_for_it_last_once():
    needs = {"WP02": ["WP01"], "WP03": ["WP01", "WP02"], "WP04": ["WP01"], "WP05": ["WP01"]}
    clone = planned(count=5, **needs)
    clone.move("WP04", "planned", "rejected")
    once = {"wp_id": "WP05", "dependency_wp_id": "WP01", "resolution_type": "completed"}
    clone.tell("DependencyResolved", once)
    clone.move("WP01", "planned", "for_review")
    (ticked,) = moved(clone, "WP01", "done").follow_ups
    assert (ticked.event_type, ticked.payload) == (
        "DependencyResolved",
        {"wp_id": "WP02", "dependency_wp_id": "WP01", "resolution_type": "completed"},
    )
    clone.move("WP01", "for_review", "done")
    clone.tell(ticked.event_type, ticked.payload)
    clone.move("WP02", "planned", "for_review")
    (ticked,) = moved(clone, "WP02", "done").follow_ups
    assert ticked.payload["wp_id"] == "WP03"


@pytest.mark.promise("L9")
def test_send_back_fails_the_reviews_by_hand_and_leaves_other_gates():
    clone = planned()
    for last, kind in (("0", "MANUAL_REVIEW"), ("1", "CI_CHECK")):
        gate = {"work_package_id": "WP01", "gate_type": kind, "gate_id": GATE[:-1] + last}
        clone.tell("GateCreated", gate)
    clone.move("WP01", "planned", "for_review")
    (failed,) = moved(clone, "WP01", "doing", reason="no tests").follow_ups
    assert (failed.event_type, failed.payload) == (
        "GateResultChanged",
        {
            "gate_id": GATE,
            "old_status": "pending",
            "new_status": "failed",
            "result_data": {"gate_type": "MANUAL_REVIEW", "reason": "no tests"},
        },
    )
    clone.tell(failed.event_type, failed.payload)
    assert moved(clone, "WP01", "doing", reason="no tests").follow_ups == ()
    for last in "01":
        passed = {"gate_id": GATE[:-1] + last, "old_status": "x", "new_status": "passed"}
        clone.tell("GateResultChanged", passed)
    assert moved(clone, "WP01", "done").follow_ups == ()


def test_refusal_is_an_error_with_its_guard_and_remedy():
    refusal = move(fold(planned().events), SLUG, "WP01", "done", MoveContext(actor="ada"))
    error = refusal.error("could not move", "WP01", is_agent=False)
    assert isinstance(error, Refused)
    assert (error.guard, error.place, error.cause) == ("not_in_lane", "WP01", refusal.message)
    assert error.hint == f"{refusal.remedy} (or overrule it: --force --reason TEXT)"
    assert refusal.error("could not move", "WP01", is_agent=True).hint == refusal.remedy
    unforced = replace(refusal, may_be_forced=False)
    assert "--force" not in unforced.error("could not move", "WP01", is_agent=False).hint
