"""An orchestrator can be stopped, resumed and doubled, and refuses what it can't read."""

import json
import os
import shlex
import signal

import pytest
from tests.cli.warm import warm
from tests.cli.work.orchestra import DO, SLUG, WAIT_S, begun, is_alive, orchestrate
from tests.git.repositories import git
from tests.log.committers import until
from tests.work.boards import done


def test_interrupted_orchestrator_ends_its_agents_and_is_resumed(make, tmp_path):
    project = make({"WP01": [], "WP02": []}, slots=2)
    notes = [tmp_path / "WP01.pid", tmp_path / "WP02.pid"]
    hang = [
        ["fork", "child", [["ignore", "SIGTERM"], ["note", str(tmp_path / "{wp}.pid")], ["hang"]]],
        ["hang"],
    ]
    project.tell(ANY=[hang, DO])
    process = begun(project)
    until(lambda: all(note.exists() for note in notes))
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"Traceback" in told) == (130, False), told
    assert not any(is_alive(int(note.read_text())) for note in notes)
    assert project.lanes() == {"WP01": "doing", "WP02": "doing"}
    assert len(project.events("HistoryAdded", entry_type="comment")) == 2
    ended = orchestrate(project)
    assert ended.code == 0, ended.err
    assert len(project.events("WPStatusChanged", new_status="doing")) == 2
    assert [e["payload"]["retry_count"] for e in project.events("WPAssigned")] == [0] * 4


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
    ended = orchestrate(project, "--dry-run")
    assert ended.code == 0, ended.err
    assert "wave 1: WP01 implementation by coder, WP03 implementation by coder" in ended.out
    assert "critical path: WP01 -> WP02 -> WP04" in ended.out
    told = json.loads(orchestrate(project, "--dry-run", "--json").out)
    assert told["critical_path"] == ["WP01", "WP02", "WP04"]
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
        ("", "says nothing of orchestrate"),
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


@pytest.mark.parametrize("given", [("--feature", ""), ("--feature", "nothing"), ("WP01",)])
def test_what_can_not_be_meant_is_told_and_nothing_is_done(make, given):
    project = make({"WP01": []})
    ended = orchestrate(project, *given)
    assert ended.code in (1, 2)
    assert ended.out == ""
    assert "next:" in ended.err or "Try" in ended.err or "Usage" in ended.err, ended.err
    assert project.lanes() == {"WP01": "planned"}
