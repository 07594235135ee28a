"""What the log tells of an orchestration is all that the next orchestrator needs."""

import pytest
from tests.git.repositories import make_repository

from thence.work import EventStore, WorkEvent
from thence.work.board.remarks import TRY_FAILED, attempt_histories, trouble
from thence.work.board.state import PackageState

SLUG = "001-sync"


@pytest.fixture
def store(tmp_path):
    with EventStore.at(make_repository(tmp_path / "sync")) as opened:
        yield opened


def moved(old, new, reason=None):
    payload = {"wp_id": "WP01", "previous_status": old, "new_status": new, "reason": reason}
    return WorkEvent("WPStatusChanged", payload, SLUG)


def assigned(agent, phase="implementation"):
    payload = {"wp_id": "WP01", "agent_id": agent, "phase": phase, "retry_count": 0}
    return WorkEvent("WPAssigned", payload, SLUG)


def failed(agent, words=f"{TRY_FAILED}exit code 3"):
    payload = {"error_type": "runtime", "error_message": words, "wp_id": "WP01", "agent_id": agent}
    return WorkEvent("ErrorLogged", payload, SLUG)


def told(store, *what):
    for each in what:
        store.append(each)
    return attempt_histories(list(store.read()), SLUG).get("WP01")


def test_package_that_was_never_assigned_is_nobody_s_attempt(store):
    assert told(store, moved("planned", "doing")) is None


def test_failed_tries_count_by_agent_and_phase_and_other_errors_do_not(store):
    begin = (moved("planned", "doing"), assigned("coder"))
    found = told(store, *begin, failed("coder"), failed("coder", "move-task: refused"))
    assert [(one.phase, one.agent) for one in found.failed] == [("implementation", "coder")]
    assert found.feedback == "exit code 3"


def test_what_was_sent_back_begins_anew_with_its_reason(store):
    found = told(
        store,
        moved("planned", "doing"),
        assigned("coder"),
        failed("coder"),
        moved("doing", "for_review"),
        assigned("critic", "review"),
        moved("for_review", "doing", "name the files"),
    )
    assert (found.failed, found.feedback) == ([], "name the files")
    found = told(store, assigned("coder"), failed("coder"))
    assert found.feedback == "name the files\nexit code 3"


def test_package_that_was_taken_over_is_nobody_s_attempt(store):
    taken = {"wp_id": "WP01", "agent_id": "ada", "phase": "implementation"}
    told(store, moved("planned", "doing"), assigned("coder"), failed("coder"))
    assert told(store, WorkEvent("WPAssigned", taken, SLUG)) is None


def test_what_is_given_back_begins_anew(store):
    told(store, moved("planned", "doing"), assigned("coder"))
    back = (moved("doing", "for_review"), moved("for_review", "doing", "no"))
    assert told(store, *back, moved("doing", "planned")) is None
    found = told(store, moved("planned", "doing"), assigned("coder"))
    assert (found.failed, found.feedback) == ([], "")


def test_trouble_is_cut_between_words(store):
    why = "the tests of the outbox fail " * 4
    claim = (moved("planned", "doing"), assigned("coder"))
    history = told(store, *claim, failed("coder", TRY_FAILED + why))
    package = PackageState(wp_id="WP01", subject="", lane="doing")
    begin = "the tests of the outbox fail the tests of the outbox fail the tests of the"
    assert trouble(package, history) == f"tries that failed: 1: {begin} …"
