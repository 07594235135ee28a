"""A package whose number two clones gave gets one of its own, with all that bears it."""

import json
import shutil
from contextlib import ExitStack

import pytest
from tests.cli.work.projects import TASKS
from tests.work.boards import bare, clone, done, features, published, work
from tests.work.repositories import commit, git

from thence.work.journal.claims import claimed
from thence.work.journal.store import EventStore, WorkEvent

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


@pytest.fixture(params=["finalize-tasks"])
def clones(request, planned, tmp_path):
    """Two clones that each gave WP03 to a package of its own, and have shared their events."""
    shutil.copytree(planned, tmp_path, symlinks=True, dirs_exist_ok=True)
    ada, bob = tmp_path / "ada", tmp_path / "bob"
    for folder in (ada, bob):
        git(folder, "remote", "set-url", "origin", (tmp_path / "remote").as_uri())
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
    for folder in (*folders, *folders[:-1]):
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
    assert "thence work settle" not in work(late, "conflicts").out
    step = {"feature_slug": SLUG, "wp_id": name, "next": f"thence work renumber {name}"}
    assert step in done(late, "status", "--json").json["here"]["next"]
    for command in (("implement", name), ("move-task", name, "--to", "for_review")):
        ended = work(late, *command, *FEATURE, "--json")
        assert ended.code == 1
        assert ended.json["error"]["hint"] == f"thence work renumber {name}"
    # the branch of this clone is not that of the package which has the number
    for command in (("move-task", "WP03", "--to", "for_review"), ("merge", "WP03")):
        ended = work(late, *command, *FEATURE, "--json")
        assert ended.json["error"]["hint"] == f"thence work renumber {name}"

    told = done(late, "renumber", name, *FEATURE, "--json").json
    assert (told["wp_id"], told["old_wp_id"]) == ("WP04", "WP03")
    assert (late / f".worktrees/{SLUG}-WP04/{late.name}.txt").is_file()
    assert git(late, "branch", "--list", "*WP*", "--format=%(refname:short)").split() == [
        f"{SLUG}-WP04"
    ]
    assert f"refs/thence/base/{SLUG}/WP04" in git(late, "for-each-ref", "--format=%(refname)")
    assert f"refs/thence/base/{SLUG}/WP03" not in git(late, "for-each-ref", "--format=%(refname)")
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


def test_a_number_in_peace_is_not_renumbered(clones):
    ada, bob = clones
    assert work(ada, "renumber", "WP03", *FEATURE).code == 1  # nobody knows of the other yet
    shared(ada, bob)
    name = twin_of(ada)
    step = {"feature_slug": SLUG, "wp_id": name, "next": f"thence work renumber {name}"}
    assert step in done(ada, "status", "--json").json["here"]["next"]
    ended = work(ada, "renumber", "WP03", *FEATURE, "--json")
    assert ended.json["error"]["hint"] == f"thence work renumber {name}"
    for taken in ("WP01", "WP03"):
        ended = work(ada, "renumber", name, "--to", taken, *FEATURE, "--json")
        assert ended.json["error"]["cause"] == "the number is taken"
    assert work(ada, "renumber", "WP03~zzzz", *FEATURE).code == 1
    assert done(ada, "renumber", name, "--to", "7", *FEATURE, "--json").json["wp_id"] == "WP07"
    ended = work(ada, "renumber", name, "--to", "WP08", *FEATURE, "--json")
    assert ended.json["error"]["cause"] == "it is WP07 already"
    ended = work(ada, "settle", "WP03", "--winner", "bob", "--reason", "x", *FEATURE, "--json")
    assert ended.json["error"]["code"] == "refused"


def test_a_number_given_elsewhere_is_completed_where_its_branch_is(clones):
    ada, bob = clones
    for folder in clones:
        worked_on(folder, "WP03")
    shared(ada, bob)
    late, early = owner(ada, bob)
    name = twin_of(ada)
    told = done(early, "renumber", name, *FEATURE)
    assert "its planning files are not here" in told.out
    assert git(early, "branch", "--list", "*WP*", "--format=%(refname:short)") == f"{SLUG}-WP03"
    assert git(early, "status", "--porcelain") == ""
    shared(ada, bob)
    for wp_id in ("WP03", "WP04"):
        ended = work(late, "move-task", wp_id, "--to", "for_review", *FEATURE, "--json")
        assert ended.json["error"]["hint"] == "thence work renumber WP04"
    done(late, "renumber", "WP04", *FEATURE)
    assert (late / f".worktrees/{SLUG}-WP04/{late.name}.txt").is_file()
    assert (late / f".worktrees/{SLUG}-WP04").exists()
    to_done(early, "WP03")
    before = features(late), git(late, "rev-parse", "HEAD")
    done(late, "renumber", name, *FEATURE)  # nothing is left to do
    assert (features(late), git(late, "rev-parse", "HEAD")) == before
    done(late, "move-task", "WP04", "--to", "for_review", *FEATURE)
    shared(ada, bob)


@pytest.mark.parametrize("there", ["nothing", "worktree", "branch", "files", "unlinked"])
def test_what_a_killed_run_left_is_completed_by_the_next(clones, there):
    ada, bob = clones
    for folder in clones:
        worked_on(folder, "WP03")
    shared(ada, bob)
    name = twin_of(ada)
    late, _ = owner(ada, bob)
    head = git(late, "rev-parse", "HEAD").strip()
    trees = late / ".worktrees"
    done(late, "renumber", name, *FEATURE)
    # back to what a run that was killed leaves
    after = git(late, "rev-parse", "HEAD").strip()
    git(late, "reset", "--quiet", "--soft" if there == "unlinked" else "--hard", head)
    git(late, "reset", "--quiet")
    if there in ("files", "unlinked"):
        git(late, "checkout", "--quiet", after, "--", FOLDER)
        git(late, "reset", "--quiet")
        if there == "unlinked":
            assert " D " in git(late, "status", "--porcelain")
    elif there != "branch":
        git(late, "branch", "--move", f"{SLUG}-WP04", f"{SLUG}-WP03")
        if there == "nothing":
            git(late, "worktree", "move", trees / f"{SLUG}-WP04", trees / f"{SLUG}-WP03")
    done(late, "renumber", name, *FEATURE)
    names = sorted(path.name[:4] for path in (late / FOLDER / "tasks").iterdir())
    assert names == ["WP01", "WP02", "WP04"]
    assert git(late, "status", "--porcelain") == ""
    assert git(late, "diff", after, "HEAD") == ""


def test_dependents_follow_and_the_others_are_named(clones, request):
    how = request.node.callspec.params["clones"]
    ada, bob = clones
    made(ada, how, "WP04", "After reading", "WP03")
    made(bob, how, "WP04", "After drawing", "WP03")
    shared(ada, bob)
    names = sorted(wp_id for wp_id in packages(ada) if "~" in wp_id)
    assert [name[:5] for name in names] == ["WP03~", "WP04~"]
    late, _ = owner(ada, bob, names[0])
    told = done(late, "renumber", names[0], *FEATURE).out
    assert "WP04 still after WP03" in told
    shared(ada, bob)
    done(owner(ada, bob, names[1])[0], "renumber", names[1], *FEATURE)
    shared(ada, bob)
    (feature,) = json.loads(features(ada))
    needs = {
        each["title"]: [feature_title(feature, wp_id) for wp_id in each["dependencies"]]
        for each in feature["lanes"]["planned"]
    }
    assert needs["After reading"] == ["Read the log"]
    assert needs["After drawing"] == ["Draw the board"]
    tasks = (late / FOLDER / "tasks.md").read_text()
    new = {title: wp_id for wp_id, (title, _) in packages(late).items()}
    first = "Read the log" if late is ada else "Draw the board"
    assert f"Work Package {new[first]}: {first}" in tasks
    assert f"Depends on {new[first]}" in tasks


def test_what_is_added_behind_both_means_the_one_that_has_the_number(clones, request):
    how = request.node.callspec.params["clones"]
    ada, bob = clones
    shared(ada, bob)
    late, _ = owner(ada, bob)
    made(late, how, "WP04", "Much later", "WP03")
    (feature,) = shared(ada, bob)
    (needs,) = [
        each["dependencies"] for each in feature["lanes"]["planned"] if each["wp_id"] == "WP04"
    ]
    assert needs == ["WP03"]


def feature_title(feature, wp_id):
    packages_ = [each for there in feature["lanes"].values() for each in there]
    return next(each["title"] for each in packages_ if each["wp_id"] == wp_id)


def test_boxes_of_a_section_tick_no_other_package(clones):
    ada, bob = clones
    for folder in clones:
        tasks = folder / FOLDER / "tasks.md"
        tasks.write_text(f"{tasks.read_text()}\n### Subtasks\n- [ ] T009 Try {folder.name}\n")
        git(folder, "commit", "--quiet", "--all", "--message", "Plan")
    shared(ada, bob)
    late, _ = owner(ada, bob)
    name = twin_of(ada)
    ended = work(late, "mark-status", "T009", *FEATURE, "--json")
    assert ended.json["error"]["hint"] == f"thence work renumber {name}"
    tasks = late / FOLDER / "tasks.md"
    tasks.write_text(tasks.read_text().replace("[ ] T009", "[x] T009"))
    shared(ada, bob)
    (feature,) = json.loads(features(ada))
    assert not any(each["subtasks_done"] for there in feature["lanes"].values() for each in there)
    done(late, "renumber", name, *FEATURE)
    (feature,) = json.loads(features(late))
    ticked = {
        each["wp_id"]: each["subtasks_done"]
        for there in feature["lanes"].values()
        for each in there
        if each["subtasks_done"]
    }
    assert ticked == {"WP04": ["T009"]}


@pytest.mark.parametrize("side", ["both", "ours", "theirs", "marked"])
def test_planning_files_of_both_in_one_clone_break_nothing(clones, side):
    ada, bob = clones
    git(ada, "push", "--quiet", "origin", "main")
    shared(ada, bob)
    name = twin_of(ada)
    git(bob, "fetch", "--quiet")
    git(bob, "merge", "--quiet", "origin/main", check=False)
    tasks = bob / FOLDER / "tasks.md"
    marked = tasks.read_text()
    assert "<<<<<<<" in marked
    if side == "both":
        kept = [each for each in marked.splitlines() if each[:7] not in MARKERS]
        tasks.write_text("\n".join(kept) + "\n")
    elif side != "marked":
        git(bob, "checkout", f"--{side}", "--", f"{FOLDER}/tasks.md")
    if side != "marked":
        git(bob, "add", FOLDER)
        git(bob, "commit", "--quiet", "--no-edit")
    for command in (("status",), ("conflicts",), ("next", "--feature", SLUG)):
        assert "Traceback" not in work(bob, *command).err
    title = packages(bob)[name][0]
    done(bob, "renumber", name, *FEATURE)
    if side in ("both", "marked"):
        told = tasks.read_text()
        other = next(each for each in ("Read the log", "Draw the board") if each != title)
        assert f"Work Package WP04: {title}" in told
        assert f"Work Package WP03: {other}" in told
    files = sorted(path.name[:4] for path in (bob / FOLDER / "tasks").iterdir())
    assert files == ["WP01", "WP02", "WP03", "WP04"]
    shared(ada, bob)


MARKERS = ("<" * 7, "=" * 7, ">" * 7)


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


def test_settle_by_an_event_says_that_both_are_one_package(clones):
    ada, bob = clones
    shared(ada, bob)
    (conflict,) = work(ada, "conflicts", "--json").json["conflicts"]
    why = ("--reason", "the same", *FEATURE)
    assert work(ada, "settle", "WP03", "--winner", "bob", *why).code == 2
    done(ada, "settle", "WP03", "--winner", conflict["events"][1], *why)
    shared(ada, bob)
    assert packages(ada).keys() == {"WP01", "WP02", "WP03"}
    assert work(bob, "conflicts").code == 0


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
    name = twin_of(ada)
    late, _ = owner(ada, bob)
    assert done(late, "renumber", name, *FEATURE, "--json").json["wp_id"] == "WP04"
    shared(ada, bob)
    assert {lane for _, lane in packages(ada).values()} == {"planned"}
