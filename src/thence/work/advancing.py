"""Moving a branch to another commit, with the working trees that have it checked out.

What the user has staged or half done stays, as with `git switch`: a file that both the user and
the move change keeps everything as it is. Files come first and the branch last, under its lock,
so that a move that was killed is done again.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from thence.work.git import Git, failure
from thence.work.leftovers import COMMITTING, INDEX_LOCK, locking, ref_locks
from thence.work.refs import MovedMeanwhile, move
from thence.work.repository import (
    HEADS,
    Checkout,
    Repository,
    checkouts,
    checkouts_of,
    operation_under_way,
    rebase_of,
)


def free_trees(repo: Repository, branch: str) -> tuple[Checkout, ...]:
    """Returns the working trees that have a branch checked out.

    Raises a passing GitFailed if the user is in the middle of something with it.
    """
    rebased = rebase_of(repo, branch)
    trees = checkouts_of(checkouts(repo), branch)
    busy = [(tree.path, operation_under_way(tree.git_dir)) for tree in trees]
    told = [(os.fspath(path), operation) for path, operation in busy if operation]
    if rebased is not None:
        told.insert(0, (os.fspath(rebased), "rebase"))
    if told:
        where, operation = told[0]
        raise failure(
            f"could not move branch {branch} in",
            repo.place,
            f"a {operation} is under way in {where}",
            "end it (git status tells how), then try again",
            is_passing=True,
        )
    return trees


def advance(
    repo: Repository,
    branch: str,
    old: str,
    new: str,
    trees: Sequence[Checkout],
    reason: str,
    lock: int,
) -> None:
    """Moves a branch, and the working trees given, from one commit to another.

    Raises GitFailed, with nothing moved, if a change of the user's is in the way or if the branch
    does not stand at `old`. `lock` is the descriptor of the repository's lock of commits.
    """
    path, git_dir = trees[0][:2] if trees else (repo.place, repo.git_dir)
    taken = [
        *ref_locks(repo.common, git_dir, branch),
        *(each.git_dir / INDEX_LOCK for each in trees),
    ]
    try:
        with locking(repo.common / COMMITTING, *taken):
            _advance(Git(path, keeps=(lock,)), branch, old, new, trees, reason, lock)
    except MovedMeanwhile as error:
        raise failure(
            f"could not move branch {branch} in",
            repo.place,
            f"somebody else moved it meanwhile: {error.words}",
            "try again",
            is_passing=True,
        ) from None


def _advance(
    where: Git,
    branch: str,
    old: str,
    new: str,
    trees: Sequence[Checkout],
    reason: str,
    lock: int,
) -> None:
    for tree in trees:
        _try(tree.path, old, new, lock)
    moved: list[Path] = []
    try:
        with move(where, branch, reason) as ref:
            ref.prepare(new, old)
            for tree in trees:
                carry(tree.path, old, new, lock)
                moved.append(tree.path)
            ref.commit()
    except BaseException:
        if where.ask("rev-parse", f"{HEADS}{branch}").out.strip() != new.encode():
            for path in moved:
                carry(path, new, old, lock)
        raise


def check(repo: Repository, trees: Sequence[Checkout], old: str, new: str, lock: int) -> None:
    """Raises GitFailed if a change of the user's would be in the way of moving working trees."""
    with locking(repo.common / COMMITTING, *(each.git_dir / INDEX_LOCK for each in trees)):
        for tree in trees:
            _try(tree.path, old, new, lock)


def carry(path: Path, old: str, new: str, lock: int) -> None:
    """Brings a working tree's files and index from one commit to another, beside the user's work.

    What stands at the new commit already stays. Raises GitFailed, with nothing changed, if a
    change of the user's is in the way.
    """
    _read(Git(path, keeps=(lock,)), "-m", old, new)


def _try(path: Path, old: str, new: str, lock: int) -> None:
    git = Git(path, keeps=(lock,))
    git.ask("update-index", "-q", "--refresh")
    _read(git, "-nm", old, new)


def _read(git: Git, how: str, old: str, new: str) -> None:
    git.run(
        *("read-tree", how, "-u", "--no-recurse-submodules", old, new),
        doing="could not bring the merge into",
        hint="commit your changes of that file or move them away, then try again",
    )
