"""Each event changes what it is about, as far as it says anything that can be used."""

import json
from itertools import pairwise

import pytest
from tests.work.project_events import SLUG, Clone, package, planned, work_event

from thence.core.codec import parse
from thence.core.vocabulary import WORK
from thence.git.landed import Landed, Reviewed
from thence.work.board.board import as_json, fold

GATE = "01J00000000000000000000000"


def test_feature_holds_what_its_spec_and_its_plan_said():
    clone = planned(WP02=["WP01"])
    board = fold(clone.events)
    feature = board.features[SLUG]
    assert (feature.title, feature.target_branch) == ("Sync", "main")
    assert feature.spec_event == clone.events[0].event_id
    assert feature.created_event == clone.events[1].event_id
    assert feature.packages["WP02"].dependencies == ("WP01",)
    assert feature.packages["WP02"].title == "Package 2"
    assert not feature.is_completed
    clone.tell("FeatureCompleted", {"feature_slug": SLUG, "total_wps": 2})
    assert fold(clone.events).features[SLUG].is_completed


def test_package_holds_what_was_said_of_it():
    clone = planned()
    claim = clone.move("WP01", "planned", "doing", changed_by="ada")
    work = {"work_package_id": "WP01"}
    clone.tell("WorkspaceCreated", work | {"worktree_path": ".worktrees/x", "branch_name": "x"})
    clone.tell("SubtaskCompleted", work | {"subtask_index": "T002", "subtask_text": "b"})
    clone.tell("SubtaskCompleted", work | {"subtask_index": 1, "subtask_text": "a"})
    clone.tell("GateCreated", work | {"gate_type": "CI_CHECK", "gate_id": GATE})
    note = clone.tell(
        "HistoryAdded",
        {"wp_id": "WP01", "entry_type": "note", "entry_content": "half-way"},
        actor="ada",
    )
    found = package(clone)
    assert (found.agent, found.phase, found.lane) == ("ada", "implementation", "doing")
    assert found.workspace == "x"
    assert list(found.subtasks) == ["T001", "T002"]
    assert (found.gates[GATE].gate_type, found.gates[GATE].status) == ("CI_CHECK", "pending")
    assert (found.lane_event, found.last_event) == (claim.event_id, note.event_id)
    clone.tell("GateResultChanged", {"gate_id": GATE, "old_status": "x", "new_status": "passed"})
    assert package(clone).gates[GATE].is_passed


def test_agent_stays_when_work_is_sent_back_and_goes_when_it_is_planned_again():
    clone = planned()
    clone.move("WP01", "planned", "doing", actor="ada")
    clone.move("WP01", "doing", "for_review", actor="ada")
    clone.move("WP01", "for_review", "doing", changed_by="rev")
    assert package(clone).agent == "ada"
    back = {"wp_id": "WP01", "old_status": "for_review", "new_status": "doing"}
    clone.tell("WPStatusChanged", back, actor="rev")
    assert package(clone).agent == "ada"
    clone.move("WP01", "doing", "planned")
    assert package(clone).agent is None


def test_assignment_names_the_agent_and_a_review_names_the_reviewer():
    clone = planned()
    given_to = {"wp_id": "WP01", "agent_id": "ada", "phase": "implementation", "retry_count": 2}
    clone.tell("WPAssigned", given_to)
    assert package(clone).agent == "ada"
    review = {"wp_id": "WP01", "agent_id": "eve", "phase": "review", "retry_count": "many"}
    clone.tell("WPAssigned", review)
    found = package(clone)
    assert (found.agent, found.reviewer, found.phase) == ("ada", "eve", "review")


def test_what_is_told_out_of_order_or_twice_is_shown_in_order_and_once():
    clone = Clone()
    created = {"wp_id": "WP02", "title": "t", "feature_slug": SLUG}
    clone.tell("WPCreated", created | {"dependencies": ["WP09", "WP01", "WP09", "", 7]})
    clone.tell("WPCreated", {"wp_id": "WP01", "title": "t", "feature_slug": SLUG})
    for last in ("1", "0"):
        gate = {"work_package_id": "WP02", "gate_type": "CI_CHECK", "gate_id": GATE[:-1] + last}
        clone.tell("GateCreated", gate)
    for wp_id in ("WP09", "WP01"):
        resolved = {"dependency_wp_id": wp_id, "resolution_type": "merged"}
        clone.tell("DependencyResolved", {"wp_id": "WP02", **resolved})
    feature = fold(clone.events).features[SLUG]
    assert list(feature.packages) == ["WP01", "WP02"]
    found = feature.packages["WP02"]
    assert found.dependencies == ("WP09", "WP01")
    assert list(found.gates) == [GATE, GATE[:-1] + "1"]
    assert list(found.resolved) == ["WP01", "WP09"]


def test_error_on_a_package_that_is_not_there_makes_none():
    clone = planned()
    error = {"wp_id": "WP99", "error_type": "validation", "error_message": "no such package"}
    clone.tell("ErrorLogged", error)
    assert package(clone, "WP99") is None
    before = package(clone).last_event
    clone.tell("ErrorLogged", error | {"wp_id": "WP01"})
    assert package(clone).last_event == before


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    ("members", "payload"),
    [
        ({"feature_slug": None}, {"feature_slug": SLUG, "wp_id": "WP01", "new_status": "doing"}),
        ({"project_uuid": None}, {"wp_id": "WP01", "new_status": "doing"}),
        ({"aggregate_id": "WP01"}, {"new_status": "doing", "unheard_of": [1e300]}),
        ({}, {"wp_id": "WP01", "old_status": ["odd"], "new_status": "doing"}),
    ],
)
def test_events_of_other_programs_are_read_as_they_are(members, payload):
    clone = planned()
    event = work_event("WPStatusChanged", payload, clock=9, **members)
    board = fold([*clone.events, event])
    assert board.package(SLUG, "WP01").lane == "doing"


@pytest.mark.parametrize(
    ("event_type", "payload"),
    [
        ("WPStatusChanged", {"wp_id": "WP01"}),
        ("WPStatusChanged", {"new_status": "done"}),
        ("WPStatusChanged", {"wp_id": "WP01", "new_status": 7}),
        ("WPAssigned", {"wp_id": "WP01"}),
        ("WPCreated", {"title": "x"}),
        ("HistoryAdded", {"wp_id": "WP01"}),
        ("DependencyResolved", {"wp_id": "WP01"}),
        ("WorkspaceCreated", {"work_package_id": "WP01"}),
        ("WPReviewed", {"wp_id": "WP01", "commit": "--output=x", "base": "a" * 40}),
        ("WPReviewed", {"wp_id": "WP01", "commit": "a" * 40, "base": "HEAD"}),
        ("WPLanded", {"wp_id": "WP01"}),
        ("SubtaskCompleted", {"subtask_index": "T001"}),
        ("GateCreated", {"gate_id": GATE}),
        ("GateResultChanged", {"gate_id": GATE}),
    ],
)
def test_what_says_nothing_usable_is_passed_over(event_type, payload):
    clone = planned()
    before = as_json(fold(clone.events))
    event = work_event(event_type, payload, clock=9, aggregate_type="Other", aggregate_id="x-1")
    board = fold([*clone.events, event])
    assert as_json(board) == before


def test_move_to_review_without_what_was_handed_in_leaves_nothing_of_an_earlier_one():
    clone = planned()
    clone.move("WP01", "doing", "for_review")
    clone.tell("WPReviewed", {"wp_id": "WP01", "commit": "a" * 40, "base": "b" * 40})
    clone.move("WP01", "for_review", "doing")
    assert fold(clone.events).package(SLUG, "WP01").reviewed is not None
    clone.move("WP01", "doing", "for_review")  # and the disk is full, or the program killed
    assert fold(clone.events).package(SLUG, "WP01").reviewed is None


def test_code_that_landed_counts_until_its_package_leaves_done_and_names_no_option_of_git():
    clone = planned()
    commit, base, patch = (letter * 40 for letter in "abc")
    clone.move("WP01", "doing", "for_review")
    code = {"commit": commit, "base": base, "patch": patch, "patches": [patch, "--all"]}
    clone.tell("WPReviewed", {"wp_id": "WP01", **code})
    clone.move("WP01", "for_review", "done")
    clone.tell("WPLanded", {"wp_id": "WP01", "how": "patch", "commit": "--output=x"})
    package = fold(clone.events).package(SLUG, "WP01")
    assert package.reviewed == Reviewed(commit, base, patch, (patch,))
    assert package.landed == Landed("patch", None)
    clone.move("WP01", "done", "rejected")
    assert fold(clone.events).package(SLUG, "WP01").landed is None
    clone.move("WP01", "rejected", "planned")
    assert fold(clone.events).package(SLUG, "WP01").reviewed is None


@pytest.mark.promise("L7")
def test_history_of_a_tool_that_records_no_causes_is_read_in_its_order():
    way = ("planned", "doing", "for_review", "doing", "for_review", "done")
    events = []
    for number, (previous, new) in enumerate(pairwise(way)):
        told = {
            "event_id": f"x{number}",
            "event_type": "WPStatusChanged",
            "timestamp": f"2026-11-20T07:0{number}:00Z",
            "feature_slug": SLUG,
            "entity_id": "WP01",
            "actor": "ada",
            "payload": {"wp_id": "WP01", "previous_status": previous, "new_status": new},
        }
        events.append(parse(json.dumps(told).encode(), WORK))
    board = fold(reversed(events))
    package = board.package(SLUG, "WP01")
    assert (package.lane, package.agent) == ("done", "ada")
    assert board.conflicts == ()


def test_event_without_a_feature_is_passed_over():
    event = work_event("WPStatusChanged", {"wp_id": "WP01", "new_status": "x"}, feature_slug=None)
    assert fold([event]).features == {}


def test_payload_that_is_no_map_or_holds_numbers_beyond_python_is_read_leniently():
    for payload in ("7", '{"wp_id":"WP01","new_status":"doing","x":1e999}'):
        line = (
            f'{{"event_id":"x{len(payload)}","event_type":"WPStatusChanged",'
            f'"feature_slug":"{SLUG}","entity_id":"WP01","payload":{payload}}}'
        )
        board = fold([parse(line.encode(), WORK)])
        assert len(board.features[SLUG].packages) == (payload != "7")


def test_gate_result_that_comes_before_its_gate_counts():
    gate = {"work_package_id": "WP01", "gate_type": "CI_CHECK", "gate_id": GATE}
    result = {"gate_id": GATE, "old_status": "pending", "new_status": "failed"}
    events = [
        work_event("GateResultChanged", result, clock=1),
        work_event("GateCreated", gate, clock=2, node="b"),
    ]
    assert fold(events).package(SLUG, "WP01").gates[GATE].status == "failed"
