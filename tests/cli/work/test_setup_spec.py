"""`thence work setup-spec`: the project at first use, the feature, and a tasks.md with its form."""

import pytest
from tests.cli.work.projects import FOLDER, done, planned, project, refused
from tests.git.repositories import commit, content, git, make_repository

from thence.work.plan.tasks import packages_of

OWN = {".kittify/.gitattributes", ".kittify/.gitignore", ".kittify/config.yaml", "AGENTS.md"}
SPEC = {f"{FOLDER}/{name}" for name in ("spec.md", "plan.md", "tasks.md", "meta.json")}


def committed(repo):
    """Return the files of the last commit."""
    return set(git(repo, "show", "--format=", "--name-only").splitlines())


def test_first_feature_makes_the_project_and_the_next_leaves_it_as_it_is(tmp_path):
    repo = make_repository(tmp_path / "r")
    done(repo, "setup-spec", "Sync")
    assert committed(repo) == OWN | SPEC
    commit(repo, {"AGENTS.md": "Ours alone.\n"})
    done(repo, "create-feature", "Another")
    assert not committed(repo) & OWN
    assert content(repo, "AGENTS.md") == b"Ours alone.\n"
    assert done(repo, "setup-spec", "--json").json["commit"], "asked for without a feature, it is"
    assert b"thence work implement" in (content(repo, "AGENTS.md") or b"")


def test_repository_without_a_commit_gets_project_and_feature_in_its_first(tmp_path):
    repo = tmp_path / "r"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch", "main")
    git(repo, "config", "user.name", "Ada")
    git(repo, "config", "user.email", "ada@example.org")
    done(repo, "setup-spec", "Sync")
    assert committed(repo) == OWN | SPEC


def test_feature_is_not_begun_where_agents_md_can_not_get_its_section(tmp_path):
    repo = make_repository(tmp_path / "r", {"AGENTS.md": "<!-- thence:begin -->\n"})
    error = refused(repo, "setup-spec", "Sync")
    assert (error["code"], error["message"]) == (
        "planning_error",
        "could not renew the section AGENTS.md:1",
    )


def test_tasks_md_shows_the_form_and_has_no_package_yet(tmp_path):
    repo = planned(tmp_path / "r", None)
    text = (content(repo, f"{FOLDER}/tasks.md") or b"").decode()
    error = refused(repo, "finalize-tasks")
    assert error["cause"] == "no heading begins a work package"
    shown = text.replace("<!--", "").replace("-->", "")
    first, second = packages_of(shown.encode(), "tasks.md")
    assert [box.id for box in first.subtasks] == ["T001", "T002"]
    assert second.dependencies == ("WP01",)


@pytest.mark.promise("P6")
def test_project_without_a_feature_is_made_once(tmp_path):
    repo = project(tmp_path / "r")
    assert committed(repo) == OWN
    told = done(repo, "setup-spec")
    assert "all of it was there already" in told.lines
