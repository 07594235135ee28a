"""Moves of a target branch forward, in the working tree that has it checked out, or in none.

Git does it as it does for the user: hooks run, staged and unfinished work stays, and if a file is
changed both by the user and by the move, git changes nothing. Files that a killed or refusing git
has left in the working tree are restored.
"""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISLNK

from thence.errors import GitFailed
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.git import Git, failure
from thence.work.vcs.killed_git import COMMITTING, INDEX_LOCK, MERGING, locking, ref_locks
from thence.work.vcs.locks import held
from thence.work.vcs.repository import (
    HEADS,
    Checkout,
    Repository,
    checkouts,
    checkouts_of,
    operation_under_way,
    rebase_of,
)

# git's messages when the user's files are in the way, and git has changed nothing
_REFUSALS = ("would be overwritten", "would lose untracked files", "would be removed")
_ORIG_HEAD_LOCK = "ORIG_HEAD.lock"


def free_tree(repo: Repository, branch: str) -> Checkout | None:
    """Returns the working tree that has a branch checked out, None if none has.

    Raises a passing GitFailed if the user is in the middle of something with it, and GitFailed if
    several have it.
    """
    operation = f"could not move branch {branch} in"
    rebased = rebase_of(repo, branch)
    trees = checkouts_of(checkouts(repo), branch)
    busy = [(tree.path, operation_under_way(tree.git_dir)) for tree in trees]
    operations = [(os.fspath(path), what) for path, what in busy if what]
    if rebased is not None:
        operations.insert(0, (os.fspath(rebased), "rebase"))
    if operations:
        where, what = operations[0]
        raise failure(
            operation,
            repo.folder,
            f"a {what} is under way in {where}",
            "end it (git status tells how), then try again",
            is_passing=True,
        )
    if len(trees) > 1:
        both = " and in ".join(os.fspath(tree.path) for tree in trees)
        cause = f"it is checked out in {both}"
        raise failure(operation, repo.folder, cause, "git switch another branch in all but one")
    return trees[0] if trees else None


def forward(repo: Repository, target: str, end: str, lock: int) -> GitFailed | None:
    """Moves a branch forward to a commit by git, with the user's own settings and hooks.

    Callers hold the lock MERGING. Returns git's error, None for success; after an error git may
    have moved something, unless `was_in_the_way`. Raises GitFailed as `free_tree` does, or if git
    was killed.
    """
    tree = free_tree(repo, target)
    arguments: tuple[str, ...]
    if tree is None:
        arguments = ("push", "--quiet", "--no-recurse-submodules", ".", f"{end}:{HEADS}{target}")
    else:
        arguments = ("merge", "--ff-only", "--quiet", "--no-squash", "--no-autostash", end)
    git = Git(tree.path if tree else repo.folder, keeps=(lock,), is_users=True)
    own = tree.git_dir if tree else repo.git_dir
    taken = (*ref_locks(repo.common, own, target), own / INDEX_LOCK, own / _ORIG_HEAD_LOCK)
    with held(repo.common / COMMITTING), locking(repo.common / MERGING, *taken):
        answer = git.ask(*arguments)
    if answer.status == 0:
        return None
    doing = f"could not bring the merge into {target} in"
    error = git.failed(answer, arguments, doing=doing, hint="see what refuses it, then merge again")
    if was_in_the_way(error):
        error.hint = "commit your changes of that file or move them away, then merge again"
    return error


def was_in_the_way(error: GitFailed) -> bool:
    """Reports whether git has moved nothing because the user's files were in the way."""
    return any(words in error.cause for words in _REFUSALS)


def restore_tree(
    repo: Repository, target: str, begin: str, end: str, private: Path, since_ns: int
) -> None:
    """Restores a working tree in which `forward` ended before the branch had moved.

    `private` is a working tree at the commit `end`. A file that was written after `since_ns` and
    holds the bytes of `private` there, or the beginning of them, is git's and is removed.
    Everything else stays. Raises GitFailed if the user's files are in the way.
    """
    tree = free_tree(repo, target)
    if tree is None:
        return
    git, files, theirs = Git(tree.path), TreeFiles(tree.path), TreeFiles(private)
    operations = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", begin, end)
    names = os.fsdecode(operations).split("\0")[:-1]
    with locking(repo.common / MERGING, tree.git_dir / INDEX_LOCK):
        for name in names:
            with suppress(OSError):
                if _is_partly_written(files, theirs, name, since_ns):
                    files.unlink(name)
        staged = git.run("diff-index", "--cached", "--name-only", "-z", begin)
        if {*os.fsdecode(staged).split("\0")} & {*names}:
            git.run(
                *("read-tree", "-m", "-u", "--no-recurse-submodules", end, begin),
                doing="could not put back what a merge did in",
                hint="commit your changes of that file or move them away, then try again",
            )
        git.ask("checkout-index", "--quiet", "-z", "--stdin", stdin=operations)


def _is_partly_written(files: TreeFiles, theirs: TreeFiles, name: str, since_ns: int) -> bool:
    """Reports whether git has written a file, perhaps not to its end."""
    found = files.look(name)
    if found is None or found.st_ctime_ns < since_ns:
        return False
    if S_ISLNK(found.st_mode):
        return files.target_of(name) == theirs.target_of(name)
    return theirs.read(name).startswith(files.read(name))
