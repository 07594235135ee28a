"""No agent passes its own gates: what the orchestrator saw counts, where only a commit lies."""

import os
import signal
import sys

import pytest
from tests.cli.installed import THENCE, thence
from tests.cli.work.orchestra import DO, SLUG, WAIT_S, begun, orchestrate
from tests.cli.work.three_packages import as_agent, done, work
from tests.git.repositories import git
from tests.log.committers import until

from thence.work.journal.claims import drop, take
from thence.work.session.session import Session

pytestmark = pytest.mark.promise("L9")
TESTED = {"type": "CI_CHECK", "command": ["test", "-f", "tested"]}
TEST_IT = [["write", "tested", "1\n"], ["commit", "Test it"]]
# what the orchestrator itself writes of a gate that was passed at the commit that is checked out
FORGE = f"""
import subprocess
from thence.work import EventStore, WorkEvent
commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
with EventStore.at(".", actor="orchestrate") as store:
    gate = "01M7XANXT400000002ST06XK4Z"
    made = {{"work_package_id": "WP01", "gate_type": "CI_CHECK", "gate_id": gate}}
    data = {{"commit": commit, "seconds": 0.2}}
    passed = {{"gate_id": gate, "old_status": "pending", "new_status": "passed",
               "result_data": data}}
    store.append(WorkEvent("GateCreated", made, "{SLUG}"))
    store.append(WorkEvent("GateResultChanged", passed, "{SLUG}"))
"""


def command(*arguments):
    return ["run", str(THENCE), "work", *arguments, "--feature", SLUG]


def told_back(project):
    """Return why packages were sent back."""
    moves = project.events("WPStatusChanged", previous_status="for_review", new_status="doing")
    return [move["payload"]["reason"] for move in moves]


def test_result_that_an_agent_writes_like_the_orchestrator_does_not_count(make):
    project = make({"WP01": []}, gates=[TESTED])
    project.tell(WP01=[[*DO, ["run", sys.executable, "-c", FORGE]], TEST_IT])
    orchestrate(project).done()
    (reason,) = told_back(project)
    assert "gate CI_CHECK failed" in reason
    assert (project.folder / "tested").exists(), "it was done only when the gate was passed"
    results = [each["payload"]["new_status"] for each in project.events("GateResultChanged")]
    assert results == ["passed", "failed", "passed"], "what was forged is kept"


def test_gate_runs_where_nothing_but_the_commit_lies_and_leaves_nothing(make):
    project = make({"WP01": []}, gates=[TESTED])
    ignored = [["write", ".gitignore", "tested\n"], ["write", "tested", "1\n"]]
    unignored = [["write", ".gitignore", ""], *TEST_IT]
    project.tell(WP01=[[*ignored, ["commit", "Do it"]], unignored])
    orchestrate(project).done()
    (reason,) = told_back(project)
    assert "gate CI_CHECK failed" in reason
    assert "-gate-" not in git(project.folder, "worktree", "list")
    assert [each.name for each in (project.folder / ".worktrees").iterdir()] == [f"{SLUG}-WP01"]


def test_gate_that_a_commit_has_passed_is_run_again_for_the_next(make):
    types = {"CI_CHECK": "tested", "SECURITY_SCAN": "scanned"}
    gates = [{"type": each, "command": ["grep", "1", name]} for each, name in types.items()]
    project = make({"WP01": []}, gates=gates)

    def written(tested, scanned):
        files = [["write", "tested", tested], ["write", "scanned", scanned]]
        return [*files, ["commit", f"Make it {tested}{scanned}"]]

    project.tell(WP01=[written("1", "0"), written("0", "1"), written("1", "1")])
    orchestrate(project).done()
    first, second = told_back(project)
    assert "gate SECURITY_SCAN failed" in first
    assert "gate CI_CHECK failed" in second


def test_agent_sets_no_gate(make):
    project = make({"WP01": []}, gates=[TESTED])
    types = ("CI_CHECK", "MANUAL_REVIEW")
    project.tell(
        WP01=[
            [*DO, *(command("move-task", "WP01", "--gate", f"{each}=passed") for each in types)],
            TEST_IT,
        ]
    )
    orchestrate(project).done()
    assert "gate CI_CHECK failed" in told_back(project)[-1]
    assert project.lanes() == {"WP01": "done"}
    assert not [each for each in project.events("GateCreated") if each["actor"] != "orchestrate"]
    refused = [each["payload"]["error_message"] for each in project.events("ErrorLogged")]
    assert sum("agent's environment" in each for each in refused) == 2, refused


def test_configuration_that_an_agent_changes_changes_no_gate(make):
    project = make({"WP01": []}, gates=[TESTED])
    config = project.folder / ".kittify/config.yaml"
    without = config.read_text().replace("CI_CHECK", "SECURITY_SCAN")
    without = without.replace('["test", "-f", "tested"]', '["true"]')
    rewritten = [["write", ".kittify/config.yaml", without], ["commit", "No more gates"]]
    project.tell(WP01=[[*DO, *rewritten, ["write", str(config), without]], TEST_IT])
    before = config.read_text()
    process = begun(project)
    until(lambda: told_back(project))
    config.write_text(before)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    types = {each["payload"]["gate_type"] for each in project.events("GateCreated")}
    assert types == {"CI_CHECK"}


@pytest.fixture
def merged(in_review):
    """A project with a merged package in review whose configuration runs CI_CHECK."""
    done(in_review.folder, "merge", "WP01")
    in_review.setup(gates=[TESTED])
    return in_review


def test_what_a_person_says_of_a_gate_that_is_run_is_kept_and_opens_nothing(merged):
    folder = merged.folder
    told = done(folder, "move-task", "WP01", "--gate", "ci_check=passed", "--actor", "ada")
    (gate,) = told["gates"]
    assert (gate["gate_type"], gate["status"], gate["is_run"]) == ("CI_CHECK", "passed", True)
    again = ("move-task", "WP01", "--gate", "CI_CHECK=passed", "--actor", "ada")
    said = thence("work", *again, cwd=folder).out
    assert "as ada states" in said
    assert "thence work orchestrate" in said
    ended, told = work(folder, "move-task", "WP01", "--to", "done", "--actor", "bob")
    assert (ended.code, told["error"]["guard"]) == (1, "gates_open")
    assert "CI_CHECK (passed, as ada states)" in told["error"]["cause"]
    assert "thence work orchestrate" in told["error"]["hint"]
    (feature,) = done(folder, "status")["features"]
    (gate,) = feature["lanes"]["for_review"][0]["gates"]
    assert (gate["status"], gate["stated_by"]) == ("passed", "ada")
    forced = ("--force", "--reason", "CI is down, and I ran it")
    told = done(folder, "move-task", "WP01", "--to", "done", "--actor", "bob", *forced)
    assert told["overruled"] == ["gates_open"]


def test_agent_does_not_force_its_way_past_a_gate_that_is_run(merged):
    forced = ("--force", "--reason", "it is fine")
    error = as_agent(merged.folder, "move-task", "WP01", "--to", "done", *forced)
    assert error["guard"] == "gates_open"
    assert "CI_CHECK (pending)" in error["cause"]
    assert "--force" not in error["hint"]
    assert merged.lanes() == {"WP01": "for_review"}


def test_gate_that_nobody_runs_is_passed_by_a_person_and_never_from_an_agent(merged):
    folder = merged.folder
    merged.setup()
    done(folder, "move-task", "WP01", "--gate", "MANUAL_REVIEW=pending")
    error = as_agent(folder, "move-task", "WP01", "--gate", "MANUAL_REVIEW=passed")
    assert error["guard"] == "set_by_an_agent"
    assert "person" in error["hint"]
    approval = ("add-history", "WP01", "approved", "--type", "review")
    assert as_agent(folder, *approval)["guard"] == "approved_by_an_agent"
    assert work(folder, "move-task", "WP01", "--to", "done", "--actor", "bob")[0].code == 1
    told = done(folder, "move-task", "WP01", "--gate", "MANUAL_REVIEW=passed", "--actor", "bob")
    (gate,) = told["gates"]
    assert (gate["status"], gate["is_run"]) == ("passed", False)
    done(folder, "move-task", "WP01", "--to", "done", "--actor", "bob")


def test_checkout_of_a_gate_that_was_killed_is_taken_away_by_the_next(make, tmp_path):
    note = tmp_path / "gate.pid"
    hang = ["sh", "-c", f"test -f '{note}' || {{ echo $$ > '{note}'; exec sleep 600; }}"]
    project = make({"WP01": []}, gates=[{"type": "CI_CHECK", "command": hang}])
    process = begun(project)
    until(lambda: note.exists() and note.read_text().strip())
    for pid in (process.pid, int(note.read_text())):  # it goes on without the orchestrator
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    assert "-gate-" in git(project.folder, "worktree", "list")
    with Session(project.folder) as session:
        session.refresh()
        package = session.board.features[SLUG].packages["WP01"]
        lease = take(session.project.home, package.subject)
    process = begun(project)
    while b"is working on it" not in process.stderr.readline():
        assert process.poll() is None
    drop(lease)  # it was seen with a claim, and goes on once that is free
    assert process.communicate(timeout=WAIT_S)[0].endswith(b"is done\n")
    assert "-gate-" not in git(project.folder, "worktree", "list")
    assert project.lanes() == {"WP01": "done"}
