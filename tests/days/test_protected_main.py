"""A feature of ten packages behind a main that takes pull requests only, from spec to done.

Three people, one of them at two machines, and two agent programs. What the board has to say at each
moment was written down before the first answer was seen: BOARD.
"""

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.warm import warm
from tests.cli.work.orchestra import AGENT
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

## Work Package WP04: Vouchers

## Work Package WP05: Search

## Work Package WP06: Stock

## Work Package WP07: Labels

## Work Package WP08: Report

### Dependencies

- Depends on WP05, WP07

"""
COLUMNS = {
    "planned": "p",
    "doing": "d",
    "for_review": "r",
    "approved": "a",
    "done": "D",
    "rejected": "x",
}
# the columns of WP01 to WP10, how many have landed, and what is said: packages of which nothing is
# said are left out
BOARD = {
    "planned": """
        pppppppp landed 0
        001-shop Shop (0 of 8 done)
        its planning files are on plan/001-shop, and not in main yet
        planned WP03 Receipt (after WP01)
        planned WP08 Report (after WP05, WP07)
        """,
    "Bob and Cleo are at work": """
        ddpppppp landed 0
        001-shop Shop (0 of 8 done)
        planned WP03 Receipt (after WP01)
        planned WP08 Report (after WP05, WP07)
        doing WP01 Prices (bob)
        doing WP02 Basket (cleo)
        """,
    "Bob has handed over": """
        rdpppppp landed 0
        001-shop Shop (0 of 8 done)
        planned WP03 Receipt (after WP01)
        planned WP08 Report (after WP05, WP07)
        doing WP02 Basket (cleo)
        for_review WP01 Prices (bob)
        next: thence work merge WP01
        or: thence work move-task WP01 --to doing --reason TEXT
        """,
    "WP01 has landed, and nobody has recorded it": """
        adpppppp landed 0
        001-shop Shop (0 of 8 done)
        planned WP03 Receipt (after WP01)
        planned WP08 Report (after WP05, WP07)
        doing WP02 Basket (cleo)
        approved WP01 Prices (bob; its code is in origin/main, and it is not done; approved by ada)
        next: thence work accept WP01
        or: thence work move-task WP01 --to doing --reason TEXT
        """,
    "Bob takes WP03, which records it": """
        Dddppppp landed 1
        001-shop Shop (1 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP02 Basket (cleo)
        doing WP03 Receipt (bob)
        """,
    "Cleo has done WP04 by git alone": """
        DddDpppp landed 2
        001-shop Shop (2 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP02 Basket (cleo)
        doing WP03 Receipt (bob)
        """,
    "the agents have ended": """
        DddDrdrp landed 2
        001-shop Shop (2 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP02 Basket (cleo)
        doing WP03 Receipt (bob)
        doing WP06 Stock (scout; tries that failed: 2: it ended with exit code 3: no such shelf)
        next: thence work orchestrate
        or: thence work implement WP06 --take-over
        for_review WP05 Search (scout)
        next: thence work merge WP05
        or: thence work move-task WP05 --to doing --reason TEXT
        for_review WP07 Labels (scout)
        next: thence work merge WP07
        or: thence work move-task WP07 --to doing --reason TEXT
        """,
    "Bob has taken WP06 over, and what the agents did has landed": """
        DddDDdDp landed 4
        001-shop Shop (4 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP02 Basket (cleo)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        """,
    "WP02 was squashed with a suggestion": """
        DadDDdDp landed 4
        001-shop Shop (4 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        approved WP02 Basket (cleo; approved by ada)
        next: thence work merge WP02
        or: thence work move-task WP02 --to doing --reason TEXT
        """,
    "Ada names the commit": """
        DDdDDdDp landed 5
        001-shop Shop (5 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        """,
    "WP01 was reverted": """
        DDdDDdDp landed 4
        001-shop Shop (5 of 8 done, 4 landed)
        planned WP08 Report (after WP05, WP07)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        done WP01 Prices (reverted in origin/main by COMMIT)
        next: thence work move-task WP01 --to doing --reason TEXT
        """,
    "Bob has it again": """
        dDdDDdDp landed 4
        001-shop Shop (4 of 8 done)
        planned WP08 Report (after WP05, WP07)
        doing WP01 Prices (bob)
        next: thence work implement WP01
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        """,
    "Bob is offline": """
        dDdDDdDdp landed 4
        001-shop Shop (4 of 9 done)
        its planning files are on plan/001-shop, and not in main yet
        doing WP01 Prices (bob)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        doing WP08 Report (bob)
        """,
    "Cleo is offline": """
        dDdDDdDdp landed 4
        001-shop Shop (4 of 9 done)
        its planning files are on plan/001-shop, and not in main yet
        doing WP01 Prices (bob)
        next: thence work implement WP01
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        doing WP08 Report (cleo)
        """,
    "they meet": """
        dDdDDdDdp landed 4
        001-shop Shop (4 of 9 done)
        its planning files are on plan/001-shop, and not in main yet
        doing WP01 Prices (bob)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        doing WP08 Report (cleo)
        conflict: bob and cleo both took WP08; cleo's claim counts (last_writer)
        next: thence work implement WP08 --feature 001-shop --take-over
        conflict: WP09 was given twice: by bob (Refunds) and by cleo (Gifts); bob's keeps it \
(first_in_order)
        next: where it was created: thence work finalize-tasks --add Gifts --feature 001-shop
        """,
    "both conflicts are settled": """
        dDdDDdDrpp landed 4
        001-shop Shop (4 of 10 done)
        its planning files are on plan/001-shop, and not in main yet
        doing WP01 Prices (bob)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        for_review WP08 Report (cleo)
        next: thence work merge WP08
        or: thence work move-task WP08 --to doing --reason TEXT
        """,
    "the folder is renamed": """
        dDdDDdDDpp landed 5
        001-store (001-shop) Shop (5 of 10 done)
        doing WP01 Prices (bob)
        doing WP03 Receipt (bob)
        doing WP06 Stock (bob)
        """,
    "the end": """
        DDDDDDDDDD landed 10
        001-store (001-shop) Shop (10 of 10 done)
        """,
}


class Team(NamedTuple):
    """The forge, and the clones of three people, of whom Bob has two."""

    forge: Forge
    ada: Path
    bob: Path
    cleo: Path
    desk: Path


@pytest.mark.promise("L16")
def test_from_spec_to_done_by_pull_requests(tmp_path):
    team, prices, basket_tree = begin(Forge(tmp_path), tmp_path)
    by_git_alone(team)
    by_agents(team)
    squashed_with_a_suggestion(team, basket_tree)
    reverted(team, prices)
    report_tree = offline(team)
    meet(team, report_tree)
    renamed(team)
    end(team)


def begin(forge, folder):
    """Have a feature cut, and its first packages begun; return who is at it, and what landed."""
    first_main = forge.main()
    ada = forge.clone("ada")

    # Ada writes the spec; her main, and that of the forge, stay as they are
    done(ada, "setup-spec", "Shop", "--land", "pull-request")
    write(ada / TREE, {f"{SPEC}/spec.md": "# Shop\n", f"{SPEC}/tasks.md": TASKS})
    with_agents(ada / TREE, folder / "script.json", ada)
    done(ada, "finalize-tasks")
    synced(ada)
    assert git(ada, "rev-parse", "main") == forge.main() == first_main
    shows("planned", ada)

    # Bob clones before the plan has landed, Cleo after
    bob = forge.clone("bob")
    shows("planned", bob)
    prices_tree = begun(bob, "WP01")
    assert (prices_tree / SPEC / "spec.md").read_text() == "# Shop\n"
    synced(bob)
    forge.squash(PLAN)
    cleo = forge.clone("cleo")
    synced(cleo)
    basket_tree = begun(cleo, "WP02")
    assert (basket_tree / SPEC / "tasks/WP02-basket.md").exists()
    shows("Bob and Cleo are at work", cleo, bob, ada)

    commit(prices_tree, {"prices.py": "PRICES = {'tea': 3, 'cup': 7}\n"}, "Prices")
    handed = done(bob, "merge", "WP01", "--json").json
    assert handed["pushed"] == [f"{SLUG}-WP01"]
    shows("Bob has handed over", bob, ada)
    approve(ada, "WP01")
    synced(ada)
    prices = forge.squash(f"{SLUG}-WP01")
    for clone in (ada, bob):  # who only looks records nothing
        shows("WP01 has landed, and nobody has recorded it", clone)
    done(ada, "add-history", "WP03", "mind the prices")
    receipt_tree = begun(bob, "WP03")
    assert (receipt_tree / "prices.py").exists()
    shows("Bob takes WP03, which records it", bob, ada)
    assert by_whom(bob, "WP01") == {"ada"}  # though two clones recorded it
    return at_another_machine(forge, ada, bob, cleo, receipt_tree), prices, basket_tree


def at_another_machine(forge, ada, bob, cleo, receipt_tree):
    """Have Bob go on with a package at another machine, where he is the same person."""
    commit(receipt_tree, {"receipt.py": "def receipt(): ...\n"}, "Receipt")
    git(receipt_tree, "push", "--quiet", "--set-upstream", "origin", f"{SLUG}-WP03")
    desk = forge.clone("desk")
    git(desk, "config", "user.name", "bob")
    synced(desk)
    receipt_tree = begun(desk, "WP03")
    assert (receipt_tree / "receipt.py").exists()
    shows("Bob takes WP03, which records it", desk, bob)
    return Team(forge, ada, bob, cleo, desk)


def by_git_alone(team):
    """Have Cleo do a package by git alone, which one command tells."""
    forge, ada, bob, cleo, desk = team
    git(cleo, "switch", "--quiet", "--create", "vouchers", "origin/main")
    commit(cleo, {"vouchers.py": "VOUCHERS = ()\n"}, "Vouchers")
    git(cleo, "push", "--quiet", "origin", "vouchers")
    git(cleo, "switch", "--quiet", "main")
    vouchers = forge.squash("vouchers")
    git(ada, "pull", "--quiet", "--ff-only")
    done(ada, "accept", "WP04", "--landed", vouchers)
    shows("Cleo has done WP04 by git alone", ada, cleo, bob, desk)


def by_agents(team):
    """Have an agent hang, both die of one package, and one commit elsewhere."""
    forge, ada, bob, cleo, desk = team
    ended = work(ada, "orchestrate")
    assert ended.code == 1
    told = ended.out + ended.err
    for wp_id, why in {
        "WP05": "it took longer than 5 s",
        "WP06": "it ended with exit code 3: no such shelf",
        "WP07": "the branch of WP07 holds no commit of its own",
    }.items():
        assert re.search(f"failed +{wp_id} +{why}", told), told
    for wp_id in ("WP05", "WP07"):
        assert f"open a pull request from {SLUG}-{wp_id} into main" in told
    assert forge.main() != git(ada, "rev-parse", "main")  # it has what an agent put there
    shows("the agents have ended", ada, bob, cleo)
    git(ada, "reset", "--quiet", "--keep", "origin/main")
    synced(desk)
    begun(desk, "WP06", "--take-over")
    synced(desk)
    for wp_id in ("WP05", "WP07"):
        approve(ada, wp_id)
        forge.squash(f"{SLUG}-{wp_id}")
    git(ada, "fetch", "--quiet")
    done(ada, "accept")
    moment = "Bob has taken WP06 over, and what the agents did has landed"
    shows(moment, ada, cleo, bob, desk)


def squashed_with_a_suggestion(team, basket_tree):
    """Have the forge's reviewer edit a row as she squashes."""
    forge, ada, bob, cleo, _ = team
    rows = "".join(f"    # row {number} of the basket\n" for number in range(6))
    commit(basket_tree, {"basket.py": f"def basket():\n{rows}    return []\n"}, "Basket")
    done(cleo, "merge", "WP02")
    synced(cleo)
    synced(ada)
    approve(ada, "WP02")
    suggested = (basket_tree / "basket.py").read_text().replace("row 3", "the third row")
    basket = forge.squash(f"{SLUG}-WP02", {"basket.py": suggested})
    shows("WP02 was squashed with a suggestion", ada, cleo)
    refused = work(ada, "accept", "WP02", "--json")
    assert basket[:7] in refused.err
    done(ada, "accept", "WP02", "--landed", basket)
    shows("Ada names the commit", ada, cleo, bob)


def reverted(team, prices):
    """Have a package taken out of main again."""
    forge, ada, bob, cleo, desk = team
    forge.revert(prices)
    shows("WP01 was reverted", ada, bob)
    done(bob, "move-task", "WP01", "--to", "doing", "--reason", "reverted")
    shows("Bob has it again", bob, ada, cleo, desk)
    begun(bob, "WP01")


def offline(team):
    """Have two take one package, and give one number, without a network."""
    forge, _, bob, cleo, _ = team
    away = forge.remote.with_name("away.git")
    forge.remote.rename(away)
    done(bob, "finalize-tasks", "--feature", SLUG, "--add", "Refunds")
    begun(bob, "WP08")
    for note in ("mind the basket", "and the receipt"):
        done(cleo, "add-history", "WP08", note)
    done(cleo, "finalize-tasks", "--feature", SLUG, "--add", "Gifts")
    report_tree = begun(cleo, "WP08")
    says("Bob is offline", bob)
    says("Cleo is offline", cleo)
    away.rename(forge.remote)
    return report_tree


def meet(team, report_tree):
    """Have those two see each other, and settle both."""
    _, ada, bob, cleo, desk = team
    for clone in (bob, cleo):
        synced(clone)
        assert done(clone, "finalize-tasks", "--feature", SLUG, "--json").json["pushed"]
    shows("they meet", bob, cleo, ada, desk)
    done(cleo, "finalize-tasks", "--add", "Gifts", "--feature", SLUG)
    files = {path.name for path in (cleo / TREE / SPEC / "tasks").iterdir()}
    assert {"WP09-refunds.md", "WP10-gifts.md"} <= files
    assert "WP09-gifts.md" not in files
    git(report_tree, "merge", "--quiet", PLAN)
    commit(report_tree, {"report.py": "REPORT = ''\n"}, "Report")
    done(cleo, "merge", "WP08")
    # Bob's own branch of WP08 is not what Cleo handed in
    shows("both conflicts are settled", cleo, bob, ada, desk)
    git(bob, "worktree", "remove", f".worktrees/{SLUG}-WP08")
    git(bob, "branch", "--quiet", "-D", f"{SLUG}-WP08")


def renamed(team):
    """Have Bob rename the folder by git alone, once the plan has landed again."""
    forge, ada, bob, cleo, desk = team
    forge.squash(PLAN)
    approve(ada, "WP08")
    forge.squash(f"{SLUG}-WP08")
    git(ada, "fetch", "--quiet")
    report = git(ada, "rev-parse", "origin/main")
    git(bob, "fetch", "--quiet")
    git(bob, "switch", "--quiet", "--create", "store", "origin/main")
    git(bob, "mv", SPEC, "kitty-specs/001-store")
    git(bob, "commit", "--quiet", "--message", "It is a store")
    git(bob, "push", "--quiet", "origin", "store")
    git(bob, "switch", "--quiet", "main")
    forge.squash("store")
    for clone in (ada, bob, cleo, desk):
        git(clone, "pull", "--quiet", "--ff-only")
    # the plan that Cleo took into her branch is elsewhere now
    done(ada, "accept", "WP08", "--landed", report)
    done(ada, "finalize-tasks")
    shows("the folder is renamed", ada, bob, cleo, desk)


def end(team):
    """Have all the rest done."""
    forge, ada, bob, cleo, desk = team
    again = begun(bob, "WP01")
    git(again, "merge", "--quiet", "--no-edit", "origin/main")  # no planning file conflicts
    assert (again / "kitty-specs/001-store/tasks/WP10-gifts.md").exists()
    commit(again, {"prices.py": "PRICES = {'tea': 4, 'cup': 7}\n"}, "Dearer")
    owners = {"WP01": bob, "WP03": desk, "WP06": desk, "WP09": bob, "WP10": cleo}
    for wp_id, clone in owners.items():
        tree = begun(clone, wp_id)
        if wp_id not in ("WP01", "WP03"):
            commit(tree, {f"{wp_id}.py": f"{wp_id}\n"})
        done(clone, "merge", wp_id)
        synced(clone)
    synced(ada)
    for wp_id in ("WP01", "WP03", "WP06", "WP09", "WP10"):
        approve(ada, wp_id)
        forge.squash(f"{SLUG}-{wp_id}")
    git(ada, "fetch", "--quiet")
    done(ada, "accept")
    shows("the end", ada, bob, cleo, desk)
    for clone in (ada, bob, cleo, desk):
        done(clone, "merge")  # which clears away
        assert git(clone, "branch", "--show-current") == "main"
        assert git(clone, "status", "--porcelain") == ""
        assert not git(clone, "rev-list", "main", "--not", "--remotes=origin")
        kept = git(clone, "branch", "--list", f"{SLUG}-*", "--format=%(refname:short)").split()
        # what began at a plan that was squashed stays, and merge says so
        assert kept == ([f"{SLUG}-WP02", f"{SLUG}-WP08"] if clone == cleo else [])


def with_agents(tree, script, main):
    """Commit the settings of two agents, which follow a script, beside a plan."""
    path = ".kittify/config.yaml"
    command = [sys.executable, str(AGENT), str(script), "{wp_id}"]
    agents = {name: {"command": command, "timeout": 5} for name in ("smith", "scout")}
    setup = {"agents": agents, "implement": [*agents], "retries": 0, "backoff": 0.1, "slots": 3}
    text = f"{(tree / path).read_text()}orchestrate: {json.dumps(setup)}\n"
    commit(tree, {path: text}, "Agents")
    do = [["write", "{wp}.txt", "done\n"], ["commit", "Do {wp}"]]
    die = [["print", "no such shelf"], ["exit", 3]]
    stray = ["run", "git", "-C", str(main), "commit", "--quiet", "--allow-empty", "-m", "Labels"]
    steps = {"WP05": [[["hang"]], do], "WP06": [die], "WP07": [[stray], do]}
    script.write_text(
        json.dumps(
            {
                wp_id: json.loads(json.dumps(attempts).replace("{wp}", wp_id))
                for wp_id, attempts in steps.items()
            }
        )
    )


def shows(moment, *clones):
    """See that clones that have all show what is true."""
    for clone in (*clones[:1], *clones):  # what the first has is there for the others
        git(clone, "fetch", "--quiet", "origin")
        synced(clone)
    for clone in clones:
        says(moment, clone)


def says(moment, clone):
    """See that a clone shows what is true as far as it can know."""
    head, _, rows = done(clone, "status").out.partition("\n\n")
    columns, said = {}, list[str]()
    for row in rows.splitlines():
        package = re.match(r"  (\w+) +(WP\d\d)  ", row)
        if package:
            columns[package[2]] = COLUMNS[package[1]]
        if (not package or row.endswith(")")) and "not shared yet" not in row:  # clones are private
            row = re.sub(r"\b[0-9a-f]{7,40}\b", "COMMIT", " ".join(row.split()))
            said.append(row.replace("origin/plan/", "plan/"))
    landed = re.search(r"landed \d+", head)
    assert landed, head
    lanes = "".join(columns[wp_id] for wp_id in sorted(columns))
    wanted = [line.strip() for line in BOARD[moment].strip().splitlines()]
    assert [f"{lanes} {landed[0]}", *said] == wanted, (moment, clone.name)


def begun(clone, wp_id, *options):
    """Take a package, and return its worktree."""
    asked = ("implement", wp_id, "--feature", SLUG, *options, "--json")
    return clone / done(clone, *asked).json["worktree"]


def approve(clone, wp_id):
    """Look at a package and approve it."""
    git(clone, "fetch", "--quiet", "origin")
    done(clone, "add-history", wp_id, "approved", "--type", "review")


def by_whom(clone, wp_id):
    """Return whose doing it is that a package is done, by all events that say so."""
    lines = warm("log", "--type", "WPStatusChanged", "--json", cwd=clone).lines
    payloads = [json.loads(line)["payload"] for line in lines]
    moved = (wp_id, "done")
    return {one["changed_by"] for one in payloads if (one["wp_id"], one["new_status"]) == moved}
