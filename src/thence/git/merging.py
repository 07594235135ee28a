"""Merges of packages' branches into their target, in memory, in the given order, all or none.

Each branch gets a merge commit of its own by `git merge-tree` and `git commit-tree`, by the user's
identity and signed where the user signs. Then the target is moved once, by git in the working tree
that has it checked out, else by a push into the repository itself: staged and unfinished work of
the user stays, and if a file is changed both by the user and by the move, git changes nothing. A
conflict changes nothing and is only returned. Hooks run as they do for a forge's merge button:
post-merge, pre-push and update, none for the merge commits.
"""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from thence.errors import GitFailed
from thence.git.commits import commit_tree
from thence.git.git import Git, failure
from thence.git.locks import COMMITTING, INDEX_LOCK, locked, naming, ref_locks
from thence.git.refs import refs_of
from thence.git.repository import (
    HEADS,
    Repository,
    git_dir_of,
    is_ancestor,
    operation_under_way,
    tip,
)

ATTEMPTS_MAX = 10
_CONFLICTS = 1
# git's messages when the user's files are in the way, and git has changed nothing
REFUSALS = ("would be overwritten", "would lose untracked files", "would be removed")
_ORIG_HEAD_LOCK = "ORIG_HEAD.lock"


class MergeStep(NamedTuple):
    """One branch of a plan, with its commit.

    "merged": the target contains it already. "clean": it can be merged. "conflict": `files` are
    the files in conflict.
    """

    branch: str
    tip: str
    status: Literal["merged", "clean", "conflict"]
    files: tuple[str, ...] = ()


class MergePlan(NamedTuple):
    """The merge of branches into a target, in this order: from the commit `begin` to `end`.

    `end` has all branches but those that conflict. No branch is at it before it is carried out.
    """

    target: str
    begin: str
    end: str
    steps: tuple[MergeStep, ...]

    @property
    def conflict(self) -> MergeStep | None:
        """The first branch that can't be merged, if there is one."""
        return next((step for step in self.steps if step.status == "conflict"), None)


def plan(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    commits: Mapping[str, str],
    *,
    is_signed: bool = False,
) -> MergePlan:
    """Merges branches into a target one after another, and changes no branch.

    `commits` are those of the branches. Branches after a conflict are merged without the one that
    conflicts. Raises GitFailed if a branch is missing, or if git can't sign.
    """
    for name in (target, *packages):
        if name not in commits:
            cause, hint = f"there is no branch {name}", "git branch"
            raise failure(f"could not merge into {target} in", repo.folder, cause, hint)
    at = commits[target]
    steps: list[MergeStep] = []
    for name in packages:
        commit = commits[name]
        if is_ancestor(repo, commit, at):
            steps.append(MergeStep(name, commit, "merged"))
            continue
        tree, files = merged_tree(repo, at, commit)
        if files:
            steps.append(MergeStep(name, commit, "conflict", files=files))
            continue
        message = f"Merge {name} into {target}"
        at = commit_tree(repo, tree, [at, commit], message, is_signed=is_signed)
        steps.append(MergeStep(name, commit, "clean"))
    return MergePlan(target, commits[target], at, tuple(steps))


def merge(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    *,
    tips: Mapping[str, str] | None = None,
    check: Callable[[MergePlan], None] | None = None,
) -> MergePlan:
    """Merges branches into a target and moves it, unless one of them conflicts.

    `tips` are the commits to use for branches that may have moved since; `check` raises what keeps
    the target from being moved to the end of a plan. Raises GitFailed, with the target and the
    user's working trees unchanged: if the user's work is in the way, if an operation is under way
    where the target is checked out, or if git or a hook refuses.
    """
    is_signed, moving = signs_commits(repo), f"could not move branch {target} in"
    with locked(repo.common / COMMITTING):
        for _ in range(ATTEMPTS_MAX):
            refs = refs_of(repo)
            tree = refs.trees.get(target)
            if tree and (what := operation_under_way(git_dir_of(tree))):
                cause = f"a {what} is under way in {tree}"
                hint = "end it (see git status), then try again"
                raise failure(moving, repo.folder, cause, hint, is_retryable=True)
            commits = {**refs.branches, **(tips or {})}
            planned = plan(repo, target, packages, commits, is_signed=is_signed)
            if planned.conflict is None and check is not None:
                check(planned)
            if planned.conflict is not None or planned.end == planned.begin:
                return planned
            error = _forward(repo, tree, planned)
            at = tip(repo, target)
            if at is not None and is_ancestor(repo, planned.end, at):
                return planned
            if error is not None and at == planned.begin:
                raise error
    cause = f"someone else moved it {ATTEMPTS_MAX} times in the meantime"
    hint = "see which program moves it, then try again"
    raise failure(moving, repo.folder, cause, hint, is_retryable=True)


def signs_commits(repo: Repository) -> bool:
    """Reports whether the user signs commits."""
    arguments = ("config", "--type=bool", "--default=false", "--get", "commit.gpgSign")
    return Git(repo.folder, is_users=True).run(*arguments).strip() == b"true"


def merged_tree(repo: Repository, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    """Merges two commits and returns the tree, with the files in conflict.

    With conflicts the tree holds conflict markers. Only objects are written. Raises GitFailed if
    git can't merge the commits at all, such as commits without a common history.
    """
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    answer = repo.git.ask(*arguments)
    if answer.status not in {0, _CONFLICTS} or not answer.out:
        raise repo.git.failed(answer, arguments, operation="could not merge commits in")
    tree, *names = os.fsdecode(answer.out).split("\0")
    files = tuple(dict.fromkeys(name for name in names if name)) or ("?",) * answer.status
    return tree.strip(), files


def base_of(repo: Repository, base: str | Sequence[str], branch_tips: Mapping[str, str]) -> str:
    """Returns the commit to begin at: that of the base, or a merge of several bases.

    The merge belongs to no branch yet. Raises GitFailed that names the files if the bases
    conflict.
    """
    names = (base,) if isinstance(base, str) else tuple(dict.fromkeys(base))
    assert names, "a worktree begins somewhere"
    tips = {name: branch_tips.get(name) or repo.git.commit_of(name) for name in names}
    if unknown := [name for name, commit in tips.items() if commit is None]:
        cause = f"there is no branch or commit {unknown[0]}"
        raise failure("could not begin at it in", repo.folder, cause, "git branch --all")
    commits = {name: commit for name, commit in tips.items() if commit}
    if len(commits) > 1:  # of those that contain others these alone
        out = repo.git.run("merge-base", "--independent", *commits.values()).decode().split()
        commits = {name: commit for name, commit in commits.items() if commit in out}
    first, *others = commits
    planned = plan(repo, first, others, commits)
    if (step := planned.conflict) is not None:
        raise failure(
            f"could not merge {first} and {step.branch} to begin at in",
            repo.folder,
            f"both change {', '.join(step.files)}",
            f"merge one into the other, then try again: git merge {step.branch}",
        )
    return planned.end


def _forward(repo: Repository, tree: Path | None, planned: MergePlan) -> GitFailed | None:
    """Moves the target forward by git, with the user's own settings and hooks; returns its error.

    After an error git may have moved it all the same.
    """
    target, end = planned.target, planned.end
    arguments: tuple[str, ...]
    if tree is None:
        arguments = ("push", "--quiet", "--no-recurse-submodules", ".", f"{end}:{HEADS}{target}")
    else:
        arguments = ("merge", "--ff-only", "--quiet", "--no-squash", "--no-autostash", end)
    folder, own = (tree, git_dir_of(tree)) if tree else (repo.folder, repo.git_dir)
    taken = (*ref_locks(repo.common, own, target), own / INDEX_LOCK, own / _ORIG_HEAD_LOCK)
    hint = "see why git refuses it, then merge again"
    try:
        with naming(repo.common / COMMITTING, folder, taken) as note:
            git = Git(folder, keeps=(note,), is_users=True)
            git.run(*arguments, operation=f"could not bring the merge into {target} in", hint=hint)
    except GitFailed as error:
        aside = ""
        if tree is not None:  # what puts aside the files in the way
            listing = ("diff", "--name-only", "--no-renames", "-z", planned.begin, planned.end)
            moved = {*os.fsdecode(Git(tree).run(*listing)).split("\0")} - {""}
            looking = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
            states = os.fsdecode(Git(tree).run(*looking)).split("\0")
            if names := [state[3:] for state in states if state[3:] in moved]:
                aside = f"git stash push --include-untracked -- {shlex.join(names)}"
        if any(refusal in error.cause for refusal in REFUSALS):
            error.hint = (
                f"commit your changes to that file, or put them aside: {aside}; then merge again"
                " (if a git was killed, they are what it wrote of the merge)"
            )
        elif aside:
            error.hint = f"{error.hint}; before, put aside what git wrote of it: {aside}"
        return error
    return None
