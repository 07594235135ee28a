"""A subtask is ticked and opened again, and a note is kept, in the words of other programs too."""

import shutil

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import FOLDER, SLUG, done, finalized_project, refused
from tests.git.repositories import commit, git

from thence.work.journal.store import EventStore
from thence.work.project.project import find_project


@pytest.fixture(scope="module")
def finalized(tmp_path_factory):
    """A project with a package that has one subtask, T001."""
    return finalized_project(tmp_path_factory.mktemp("ticks") / "r")


@pytest.fixture
def project(finalized, tmp_path):
    return shutil.copytree(finalized, tmp_path / "r", symlinks=True)


def told(folder, *types):
    """Return the events of some types in the journal."""
    with EventStore(find_project(folder)) as store:
        return [event for event in store.read() if event.event_type in types]


def ticks(folder):
    """Return what the journal tells of T001, and whether its box is ticked."""
    kinds = [each.event_type for each in told(folder, "SubtaskCompleted", "SubtaskReopened")]
    return kinds, "- [x] T001" in (folder / FOLDER / "tasks.md").read_text()


@pytest.mark.promise("S1")
def test_tick_is_taken_back_in_journal_and_board(project):
    done(project, "mark-status", "T001")
    assert ticks(project) == (["SubtaskCompleted"], False)
    ended = done(project, "mark-status", "T001", "--undo", "--json")
    assert ended.json["changed"] == ["T001"]
    assert ticks(project) == (["SubtaskCompleted", "SubtaskReopened"], False)
    assert git(project, "status", "--porcelain") == ""
    (feature,) = done(project, "status", "--json").json["features"]
    assert feature["lanes"]["planned"][0]["subtasks_done"] == []
    first, second = told(project, "SubtaskCompleted", "SubtaskReopened")
    assert first.payload == second.payload
    assert first.event_id in second.caused_by
    assert "reopened" in warm("log", "--type", "SubtaskReopened", cwd=project).out
    assert done(project, "mark-status", "T001", "--undo", "--json").json["changed"] == []
    done(project, "mark-status", "T001")
    assert ticks(project) == (["SubtaskCompleted", "SubtaskReopened", "SubtaskCompleted"], False)


def test_box_that_was_ticked_by_hand_counts_until_the_log_says_otherwise(project):
    path = project / FOLDER / "tasks.md"
    by_hand = path.read_text().replace("[ ] T001", "[x] T001")
    commit(project, {f"{FOLDER}/tasks.md": by_hand})
    done(project, "implement", "WP01", "--actor", "ada")
    commit(project / f".worktrees/{SLUG}-WP01", {"a.txt": "made\n"})
    handing_in = ("move-task", "WP01", "--to", "for_review", "--actor", "ada")
    undone = done(project, "mark-status", "T001", "--undo", "--json").json["changed"]
    assert (undone, path.read_text()) == (["T001"], by_hand)
    assert refused(project, *handing_in, code=1)["guard"] == "subtasks_open"
    assert done(project, "mark-status", "T001", "--undo", "--json").json["changed"] == []
    assert done(project, "mark-status", "T001", "--json").json["changed"] == ["T001"]
    done(project, *handing_in)
