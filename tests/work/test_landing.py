"""What is in the way of a commit where its branch is checked out, and what becomes of the rest."""

import os
import random
import signal
from pathlib import Path

import pytest
from tests.log.processes import started
from tests.work.repositories import commit, content, git, make_repository, patches, write
from tests.work.test_commits import DAY, TASKS, committed, is_clean, ticked, with_line

from thence.errors import GitFailed
from thence.work import index_lock
from thence.work.commits import commit_on
from thence.work.repository import repository

KEEP_ON_COMMITTING = """
import sys
from pathlib import Path
from thence.work.commits import commit_on
from thence.work.repository import repository

repo = repository(Path(sys.argv[1]))
for n in range(int(sys.argv[3]), 1_000_000):
    line = b"%d\\n" % n
    def splice(data):
        lines = (data or b"").splitlines(keepends=True)
        return b"".join(lines if line in lines else [*lines, line])
    assert commit_on(repo, "main", {sys.argv[2]: splice, "new/%d" % n: splice}, "Tell it")
    print(n, flush=True)
"""


def everything(top: Path) -> dict[str, bytes | str]:
    files = {
        str(path.relative_to(top)): path.read_bytes()
        for path in top.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    index = git(top, "ls-files", "-s")
    return {**files, "refs": git(top, "for-each-ref"), "index": index}


def refused(top: Path, why: str, branch: str = "main") -> GitFailed:
    """Check that nothing at all changes, and return what is told."""
    before = everything(top)
    with pytest.raises(GitFailed, match=why) as caught:
        committed(top, {DAY: with_line(b"9\n"), "new": with_line(b"9\n")}, branch)
    assert everything(top) == before
    assert not list((top / ".git").rglob("thence-index*"))
    return caught.value


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("merge", "side"), "merge"),
        (("rebase", "side"), "rebase"),
        (("cherry-pick", "side"), "cherry-pick"),
        (("revert", "--no-edit", "main~1"), "revert"),
    ],
)
def test_operation_of_the_user_is_waited_for_and_told(tmp_path, command, name):
    top = make_repository(tmp_path, {"a": "1\n", DAY: "0\n"})
    git(top, "checkout", "--quiet", "-b", "side")
    commit(top, {"a": "2\n"})
    git(top, "checkout", "--quiet", "main")
    commit(top, {"a": "3\n"})
    commit(top, {"a": "4\n"})
    git(top, *command, check=False)
    error = refused(top, f"a {name} (of it )?is under way")
    assert error.recoverable
    assert error.hint
    assert not (top / ".git/index.lock").exists()
    git(top, name, "--abort")
    committed(top)
    assert is_clean(top)


def test_bisect_does_not_keep_its_branch_from_moving(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    for n in range(4):
        commit(top, {"a": f"{n}\n"})
    git(top, "bisect", "start", "HEAD", "HEAD~4")
    committed(top)
    assert git(top, "status", "--porcelain") == ""
    git(top, "bisect", "reset")
    assert is_clean(top)
    assert (top / DAY).read_bytes() == b"0\n1\n"


def test_lock_on_the_index_is_told_as_passing_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(index_lock, "WAIT_S", 0.05)
    top = make_repository(tmp_path, {DAY: "0\n"})
    lock = top / ".git/index.lock"
    lock.touch()
    error = refused(top, "its index is locked")
    assert error.recoverable
    assert str(lock) in error.hint
    assert lock.exists()
    lock.unlink()
    committed(top)


def test_conflict_in_the_index_is_told(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    write(top, {DAY: "1\n"})
    git(top, "stash")
    commit(top, {DAY: "2\n"})
    git(top, "stash", "pop", check=False)
    assert refused(top, f"{DAY} has a conflict there").recoverable


def test_staged_link_is_told_with_the_remedy(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    (top / DAY).unlink()
    (top / DAY).symlink_to("elsewhere")
    git(top, "add", DAY)
    assert f"restore --staged {DAY}" in refused(top, "no plain file").hint


def test_one_of_two_checkouts_in_the_way_keeps_the_commit_from_both(tmp_path):
    top = make_repository(tmp_path / "top", {"a": "1\n", DAY: "0\n"})
    second = tmp_path / "second"
    git(top, "worktree", "add", "--quiet", "--force", second, "main")
    git(top, "branch", "side")
    commit(top, {"a": "2\n"})
    git(second, "reset", "--quiet", "--hard")
    git(top, "checkout", "--quiet", "--detach", "side")
    commit(top, {"a": "3\n"})
    git(top, "branch", "--force", "side", "HEAD")
    git(top, "checkout", "--quiet", "--ignore-other-worktrees", "main")
    git(second, "merge", "side", check=False)
    before = everything(second)
    refused(top, "a merge is under way")
    assert everything(second) == before


def test_what_a_splice_raises_goes_out_and_nothing_is_written(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n", TASKS: "- [ ] T001\n"})
    write(top, {TASKS: "broken\n"})
    before = everything(top)

    def strict(data: bytes | None) -> bytes | None:
        if data == b"broken\n":
            raise ValueError("can't read it")
        return ticked(data)

    with pytest.raises(ValueError, match="can't read it"):
        committed(top, {DAY: with_line(b"1\n"), TASKS: strict})
    assert everything(top) == before
    assert not (top / ".git/index.lock").exists()


def test_file_that_can_not_be_made_leaves_the_others_as_they_were(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n", "half": "0\n"})
    write(top, {"half": "1\n"})
    beside = top / f".half.thence-{os.getpid()}"
    beside.mkdir()  # stands where the new content has to be written first
    before = everything(top)
    with pytest.raises(GitFailed, match="could not write into"):
        committed(top, {DAY: with_line(b"1\n"), "half": with_line(b"2\n")})
    beside.rmdir()
    assert everything(top) == before
    committed(top, {DAY: with_line(b"1\n"), "half": with_line(b"2\n")})


def test_branch_that_somebody_moves_meanwhile_is_committed_to_where_it_stands(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    git(top, "checkout", "--quiet", "--detach")
    others: list[str] = []

    def meanwhile(data: bytes | None) -> bytes | None:
        if len(others) < 2:
            others.append(commit(top, {"a": f"{len(others)}\n"}))
            git(top, "branch", "--force", "main", "HEAD")
        return with_line(b"1\n")(data)

    made = committed(top, {DAY: meanwhile})
    assert made.parent == others[-1]
    assert content(top, "a") == b"1\n"
    assert content(top, DAY) == b"0\n1\n"


def test_branch_that_never_stands_still_is_told(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    git(top, "checkout", "--quiet", "--detach")

    def meanwhile(data: bytes | None) -> bytes | None:
        git(top, "commit", "--quiet", "--allow-empty", "--message", "Again")
        git(top, "branch", "--force", "main", "HEAD")
        return with_line(b"1\n")(data)

    with pytest.raises(GitFailed, match="it was moved or changed 20 times meanwhile") as caught:
        committed(top, {DAY: meanwhile})
    assert caught.value.recoverable
    assert content(top, DAY) == b"0\n"


def test_commit_that_is_killed_at_any_moment_is_whole_or_made_whole_by_the_next(tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    top = make_repository(tmp_path, {DAY: "", "mine": "0\n"})
    write(top, {"mine": "1\n"})
    git(top, "add", "mine")
    write(top, {"mine": "2\n"})
    before, done = patches(top), 0
    for _ in range(6):
        process = started(KEEP_ON_COMMITTING, top, DAY, done + 1)
        for _ in range(dice.randrange(1, 4)):
            done = int(process.stdout.readline())
        # somewhere in the next commit, which takes about this long
        signal.sigtimedwait([], dice.random() * 0.05)
        process.kill()
        out, _ = process.communicate()
        done = int((out.split() or [done])[-1])
        # the command is given again: it may have been done, or begun, or neither
        done += 1
        again = with_line(b"%d\n" % done)
        commit_on(repository(top), "main", {DAY: again, f"new/{done}": again}, "Tell it")
        told = b"".join(b"%d\n" % n for n in range(1, done + 1))
        assert content(top, DAY) == (top / DAY).read_bytes() == told
        assert patches(top) == before
        assert git(top, "status", "--porcelain") == "MM mine"
    git(top, "fsck", "--strict")
