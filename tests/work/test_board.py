"""The board is a replay of the log: the same for all who hold the same events."""

import json
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.work.told import PROJECT, SLUG, Clone, planned, work_event

from thence.core.codec import parse
from thence.core.order import heads, totally_ordered
from thence.core.vocabulary import WORK
from thence.merge.fold import digest
from thence.work.board import as_json, fold
from thence.work.state import LANES

GATE = "01J00000000000000000000000"
OTHER_PROJECT = "0190a000-0000-7000-8000-000000000002"


def package(clone, wp_id="WP01"):
    return fold(clone.events).package(SLUG, wp_id)


@pytest.mark.promise("L7")
def test_no_events_are_an_empty_board():
    assert as_json(fold([])) == {"features": []}


@pytest.mark.promise("L7")
def test_board_shows_each_package_in_the_lane_that_it_was_last_moved_to():
    clone = planned(count=6)
    for number, lane in enumerate(LANES, start=1):
        clone.move(f"WP{number:02}", "planned", lane)
    (feature,) = as_json(fold(clone.events))["features"]
    shown = {lane: [each["wp_id"] for each in found] for lane, found in feature["lanes"].items()}
    assert shown == {
        "planned": ["WP01", "WP06"],
        "doing": ["WP02"],
        "for_review": ["WP03"],
        "done": ["WP04"],
        "rejected": ["WP05"],
    }
    assert feature["progress"] == {"done": 1, "total": 6}
    assert feature["conflicts"] == []


def test_feature_holds_what_its_spec_and_its_plan_said():
    clone = planned(WP02=["WP01"])
    board = fold(clone.events)
    feature = board.features[SLUG]
    assert (feature.number, feature.title, feature.mission) == ("028", "Sync", "software")
    assert feature.target_branch == "main"
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
    assert (found.workspace.branch, found.workspace.path) == ("x", ".worktrees/x")
    assert list(found.subtasks) == ["T001", "T002"]
    assert (found.gates[GATE].gate_type, found.gates[GATE].status) == ("CI_CHECK", "pending")
    (entry,) = found.history
    assert (entry.text, entry.author, entry.kind) == ("half-way", "ada", "note")
    assert (found.lane_event, found.last_event) == (claim.event_id, note.event_id)
    assert found.heads == (note.event_id,)
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
    assert (package(clone).agent, package(clone).retry_count) == ("ada", 2)
    review = {"wp_id": "WP01", "agent_id": "eve", "phase": "review", "retry_count": "many"}
    clone.tell("WPAssigned", review)
    found = package(clone)
    assert found.retry_count == 0
    assert (found.agent, found.reviewer, found.phase) == ("ada", "eve", "review")


def test_dependency_need_not_be_waited_for_once_it_is_resolved():
    clone = planned(WP02=["WP01"])
    kind = {"wp_id": "WP02", "dependency_wp_id": "WP01", "resolution_type": "skipped"}
    clone.tell("DependencyResolved", kind)
    assert package(clone, "WP02").resolved == {"WP01": "skipped"}


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
    note = {"wp_id": "WP02", "entry_type": "note", "entry_content": "old", "author": "ada"}
    for _ in range(2):
        clone.tell("HistoryAdded", note, source="kitty", source_id="7")
    feature = fold(clone.events).features[SLUG]
    assert list(feature.packages) == ["WP01", "WP02"]
    found = feature.packages["WP02"]
    assert found.dependencies == ("WP09", "WP01")
    assert list(found.gates) == [GATE, GATE[:-1] + "1"]
    assert list(found.resolved) == ["WP01", "WP09"]
    (entry,) = found.history
    assert (entry.author, entry.text) == ("ada", "old")


def test_number_of_a_feature_is_in_its_slug_where_no_event_says_it():
    event = work_event("FeatureCreated", {"feature_slug": SLUG})
    assert fold([event]).features[SLUG].number == "028"
    bare = work_event("SpecCreated", {"title": "t"}, feature_slug=None, aggregate_id="030-new")
    assert fold([bare]).features["030-new"].title == "t"


@pytest.mark.promise("L2")
def test_lanes_that_nobody_knows_are_kept_and_shown():
    clone = planned()
    clone.move("WP01", "planned", "blocked")
    (feature,) = as_json(fold(clone.events))["features"]
    assert [each["wp_id"] for each in feature["lanes"]["blocked"]] == ["WP01"]
    assert list(feature["lanes"]) == [*LANES, "blocked"]


def test_error_on_a_package_that_is_not_there_makes_none():
    clone = planned()
    error = {"wp_id": "WP99", "error_type": "validation", "error_message": "no such package"}
    clone.tell("ErrorLogged", error)
    assert package(clone, "WP99") is None
    before = package(clone).last_event
    clone.tell("ErrorLogged", error | {"wp_id": "WP01"})
    assert package(clone).last_event == before
    assert package(clone).heads == (clone.events[-1].event_id,)


@pytest.mark.promise("L10")
def test_one_number_in_two_features_and_projects_are_different_packages():
    clone = planned()
    clone.move("WP01", "planned", "doing")
    clone.move("WP01", "planned", "rejected", feature_slug="029-other")
    elsewhere = work_event(
        "WPStatusChanged", {"wp_id": "WP01", "new_status": "done"}, project_uuid=OTHER_PROJECT
    )
    board = fold([*clone.events, elsewhere])
    assert board.project_uuid == PROJECT
    lanes = {key: feature.packages["WP01"].lane for key, feature in board.features.items()}
    other = f"{OTHER_PROJECT}/{SLUG}"
    assert lanes == {SLUG: "doing", "029-other": "rejected", other: "done"}
    assert board.conflicts == ()


def test_events_under_another_id_of_the_project_belong_to_it():
    clone = planned()
    claim = {"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"}
    theirs = work_event("WPStatusChanged", claim, project_uuid=OTHER_PROJECT, clock=9, node="b")
    board = fold([*clone.events, theirs], PROJECT, [OTHER_PROJECT])
    assert list(board.features) == [SLUG]
    assert board.package(SLUG, "WP01").lane == "doing"
    assert fold([theirs, *clone.events], aliases=[PROJECT]).project_uuid == OTHER_PROJECT
    ours = work_event("WPStatusChanged", claim, clock=9)
    (conflict,) = fold([*clone.events, theirs, ours], PROJECT, [OTHER_PROJECT]).conflicts
    assert set(conflict.events) == {ours, theirs}


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
    assert board.passed_over == ()


@pytest.mark.parametrize(
    ("event_type", "payload", "reason"),
    [
        ("WPStatusChanged", {"wp_id": "WP01"}, "lane"),
        ("WPStatusChanged", {"new_status": "done"}, "package"),
        ("WPStatusChanged", {"wp_id": "WP01", "new_status": 7}, "lane"),
        ("WPAssigned", {"wp_id": "WP01"}, "agent"),
        ("WPCreated", {"title": "x"}, "package"),
        ("HistoryAdded", {"wp_id": "WP01"}, "says nothing"),
        ("DependencyResolved", {"wp_id": "WP01"}, "dependency"),
        ("WorkspaceCreated", {"work_package_id": "WP01"}, "branch"),
        ("SubtaskCompleted", {"subtask_index": "T001"}, "package"),
        ("GateCreated", {"gate_id": GATE}, "package"),
        ("GateResultChanged", {"gate_id": GATE}, "result"),
    ],
)
def test_what_says_nothing_usable_is_passed_over_and_told(event_type, payload, reason):
    clone = planned()
    before = as_json(fold(clone.events))
    event = work_event(event_type, payload, clock=9, aggregate_type="Other", aggregate_id="x-1")
    board = fold([*clone.events, event])
    (passed,) = board.passed_over
    assert (passed.event_id, passed.event_type) == (event.event_id, event_type)
    assert reason in passed.reason
    assert as_json(board) == before


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
    assert (package.lane, package.agent, package.heads) == ("done", "ada", ("x4",))
    assert board.conflicts == ()


def test_event_without_a_feature_is_passed_over():
    event = work_event("WPStatusChanged", {"wp_id": "WP01", "new_status": "x"}, feature_slug=None)
    (passed,) = fold([event]).passed_over
    assert "feature" in passed.reason


def test_payload_that_is_no_map_or_holds_numbers_beyond_python_is_read_leniently():
    for payload in ("7", '{"wp_id":"WP01","new_status":"doing","x":1e999}'):
        line = (
            f'{{"event_id":"x{len(payload)}","event_type":"WPStatusChanged",'
            f'"feature_slug":"{SLUG}","entity_id":"WP01","payload":{payload}}}'
        )
        board = fold([parse(line.encode(), WORK)])
        assert len(board.passed_over) == (payload == "7")


def test_gate_result_that_comes_before_its_gate_counts():
    gate = {"work_package_id": "WP01", "gate_type": "CI_CHECK", "gate_id": GATE}
    result = {"gate_id": GATE, "old_status": "pending", "new_status": "failed"}
    events = [
        work_event("GateResultChanged", result, clock=1),
        work_event("GateCreated", gate, clock=2, node="b"),
    ]
    assert fold(events).package(SLUG, "WP01").gates[GATE].status == "failed"


@pytest.mark.promise("L14")
@pytest.mark.promise("L10")
def test_double_claim_between_clones_is_a_conflict_that_both_see_and_the_next_move_ends():
    ada = planned("a")
    bob = Clone("b", ada.events)
    first = ada.move("WP01", "planned", "doing", actor="ada")
    second = bob.move("WP01", "planned", "doing", actor="bob")
    ada.take_in(bob)
    bob.take_in(ada)
    assert digest(as_json(fold(ada.events))) == digest(as_json(fold(bob.events)))
    (conflict,) = as_json(fold(ada.events))["features"][0]["conflicts"]
    assert conflict == {
        "subject": f"{PROJECT}/{SLUG}/WP01",
        "events": [first.event_id, second.event_id],
        "rule": "last_writer",
        "winner": second.event_id,
        "provisional": False,
    }
    assert package(ada).agent == "bob"
    ada.move("WP01", "doing", "for_review", actor="bob")
    board = fold(ada.events)
    assert as_json(board)["features"][0]["conflicts"] == []
    assert len(board.conflicts) == 1
    assert board.open_conflicts(f"{PROJECT}/{SLUG}/WP01") == ()


def test_lane_and_agent_come_from_the_side_that_won():
    ada = planned("a")
    bob = Clone("b", ada.events)
    ada.move("WP01", "planned", "doing", actor="ada")
    bob.move("WP01", "planned", "doing", actor="bob")
    ada.move("WP01", "doing", "for_review", actor="ada")
    ada.take_in(bob)
    assert (package(ada).lane, package(ada).agent) == ("for_review", "ada")


@pytest.mark.promise("L10")
def test_conflict_is_shown_with_its_own_feature():
    claim = {"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"}
    elsewhere = {"feature_slug": "029-other"}
    events = [work_event("WPStatusChanged", claim, node=node, **elsewhere) for node in "ab"]
    # another program names the feature in the payload alone
    events.append(work_event("WPStatusChanged", claim | {"feature_slug": SLUG}, feature_slug=None))
    shown = {each["feature_slug"]: each for each in as_json(fold(events))["features"]}
    assert (len(shown["029-other"]["conflicts"]), shown[SLUG]["conflicts"]) == (1, [])
    (conflict,) = shown["029-other"]["conflicts"]
    assert conflict["events"] == [event.event_id for event in events[:2]]
    third = work_event("WPStatusChanged", claim | elsewhere, feature_slug=None, node="c")
    (conflict,) = fold([*events, third]).conflicts
    assert len(conflict.events) == 3


@pytest.mark.promise("L10")
def test_send_back_beats_a_concurrent_done_on_the_board():
    ada = planned("a")
    ada.move("WP01", "planned", "doing", actor="ada")
    ada.move("WP01", "doing", "for_review", actor="ada")
    bob = Clone("b", ada.events)
    ada.move("WP01", "for_review", "doing", reason="no tests")
    bob.move("WP01", "for_review", "done")
    ada.take_in(bob)
    (conflict,) = fold(ada.events).open_conflicts(f"{PROJECT}/{SLUG}/WP01")
    assert conflict.rule == "send_back_beats_done"
    assert package(ada).lane == "doing"


moves = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["WP01", "WP02"]),
    st.sampled_from(LANES),
    st.sampled_from(LANES),
    st.booleans(),
)


@pytest.mark.promise("L11")
@given(st.lists(moves, max_size=12), st.randoms(use_true_random=False))
def test_clones_that_hold_the_same_events_see_the_same_board(written, chance):
    start = planned().events
    clones = {node: Clone(node, start) for node in "abc"}
    for node, wp_id, previous, new, is_merged in written:
        clones[node].move(wp_id, previous, new, actor=node)
        if is_merged:
            clones[node].take_in(clones["abc"[("abc".index(node) + 1) % 3]])
    whole = Clone()
    for clone in clones.values():
        whole.take_in(clone)
    expected = fold(whole.events)
    for _ in range(3):
        chance.shuffle(whole.events)
        found = fold([*whole.events, *whole.events[:4]])
        assert found == expected
        assert digest(found) == digest(expected)
        assert json.dumps(as_json(found)) == json.dumps(as_json(expected))
    for wp_id in ("WP01", "WP02"):
        subject = f"{PROJECT}/{SLUG}/{wp_id}"
        latest = [event.event_id for event in heads(subject, whole.events)]
        assert list(expected.package(SLUG, wp_id).heads) == latest


def long_project(count, packages=100):
    """Make the events of packages that go round and round, noted and ticked on the way."""
    chance = random.Random(3)
    names = [f"WP{number:02}" for number in range(packages)]
    events, last, lanes = [], {}, dict.fromkeys(names, "planned")
    following = {"planned": "doing", "doing": "for_review", "for_review": "doing"}
    for clock in range(1, count + 1):
        wp_id = chance.choice(names)
        kind = chance.choice(["WPStatusChanged", "WPStatusChanged", "HistoryAdded", "ErrorLogged"])
        new = following[lanes[wp_id]]
        payload = {
            "WPStatusChanged": {"previous_status": lanes[wp_id], "new_status": new},
            "HistoryAdded": {"entry_type": "note", "entry_content": "half-way"},
            "ErrorLogged": {"error_type": "validation", "error_message": "not yet"},
        }[kind]
        if kind == "WPStatusChanged":
            lanes[wp_id] = new
        causes = [last[wp_id]] if wp_id in last else []
        event = work_event(
            kind, {"wp_id": wp_id, **payload}, node=chance.choice("ab"), clock=clock, causes=causes
        )
        last[wp_id] = event.event_id
        events.append(event)
    return events


@pytest.mark.promise("L13")
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_board_costs_a_few_times_what_the_order_of_its_events_costs(count):
    events = long_project(count)
    ordering, folding = [], []
    for _ in range(5):
        start = time.process_time()
        totally_ordered(events)
        ordered = time.process_time()
        board = fold(events)
        folding.append(time.process_time() - ordered)
        ordering.append(ordered - start)
    assert len(board.features[SLUG].packages) == 100
    assert min(folding) < 20 * min(ordering)
