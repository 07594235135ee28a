"""What stands against a package while it is judged keeps it out of the target, and is not lost."""

import json

import pytest
from tests.cli.work.orchestra import APPROVE, DO, SLUG, orchestrate
from tests.cli.work.three_packages import done
from tests.git.repositories import git

from thence.work.orchestrate import orchestrator
from thence.work.orchestrate.orchestrator import Orchestrator
from thence.work.project.configuration import read_setup
from thence.work.project.project import find_project

ONCE = '[ -e "$0" ] || { touch "$0"; echo more >> WP01.txt; }'
AGAIN = [["run", "grep", "-q", "more", "WP01.txt"], ["commit", "Keep what was left"]]


@pytest.mark.promise("L14")
def test_what_a_gate_leaves_goes_with_its_checkout_and_changes_no_package(make):
    project = make({"WP01": []})
    marker = project.folder.parent / "marker"
    gate = {"type": "CI_CHECK", "command": ["sh", "-c", ONCE, str(marker)]}
    project.setup(gates=[gate])
    orchestrate(project).done()
    assert marker.exists()
    assert not project.events("WPStatusChanged", previous_status="for_review", new_status="doing")
    assert project.lanes() == {"WP01": "done"}
    assert (project.folder / "WP01.txt").read_text() == "done\n"
    assert git(project.folder / ".worktrees" / f"{SLUG}-WP01", "status", "--porcelain") == ""


@pytest.mark.promise("L14")
def test_package_whose_reviewer_leaves_changes_goes_back_and_they_are_kept(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",))
    leaving = [["append", "WP01.txt", "more\n"], *APPROVE]
    project.tell(WP01=[DO, AGAIN], WP01__review=[leaving, APPROVE])
    orchestrate(project).done()
    (back,) = project.events("WPStatusChanged", previous_status="for_review", new_status="doing")
    assert "changes that are not committed" in back["payload"]["reason"]
    assert (project.folder / "WP01.txt").read_text() == "done\nmore\n"


@pytest.mark.promise("L9")
def test_package_with_a_gate_that_a_person_has_not_passed_is_not_merged(make):
    project = make({"WP01": []})
    done(project.folder, "move-task", "WP01", "--gate", "MANUAL_REVIEW=pending", "--feature", SLUG)
    ended = orchestrate(project, "--json")
    assert ended.code == 1
    (left,) = json.loads(ended.lines[-1])["stranded"]
    assert "MANUAL_REVIEW (pending)" in left["reason"]
    assert project.lanes() == {"WP01": "for_review"}
    assert not git(project.folder, "ls-files", "WP01.txt")
    done(project.folder, "move-task", "WP01", "--gate", "MANUAL_REVIEW=passed", "--feature", SLUG)
    assert orchestrate(project).code == 0
    assert git(project.folder, "ls-files", "WP01.txt") == "WP01.txt"


@pytest.mark.promise("L9")
def test_package_that_a_person_lets_pass_goes_on_while_others_are_at_work(make, monkeypatch):
    monkeypatch.setattr(orchestrator, "REFUSED_MAX", 0)  # nothing is tried again by itself
    project = make({"WP01": [], "WP02": []}, slots=2)
    go, notes, passed = project.folder.parent / "go", [], []
    project.tell(WP02=[[["wait_for", str(go)], *DO]])
    gate = ("move-task", "WP01", "--feature", SLUG, "--gate")
    done(project.folder, *gate, "MANUAL_REVIEW=pending")

    def turn(running):
        if not passed and any(note.kind == "waiting" for note in notes):
            passed.append(done(project.folder, *gate, "MANUAL_REVIEW=passed"))
        if running.shared.feature.packages["WP01"].lane == "done":
            go.touch()

    setup = read_setup(find_project(project.folder))
    run = Orchestrator(project.folder, SLUG, setup, notes.append, turn, lambda: False)
    assert not run.run().stranded
    (waiting,) = [note for note in notes if note.kind == "waiting"]
    assert "MANUAL_REVIEW (pending)" in waiting.text
