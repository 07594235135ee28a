"""Each guard says no to what it is there for, by its code, and lets the rest pass."""

import pytest
from tests.work.project_events import SLUG, planned

from thence.work.board.board import fold
from thence.work.board.move_request import MATRIX, GuardFailure, Move, MoveContext
from thence.work.board.state import LANES
from thence.work.board.transitions import move

GATE = "01J00000000000000000000000"
WAYS = {
    "planned": (),
    "doing": ("doing",),
    "for_review": ("doing", "for_review"),
    "done": ("doing", "for_review", "done"),
    "rejected": ("rejected",),
}


def project_in(lane, actor="ada", **dependencies):
    """Make a project whose WP01 is in a lane."""
    clone = planned(**dependencies)
    before = "planned"
    for after in WAYS[lane]:
        clone.move("WP01", before, after, actor=actor)
        before = after
    return clone


def tried(clone, to, wp_id="WP01", **context):
    """Try to move a package; by ada, with a reason, unless told otherwise."""
    return move(
        fold(clone.events),
        SLUG,
        wp_id,
        to,
        MoveContext(**{"actor": "ada", "reason": "so", **context}),
    )


def refused(clone, to, wp_id="WP01", **context):
    """Say by which guard the package is kept where it is, None where it may go."""
    found = tried(clone, to, wp_id, **context)
    return found.guard if isinstance(found, GuardFailure) else None


@pytest.mark.promise("L8")
@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("to", LANES)
def test_packages_go_where_the_matrix_leads_and_nowhere_else(lane, to):
    allowed = {
        ("planned", "doing"),
        ("doing", "for_review"),
        ("for_review", "done"),
        ("for_review", "doing"),
        ("for_review", "planned"),
        ("doing", "planned"),
        ("done", "doing"),
        ("rejected", "planned"),
        *((each, "rejected") for each in LANES if each != "rejected"),
    }
    expected = None if (lane, to) in allowed else "not_in_lane"
    assert refused(project_in(lane), to) == expected
    assert (to in MATRIX[lane]) == ((lane, to) in allowed)


@pytest.mark.promise("L8")
def test_refusal_names_where_the_package_is_and_where_it_may_go():
    found = tried(project_in("doing"), "done")
    assert found.message == "WP01 is in doing, with ada, and done comes after for_review"
    assert found.remedy == "from doing it goes to for_review or planned or rejected"
    again = tried(project_in("doing"), "doing")
    assert again.message.startswith("WP01 is already in doing, with ada")
    assert not again.may_be_forced


@pytest.mark.promise("L14")
@pytest.mark.parametrize("is_forced", [False, True])
def test_package_that_moved_since_it_was_looked_at_is_refused_even_by_force(is_forced):
    clone = project_in("doing", actor="bob")
    found = tried(clone, "doing", expected_lane="planned", is_forced=is_forced)
    assert found.guard == "moved_meanwhile"
    assert "from planned to doing, with bob" in found.message
    assert refused(planned(), "doing", expected_lane="planned") is None


@pytest.mark.promise("L8")
def test_work_of_one_agent_is_not_handed_on_by_another():
    clone = project_in("doing", actor="bob")
    assert refused(clone, "for_review") == "not_its_agent"
    assert refused(clone, "for_review", actor="bob") is None
    assert refused(clone, "rejected") is None
    assert refused(clone, "for_review", waived_guards=frozenset(["not_its_agent"])) is None
    assert "--actor bob" not in tried(clone, "for_review").remedy


def test_package_that_was_given_to_an_agent_is_begun_by_no_other():
    clone = planned()
    clone.tell("WPAssigned", {"wp_id": "WP01", "agent_id": "bob", "phase": "implementation"})
    assert refused(clone, "doing") == "not_its_agent"
    assert refused(clone, "doing", actor="bob") is None


def test_review_that_was_given_to_an_agent_is_done_by_no_other():
    clone = project_in("for_review")
    assert refused(clone, "done", actor="eve") is None
    clone.tell("WPAssigned", {"wp_id": "WP01", "agent_id": "rex", "phase": "review"})
    for lane in ("done", "doing", "planned"):
        assert refused(clone, lane, actor="eve") == "not_its_agent"
        assert refused(clone, lane, actor="rex") is None
    assert refused(clone, "rejected", actor="eve") is None
    said = {"wp_id": "WP01", "entry_type": "review", "entry_content": "approved", "author": "rex"}
    approval = clone.tell("HistoryAdded", said)
    for lane in ("done", "doing", "planned"):
        assert refused(clone, lane, actor="eve") is None, "the verdict is given"
    assert approval.event_id in tried(clone, "done", actor="eve").caused_by


@pytest.mark.promise("L8")
@pytest.mark.parametrize("lane", ["planned", "doing", "rejected"])
def test_package_waits_until_what_it_needs_is_in_review(lane):
    clone = project_in(lane, WP02=["WP01"])
    found = tried(clone, "doing", "WP02")
    assert (found.guard, f"WP01 ({lane})" in found.message) == ("dependencies_open", True)
    assert isinstance(tried(clone, "doing", "WP02", is_forced=True), Move)
    for ready in ("for_review", "done"):
        assert refused(project_in(ready, WP02=["WP01"]), "doing", "WP02") is None


@pytest.mark.promise("L8")
@pytest.mark.parametrize("lane", ["planned", "doing", "for_review", "rejected"])
def test_package_is_not_done_before_what_it_needs(lane):
    clone = project_in(lane, WP02=["WP01"])
    clone.move("WP02", "planned", "for_review")
    found = tried(clone, "done", "WP02")
    assert (found.guard, f"not done yet: WP01 ({lane})" in found.message) == (
        "dependencies_open",
        True,
    )
    assert refused(clone, "rejected", "WP02") is None


@pytest.mark.parametrize("how", ["skipped", "merged"])
def test_dependency_that_was_waived_is_not_waited_for(how):
    clone = planned(WP02=["WP01"])
    waived = {"wp_id": "WP02", "dependency_wp_id": "WP01", "resolution_type": how}
    clone.tell("DependencyResolved", waived)
    assert refused(clone, "doing", "WP02") is None


def test_dependency_that_was_done_and_came_back_is_waited_for_again():
    clone = project_in("done", WP02=["WP01"])
    resolved = {"wp_id": "WP02", "dependency_wp_id": "WP01", "resolution_type": "completed"}
    clone.tell("DependencyResolved", resolved)
    assert refused(clone, "doing", "WP02") is None
    clone.move("WP01", "done", "rejected")
    assert refused(clone, "doing", "WP02") == "dependencies_open"


def test_dependency_on_a_package_that_is_nowhere_is_open():
    clone = planned(WP02=["WP09"])
    assert "WP09 (unknown)" in tried(clone, "doing", "WP02").message
    resolved = {"wp_id": "WP02", "dependency_wp_id": "WP09", "resolution_type": "completed"}
    clone.tell("DependencyResolved", resolved)
    assert refused(clone, "doing", "WP02") is None


def test_work_that_is_sent_back_is_not_kept_by_its_dependencies():
    clone = planned(WP01=["WP02"])
    clone.move("WP01", "planned", "for_review")
    assert refused(clone, "doing") is None


@pytest.mark.promise("L8")
def test_package_with_open_subtasks_is_not_ready_for_review():
    clone = project_in("doing")
    found = tried(clone, "for_review", open_subtasks=("T001", "T002"))
    assert (found.guard, "T001, T002" in found.message) == ("subtasks_open", True)
    ticked = {"work_package_id": "WP01", "subtask_index": "T001", "subtask_text": "a"}
    clone.tell("SubtaskCompleted", ticked)
    assert "T001" not in tried(clone, "for_review", open_subtasks=("T001", "T002")).message
    assert refused(clone, "for_review", open_subtasks=("T001",)) is None
    assert refused(clone, "rejected", open_subtasks=("T002",)) is None


@pytest.mark.promise("L8")
@pytest.mark.parametrize(
    ("lane", "to", "expected"),
    [
        ("doing", "for_review", "worktree_dirty"),
        ("for_review", "done", "worktree_dirty"),
        ("for_review", "doing", None),
        ("planned", "doing", None),
    ],
)
def test_dirty_worktree_keeps_work_from_review_and_from_being_done(lane, to, expected):
    clone = project_in(lane)
    assert refused(clone, to, worktree="dirty") == expected
    assert refused(clone, to, worktree="clean") is None


@pytest.mark.promise("L8")
def test_branch_without_a_commit_is_not_ready_for_review():
    clone = project_in("doing")
    assert refused(clone, "for_review", has_commits=False) == "nothing_committed"
    assert refused(clone, "for_review", has_commits=True) is None
    assert refused(clone, "rejected", has_commits=False) is None


@pytest.mark.promise("L8")
@pytest.mark.parametrize("reason", ["", "  \n"])
@pytest.mark.parametrize("is_forced", [False, True])
def test_send_back_and_planning_again_need_a_reason(reason, is_forced):
    for lane, to in (("for_review", "doing"), ("for_review", "planned"), ("rejected", "planned")):
        assert refused(project_in(lane), to, reason=reason, is_forced=is_forced) == (
            "reason_missing"
        )
        assert refused(project_in(lane), to, reason="no tests") is None
    assert refused(project_in("doing"), "for_review", reason="") is None


@pytest.mark.promise("L9")
@pytest.mark.parametrize("status", [None, "pending", "failed", "passed", "odd"])
def test_package_is_done_only_when_every_gate_was_passed(status):
    clone = project_in("for_review")
    gate = {"work_package_id": "WP01", "gate_type": "SECURITY_SCAN"}
    for gate_id, told in ((GATE, "passed"), (GATE[:-1] + "1", status)):
        clone.tell("GateCreated", gate | {"gate_id": gate_id})
        if told:
            result = {"gate_id": gate_id, "old_status": "pending", "new_status": told}
            clone.tell("GateResultChanged", result)
    found = tried(clone, "done")
    if status == "passed":
        assert isinstance(found, Move)
        return
    assert found.guard == "gates_open"
    assert found.message.endswith(f"not passed: SECURITY_SCAN ({status or 'pending'})")
    assert refused(clone, "rejected") is None
