"""A package whose number two clones gave gets one of its own, with all that bears it."""

import json

import pytest
from tests.cli.work.projects import TASKS
from tests.work.boards import bare, clone, done, features, published, work
from tests.work.repositories import commit, git

SLUG = "001-sync"
FOLDER = f"kitty-specs/{SLUG}"
FEATURE = ("--feature", SLUG)


@pytest.fixture(params=["add", "finalize-tasks"])
def clones(request, tmp_path):
    """Two clones that each gave WP03 to a package of its own, and have shared their events."""
    remote = bare(tmp_path / "remote")
    ada = clone(remote, tmp_path / "ada")
    done(ada, "setup-spec", "Sync")
    (ada / FOLDER / "tasks.md").write_text(TASKS)
    done(ada, "finalize-tasks")
    published(ada)
    git(ada, "push", "--quiet", "origin", "main")
    bob = clone(remote, tmp_path / "bob")
    done(bob, "publish")
    for folder, title in ((ada, "Read the log"), (bob, "Draw the board")):
        made(folder, request.param, "WP03", title)
    return ada, bob


def made(folder, how, wp_id, title, after=None):
    """Make a package by either command."""
    if how == "add":
        done(folder, "add", title, *FEATURE, *(("--after", after) if after else ()))
        return
    tasks = folder / FOLDER / "tasks.md"
    needs = f"\n### Dependencies\n- Depends on {after}\n" if after else ""
    tasks.write_text(f"{tasks.read_text()}\n## Work Package {wp_id}: {title}\n{needs}")
    done(folder, "finalize-tasks", *FEATURE)


def shared(*folders):
    """Have all clones hold all events; return the board that all of them see."""
    for folder in (*folders, *folders):
        published(folder)
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


def twin_of(folder):
    (name,) = [wp_id for wp_id in packages(folder) if "~" in wp_id]
    return name


def owner(folder, *others):
    """Return the clone of which the package is that has no number, and that of the other."""
    title = packages(folder)[twin_of(folder)][0]
    ada, bob = folder, *others
    return (ada, bob) if title == "Read the log" else (bob, ada)


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


@pytest.mark.promise("L10")
def test_both_packages_of_one_number_are_renumbered_and_done(clones):
    ada, bob = clones
    for folder in clones:
        worked_on(folder, "WP03")
    shared(ada, bob)
    name = twin_of(ada)
    assert {"WP01", "WP02", "WP03", name} == packages(ada).keys()
    assert {packages(ada)["WP03"], packages(ada)[name]} == {
        ("Read the log", "doing"),
        ("Draw the board", "doing"),
    }
    late, early = owner(ada, bob)
    ended = work(late, "conflicts", "--json")
    assert ended.code == 3
    (told,) = ended.json["conflicts"]
    by = {ada: "ada (Read the log)", bob: "bob (Draw the board)"}
    assert told["sentence"] == (
        f"WP03 was given twice: by {by[early]} and by {by[late]}; next: thence work renumber {name}"
    )
    for command in (("implement", name), ("move-task", name, "--to", "for_review")):
        ended = work(late, *command, *FEATURE, "--json")
        assert ended.code == 1
        assert ended.json["error"]["hint"] == f"thence work renumber {name}"
    # the branch of this clone is not that of the package which has the number
    ended = work(late, "move-task", "WP03", "--to", "for_review", *FEATURE, "--json")
    assert ended.json["error"]["hint"] == f"thence work renumber {name}"

    told = done(late, "renumber", name, *FEATURE, "--json").json
    assert (told["wp_id"], told["old_wp_id"]) == ("WP04", "WP03")
    assert (late / f".worktrees/{SLUG}-WP04/{late.name}.txt").is_file()
    assert git(late, "branch", "--list", "*WP*", "--format=%(refname:short)").split() == [
        f"{SLUG}-WP04"
    ]
    names = {path.name for path in (late / FOLDER / "tasks").iterdir()}
    assert {name[:4] for name in names} == {"WP01", "WP02", "WP04"}
    (path,) = (late / FOLDER / "tasks").glob("WP04*")
    assert "WP03" not in path.read_text()
    assert "work_package_id: WP04" in path.read_text()
    assert "## Work Package WP04: " in (late / FOLDER / "tasks.md").read_text()
    assert git(late, "status", "--porcelain") == ""
    shared(ada, bob)
    assert work(ada, "conflicts").code == 0
    to_done(early, "WP03")
    git(late, "pull", "--quiet", "--no-rebase", "--strategy-option=ours", "origin", "main")
    to_done(late, "WP04")
    shared(ada, bob)
    assert {packages(ada)["WP03"][1], packages(ada)["WP04"][1]} == {"done"}
