"""A number that two clones gave: one package keeps it, the other is added again."""

import json
import shutil

import pytest
from tests.cli.work.projects import TASKS
from tests.git.repositories import commit, git
from tests.work.boards import bare, clone, done, features, synced, two_clones, work

SLUG = "001-sync"
FOLDER = f"kitty-specs/{SLUG}"
FEATURE = ("--feature", SLUG)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A remote and two clones with one feature, to be copied."""
    there = tmp_path_factory.mktemp("planned")
    two_clones(there, TASKS)
    return there


@pytest.fixture
def clones(planned, tmp_path):
    """Two clones that each gave WP03 to a package of its own, and have shared their events."""
    shutil.copytree(planned, tmp_path, symlinks=True, dirs_exist_ok=True)
    ada, bob = tmp_path / "ada", tmp_path / "bob"
    for folder in (ada, bob):
        git(folder, "remote", "set-url", "origin", (tmp_path / "remote").as_uri())
    for folder, title in ((ada, "Read the log"), (bob, "Draw the board")):
        made(folder, "WP03", title)
    return ada, bob


def made(folder, wp_id, title, after=None):
    """Make a package by a section of tasks.md."""
    tasks = folder / FOLDER / "tasks.md"
    needs = f"\n### Dependencies\n- Depends on {after}\n" if after else ""
    tasks.write_text(f"{tasks.read_text()}\n## Work Package {wp_id}: {title}\n{needs}")
    done(folder, "finalize-tasks", *FEATURE)


def shared(*folders):
    """Have all clones hold all events; return the board that all of them see."""
    for folder in (*folders, *folders, *folders):  # the second renames, the third tells of it
        synced(folder)
    first, *others = map(features, folders)
    assert all(other == first for other in others)
    return json.loads(first)


def packages(folder):
    (feature,) = json.loads(features(folder))
    return {
        each["wp_id"]: (each["title"], lane)
        for lane, there in feature["lanes"].items()
        for each in there
    }


def worked_on(folder, wp_id):
    """Begin a package, and commit its work."""
    done(folder, "implement", wp_id, *FEATURE)
    tree = folder / f".worktrees/{SLUG}-{wp_id}"
    commit(tree, {f"{folder.name}.txt": f"{wp_id}\n"}, "Work")


def to_done(folder, wp_id):
    done(folder, "move-task", wp_id, "--to", "for_review", *FEATURE)
    done(folder, "merge", wp_id, *FEATURE)
    git(folder, "fetch", "--quiet")
    git(folder, "push", "--quiet", "origin", "main")
    done(folder, "accept", wp_id, *FEATURE)


def by_fate(ada, bob):
    """Return the clone whose package lost its number, that package's title, and the other clone."""
    if packages(ada)["WP03"][0] == "Read the log":
        return bob, "Draw the board", ada
    return ada, "Read the log", bob


@pytest.mark.promise("L10")
@pytest.mark.promise("L17")
def test_the_lost_one_is_added_again_and_both_are_done(clones):
    ada, bob = clones
    for folder in clones:
        worked_on(folder, "WP03")
    shared(ada, bob)
    assert {"WP01", "WP02", "WP03"} == packages(ada).keys()
    late, title, early = by_fate(ada, bob)
    (told,) = done(late, "status", "--json").json["here"]["conflicts"]
    assert told["sentence"].startswith("WP03 was given twice: by ")
    add_again = f"finalize-tasks --add '{title}' --feature {SLUG}"
    assert f"next: where it was created: thence work {add_again}\n" in done(early, "status").out
    for command in (("move-task", "WP03", "--to", "for_review"), ("implement", "WP03")):
        error = work(late, *command, *FEATURE, "--json").json["error"]
        assert error["guard"] == "number_given_twice"
        assert add_again in error["hint"]
        last = done(late, "status", "--json").json["here"]["refused"][0]
        assert last["entity_id"] == f"{SLUG}/WP03"

    added = done(late, "finalize-tasks", "--add", title, *FEATURE, "--json").json
    assert added["wp_id"] == "WP04"
    before, after = f"{SLUG}-WP03", f"{SLUG}-WP04"
    assert f"type git branch -m {before} {after}" in added["notes"][0]
    git(late, "branch", "--move", before, after)
    git(late, "worktree", "move", f".worktrees/{before}", f".worktrees/{after}")
    shared(ada, bob)
    assert done(early, "status", "--json").json["summary"]["conflicts"] == 0

    to_done(early, "WP03")
    git(late, "pull", "--quiet", "--no-rebase", "--strategy-option=ours", "origin", "main")
    done(late, "implement", "WP04", *FEATURE)
    to_done(late, "WP04")
    shared(ada, bob)
    assert {packages(ada)[wp_id][1] for wp_id in ("WP03", "WP04")} == {"done"}


def test_section_with_another_number_adds_the_lost_one_again(clones):
    ada, bob = clones
    tasks = bob / FOLDER / "tasks.md"
    tasks.write_text(f"{tasks.read_text()}\n### Subtasks\n- [ ] T009 Try\n")
    done(ada, "implement", "WP03", *FEATURE)
    shared(ada, bob)
    assert packages(bob)["WP03"] == ("Read the log", "doing")
    error = work(bob, "mark-status", "T009", *FEATURE, "--json").json["error"]
    assert error["guard"] == "number_given_twice"
    tasks.write_text(tasks.read_text().replace("Package WP03:", "Package WP04:"))
    done(bob, "finalize-tasks", *FEATURE)
    assert packages(bob)["WP04"] == ("Draw the board", "planned")
    done(bob, "mark-status", "T009", *FEATURE)
    assert done(bob, "status", "--json").json["summary"]["conflicts"] == 0


def renumbered(folder, title):
    """Add a package again by another number of its section."""
    tasks = folder / FOLDER / "tasks.md"
    tasks.write_text(tasks.read_text().replace("Package WP03:", "Package WP04:"))
    done(folder, "finalize-tasks", *FEATURE)


def added(folder, title):
    done(folder, "finalize-tasks", "--add", title, *FEATURE)


@pytest.mark.parametrize("again", [added, renumbered])
def test_file_of_the_lost_one_gets_its_new_number(clones, again):
    late, title, _ = by_fate(*clones) if shared(*clones) else clones
    (old,) = (late / FOLDER / "tasks").glob("WP03-*")
    text = f"{old.read_text()}\nMind the clock.\n"
    old.write_text(text)
    again(late, title)
    names = sorted(path.name[:4] for path in (late / FOLDER / "tasks").iterdir())
    assert names == ["WP01", "WP02", "WP04"]
    (new,) = (late / FOLDER / "tasks").glob("WP04-*")
    assert new.read_text() == text.replace("WP03", "WP04")
    assert git(late, "status", "--porcelain") == ""


def test_features_of_one_number_stay_both_and_are_told_apart(tmp_path):
    remote = bare(tmp_path / "remote")
    ada, bob = (clone(remote, tmp_path / name) for name in ("ada", "bob"))
    done(ada, "setup-spec", "Sync")
    done(bob, "setup-spec", "Search")
    found = shared(ada, bob)
    assert [each["feature_slug"] for each in found] == ["001-search", "001-sync"]
    ended = work(ada, "finalize-tasks", "--add", "Read", "--feature", "1", "--json")
    assert ended.json["error"]["cause"] == "it may be 001-search, 001-sync"
    done(bob, "setup-spec", "Third")
    assert "002-third" in features(bob)


def test_a_feature_made_twice_is_one_and_told_with_both(tmp_path):
    remote = bare(tmp_path / "remote")
    ada, bob = (clone(remote, tmp_path / name) for name in ("ada", "bob"))
    git(bob, "branch", "release")
    git(ada, "branch", "release")
    done(ada, "setup-spec", "Sync")
    done(bob, "setup-spec", "Sync", "--target-branch", "release")
    (feature,) = shared(ada, bob)
    (conflict,) = feature["conflicts"]
    assert conflict["people"] == ["ada", "bob"] or conflict["people"] == ["bob", "ada"]
    assert "ada's SpecCreated (Sync, main)" in conflict["sentence"]
    assert "bob's SpecCreated (Sync, release)" in conflict["sentence"]
