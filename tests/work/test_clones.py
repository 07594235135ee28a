"""Clones that both went on unite by `sync now` or a plain `git fetch`, whoever was first."""

from pathlib import Path

import pytest
from tests.cli.work.projects import SLUG, project
from tests.git.repositories import content, git
from tests.work.boards import (
    NAMED,
    clone,
    done,
    features,
    on_remote,
    shared_lines,
    synced,
    two_clones,
    view_lines,
    work,
)

from thence.work.journal.store import EventStore, WorkEvent

EVENTS = 10_000
BATCH = 500
META = f"kitty-specs/{SLUG}/meta.json"
TASKS = "".join(f"## Work Package WP{number:02}: Part {number}\n\n" for number in range(1, 21))
pytestmark = pytest.mark.xdist_group("clones")


def diverge(folder: Path, first: int) -> None:
    """Append events that move ten packages of its own back and forth."""
    lanes = ("planned", "doing")
    with EventStore.at(folder, actor=folder.name) as store:
        for start in range(0, EVENTS, BATCH):
            said = []
            for number in range(start, start + BATCH):
                turn = number // 10 % 2
                moved = {
                    "wp_id": f"WP{first + number % 10:02}",
                    "previous_status": lanes[turn],
                    "new_status": lanes[1 - turn],
                    "changed_by": folder.name,
                }
                said.append(WorkEvent("WPStatusChanged", moved, SLUG))
            store.append(*said)


@pytest.fixture(scope="module")
def clones(tmp_path_factory) -> tuple[Path, Path, Path]:
    """Two clones of one project and their remote, each with 10,000 events that the others lack."""
    folder = tmp_path_factory.mktemp("clones")
    ada, bob = two_clones(folder, TASKS)
    diverge(ada, 1)
    diverge(bob, 11)
    return ada, bob, folder / "remote"


def assert_each_event_once(folder: Path) -> None:
    lines = view_lines(folder)
    assert len(lines) == len(set(lines)), "each line once"
    with EventStore.at(folder) as store:
        held = store.read()
        assert len({event.event_id for event in held}) == len(held) >= 2 * EVENTS
        assert sorted(event.line.decode() for event in held) == sorted(lines)
        assert store.log.verify().ok


@pytest.mark.promise("L11")
def test_ten_thousand_events_of_each_side_unite_whoever_was_first(clones):
    ada, bob, remote = clones
    synced(ada)
    synced(bob)
    git(ada, "fetch", "--quiet")
    assert features(ada) == features(bob)
    for folder in (ada, bob):
        assert_each_event_once(folder)
    lines = shared_lines(remote)
    assert len(lines) == len({*lines})
    assert sorted(lines) == sorted(view_lines(ada))


@pytest.mark.promise("L12")
def test_index_answers_for_what_a_fetch_brought_without_being_told(clones):
    folder, bob, _ = clones
    synced(bob)
    git(folder, "fetch", "--quiet")
    features(folder)
    with EventStore.at(folder) as store:
        page = store.query(actor="bob", limit=1)
        assert page.total == EVENTS
        index = store.log.index()
        assert index is not None, "a log of this size is answered by its index"
        (made,) = store.project.home.rglob("index.db")
        store.close()
        made.unlink()
        assert store.query(subject=store.subject(SLUG, "WP01"), limit=1).total == EVENTS / 10 + 1


@pytest.mark.promise("L11")
def test_feature_that_goes_to_another_branch_is_shown_alike_in_every_clone(tmp_path):
    origin = project(tmp_path / "origin", NAMED)
    git(origin, "branch", "release")
    ended = done(origin, "setup-spec", "Sync", "--target-branch", "release")
    assert "merge main into release" in ended.err
    assert b'"target_branch": "release"' in (content(origin, META) or b"")
    assert content(origin, META, "release") is None
    (origin / "kitty-specs" / SLUG / "tasks.md").write_text(TASKS)
    done(origin, "finalize-tasks")
    ended = work(origin, "implement", "WP01", "--json")
    assert ended.json["error"]["guard"] == "not_at_target"
    git(origin, "checkout", "--quiet", "release")
    git(origin, "merge", "--quiet", "main")
    done(origin, "implement", "WP01")
    git(origin, "checkout", "--quiet", "main")
    other = clone(on_remote(origin, tmp_path / "remote.git"), tmp_path / "other")
    synced(origin)
    git(other, "fetch", "--quiet")
    git(other, "branch", "release", "origin/release")
    assert features(other) == features(origin)
    assert '"doing": [{"wp_id": "WP01"' in features(other)
