"""Features of existing projects: the files that are read, the board that they give."""

import os

import pytest
from tests.git.repositories import commit, git, make_repository, write
from tests.work.existing_projects import DAY, FIRST, FOLDER, SLUG, existing, moved

from thence.cli.commands.work.looking import status
from thence.cli.commands.work.sharing import import_history
from thence.errors import Refused
from thence.work.plan.planning_files import Planning
from thence.work.plan.spec_kitty import Unread, history_in
from thence.work.project.project import find_project
from thence.work.session.session import Session


def told(repo):
    """Read the feature as a command does."""
    return history_in(Planning(find_project(repo)), SLUG)


def lanes(repo):
    """Return the lane of each package as the board shows it after an import."""
    with Session(repo) as session:
        import_history(session, None)
    with Session(repo) as session:
        (feature,) = status(session, SLUG).data["features"]
    return {each["wp_id"]: lane for lane, held in feature["lanes"].items() for each in held}


def test_lanes_are_those_of_fields_and_of_folders(tmp_path):
    repo = existing(tmp_path / "r")
    assert lanes(repo) == {"WP01": "for_review", "WP02": "doing", "WP03": "planned"}
    assert told(repo).unread == ()


def test_folder_of_a_lane_that_nobody_knows_is_told_and_its_package_read(tmp_path):
    repo = existing(tmp_path / "r", **{f"{FOLDER}/tasks/parked/WP04-x.md": "# x\n"})
    assert lanes(repo)["WP04"] == "planned"
    path = f"{FOLDER}/tasks/parked/WP04-x.md"
    assert told(repo).unread == (Unread(path, 0, "unknown lane 'parked'"),)


def test_what_can_not_be_read_is_told_and_the_rest_is_read(tmp_path):
    repo = existing(tmp_path / "r")
    (repo / FOLDER / "tasks.md").unlink()
    (repo / FOLDER / "tasks.md").mkdir()
    (repo / FOLDER / "tasks" / "WP05-folder.md").mkdir()
    assert lanes(repo) == {"WP01": "for_review", "WP02": "doing"}
    assert told(repo).unread == (
        Unread(f"{FOLDER}/tasks.md", 0, "Is a directory"),
        Unread(f"{FOLDER}/tasks/WP05-folder.md", 0, "Is a directory"),
    )


def test_name_that_is_no_text_is_told_as_text(tmp_path):
    repo = existing(tmp_path / "r")
    path = os.fsencode(repo / FOLDER / "tasks") + b"/WP06-\xff.md"
    with open(path, "wb") as file:
        file.write(b"---\nlane: [\n---\n")
    assert lanes(repo)["WP06"] == "planned"
    assert [each.file for each in told(repo).unread] == [f"{FOLDER}/tasks/WP06-\ufffd.md"]


@pytest.mark.parametrize("here", ["main", "develop", None])
def test_feature_goes_to_the_default_branch_if_its_files_are_there(tmp_path, here):
    repo = existing(tmp_path / "r")
    git(repo, "switch", "--quiet", *(["-C", here] if here else ["--detach"]))
    assert _target(repo) == "main"


def test_feature_goes_to_the_branch_that_alone_has_its_files(tmp_path):
    repo = make_repository(tmp_path / "r")
    git(repo, "switch", "--quiet", "--create", "develop")
    commit(repo, {f"{FOLDER}/tasks/WP01-first.md": FIRST})
    assert _target(repo) == "develop"


def test_feature_goes_where_its_own_file_says(tmp_path):
    repo = existing(tmp_path / "r")
    write(repo, {f"{FOLDER}/meta.json": '{"target_branch": "release"}'})
    assert _target(repo) == "release"


def _target(repo):
    (target,) = (
        each.payload["target_branch"]
        for each in told(repo).events
        if each.event_type == "FeatureCreated"
    )
    return target


@pytest.mark.promise("L7")
def test_feature_that_is_not_in_the_log_is_named_with_what_imports_it(tmp_path):
    repo = existing(tmp_path / "r", **{DAY: moved(1, "planned", "parked") + "\n"})
    with Session(repo, create=False) as session:
        result = status(session, None)
    assert [each["feature_slug"] for each in result.data["features"]] == ["030-log"]
    assert result.data["here"]["not_imported"] == [SLUG]
    assert result.lines[-2:] == (f"not in the log yet: {SLUG}", "next: thence work import")
    with Session(repo) as session, pytest.raises(Refused) as caught:
        status(session, SLUG)
    assert (caught.value.guard, caught.value.hint) == (
        "not_imported",
        f"thence work import --feature {SLUG}",
    )
    with Session(repo) as session:
        import_history(session, None)
    with Session(repo) as session:
        result = status(session, None)
    assert SLUG in [each["feature_slug"] for each in result.data["features"]]
    assert result.data["here"]["not_imported"] == []
