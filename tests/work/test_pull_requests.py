"""Features that land by pull requests: what goes on which branch, and who sees it when."""

import pytest
from tests.cli.installed import on_terminal
from tests.git.repositories import begin_work, commit, git, hook, patches, write
from tests.work.boards import done, synced, work
from tests.work.forges import Forge

SLUG = "001-sync"
PLAN = f"plan/{SLUG}"
TREE = f".worktrees/plan-{SLUG}"
TASKS = """# Tasks

## Work Package WP01: Read

- [ ] T001 Read it

## Work Package WP02: Write

### Dependencies

- Depends on WP01
"""


@pytest.fixture
def forge(tmp_path):
    return Forge(tmp_path)


@pytest.fixture
def ada(forge):
    """A clone in which a feature was begun, whose spec and packages are pushed."""
    ada = forge.clone("ada")
    done(ada, "setup-spec", "Sync", "--land", "pull-request")
    planned(ada)
    return ada


def planned(clone, text=TASKS):
    write(clone / TREE, {f"kitty-specs/{SLUG}/tasks.md": text})
    return done(clone, "finalize-tasks", "--feature", SLUG, "--json").json


def seen(clone):
    git(clone, "fetch", "--quiet", "origin")


def implemented(clone):
    """Implement WP01."""
    tree = done(clone, "implement", "WP01", "--json").json["worktree"]
    commit(clone / tree, {"a.py": "a\n"})


def lanes(clone):
    (feature,) = done(clone, "status", "--json").json["features"]
    return {p["wp_id"]: lane for lane, ps in feature["lanes"].items() for p in ps}


@pytest.mark.promise("L16")
def test_spec_and_packages_are_pushed_on_a_branch_of_their_own(forge):
    ada = forge.clone("ada")
    begin_work(ada)
    before, main = patches(ada), git(ada, "rev-parse", "main")
    begun = done(ada, "setup-spec", "Sync", "--land", "pull-request", "--json").json
    assert (begun["branch"], begun["pushed"]) == (PLAN, True)
    assert begun["spec"] == f"{TREE}/kitty-specs/{SLUG}/spec.md"
    finalized = planned(ada)
    assert finalized["pushed"]
    files = {".kittify/config.yaml", "AGENTS.md", f"kitty-specs/{SLUG}/tasks/WP01-read.md"}
    assert files <= forge.files(PLAN)
    assert b"land: pull-request" in (ada / TREE / ".kittify/config.yaml").read_bytes()
    assert (patches(ada), git(ada, "rev-parse", "main")) == (before, main)
    assert git(ada, "branch", "--show-current") == "main"
    assert git(ada, "status", "--porcelain") == "AM mine"
    assert forge.main() == main


@pytest.mark.promise("L16")
def test_plan_begins_at_the_upstream_and_not_at_what_is_unpushed(forge):
    ada = forge.clone("ada")
    commit(ada, {"mine.py": "unpushed\n"})
    done(ada, "setup-spec", "Sync", "--land", "pull-request")
    assert "mine.py" not in forge.files(PLAN)


@pytest.mark.promise("L16")
def test_project_without_a_choice_lands_by_merge_and_says_so_once(forge):
    ada = forge.clone("ada")
    assert "--land pull-request" in done(ada, "setup-spec", "Sync").out
    assert (ada / f"kitty-specs/{SLUG}/spec.md").exists()
    assert "--land" not in done(ada, "setup-spec", "Other").out


@pytest.mark.promise("L16")
def test_person_is_asked_at_the_first_feature_where_there_is_a_remote(forge):
    ada = forge.clone("ada")
    answer = (rb"pull-request\) \[merge\]: ", b"pull-request\n")
    begun = ("work", "setup-spec")
    code, shown = on_terminal(ada, *begun, "Sync", answer=answer)
    assert code == 0, shown
    assert PLAN in forge.branches()
    code, shown = on_terminal(ada, *begun, "Other")
    assert code == 0
    assert "How do branches land" not in shown


@pytest.mark.promise("L16")
def test_unknown_way_to_land_is_refused_with_its_place(forge):
    ada = forge.clone("ada")
    write(ada, {".kittify/config.yaml": "land: rebase\n"})
    ended = work(ada, "setup-spec", "Sync")
    assert ended.code == 2
    assert ".kittify/config.yaml:1" in ended.err
    assert "write merge or pull-request" in ended.err


@pytest.mark.promise("S4")
def test_without_the_remote_a_package_is_handed_over_and_said_to_be_unpushed(ada, forge):
    forge.remote.rename(forge.remote.parent / "away.git")
    implemented(ada)
    done(ada, "mark-status", "T001")
    ended = done(ada, "merge", "WP01")
    assert f"next: git push -u origin {SLUG}-WP01" in ended.out
    assert "was not reached" in ended.err
    (forge.remote.parent / "away.git").rename(forge.remote)
    assert done(ada, "merge", "WP01", "--json").json["pushed"] == [f"{SLUG}-WP01"]


@pytest.mark.promise("L16")
def test_push_that_the_remote_refuses_moves_nothing(ada, forge):
    implemented(ada)
    done(ada, "mark-status", "T001")
    hook(ada, "pre-push", "echo tests fail >&2; exit 1")
    ended = work(ada, "merge", "WP01")
    assert ended.code == 1
    assert "tests fail" in ended.err
    assert lanes(ada)["WP01"] == "doing"


@pytest.mark.promise("L16")
def test_one_package_is_pushed_where_features_land_by_merge(forge):
    ada = forge.clone("ada")
    done(ada, "finalize-tasks", "--add", "Read")
    implemented(ada)
    main = git(ada, "rev-parse", "main")
    told = done(ada, "merge", "WP01", "--push", "--json").json
    assert told["pushed"] == ["000-general-WP01"]
    assert git(ada, "rev-parse", "main") == main
    assert "000-general-WP01" in forge.branches()


@pytest.mark.promise("L11")
def test_two_who_edit_one_row_of_the_plan_meet_as_commits_do(ada, forge):
    bob = forge.clone("bob")
    synced(ada)
    seen(bob)
    synced(bob)
    done(bob, "finalize-tasks", "--feature", SLUG)  # makes the worktree of the plan
    path = f"kitty-specs/{SLUG}/tasks.md"
    planned(bob, TASKS.replace("Read it", "Read all of it"))
    write(ada / TREE, {path: TASKS.replace("Read it", "Read the half")})
    git(ada / TREE, "commit", "--quiet", "--all", "--message", "Half")
    ended = work(ada, "finalize-tasks", "--feature", SLUG)
    assert ended.code == 1
    assert f"both changed {path}" in ended.err
    assert git(ada / TREE, "status", "--porcelain") == ""
    git(ada / TREE, "merge", f"origin/{PLAN}", check=False)
    ended = work(ada, "finalize-tasks", "--feature", SLUG)
    assert "a merge is under way" in ended.err
    write(ada / TREE, {path: TASKS.replace("Read it", "Read it twice")})
    git(ada / TREE, "commit", "--quiet", "--all", "--no-edit")
    assert done(ada, "finalize-tasks", "--feature", SLUG, "--json").json["pushed"]


@pytest.mark.promise("L16")
def test_plan_goes_on_after_it_has_landed(ada, forge):
    squash = forge.squash(PLAN)
    told = planned(ada, TASKS + "\n## Work Package WP03: Look\n")
    assert told["pushed"]
    changed = git(forge.remote, "diff", "--name-only", f"{squash}...{PLAN}").splitlines()
    assert changed == [
        f"kitty-specs/{SLUG}/tasks.md",
        f"kitty-specs/{SLUG}/tasks/WP03-look.md",
    ]
    begun = done(ada, "implement", "WP03", "--json").json
    assert begun["base"] == git(forge.remote, "rev-parse", PLAN)


@pytest.mark.promise("L16")
def test_project_that_lands_by_merge_is_switched_and_its_main_can_be_pushed_again(forge):
    ada = forge.clone("ada")
    done(ada, "setup-spec", "Sync")
    write(ada, {f"kitty-specs/{SLUG}/tasks.md": TASKS})
    done(ada, "finalize-tasks")
    commit(ada, {"mine.py": "mine\n"})
    begin_work(ada)
    tip = git(ada, "rev-parse", "main")
    told = done(ada, "setup-spec", "--land", "pull-request")
    assert git(ada, "rev-parse", "main") == tip
    (line,) = [line for line in told.lines if "git reset --keep" in line]
    git(ada, *line.rpartition("git ")[2].split())
    assert git(ada, "rev-parse", "main") == forge.main()
    assert (ada / "mine").read_text() == "half done\n"
    assert {"mine.py", f"kitty-specs/{SLUG}/tasks/WP01-read.md"} <= forge.files(PLAN)
    begun = done(ada, "implement", "WP01", "--json").json
    assert begun["base"] == git(forge.remote, "rev-parse", PLAN)


@pytest.mark.promise("L16")
def test_switch_without_a_feature_is_refused(forge):
    ended = work(forge.clone("ada"), "setup-spec", "--land", "pull-request")
    assert ended.code == 2
    assert "setup-spec TITLE --land pull-request" in ended.err


@pytest.mark.promise("L16")
def test_plan_of_a_remote_that_was_fetched_for_a_review_is_not_read(forge):
    mallory, bob = forge.clone("mallory"), forge.clone("bob")
    git(mallory, "remote", "set-url", "origin", forge.remote.parent / "away.git")
    done(mallory, "setup-spec", "Sync", "--land", "pull-request")
    git(bob, "fetch", "--quiet", mallory, f"{PLAN}:refs/remotes/mallory/{PLAN}")
    done(bob, "finalize-tasks", "--add", "Read")
    assert git(bob, "branch", "--format=%(refname:short)") == "main"


@pytest.mark.promise("L16")
def test_status_says_where_a_plan_is_that_landed_otherwise(ada, forge):
    forge.squash(PLAN)
    seen(ada)
    git(ada, "worktree", "remove", TREE)
    git(ada, "branch", "-D", PLAN)
    planned_again = done(ada, "finalize-tasks", "--feature", SLUG, "--add", "More")
    assert "is pushed" in planned_again.out
    forge.squash(PLAN, {f"kitty-specs/{SLUG}/tasks/WP03-more.md": "# As suggested\n"})
    seen(ada)
    told = done(ada, "status").out
    assert f"its planning files are on {PLAN}, and main has another state of them" in told
    away = f"git fetch --prune; git worktree remove {TREE}; git branch -D {PLAN}"
    assert f"if they landed with changes: {away}" in told


@pytest.mark.promise("L16")
def test_merge_clears_a_plan_away_that_has_landed_and_no_other(ada, forge):
    assert "cleared" not in work(ada, "merge", "--json").out
    forge.squash(PLAN)
    git(ada, "pull", "--quiet")
    write(ada / TREE, {"mine": "half done\n"})
    (kept,) = done(ada, "merge", "--json").json["kept"]
    assert (kept["branch"], kept["worktree"]) == (PLAN, TREE)
    assert "uncommitted" in kept["reason"]
    (ada / TREE / "mine").unlink()
    assert (
        f"the plan of {SLUG}: its worktree and branch would go"
        in done(ada, "merge", "--dry-run").out
    )
    assert f"the plan of {SLUG}: its worktree and branch are gone" in done(ada, "merge").out
    assert not (ada / TREE).exists()
    assert git(ada, "branch", "--format=%(refname:short)") == "main"
    assert done(ada, "finalize-tasks", "--feature", SLUG, "--add", "Look", "--json").json["pushed"]
