"""`work implement` without a package: each that is ready is taken by exactly one of all who ask."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cli.work.projects import FOLDER, TASKS, done, finalized_project, refused, work
from tests.git.repositories import git, make_repository
from tests.work.existing_projects import existing

READY = 10
AT_ONCE = 16


@pytest.mark.promise("L14")
def test_each_package_is_taken_exactly_once_and_the_rest_get_exit_code_4(tmp_path):
    tasks = "\n".join(f"## Work Package WP{n:02}: No {n}\n" for n in range(1, READY + 1))
    repo = finalized_project(tmp_path / "r", tasks)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(
            pool.map(
                lambda number: work(repo, "implement", "--actor", f"agent-{number}", "--json"),
                range(AT_ONCE),
            )
        )
    codes = sorted(each.code for each in ended)
    assert codes == [0] * READY + [4] * (AT_ONCE - READY), [each.err for each in ended]
    packages = [each.json for each in ended if each.code == 0]
    assert all(each.json["wp_id"] is None for each in ended if each.code == 4)
    (feature,) = done(repo, "status", "--json").json["features"]
    held = {each["wp_id"]: each["agent"] for each in feature["lanes"]["doing"]}
    assert {each["wp_id"]: each["agent"] for each in packages} == held
    assert len(held) == READY
    assert feature["conflicts"] == []


def test_packages_come_in_order_and_only_when_they_can_be_begun(repo):
    assert done(repo, "implement").lines[0] == "WP01 of 001-sync is in doing, by Ada: First"
    ended = work(repo, "implement")
    assert (ended.code, ended.err) == (4, "")
    assert ended.lines == [
        "nothing is ready",
        "WP01 of 001-sync waits: it is in doing, with Ada",
        "WP02 of 001-sync waits: WP02 needs what is not in review yet: WP01 (doing)",
        "next: thence work status",
    ]


def test_features_that_were_never_brought_in_are_told(tmp_path):
    repo = existing(tmp_path / "r")
    ended = work(repo, "implement")
    assert ended.code == 4
    assert ended.lines[-2:] == ["not in the log yet: 028-sync", "next: thence work finalize-tasks"]
    done(repo, "finalize-tasks")
    assert done(repo, "implement", "--json").json["wp_id"] == "WP03"


@pytest.fixture
def planned_elsewhere(tmp_path):
    """A project whose feature goes to main, and was planned on another branch."""
    repo = make_repository(tmp_path / "r")
    git(repo, "switch", "--quiet", "--create", "plan")
    done(repo, "setup-spec", "Sync", "--target-branch", "main")
    (repo / FOLDER / "tasks.md").write_text(TASKS)
    assert done(repo, "finalize-tasks").lines[-1] == "next: thence work status"
    return repo


@pytest.mark.promise("L8")
def test_no_package_begins_without_its_task_whoever_asks(planned_elsewhere):
    repo, why = planned_elsewhere, "its planning files are not on main, where its packages begin"
    ended = work(repo, "implement", "--json")
    assert (ended.code, ended.json["ok"], ended.json["wp_id"]) == (4, False, None)
    assert ended.json["waiting"][0]["why"].startswith(f"{why}; commit {FOLDER} there")
    error = refused(repo, "implement", "WP01", code=1)
    assert (error["guard"], error["cause"]) == ("not_at_target", why)
    git(repo, "branch", "--force", "main", "plan")
    taken = done(repo, "implement", "--json").json
    assert (Path(taken["worktree"]) / FOLDER / "tasks.md").is_file()


@pytest.mark.promise("L8")
def test_own_package_without_a_worktree_begins_by_the_same_guard(planned_elsewhere):
    done(planned_elsewhere, "move-task", "WP01", "--to", "doing")
    assert refused(planned_elsewhere, "implement", "WP01", code=1)["guard"] == "not_at_target"
    taken_over = ("implement", "WP01", "--take-over", "--actor", "bob")
    assert refused(planned_elsewhere, *taken_over, code=1)["guard"] == "not_at_target"


def test_repository_that_is_no_project_is_told_how_to_begin(tmp_path):
    ended = work(make_repository(tmp_path / "r"), "implement")
    assert (ended.code, ended.lines[-1]) == (4, "next: thence work setup-spec TITLE")
