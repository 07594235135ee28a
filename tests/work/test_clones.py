"""Clones that both went on share their events by plain git, whichever way they are joined."""

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.work.boards import TREE
from tests.work.repositories import content, git, make_repository

from thence.work.commands.finalize_tasks import finalize_tasks
from thence.work.commands.init import init
from thence.work.commands.publish import publish
from thence.work.commands.setup_spec import setup_spec
from thence.work.journal.store import EventStore, WorkEvent
from thence.work.session.session import Session

EVENTS = 10_000
BATCH = 500
SLUG = "001-sync"
META = f"kitty-specs/{SLUG}/meta.json"
TASKS = "".join(f"## Work Package WP{number:02}: Part {number}\n\n" for number in range(1, 21))
pytestmark = pytest.mark.xdist_group("clones")


def clone(source: Path, path: Path) -> Path:
    git(source.parent, "clone", "--quiet", source, path)
    git(path, "config", "user.name", path.name)
    git(path, "config", "user.email", f"{path.name}@example.org")
    return path


def diverge(folder: Path, first: int) -> None:
    """Append events that move ten packages of its own back and forth, and publish them."""
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
    with Session(folder, actor=folder.name) as session:
        publish(session, "main")


def planned(path: Path) -> Path:
    """Make a project whose one feature is cut into packages."""
    origin = make_repository(path, TREE)
    with Session(origin) as session:
        init(session)
    with Session(origin) as session:
        setup_spec(session, "Sync")
    (origin / "kitty-specs" / SLUG / "tasks.md").write_text(TASKS)
    with Session(origin) as session:
        finalize_tasks(session, None)
    return origin


@pytest.fixture(scope="module")
def clones(tmp_path_factory) -> tuple[Path, Path]:
    """Two clones of one project, each with 10,000 events that the other lacks."""
    top = tmp_path_factory.mktemp("clones")
    origin = planned(top / "origin")
    ada, bob = clone(origin, top / "ada"), clone(origin, top / "bob")
    diverge(ada, 1)
    diverge(bob, 11)
    return ada, bob


def joined(how: str, ours: Path, theirs: Path, path: Path) -> Path:
    """Clone one side, read its board, then bring the other side's commits in by git."""
    folder = clone(ours, path)
    board_of(folder)
    git(folder, "fetch", "--quiet", theirs, "main:theirs")
    if how == "merge":
        git(folder, "merge", "--quiet", "--no-edit", "theirs")
    elif how == "rebase":
        git(folder, "rebase", "--quiet", "theirs")
    elif how == "squash":
        git(folder, "merge", "--quiet", "--squash", "theirs")
        git(folder, "commit", "--quiet", "--message", "theirs in one")
    else:
        base = git(folder, "merge-base", "main", "theirs")
        git(folder, "cherry-pick", f"{base}..theirs")
    assert git(folder, "status", "--porcelain", "--untracked-files=no") == ""
    return folder


def board_of(folder: Path) -> bytes:
    ended = thence("work", "status", "--json", cwd=folder)
    assert ended.code == 0, ended.err
    board = json.loads(ended.out)
    return json.dumps(board["features"]).encode()


@pytest.fixture(scope="module")
def other_board(clones, tmp_path_factory) -> bytes:
    """The board where the side that is named second has merged the first, each event once."""
    ada, bob = clones
    other = joined("merge", bob, ada, tmp_path_factory.mktemp("other") / "other")
    board = board_of(other)
    assert_each_event_once(other)
    return board


def assert_each_event_once(folder: Path) -> None:
    lines = day_lines(folder)
    assert len(lines) == len(set(lines)), "each line once"
    with EventStore.at(folder) as store:
        held = store.read()
        assert len({event.event_id for event in held}) == len(held) >= 2 * EVENTS
        assert sorted(event.line for event in held) == sorted(lines)
        assert store.replica.verify().ok


@pytest.mark.promise("L11")
@pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick", "squash"])
def test_ten_thousand_events_of_each_side_join_without_a_conflict(
    clones, other_board, tmp_path, how
):
    one = joined(how, *clones, tmp_path / "one")
    assert board_of(one) == other_board
    assert_each_event_once(one)


@pytest.mark.promise("L12")
def test_index_answers_for_what_a_merge_brought_without_being_told(clones, tmp_path):
    ada, bob = clones
    folder = joined("merge", ada, bob, tmp_path / "one")
    board_of(folder)
    with EventStore.at(folder) as store:
        page = store.query(actor="bob", limit=1)
        assert page.total == EVENTS
        index = store.replica.answers.index()
        assert index is not None, "a log of this size is answered by its index"
        (made,) = store.project.home.rglob("index.db")
        store.close()
        shutil.copy(ada / ".git" / "HEAD", made)  # another file altogether
        assert store.query(actor="ada", limit=1).total == EVENTS
        store.close()
        made.unlink()
        assert store.query(subject=store.subject(SLUG, "WP01"), limit=1).total == EVENTS / 10 + 1


@pytest.mark.promise("L11")
def test_branch_that_a_feature_goes_to_is_read_in_every_clone(tmp_path):
    origin = make_repository(tmp_path / "origin", TREE)
    with Session(origin) as session:
        init(session)
    git(origin, "branch", "release")
    with Session(origin) as session:
        setup_spec(session, "Sync", target_branch="release")
        assert any("merge main into release" in note for note in session.warnings)
    assert b'"target_branch": "release"' in (content(origin, META) or b"")
    assert content(origin, META, "release") is None
    (origin / "kitty-specs" / SLUG / "tasks.md").write_text(TASKS)
    with Session(origin) as session:
        finalize_tasks(session, None)
    ended = thence("work", "implement", "WP01", "--json", cwd=origin)
    assert json.loads(ended.out)["error"]["guard"] == "not_at_target"
    git(origin, "checkout", "--quiet", "release")
    git(origin, "merge", "--quiet", "main")
    (origin / "kitty-specs" / SLUG / "tasks.md").write_text(TASKS)
    with Session(origin) as session:
        finalize_tasks(session, None)
    assert thence("work", "implement", "WP01", cwd=origin).code == 0
    with Session(origin) as session:
        publish(session, "release")
    git(origin, "checkout", "--quiet", "main")
    other = clone(origin, tmp_path / "other")
    git(other, "branch", "release", "origin/release")
    assert board_of(other) == board_of(origin)
    assert b'"doing": [{"wp_id": "WP01"' in board_of(other)


@pytest.mark.promise("L10")
def test_package_that_two_clones_took_at_once_is_a_conflict_shown_alike(tmp_path):
    origin = planned(tmp_path / "origin")
    ada, bob = clone(origin, tmp_path / "ada"), clone(origin, tmp_path / "bob")
    for folder in (ada, bob):
        ended = thence("work", "implement", "WP01", "--actor", folder.name, cwd=folder)
        assert ended.code == 0, ended.err
        assert thence("work", "publish", cwd=folder).code == 0
    git(ada, "pull", "--quiet", "--no-rebase", "--no-edit", bob, "main")
    git(bob, "pull", "--quiet", "--no-rebase", "--no-edit", ada, "main")
    assert board_of(ada) == board_of(bob)
    shown = []
    for folder in (ada, bob):
        ended = thence("work", "conflicts", "--json", cwd=folder)
        assert ended.code == 3
        shown.append(json.loads(ended.out)["conflicts"])
    assert shown[0] == shown[1]
    (conflict,) = shown[0]
    assert conflict["subject"].endswith(f"/{SLUG}/WP01")
    assert len(conflict["events"]) == 2
    assert conflict["winner"] in conflict["events"]
    assert conflict["rule"] == "last_writer"
    text = thence("work", "status", cwd=ada).out
    assert " both took WP01; " in text
    assert "'s claim stands (last_writer)" in text


def day_lines(folder: Path) -> list[bytes]:
    paths = sorted((folder / ".kittify" / "events").glob("*.jsonl"))
    return [line for path in paths for line in path.read_bytes().splitlines()]
