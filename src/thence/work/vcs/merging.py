"""Merges of packages' branches into their target, in the given order, all or none.

Each branch gets a merge commit of its own in a private working tree below the git folder, by the
user's own git: hooks, signing and identity are the user's. When all are merged, the target is moved
once. A conflict stays open in the private tree until `resume` or `abort`; the user's own working
trees never see it. A record in the git folder holds the state of an unfinished merge.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from thence.errors import GitFailed
from thence.work.day_lines import ATTRIBUTES, FOLDER, is_day_path
from thence.work.vcs.advancing import forward, free_tree, was_in_the_way
from thence.work.vcs.git import Git, failure
from thence.work.vcs.killed_git import MERGING, free
from thence.work.vcs.locks import held
from thence.work.vcs.repository import Repository, is_ancestor, tip
from thence.work.vcs.trial_merges import MergeStep, tips_of, words
from thence.work.vcs.unfinished_merge import (
    Unfinished,
    end_merge,
    tree_of,
    unfinished,
    write_record,
)
from thence.work.vcs.worktrees import check_out

ATTEMPTS_MAX = 10
_PAUSE_MAX_S = 0.1
_SHOWN_MAX = 5
_HINT = "see what git says: a hook, signing, or who commits (git config user.name, user.email)"


class MergeOutcome(NamedTuple):
    """The outcome of a merge.

    "done": the target is at `commit` and contains all branches in `merged`. "conflict": the target
    stays at `commit`, and the merge of `conflict` is open in the private working tree `tree`.
    """

    status: Literal["done", "conflict"]
    commit: str
    merged: tuple[str, ...]
    conflict: MergeStep | None = None
    tree: Path | None = None


def merge(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    record: Path,
    *,
    opens: bool = True,
    tips: Mapping[str, str] | None = None,
    drops_day_files: bool = False,
) -> MergeOutcome:
    """Merges branches into a target, in this order, each by a merge commit of its own.

    Without `opens` a conflict changes nothing, and is only returned. `tips` are as in
    `trial_merges.plan`. With `drops_day_files` day files that the target does not track are left
    out of the merge, whatever a branch did to them.

    Raises GitFailed, with the target and the user's working trees unchanged: if the user's work is
    in the way, if an operation is under way where the target is checked out, if an earlier merge is
    open, or if git or a hook refuses.
    """
    with held(repo.common / MERGING) as lock:
        free(repo.common / MERGING)
        before = unfinished(record)
        if before is not None and before.conflict is not None:
            raise failure(
                f"could not merge into {target} in",
                repo.folder,
                f"the merge of {before.conflict} into {before.target} is not finished",
                f"resolve it in {tree_of(record)} and resume, or abort it",
            )
        if before is not None:
            end_merge(repo, record)
        known = tips_of(repo, target, packages, tips)
        branches = tuple((name, known[name]) for name in packages)
        begun = Unfinished(target, known[target], branches)
        return _merge(_MergeContext(repo, record, lock, drops_day_files), begun, opens=opens)


def resume(repo: Repository, record: Path, *, drops_day_files: bool = False) -> MergeOutcome:
    """Continues a merge after its conflict was resolved, or after its command was killed.

    A resolved merge that is staged is committed. `drops_day_files` is as in `merge`. Raises
    GitFailed if files still have conflicts, if something is not committed in the private working
    tree, or if nothing is unfinished.
    """
    with held(repo.common / MERGING) as lock:
        free(repo.common / MERGING)
        before = _unfinished(repo, record, "resume")
        resolved = None if before.conflict is None else _commit_resolved(repo, before, record, lock)
        end_merge(repo, record)
        context = _MergeContext(repo, record, lock, drops_day_files)
        return _merge(context, before._replace(end=None), resolved=resolved)


def abort(repo: Repository, record: Path) -> str:
    """Aborts a merge, its resolved conflicts included, and returns the target's commit.

    Raises GitFailed if nothing is unfinished.
    """
    with held(repo.common / MERGING):
        free(repo.common / MERGING)
        before = _unfinished(repo, record, "abort")
        end_merge(repo, record)
        return tip(repo, before.target) or before.begin


class _MergeContext(NamedTuple):
    """The context of a merge: the repository, its record, the descriptor of the lock MERGING."""

    repo: Repository
    record: Path
    lock: int
    drops_day_files: bool = False

    @property
    def git(self) -> Git:
        """The user's git in the private working tree."""
        return Git(tree_of(self.record), keeps=(self.lock,), is_users=True)


def _merge(
    context: _MergeContext,
    begun: Unfinished,
    *,
    opens: bool = True,
    resolved: str | None = None,
) -> MergeOutcome:
    """Merges, and begins again at the target's new commit if somebody else has moved it meanwhile.

    `resolved` is a commit on top of `begun.begin` in which the first conflict is resolved.
    """
    repo, target = context.repo, begun.target
    for attempt in range(ATTEMPTS_MAX):
        time.sleep(random.uniform(0.0, _PAUSE_MAX_S) * attempt)
        free_tree(repo, target)
        at = tip(repo, target) or begun.begin
        if all(is_ancestor(repo, oid, at) for _, oid in begun.branches):
            return MergeOutcome("done", at, begun.names)
        start, what = at, begun._replace(begin=at)
        if resolved is not None and at == begun.begin:
            start = resolved
        elif resolved is not None:  # the resolved commit is merged as one branch
            first = (begun.conflict or "", resolved)
            rest = [each for each in begun.branches if each[0] != begun.conflict]
            what = what._replace(branches=(first, *rest))
        outcome = _try(context, what._replace(conflict=None), start, opens=opens)
        if outcome is not None:
            return outcome
    raise failure(
        f"could not move branch {target} in",
        repo.folder,
        f"somebody else moved it {ATTEMPTS_MAX} times meanwhile",
        "see which program moves it, then try again",
        is_passing=True,
    )


def _try(
    context: _MergeContext, what: Unfinished, start: str, *, opens: bool
) -> MergeOutcome | None:
    """Merges all on top of a commit and moves the target; returns None if that moved meanwhile."""
    repo, record, git = context.repo, context.record, context.git
    write_record(record, what)
    try:
        check_out(repo, start, git.folder)
        conflict = next((step for step in _merge_each(context, what) if step.files), None)
        if conflict is not None and opens:
            write_record(record, what._replace(conflict=conflict.branch))
            return MergeOutcome("conflict", what.begin, (), conflict, git.folder)
        is_there = conflict is None and _move_target(context, what)
    except BaseException:
        with suppress(GitFailed, OSError):  # else the record stays, and the next command does it
            end_merge(repo, record)
        raise
    end = tip(repo, what.target) or what.begin
    end_merge(repo, record)
    if conflict is not None:
        return MergeOutcome("conflict", what.begin, (), conflict)
    return MergeOutcome("done", end, what.names) if is_there else None


def _merge_each(context: _MergeContext, what: Unfinished) -> Iterator[MergeStep]:
    """Merges one branch after another in the private tree; a step with files is a conflict."""
    git = context.git
    for branch, oid in what.branches:
        doing, message = (
            f"could not merge {branch} into {what.target} in",
            words(branch, what.target),
        )
        dropped = _dropped(git, oid) if context.drops_day_files else ()
        more = ("--no-commit",) if dropped else ()
        arguments = ("merge", "--no-ff", "--no-squash", "--no-autostash", *more, "-m", message, oid)
        answer = git.ask(*arguments)
        is_open = bool(dropped) and _is_open(git)
        if is_open:
            git.run("rm", "--quiet", "--force", "--ignore-unmatch", "--", *dropped)
        files = _unmerged(git) if answer.status else ()
        if is_open and not files:
            git.run("commit", "--quiet", "-m", message, doing=doing, hint=_HINT)
        elif answer.status and not files:
            raise git.failed(answer, arguments, doing=doing, hint=_HINT)
        yield MergeStep(branch, oid, "conflict" if files else "clean", files=files)
        # changes by a hook that are in no commit would prevent the next merge
        git.run("read-tree", "--reset", "-u", "--no-recurse-submodules", "HEAD")


def _dropped(git: Git, oid: str) -> tuple[str, ...]:
    """Returns the day files that a commit has and HEAD lacks."""
    listing = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", "--diff-filter=A")
    names = os.fsdecode(git.run(*listing, "HEAD", oid, "--", FOLDER)).split("\0")[:-1]
    return tuple(name for name in names if name == ATTRIBUTES or is_day_path(name))


def _is_open(git: Git) -> bool:
    return git.commit_of("MERGE_HEAD") is not None


def _unmerged(git: Git) -> tuple[str, ...]:
    out = git.run("diff", "--name-only", "--diff-filter=U", "-z")
    return tuple(dict.fromkeys(os.fsdecode(out).split("\0")[:-1]))


def _move_target(context: _MergeContext, what: Unfinished) -> bool:
    """Moves the target to the merged commit; reports whether the target contains it now."""
    repo, record = context.repo, context.record
    end = context.git.run("rev-parse", "HEAD").decode().strip()
    write_record(record, what._replace(end=end))
    try:
        error = forward(repo, what.target, end, context.lock)
    except GitFailed as killed:
        error = killed
    at = tip(repo, what.target)
    if at is not None and is_ancestor(repo, end, at):
        return True
    if error is not None and at == what.begin:
        if was_in_the_way(error):
            write_record(record, what)  # there is nothing to restore
        raise error
    return False


def _commit_resolved(repo: Repository, before: Unfinished, record: Path, lock: int) -> str | None:
    """Commits a resolved conflict; returns the commit, None if the user aborted it by git."""
    doing, tree = f"could not go on with the merge of {before.conflict} in", tree_of(record)
    if not os.path.isdir(tree):
        raise failure(doing, tree, "there is no such folder any more", "abort it, then merge again")
    git = _MergeContext(repo, record, lock).git
    if _is_open(git):
        names = _unmerged(git)
        if names:
            raise failure(
                doing,
                tree,
                f"{', '.join(names)} still {'has' if len(names) == 1 else 'have'} conflicts",
                "resolve them there and git add them, then resume",
            )
        _check_all_is_staged(git, doing)
        message = words(before.conflict or "", before.target)
        git.run("commit", "--quiet", "-m", message, doing=doing, hint=_HINT)
    _check_all_is_staged(git, doing)
    head = git.run("rev-parse", "HEAD").decode().strip()
    theirs = dict(before.branches)[before.conflict or ""]
    return head if is_ancestor(repo, theirs, head) else None


def _unfinished(repo: Repository, record: Path, verb: str) -> Unfinished:
    before = unfinished(record)
    if before is None:
        cause = f"there is no merge to {verb}"
        raise failure("could not go on with the merge in", repo.folder, cause, "git status")
    return before


def _check_all_is_staged(git: Git, doing: str) -> None:
    """Raises GitFailed if the private working tree, to be removed, holds unstaged changes."""
    out = git.run("status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames")
    lost = [line[3:] for line in os.fsdecode(out).split("\0")[:-1] if line[1] != " "]
    if lost:
        raise failure(
            doing,
            git.folder,
            f"it holds what is not staged: {', '.join(lost[:_SHOWN_MAX])}",
            "git add it there or take it away, then resume",
        )
