"""A package's worktree that its agent left on another branch, or on none.

What the agent made is saved under a ref, and the branch of the package is checked out again.
"""

import os
from pathlib import Path
from typing import NamedTuple

from thence.work.naming import branch_of
from thence.work.vcs.git import Git
from thence.work.vcs.locks import free_worktree
from thence.work.vcs.refs import OURS, base_ref
from thence.work.vcs.repository import (
    HEADS,
    Repository,
    current_branch,
    is_ancestor,
    is_standing,
    operation_under_way,
    rebase_of,
    repository,
    tip,
)
from thence.work.vcs.worktrees import git_dir_of, uncommitted

_DOING = "could not save what was done in"
_BACK = "could not check the package's branch out again in"
# the commands that end an operation and leave all files as they are
_QUIT = {
    "rebase": ("rebase", "--quit"),
    "am": ("am", "--quit"),
    "cherry-pick": ("cherry-pick", "--quit"),
    "cherry-pick or revert": ("cherry-pick", "--quit"),
    "revert": ("revert", "--quit"),
    "bisect": ("bisect", "reset", "HEAD"),
}


class StrayedWorktree(NamedTuple):
    """A worktree that was brought back: its branch, where it stood, and the ref of what is saved.

    `saved` is empty if there was nothing beyond the branch of the package.
    """

    branch: str
    place: str
    saved: str

    def sentence(self) -> str:
        """Returns what happened, and how to get at what is saved."""
        text = f"it left its branch {self.branch} for {self.place}"
        if not self.saved:
            return f"{text}; {self.branch} is checked out again"
        return (
            f"{text}; what it made there is saved as {self.saved}, and {self.branch} is checked out"
            f" again: git merge {self.saved} takes it over"
        )


def bring_back(repo: Repository, slug: str, wp_id: str, path: Path) -> StrayedWorktree | None:
    """Checks a package's branch out again in its worktree; None if it stands there, or is gone.

    Commits that the branch lacks, and uncommitted changes as a commit upon them, are saved under
    `refs/thence/saved/<feature>/<WP>/<number>` first. A deleted branch is made again where it
    began. Callers hold the claim of the package. Raises GitFailed, with nothing lost.
    """
    branch = branch_of(slug, wp_id)
    if not is_standing(path):
        return None
    here = repository(path)
    stands_at, git_dir = current_branch(here), git_dir_of(path)
    if stands_at == branch or rebase_of(repo, branch) == git_dir:
        return None
    free_worktree(repo.common, git_dir, branch)
    git, place = Git(path), stands_at or "no branch"
    head, branch_tip = git.commit_of("HEAD"), tip(repo, branch)
    commit = _with_changes(git, path, git_dir, head, f"What {wp_id} had not committed on {place}")
    if branch_tip is None:
        begin = repo.git.commit_of(base_ref(slug, wp_id)) or head or "HEAD"
        repo.git.run("update-ref", f"{HEADS}{branch}", begin, "", operation=_BACK)
        branch_tip = begin
    saved = ""
    if commit is not None and not is_ancestor(repo, commit, branch_tip):
        saved = _save(repo, f"{OURS}saved/{slug}/{wp_id}/", commit)
    if quitting := _QUIT.get(operation_under_way(git_dir) or ""):
        git.run(*quitting, operation=_BACK)
    git.run("checkout", "--quiet", "--force", branch, operation=_BACK)
    return StrayedWorktree(branch, place, saved)


def _with_changes(
    git: Git, path: Path, git_dir: Path, head: str | None, message: str
) -> str | None:
    """Returns the commit of a worktree, or one upon it that holds its uncommitted changes."""
    if not uncommitted(path) and operation_under_way(git_dir) is None:
        return head
    git.run("add", "--all", operation=_DOING)
    tree = git.run("write-tree", operation=_DOING).decode().strip()
    parents = ("-p", head) if head else ()
    return git.run("commit-tree", tree, *parents, "-m", message, operation=_DOING).decode().strip()


def _save(repo: Repository, folder: str, commit: str) -> str:
    """Saves a commit under the next free number, and returns its ref."""
    out = repo.git.run("for-each-ref", "--format=%(refname)", folder, operation=_DOING)
    numbers = [int(name.rpartition("/")[2]) for name in os.fsdecode(out).splitlines()]
    ref = f"{folder}{max(numbers, default=0) + 1}"
    repo.git.run("update-ref", ref, commit, "", operation=_DOING)
    return ref
