"""An orchestrator can be stopped, resumed and doubled, and refuses what it can't read."""

import json
import os
import shlex
import signal

import pytest
from tests.cli.warm import warm
from tests.cli.work.orchestra import DO, SLUG, WAIT_S, begun, is_alive, orchestrate
from tests.cli.work.three_packages import as_agent, done
from tests.git.repositories import git
from tests.log.committers import until
from tests.tiers import tenth


@pytest.fixture
def heeded():
    """The signals have their usual effect, also where the tests were started by nohup."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    "number", tenth([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], [signal.SIGHUP])
)
@pytest.mark.whole
def test_interrupted_orchestrator_ends_its_agents_and_is_resumed(make, tmp_path, number):
    project = make({"WP01": [], "WP02": []}, slots=2)
    notes = [tmp_path / "WP01.pid", tmp_path / "WP02.pid"]
    hang = [
        ["fork", "child", [["ignore", "SIGTERM"], ["note", str(tmp_path / "{wp}.pid")], ["hang"]]],
        ["hang"],
    ]
    project.tell(ANY=[hang, DO])
    process = begun(project)
    until(lambda: all(note.exists() for note in notes))
    for _ in range(2):  # the second one changes nothing
        os.kill(process.pid, number)
    _, told = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"Traceback" in told) == (130, False), told
    assert not any(is_alive(int(note.read_text())) for note in notes)
    assert project.lanes() == {"WP01": "doing", "WP02": "doing"}
    orchestrate(project).done()
    assert len(project.events("WPStatusChanged", new_status="doing")) == 2
    assert [e["payload"]["retry_count"] for e in project.events("WPAssigned")] == [0] * 4


@pytest.mark.promise("L14")
def test_agent_of_a_killed_orchestrator_keeps_its_package_until_it_ends_or_is_passed_on(
    make, tmp_path
):
    project = make({"WP01": [], "WP02": []}, slots=2)
    pids, go = [tmp_path / "WP01.pid", tmp_path / "WP02.pid"], tmp_path / "go"
    project.tell(ANY=[[["note", str(tmp_path / "{wp}.pid")], ["wait_for", str(go)], *DO], DO])
    process = begun(project)
    until(lambda: all(pid.exists() for pid in pids))
    process.kill()
    process.communicate()
    agents = [int(pid.read_text()) for pid in pids]
    first = f"process {agents[0]}, or one that it started, is working on it"
    shown = warm("work", "status", cwd=project.folder).out
    assert f"WP01  Do WP01  (coder; {first})" in shown
    claims = done(project.folder, "status")["here"]["claims"]
    assert [claim["process"] for claim in claims] == agents
    refused = warm("work", "implement", "WP01", "--actor", "coder", cwd=project.folder)
    assert (refused.code, first in refused.err) == (1, True), refused.err
    own = as_agent(project.folder, "implement", "WP01", "--take-over")
    assert own["guard"] == "moved_meanwhile", "it would work on without a claim"
    done(project.folder, "implement", "WP01", "--actor", "ada", "--take-over")
    assert f"(coder; {first}" not in warm("work", "status", cwd=project.folder).out
    project.setup(slots=2, limits={"timeout": 1})  # nobody waits longer for a claim
    ended = orchestrate(project)
    assert ended.code == 1
    assert f"note       WP02: process {agents[1]}, or one" in ended.err
    assert f"WP02 stays: process {agents[1]}, or one that it started, is working on it" in ended.out
    assert "WP01 stays: is in doing, with ada" in ended.out
    assert all(map(is_alive, agents))
    go.touch()
    project.setup(slots=2)
    assert orchestrate(project).code == 1
    assert project.lanes() == {"WP01": "doing", "WP02": "done"}
    until(lambda: not any(map(is_alive, agents)))


@pytest.mark.promise("L17")
def test_package_that_is_taken_over_from_a_live_orchestrator_is_not_judged_by_it(make, tmp_path):
    project = make({"WP01": []})
    pid, go = tmp_path / "pid", tmp_path / "go"
    project.tell(WP01=[[["note", str(pid)], ["wait_for", str(go)], *DO]])
    process = begun(project)
    until(pid.exists)
    done(project.folder, "implement", "WP01", "--actor", "ada", "--take-over")
    go.touch()
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"ada took it over in the meantime" in err) == (1, True), err
    assert b"WP01 stays: is in doing, with ada" in out
    assert len(project.events("WPStatusChanged", wp_id="WP01")) == 1


@pytest.mark.promise("L17")
def test_package_behind_a_rejected_one_stays_with_the_command_that_begins_it(make):
    project = make({"WP01": [], "WP02": ["WP01"]})
    done(project.folder, "move-task", "WP01", "--to", "rejected", "--feature", SLUG)
    ended = orchestrate(project, "--json")
    assert ended.code == 1
    (stays,) = json.loads(ended.out.splitlines()[-1])["stranded"]
    assert stays["reason"] == "waits for WP01"
    program, *step = shlex.split(stays["next"])
    assert warm(*step, cwd=project.folder).code == 0, (program, step)
    assert project.lanes() == {"WP01": "rejected", "WP02": "doing"}


def test_plan_is_shown_and_nothing_is_done(make):
    packages = {"WP01": [], "WP02": ["WP01"], "WP03": [], "WP04": ["WP02"]}
    project = make(packages, slots=2)
    before = len(project.events())
    ended = orchestrate(project, "--dry-run").done()
    assert ended.out.splitlines() == [
        "WP01 begins: implementation by coder",
        "WP03 begins: implementation by coder",
        "WP02 waits for WP01",
        "WP04 waits for WP02",
    ]
    told = json.loads(orchestrate(project, "--dry-run", "--json").out)
    assert [task["wp_id"] for task in told["begins"]] == ["WP01", "WP03"]
    assert told["waits"] == {"WP02": "waits for WP01", "WP04": "waits for WP02"}
    assert len(project.events()) == before
    assert git(project.folder, "branch", "--list", f"{SLUG}-*") == ""


def test_two_at_once_share_the_work_and_claim_nothing_twice(make):
    packages = {f"WP{number:02}": [] for number in range(1, 9)}
    project = make(packages, slots=2)
    project.tell(ANY=[[["sleep", 0.3], *DO]])
    both = [begun(project), begun(project)]
    for process in both:
        _, told = process.communicate(timeout=WAIT_S)
        assert process.returncode in (0, 2), told  # 2: the other one had completed it before
    assert set(project.lanes().values()) == {"done"}
    for wp_id in packages:
        assert len(project.events("WPAssigned", wp_id=wp_id)) == 1
        assert len(project.events("WPStatusChanged", wp_id=wp_id)) == 3
    assert len(project.events("FeatureCompleted")) == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("", "does not mention orchestrate"),
        ("orchestrate: {agents: {coder: {comand: [x]}}}", "comand"),
        ("orchestrate: [", "config.yaml:"),
    ],
)
def test_configuration_that_can_not_be_used_is_told_with_its_place(make, config, words):
    project = make({"WP01": []})
    path = project.folder / ".kittify/config.yaml"
    path.write_text(path.read_text().partition("orchestrate:")[0] + config + "\n")
    ended = orchestrate(project)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert project.lanes() == {"WP01": "planned"}
