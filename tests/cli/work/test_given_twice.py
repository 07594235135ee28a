"""A package whose number two clones gave has a name of its own, which every command takes."""

import json
import shutil
from contextlib import ExitStack, contextmanager

import pytest
from tests.cli.work.projects import TASKS
from tests.git.repositories import commit, git
from tests.work.boards import bare, clone, done, features, published, work

from thence.work.journal.claims import claimed
from thence.work.journal.store import EventStore, WorkEvent
from thence.work.names import is_derived

SLUG = "001-sync"
FOLDER = f"kitty-specs/{SLUG}"
FEATURE = ("--feature", SLUG)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A remote and two clones with one feature, to be copied."""
    there = tmp_path_factory.mktemp("planned")
    remote = bare(there / "remote")
    ada = clone(remote, there / "ada")
    done(ada, "setup-spec", "Sync")
    (ada / FOLDER / "tasks.md").write_text(TASKS)
    done(ada, "finalize-tasks")
    published(ada)
    git(ada, "push", "--quiet", "origin", "main")
    done(clone(remote, there / "bob"), "publish")
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


@contextmanager
def at_work(*folders):
    """Hold the claims of WP03 in clones, as agents that work on it do."""
    with ExitStack() as commands:
        for folder in folders:
            with EventStore.at(folder) as store:
                home, subject = store.project.home, store.subject(SLUG, "WP03")
            commands.enter_context(claimed(home, subject))
        yield


def twin_of(folder):
    (name,) = filter(is_derived, packages(folder))
    return name


def owner(ada, bob, name=None):
    """Return the clone of which a package is, else the one without a number, and the other."""
    title = packages(ada)[name or twin_of(ada)][0]
    return (ada, bob) if title in ("Read the log", "After reading") else (bob, ada)


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
@pytest.mark.promise("L17")
def test_both_packages_of_one_number_are_done_under_their_names(clones):
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
    assert work(late, "conflicts").code == 0, "each has a name, and nothing is left to do"
    (told,) = work(late, "conflicts", "--all", "--json").json["conflicts"]
    by = {ada: "ada (Read the log)", bob: "bob (Draw the board)"}
    both = f"WP03 was given twice: by {by[early]} and by {by[late]}"
    assert told["sentence"] == f"{both}; {late.name}'s is {name}"
    # the branch that was begun here under the number has the name of its package now
    branches = git(late, "branch", "--list", "*WP*", "--format=%(refname:short)").split()
    assert branches == [f"{SLUG}-{name}"]
    assert (late / f".worktrees/{SLUG}-{name}/{late.name}.txt").is_file()
    refs = git(late, "for-each-ref", "--format=%(refname)")
    assert f"refs/thence/base/{SLUG}/{name}" in refs
    assert f"refs/thence/base/{SLUG}/WP03" not in refs.splitlines()
    assert git(early, "branch", "--list", "*WP*", "--format=%(refname:short)") == f"{SLUG}-WP03"
    assert git(late, "status", "--porcelain") == ""

    to_done(early, "WP03")
    git(late, "pull", "--quiet", "--no-rebase", "--strategy-option=ours", "origin", "main")
    to_done(late, name.lower())
    shared(ada, bob)
    assert {packages(ada)["WP03"][1], packages(ada)[name][1]} == {"done"}
    with EventStore.at(late) as store:
        moves = [each for each in store.read() if each.event_type == "WPStatusChanged"]
    moved = [each.payload["wp_id"] for each in moves]
    assert {*moved} == {"WP03"}, "events name the number"


def test_command_that_finds_its_number_given_twice_asks_once_which_is_meant(clones):
    ada, bob = clones
    for folder in clones:
        worked_on(folder, "WP03")
    with at_work(*clones):  # nothing is renamed meanwhile
        shared(ada, bob)
        late, early = owner(ada, bob)
        name = twin_of(ada)
    done(early, "move-task", "WP03", "--to", "for_review", *FEATURE)
    ended = work(late, "move-task", "WP03", "--to", "for_review", *FEATURE, "--json")
    assert ended.json["error"]["guard"] == "number_given_twice"
    assert ended.json["error"]["hint"] == f"type it again: {name}, or WP03 for that of others"
    done(late, "move-task", name, "--to", "for_review", *FEATURE)
    assert packages(late)[name][1] == "for_review"


def test_worktree_under_which_something_is_at_work_is_renamed_later(clones):
    ada, bob = clones
    for folder in clones:
        worked_on(folder, "WP03")
    with at_work(*clones):
        shared(ada, bob)
        for folder in clones:
            branch = git(folder, "branch", "--list", "*WP*", "--format=%(refname:short)")
            assert branch == f"{SLUG}-WP03"
    late, _ = owner(ada, bob)
    name = twin_of(ada)
    done(late, "status")
    branch = git(late, "branch", "--list", "*WP*", "--format=%(refname:short)")
    assert branch == f"{SLUG}-{name}"


def test_dependents_mean_the_package_of_their_own_clone(clones):
    ada, bob = clones
    made(ada, "WP04", "After reading", "WP03")
    made(bob, "WP04", "After drawing", "WP03")
    shared(ada, bob)
    (feature,) = json.loads(features(ada))
    needs = {
        each["title"]: [feature_title(feature, wp_id) for wp_id in each["dependencies"]]
        for each in feature["lanes"]["planned"]
    }
    assert needs["After reading"] == ["Read the log"]
    assert needs["After drawing"] == ["Draw the board"]
    name = min(filter(is_derived, packages(ada)))
    done(bob, "add", "After it", "--after", name, *FEATURE)
    (feature,) = shared(ada, bob)
    (package,) = [p for p in feature["lanes"]["planned"] if p["title"] == "After it"]
    assert package["dependencies"] == [name]


def test_what_is_added_behind_both_means_the_one_that_has_the_number(clones):
    ada, bob = clones
    shared(ada, bob)
    late, _ = owner(ada, bob)
    done(late, "add", "Much later", "--after", "WP03", *FEATURE)
    (feature,) = shared(ada, bob)
    (needs,) = [
        each["dependencies"] for each in feature["lanes"]["planned"] if each["wp_id"] == "WP04"
    ]
    assert needs == ["WP03"]


def feature_title(feature, wp_id):
    packages_ = [each for there in feature["lanes"].values() for each in there]
    return next(each["title"] for each in packages_ if each["wp_id"] == wp_id)


def test_boxes_of_a_section_tick_the_package_of_its_title(clones):
    ada, bob = clones
    for folder in clones:
        tasks = folder / FOLDER / "tasks.md"
        tasks.write_text(f"{tasks.read_text()}\n### Subtasks\n- [ ] T009 Try {folder.name}\n")
        git(folder, "commit", "--quiet", "--all", "--message", "Plan")
    shared(ada, bob)
    late, _ = owner(ada, bob)
    name = twin_of(ada)
    done(late, "mark-status", "T009", *FEATURE)
    (feature,) = shared(ada, bob)
    ticked = {
        each["wp_id"]: each["subtasks_done"]
        for there in feature["lanes"].values()
        for each in there
        if each["subtasks_done"]
    }
    assert ticked == {name: ["T009"]}


def test_section_of_either_is_told_by_its_name(clones):
    ada, bob = clones
    shared(ada, bob)
    name = twin_of(ada)
    late, early = owner(ada, bob)
    title = packages(early)["WP03"][0]
    tasks = late / FOLDER / "tasks.md"
    both = tasks.read_text().replace("Package WP03:", f"Package {name.upper()}:")
    tasks.write_text(f"{both}\n## Work Package WP03: {title}\n")
    before = packages(late)
    done(late, "finalize-tasks", *FEATURE)
    assert packages(late) == before
    tasks.write_text(tasks.read_text().replace(name.upper(), "WP03-zzzz"))
    ended = work(late, "finalize-tasks", *FEATURE, "--json")
    assert ended.json["error"]["cause"] == "the feature has no package WP03-zzzz"


def test_features_of_one_number_stay_both_and_are_told_apart(tmp_path):
    remote = bare(tmp_path / "remote")
    ada, bob = (clone(remote, tmp_path / name) for name in ("ada", "bob"))
    done(ada, "setup-spec", "Sync")
    done(bob, "setup-spec", "Search")
    found = shared(ada, bob)
    assert [each["feature_slug"] for each in found] == ["001-search", "001-sync"]
    ended = work(ada, "add", "Read", "--feature", "1", "--json")
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


def test_a_claim_that_was_cut_off_under_the_number_of_another_breaks_nothing(clones):
    ada, bob = clones
    payload = {"wp_id": "WP03", "previous_status": "planned", "new_status": "doing"}
    with ExitStack() as commands:
        for folder in clones:
            with EventStore.at(folder, actor=folder.name) as store:
                commands.enter_context(claimed(store.project.home, store.subject(SLUG, "WP03")))
                store.append(WorkEvent("WPStatusChanged", payload, SLUG, begins=True))
        shared(ada, bob)
    for folder in clones:
        done(folder, "status")
    shared(ada, bob)
    assert {lane for _, lane in packages(ada).values()} == {"planned"}
