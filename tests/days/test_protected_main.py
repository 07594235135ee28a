"""Three people bring a feature from spec to done behind a main that takes pull requests only.

What the board has to say at each moment was written down before the first answer: BOARD.
"""

import json

import pytest
from tests.cli.warm import warm
from tests.git.repositories import commit, git, write
from tests.work.boards import done, synced, work
from tests.work.forges import Forge

SLUG = "001-shop"
PLAN, TREE = f"plan/{SLUG}", f".worktrees/plan-{SLUG}"
SPEC = f"kitty-specs/{SLUG}"
TASKS = """# Tasks

## Work Package WP01: Prices

## Work Package WP02: Basket

## Work Package WP03: Receipt

### Dependencies

- Depends on WP01

"""
# the lanes of WP01 to WP05, and how many packages have landed
BOARD = {
    "planned": ("planned planned planned", 0),
    "Bob and Cleo are at work": ("doing doing planned", 0),
    "Bob has handed over": ("for_review doing planned", 0),
    "WP01 has landed, and nobody has recorded it": ("approved doing planned", 0),
    "Bob takes WP03, which records it": ("done doing doing", 1),
    "Cleo was offline": ("done for_review doing planned planned", 1),
    "WP02 was squashed with a suggestion": ("done for_review doing planned planned", 1),
    "Ada names the commit": ("done done doing planned planned", 2),
    "WP01 was reverted": ("done done doing planned planned", 1),
    "Bob has it again": ("doing done doing planned planned", 1),
    "the end": ("done done done done done", 5),
}


@pytest.mark.promise("L16")
def test_from_spec_to_done_by_pull_requests(tmp_path):
    forge = Forge(tmp_path)
    first_main = forge.main()
    ada = forge.clone("ada")

    # Ada writes the spec; her main, and that of the forge, stay as they are
    done(ada, "setup-spec", "Shop", "--land", "pull-request")
    write(ada / TREE, {f"{SPEC}/spec.md": "# Shop\n", f"{SPEC}/tasks.md": TASKS})
    done(ada, "finalize-tasks")
    synced(ada)
    assert git(ada, "rev-parse", "main") == forge.main() == first_main
    shows("planned", ada)

    # Bob clones before the plan has landed, Cleo after
    bob = forge.clone("bob")
    synced(bob)
    shows("planned", bob)
    tree_1 = begun(bob, "WP01")
    assert (tree_1 / SPEC / "spec.md").read_text() == "# Shop\n"
    synced(bob)
    forge.squash(PLAN)
    cleo = forge.clone("cleo")
    synced(cleo)
    tree_2 = begun(cleo, "WP02")
    assert (tree_2 / SPEC / "tasks/WP02-basket.md").exists()
    shows("Bob and Cleo are at work", cleo, bob, ada)

    commit(tree_1, {"prices.py": "PRICES = {'tea': 3, 'cup': 7}\n"}, "Prices")
    handed = done(bob, "merge", "WP01", "--json").json
    assert handed["pushed"] == [f"{SLUG}-WP01"]
    shows("Bob has handed over", bob, ada)
    approve(ada, "WP01")
    synced(ada)
    prices = forge.squash(f"{SLUG}-WP01")
    for clone in (ada, bob):  # who only looks records nothing
        git(clone, "fetch", "--quiet", "origin")
        assert board(clone) == BOARD["WP01 has landed, and nobody has recorded it"]
    done(ada, "add-history", "WP03", "mind the prices")
    tree_3 = begun(bob, "WP03")
    assert (tree_3 / "prices.py").exists()
    commit(tree_3, {"receipt.py": "def receipt(): ...\n"}, "Receipt")
    shows("Bob takes WP03, which records it", bob, ada)
    assert by_whom(bob, "WP01") == {"ada"}  # though two clones recorded it

    with_cleo_offline(forge, ada, cleo, tree_2)
    shows("Cleo was offline", cleo, ada, bob)
    forge.squash(PLAN)

    # the forge's reviewer edits a row as she squashes
    suggested = (tree_2 / "basket.py").read_text().replace("row 3", "the third row")
    basket = forge.squash(f"{SLUG}-WP02", {"basket.py": suggested})
    shows("WP02 was squashed with a suggestion", ada, cleo)
    refused = work(ada, "accept", "WP02", "--json")
    assert basket[:7] in refused.err
    done(ada, "accept", "WP02", "--landed", basket)
    synced(ada)
    shows("Ada names the commit", ada, cleo, bob)

    forge.revert(prices)
    shows("WP01 was reverted", ada, bob)
    assert "reverted" in done(bob, "status").out
    done(bob, "move-task", "WP01", "--to", "doing", "--reason", "reverted")
    synced(bob)
    shows("Bob has it again", bob, ada)
    again = begun(bob, "WP01")
    git(again, "merge", "--quiet", "--no-edit", "origin/main")  # no planning file conflicts
    assert (again / SPEC / "tasks/WP05-vouchers.md").exists()
    assert (again / "prices.py").exists()
    commit(again, {"prices.py": "PRICES = {'tea': 4, 'cup': 7}\n"}, "Dearer")
    for clone, wp_id in ((bob, "WP01"), (bob, "WP03"), (cleo, "WP04"), (ada, "WP05")):
        tree = begun(clone, wp_id)
        if wp_id not in ("WP01", "WP03"):
            commit(tree, {f"{wp_id}.py": f"{wp_id}\n"})
        reviewed_and_landed(forge, ada, clone, wp_id)
    shows("the end", ada, bob, cleo)
    for clone in (ada, bob, cleo):
        assert git(clone, "branch", "--show-current") == "main"
        assert git(clone, "status", "--porcelain") == ""
        assert not git(clone, "rev-list", "main", "--not", "--remotes=origin")


def with_cleo_offline(forge, ada, cleo, tree):
    """Have Ada and Cleo cut the feature further, of whom one has no network."""
    away = forge.remote.with_name("away.git")
    forge.remote.rename(away)
    rows = "".join(f"    # row {number} of the basket\n" for number in range(6))
    commit(tree, {"basket.py": f"def basket():\n{rows}    return []\n"}, "Basket")
    done(cleo, "merge", "WP02")
    done(cleo, "finalize-tasks", "--feature", SLUG, "--add", "Refunds")
    away.rename(forge.remote)
    write(ada / TREE, {f"{SPEC}/tasks.md": TASKS + "## Work Package WP05: Vouchers\n"})
    done(ada, "finalize-tasks", "--feature", SLUG)
    synced(ada)
    synced(cleo)
    assert done(cleo, "finalize-tasks", "--feature", SLUG, "--json").json["pushed"]
    assert done(cleo, "merge", "WP02", "--json").json["pushed"] == [f"{SLUG}-WP02"]
    synced(cleo)
    names = {f"{SPEC}/tasks/WP04-refunds.md", f"{SPEC}/tasks/WP05-vouchers.md"}
    assert names <= forge.files(PLAN)


def reviewed_and_landed(forge, ada, clone, wp_id):
    """Have a package pushed, approved by Ada, squashed and accepted."""
    done(clone, "merge", wp_id)
    synced(clone)
    synced(ada)
    approve(ada, wp_id)
    synced(ada)
    synced(clone)
    forge.squash(f"{SLUG}-{wp_id}")
    git(ada, "fetch", "--quiet", "origin")
    done(ada, "accept", wp_id)
    synced(ada)


def shows(moment, *clones):
    """See that clones that have all show what is true."""
    for clone in clones:
        git(clone, "fetch", "--quiet", "origin")
        synced(clone)
        assert board(clone) == BOARD[moment], (moment, clone.name)


def begun(clone, wp_id):
    """Take a package, and return its worktree."""
    return clone / done(clone, "implement", wp_id, "--feature", SLUG, "--json").json["worktree"]


def approve(clone, wp_id):
    done(clone, "add-history", wp_id, "approved", "--type", "review")


def board(clone):
    """Return the lanes of all packages in one line, and how many have landed."""
    told = done(clone, "status", "--json").json
    (feature,) = told["features"]
    lanes = {p["wp_id"]: lane for lane, ps in feature["lanes"].items() for p in ps}
    return " ".join(lanes[wp_id] for wp_id in sorted(lanes)), told["summary"]["landed"]


def by_whom(clone, wp_id):
    """Return whose doing it is that a package is done, by all events that say so."""
    lines = warm("log", "--type", "WPStatusChanged", "--json", cwd=clone).lines
    moves = [json.loads(line) for line in lines]
    payloads = [move["payload"] for move in moves]
    return {
        one["changed_by"]
        for one in payloads
        if (one["wp_id"], one["new_status"]) == (wp_id, "done")
    }
