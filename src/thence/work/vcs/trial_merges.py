"""Trial merges of branches, without a working tree."""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from thence.work.day_lines import is_day_path
from thence.work.vcs.commits import commit_tree
from thence.work.vcs.git import failure
from thence.work.vcs.repository import Repository, branches, is_ancestor

_CONFLICTS = 1


class MergeStep(NamedTuple):
    """One branch of a plan.

    "merged": the target contains it already. "clean": it can be merged. "conflict": `files` are
    the files in conflict.
    """

    branch: str
    tip: str
    status: Literal["merged", "clean", "conflict"]
    files: tuple[str, ...] = ()


class MergePlan(NamedTuple):
    """The plan of merging branches into a target, in this order."""

    target: str
    steps: tuple[MergeStep, ...]

    @property
    def conflict(self) -> MergeStep | None:
        """The first branch that can't be merged, if there is one."""
        return next((step for step in self.steps if step.status == "conflict"), None)


def plan(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    tips: Mapping[str, str] | None = None,
) -> MergePlan:
    """Merges branches into a target one after another as a trial, and changes no branch.

    Branches behind a conflict are merged without the one that conflicts. `tips` are the commits to
    use for branches that may have moved since. Raises GitFailed if one of the branches is missing.
    """
    known = tips_of(repo, target, packages, tips)
    at = known[target]
    steps: list[MergeStep] = []
    for name in packages:
        tip = known[name]
        if is_ancestor(repo, tip, at):
            steps.append(MergeStep(name, tip, "merged"))
            continue
        tree, files = merged_tree(repo, at, tip)
        if files:
            steps.append(MergeStep(name, tip, "conflict", files=files))
            continue
        at = commit_tree(repo.git, tree, [at, tip], words(name, target))
        steps.append(MergeStep(name, tip, "clean"))
    return MergePlan(target, tuple(steps))


def tips_of(
    repo: Repository, target: str, packages: Sequence[str], tips: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Returns the commit of each branch; `tips` take precedence over git's refs.

    Raises GitFailed if one of the branches is missing.
    """
    known = {**branches(repo), **(tips or {})}
    for name in (target, *packages):
        if name not in known:
            cause, hint = f"there is no branch {name}", "git branch"
            raise failure(f"could not merge into {target} in", repo.folder, cause, hint)
    return known


def words(branch: str, target: str) -> str:
    """Returns the message of a merge."""
    return f"Merge {branch} into {target}"


def merged_tree(repo: Repository, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    """Merges two commits and returns the tree, with the files in conflict.

    With conflicts the tree holds conflict markers. Day files, which one side may have dropped, are
    no conflict. Only objects are written. Raises GitFailed if git can't merge the commits at all,
    such as commits without a common history.
    """
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    answer = repo.git.ask(*arguments)
    if answer.status not in {0, _CONFLICTS} or not answer.out:
        raise repo.git.failed(answer, arguments, doing="could not merge commits in")
    tree, *names = os.fsdecode(answer.out).split("\0")
    files = tuple(dict.fromkeys(name for name in names if name)) or ("?",) * answer.status
    return tree.strip(), tuple(name for name in files if not is_day_path(name))


def base_of(repo: Repository, base: str | Sequence[str], known: Mapping[str, str]) -> str:
    """Returns the commit to begin at: that of the base, or a merge of several bases.

    The merge belongs to no branch yet. Raises GitFailed that names the files if the bases
    conflict.
    """
    names = (base,) if isinstance(base, str) else tuple(dict.fromkeys(base))
    assert names, "a worktree begins somewhere"
    tips = [(name, known.get(name) or _commit(repo, name)) for name in names]
    first, begin = tips[0]
    for name, tip in tips[1:]:
        if is_ancestor(repo, tip, begin):
            continue
        if is_ancestor(repo, begin, tip):
            begin = tip
            continue
        tree, conflicts = merged_tree(repo, begin, tip)
        if conflicts:
            raise failure(
                f"could not merge {first} and {name} to begin at in",
                repo.folder,
                f"both change {', '.join(conflicts)}",
                f"merge one into the other, then try again: git merge {name}",
            )
        begin = commit_tree(repo.git, tree, [begin, tip], f"Merge {name} into {first}")
    return begin


def _commit(repo: Repository, name: str) -> str:
    found = repo.git.commit_of(name)
    if found is None:
        cause = f"there is no branch or commit {name}"
        raise failure("could not begin at it in", repo.folder, cause, "git branch --all")
    return found
