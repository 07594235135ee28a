"""Clones share their board by a branch of the remote that nothing else uses."""

import json
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cli.work.other_git import with_git
from tests.git.repositories import commit, git, sign
from tests.tiers import tenth
from tests.work.boards import (
    BOARD,
    ONLY_THE_BOARD,
    bare,
    clone,
    done,
    features,
    hook,
    hub,
    shared_lines,
    sync,
    synced,
    tool_line,
    view,
    view_lines,
    work,
)

from thence.work.journal.store import WorkEvent
from thence.work.project.project import find_project
from thence.work.session.session import Session

pytestmark = pytest.mark.xdist_group("clones")
CLONES, ROUNDS_EACH = tenth((6, 8), (3, 4))
# by hand: BOARD_ROUNDS=200
ROUNDS = int(os.environ.get("BOARD_ROUNDS", "12"))


def test_fetch_of_a_command_that_was_killed_is_waited_for(ada, tmp_path):
    synced(ada)
    done(ada, "finalize-tasks", "--add", "Second")
    refused = (
        "echo \"error: cannot lock ref 'refs/remotes/origin/thence-board': is at\" >&2; exit 1"
    )
    path = with_git(
        tmp_path / "bin", "fetch", f"mkdir .git/refused 2>/dev/null && {{ {refused}; }}"
    )
    synced(ada, PATH=path)
    assert (ada / ".git/refused").exists()
    assert synced(ada)["commit"] is None


def test_commit_that_a_gc_removes_before_it_is_pushed_is_made_again(ada, remote):
    once = "mkdir .git/pruned 2>/dev/null && git gc --quiet --prune=now"
    hook(ada / ".git", "pre-push", f"#!/bin/sh\n{once}\nexit 0\n")
    told = synced(ada)
    assert (ada / ".git/pruned").exists()
    assert git(remote, "rev-parse", BOARD) == told["commit"]


@pytest.mark.promise("L16")
def test_board_is_shared_past_a_protected_main(remote, tmp_path):
    hook(remote, "update", ONLY_THE_BOARD)
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    main = git(remote, "rev-parse", "main")
    done(ada, "finalize-tasks", "--add", "First")
    told = synced(ada)
    assert (told["remote"], told["branch"]) == ("origin", BOARD)
    assert (told["pushed"], told["pulled"]) == (2, 0)
    assert git(remote, "rev-parse", BOARD) == told["commit"]
    git(bob, "fetch", "--quiet")
    assert features(bob) == features(ada) != "[]"
    assert git(remote, "rev-parse", "main") == main
    assert git(ada, "branch", "--list", BOARD) == "", "there is no local branch"
    assert git(remote, "rev-list", "--count", BOARD) == "1", "no history of the code"
    held = git(remote, "ls-tree", "-r", "--name-only", BOARD).splitlines()
    assert held == [f".kittify/events/{view(ada).name}", "project.json"]
    named = json.loads(git(remote, "show", f"{BOARD}:project.json"))
    assert named == {"project_uuid": find_project(ada).uuid}


@pytest.mark.promise("L16")
@pytest.mark.parametrize("options", [["--single-branch"], ["--depth=1"]])
def test_clone_of_one_branch_gets_the_board_by_sync_and_then_by_fetch(remote, tmp_path, options):
    commit(tmp_path / "remote.git-first", {"more": "1\n"})
    git(tmp_path / "remote.git-first", "push", "--quiet", "origin", "main")
    ada = clone(remote, tmp_path / "ada")
    narrow = clone(remote, tmp_path / "narrow", *options)
    done(ada, "finalize-tasks", "--add", "First")
    synced(ada)
    git(narrow, "fetch", "--quiet")
    assert features(narrow) == "[]"
    assert synced(narrow)["pulled"] == 2
    assert features(narrow) == features(ada)
    done(ada, "finalize-tasks", "--add", "Second")
    synced(ada)
    git(narrow, "fetch", "--quiet")
    assert features(narrow) == features(ada)
    done(narrow, "add-history", "WP01", "seen")
    assert synced(narrow)["pushed"] == 1


def test_refspec_enters_the_configuration_once_the_remote_has_the_branch(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada", "--single-branch")
    synced(ada)
    before = git(ada, "config", "--get-all", "remote.origin.fetch")
    assert BOARD not in before
    git(ada, "fetch", "--quiet")
    done(ada, "finalize-tasks", "--add", "First")
    for _ in range(2):
        synced(ada)
        after = git(ada, "config", "--get-all", "remote.origin.fetch").splitlines()
        assert after == [before, f"+refs/heads/{BOARD}:refs/remotes/origin/{BOARD}"]
    git(ada, "fetch", "--quiet")


def test_newcomer_sees_the_board_with_the_first_command(tmp_path):
    remote = tmp_path / "remote.git"
    hub(remote)
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")  # its commit, with the project's id, stays here
    synced(ada)
    bob = clone(remote, tmp_path / "bob")
    assert features(bob) == features(ada) != "[]"
    done(bob, "add-history", "WP01", "seen")
    assert find_project(ada).uuid == find_project(bob).uuid
    assert synced(bob)["pushed"] == 1


def test_board_of_another_project_is_neither_taken_nor_changed(ada, remote, tmp_path):
    synced(ada)
    other = bare(tmp_path / "other.git")
    bob = clone(other, tmp_path / "bob")
    done(bob, "setup-spec", "--new-id")
    done(bob, "finalize-tasks", "--add", "Mine")
    mine = features(bob)
    git(bob, "remote", "set-url", "origin", remote.as_uri())
    git(bob, "fetch", "--quiet")
    ended = work(bob, "status", "--json")
    assert "another project" in ended.err
    assert json.dumps(ended.json["features"]) == mine
    tip = git(remote, "rev-parse", BOARD)
    ended = sync(bob, "now")
    assert (ended.code, git(remote, "rev-parse", BOARD)) == (2, tip)
    assert "another project" in ended.err


def refused(folder: Path, *words: str) -> None:
    """Share in vain: it is told why, and the event waits."""
    ended = sync(folder, "now", "--json")
    assert ended.code == 1, ended.out
    error = json.loads(ended.out)["error"]
    assert error["code"] == "git_failed"
    assert "could not share the board" in error["message"]
    for word in words:
        assert word in error["cause"]
    assert "the events wait in the journal" in error["hint"]


def test_each_refusal_is_told_in_words_of_git_and_the_events_wait(ada, remote, tmp_path):
    hook(ada / ".git", "pre-push", "#!/bin/sh\necho tests are red >&2\nexit 1\n")
    refused(ada, "tests are red")
    (ada / ".git/hooks/pre-push").unlink()
    hook(remote, "update", "#!/bin/sh\necho you may only read >&2\nexit 1\n")
    refused(ada, "you may only read", "remote rejected")
    (remote / "hooks/update").unlink()
    url = git(ada, "remote", "get-url", "origin")
    git(ada, "remote", "set-url", "origin", tmp_path / "nowhere")
    refused(ada, "nowhere")
    git(ada, "remote", "remove", "origin")
    refused(ada, "has no remote")
    git(ada, "remote", "add", "one", url)
    git(ada, "remote", "add", "two", tmp_path / "nowhere")
    refused(ada, "one, two")
    git(ada, "remote", "remove", "two")
    assert synced(ada)["pushed"] == 2, "by the only remote"


def test_fork_without_rights_shares_by_the_remote_that_is_named(remote, tmp_path):
    hook(remote, "update", "#!/bin/sh\nexit 1\n")
    git(tmp_path, "clone", "--quiet", "--bare", remote, tmp_path / "fork.git")
    ada = clone(remote, tmp_path / "ada")
    git(ada, "remote", "add", "fork", (tmp_path / "fork.git").as_uri())
    done(ada, "finalize-tasks", "--add", "First")
    refused(ada, "rejected")
    with (ada / ".kittify/config.yaml").open("a") as config:
        config.write("board: {remote: fork, branch: our/board}\n")
    told = synced(ada)
    assert (told["remote"], told["branch"]) == ("fork", "our/board")
    assert len(shared_lines(tmp_path / "fork.git", "our/board")) == told["pushed"] == 2


def test_board_goes_to_the_remote_that_the_default_branch_follows(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada", "--origin", "upstream")
    git(tmp_path, "init", "--quiet", "--bare", tmp_path / "mine.git")
    git(ada, "remote", "add", "origin", (tmp_path / "mine.git").as_uri())
    done(ada, "finalize-tasks", "--add", "First")
    assert synced(ada)["remote"] == "upstream"
    bob = clone(remote, tmp_path / "bob", "--origin", "upstream")
    assert features(bob) == features(ada)


def test_strangers_board_that_was_fetched_for_a_review_is_not_read(ada, bob, remote, tmp_path):
    synced(ada)
    git(tmp_path, "clone", "--quiet", "--bare", remote, tmp_path / "fork.git")
    git(ada, "remote", "set-url", "origin", (tmp_path / "fork.git").as_uri())
    done(ada, "finalize-tasks", "--add", "Second")
    synced(ada)
    git(bob, "fetch", "--quiet")
    before = features(bob)
    git(bob, "remote", "add", "stranger", (tmp_path / "fork.git").as_uri())
    git(bob, "fetch", "--quiet", "stranger")
    assert features(bob) == before


def test_day_files_of_a_tip_that_is_gone_are_read_again_and_bring_nothing_twice(ada, bob):
    synced(ada)
    git(bob, "fetch", "--quiet")
    board, lines = features(bob), view_lines(bob)
    (record,) = (bob / ".git/thence").glob("*/seen.json")
    seen = json.loads(record.read_bytes())
    seen["tips"] = dict.fromkeys(seen["tips"], "0" * 40)
    record.write_text(json.dumps(seen))
    ended = done(bob, "status")
    assert ended.err == ""
    assert (features(bob), view_lines(bob)) == (board, lines)


def test_unreadable_and_foreign_lines_stay_on_the_branch(ada, bob, remote):
    synced(ada)
    git(bob, "fetch", "--quiet")
    git(bob, "checkout", "--quiet", "--detach", f"origin/{BOARD}")
    day = next((bob / ".kittify/events").glob("*.jsonl"))
    foreign = json.dumps(json.loads(tool_line(day, 1)) | {"lamport_clock": 1 << 60})
    day.write_text(day.read_text() + f"<<<<<<< no event\n{foreign}")
    git(bob, "add", "--force", day)
    git(bob, "commit", "--quiet", "--message", "By hand")
    git(bob, "push", "--quiet", "origin", f"HEAD:{BOARD}")
    done(ada, "add-history", "WP01", "on")
    synced(ada)
    lines = shared_lines(remote)
    assert lines.count("<<<<<<< no event") == lines.count(foreign) == 1
    assert len(lines) == len(set(lines)) == 5


def test_repository_of_the_larger_hash_shares(tmp_path):
    remote = bare(tmp_path / "remote.git", "--object-format=sha256")
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    for number, folder in enumerate((ada, bob, ada)):
        done(folder, "finalize-tasks", "--add", f"Package {number}")
        synced(folder)
    git(bob, "fetch", "--quiet")
    assert features(bob) == features(ada)
    assert len(git(remote, "rev-parse", BOARD)) == 64
    git(remote, "fsck", "--strict")


def test_commit_is_the_users_own_and_signed_where_the_user_signs(ada, remote):
    synced(ada)
    sign(ada)
    done(ada, "add-history", "WP01", "signed")
    synced(ada)
    signed, plain = git(remote, "rev-list", BOARD).splitlines()
    assert "gpgsig" in git(remote, "cat-file", "commit", signed)
    assert "gpgsig" not in git(remote, "cat-file", "commit", plain)
    for oid in (signed, plain):
        form = "--format=%an <%ae> %cn %(trailers:key=Thence,valueonly)"
        assert git(remote, "log", "-1", form, oid).split() == [
            "ada", "<ada@example.org>", "ada", "sync", "now"
        ]  # fmt: skip


@pytest.mark.whole
def test_six_clones_that_share_at_once_lose_nothing(remote, tmp_path):
    clones = [clone(remote, tmp_path / f"clone{number}") for number in range(CLONES)]
    done(clones[0], "finalize-tasks", "--add", "First")
    synced(clones[0])
    gate = threading.Barrier(CLONES)

    def run(folder: Path) -> None:
        gate.wait()
        for number in range(ROUNDS_EACH):
            done(folder, "add-history", "WP01", f"{folder.name} {number}", "--feature", "0")
            synced(folder)

    for folder in clones:
        git(folder, "fetch", "--quiet")
    with ThreadPoolExecutor(CLONES) as pool:
        list(pool.map(run, clones))
    lines = shared_lines(remote)
    assert len(lines) == len(set(lines)) == 2 + CLONES * ROUNDS_EACH
    for folder in clones:
        git(folder, "fetch", "--quiet")
    assert len({features(folder) for folder in clones}) == 1


@pytest.mark.promise("L11")
def test_two_clones_in_random_turns_end_on_one_board(remote, tmp_path):
    seed = os.environ.get("BOARD_SEED") or str(random.randrange(10**6))
    print(f"BOARD_SEED={seed} BOARD_ROUNDS={ROUNDS}")
    chance = random.Random(seed)
    clones = [clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")]
    done(clones[0], "finalize-tasks", "--add", "First")
    synced(clones[0])
    for folder in clones:
        synced(folder)
    said = 0
    for number in range(ROUNDS):
        folder = chance.choice(clones)
        turn = chance.choice(["note", "move", "sync", "fetch", "tool", "look"])
        if turn == "note":
            done(folder, "add-history", "WP01", f"note {number}")
            said += 1
        elif turn == "move":
            with Session(folder, actor=folder.name) as session:
                package = session.refresh().features["000-general"].packages["WP01"]
                lane = chance.choice(["planned", "doing", "for_review"])
                moved = {"wp_id": "WP01", "previous_status": package.lane, "new_status": lane}
                session.append(WorkEvent("WPStatusChanged", moved, "000-general"))
            said += 1
        elif turn == "sync":
            synced(folder)
        elif turn == "fetch":
            git(folder, "fetch", "--quiet")
        elif turn == "tool":
            day = view(folder)
            with day.open("a") as file:
                file.write(tool_line(day, number) + "\n")
            said += 1
        else:
            features(folder)
        assert git(folder, "status", "--porcelain") == ""
    for folder in (*clones, *clones):
        synced(folder)
    assert features(clones[0]) == features(clones[1])
    lines = shared_lines(remote)
    assert len(lines) == len(set(lines)) == 2 + said
    for folder in clones:
        assert sorted(view_lines(folder)) == sorted(lines)
