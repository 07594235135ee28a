"""A git repository: its folders, branches, working trees and operations under way.

All is read only.
"""

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from thence.errors import GitFailed
from thence.git.git import Git, failure
from thence.git.locks import MAKING, locked

HEADS = "refs/heads/"
_LISTINGS_MAX = 100
_PAUSE_S = 0.01
_BARE = b"true"
# configuration entries by which the working tree may be elsewhere, or none
_UNUSUAL = re.compile(rb"(?im)worktree|(?:^|\])\s*bare\b(?!\s*=\s*false\s*$)")
# a file or folder in a checkout's own git folder, and the operation that keeps it there
_OPERATIONS = (
    ("rebase-apply/applying", "am"),
    ("rebase-apply", "rebase"),
    ("rebase-merge", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("sequencer", "cherry-pick or revert"),
    ("BISECT_LOG", "bisect"),
)
# the files in which a rebase records the branches that it will move at its end
_REBASED = ("rebase-merge/head-name", "rebase-apply/head-name", "rebase-merge/update-refs")
REMOTE_HEAD = "refs/remotes/origin/HEAD"
_DEFAULT_NAMES = ("main", "master", "trunk", "develop")


class Repository(NamedTuple):
    """A repository, seen from one folder in it.

    `top` is the top of the working tree that the folder lies in, None in a bare repository;
    `common` is the git folder that all its worktrees share, `git_dir` this worktree's own. One that
    is only asked opens no connection.
    """

    top: Path | None
    common: Path
    git_dir: Path
    is_bare: bool
    is_asked: bool = False

    @property
    def git(self) -> Git:
        """The program git in this repository."""
        return Git(self.folder, is_asked=self.is_asked)

    @property
    def folder(self) -> Path:
        """The folder to name in messages."""
        return self.top or self.common


class WorktreeInfo(NamedTuple):
    """A working tree of a repository: the main one or a linked worktree.

    `head` is the commit, None before the first; `branch` has no `refs/heads/` and is None when
    HEAD is detached. `is_missing` is whether the folder is gone.
    """

    path: Path
    head: str | None
    branch: str | None
    is_main: bool = False
    is_missing: bool = False


def repository(folder: Path) -> Repository:
    """Returns the repository that contains a folder.

    An ordinary repository is found without asking git. Raises GitFailed with `git init` as its hint
    if there is none.
    """
    plain = _plain(folder)
    if plain is not None:
        return plain
    git = Git(folder)
    arguments = ("rev-parse", "--path-format=absolute", "--is-bare-repository")
    answer = git.ask(*arguments, "--git-common-dir", "--git-dir", "--show-toplevel")
    lines = answer.out.split(b"\n")
    if len(lines) < 4:
        raise git.failed(answer, arguments, operation="found no git repository in", hint="git init")
    common, own = (Path(os.fsdecode(line)) for line in lines[1:3])
    if len(lines) > 5:
        raise failure(
            "could not find the repository of",
            folder,
            "its path contains a line end, which git puts between its answers",
            "move the repository to a path without line ends",
        )
    top = Path(os.fsdecode(lines[3])) if answer.status == 0 else None
    return Repository(top, common, own, lines[0] == _BARE)


def asked(folder: Path) -> Repository:
    """Returns the repository that contains a folder, for questions; raises what `repository` does.

    Its git opens no connection, not even for what a partial clone lacks.
    """
    return repository(folder)._replace(is_asked=True)


def main_of(repo: Repository, root: Path) -> Repository:
    """Returns a repository as seen from its main working tree, whose top is `root`."""
    return repo if repo.top == root else repo._replace(top=root, git_dir=repo.common)


def tip(repo: Repository, branch: str) -> str | None:
    """Returns the commit at a branch's tip; None if there is no such branch."""
    return repo.git.commit_of(f"{HEADS}{branch}")


def current_branch(repo: Repository) -> str | None:
    """Returns the branch that is checked out in this working tree; None if HEAD is detached."""
    answer = repo.git.ask("symbolic-ref", "--quiet", "HEAD")
    ref = os.fsdecode(answer.out).strip()
    return ref.removeprefix(HEADS) if answer.status == 0 and ref.startswith(HEADS) else None


def branch_of(repo: Repository) -> str:
    """Returns the branch that is checked out; raises GitFailed when HEAD is detached."""
    branch = current_branch(repo)
    if branch is None:
        raise failure(
            "could not find the branch of",
            repo.folder,
            "HEAD is detached",
            "check a branch out: git switch BRANCH",
        )
    return branch


def default_among(names: Sequence[str], pointed: str) -> str | None:
    """Returns the default branch among names; None if it is unknown.

    The default branch is the target `pointed` of the remote's HEAD, else the first of main, master,
    trunk and develop that exists, else the only branch.
    """
    remote = pointed.removeprefix("refs/remotes/origin/")
    for name in (remote, *_DEFAULT_NAMES):
        if name in names:
            return name
    return names[0] if len(names) == 1 else None


def user_of(repo: Repository) -> str:
    """Returns the user's name in git's configuration, empty if there is none that is printable."""
    lines = repo.git.ask("config", "--get", "user.name").out
    name = " ".join(lines.decode("utf-8", "replace").split())
    return name if name.isprintable() else ""


def is_ancestor(repo: Repository, older: str, newer: str) -> bool:
    """Reports whether a commit is in the history of another, or the same."""
    answer = repo.git.ask("merge-base", "--is-ancestor", older, newer)
    if answer.status not in {0, 1}:
        raise repo.git.failed(answer, ("merge-base",))
    return answer.status == 0


def is_shallow(repo: Repository) -> bool:
    """Reports whether the clone lacks old commits."""
    return (repo.common / "shallow").exists()


def list_worktrees(repo: Repository) -> tuple[WorktreeInfo, ...]:
    """Returns every working tree of the repository, the main one first; a bare one has none."""
    listing = ("worktree", "list", "--porcelain", "-z")
    out = run_with_retry(repo, listing, "could not list the worktrees of")
    trees = list[WorktreeInfo]()
    for number, entry in enumerate(filter(None, os.fsdecode(out).split("\0\0"))):
        lines = dict(line.partition(" ")[::2] for line in entry.split("\0"))
        if "bare" in lines:
            continue
        path, head = Path(lines["worktree"]), lines.get("HEAD", "")
        if number == 0 and repo.git_dir == repo.common and repo.top is not None:
            path = repo.top
        elif number == 0 and path == repo.common:  # of a submodule git names the git folder
            arguments = ("config", "--file", path / "config", "--null", "core.worktree")
            noted = os.fsdecode(repo.git.ask(*arguments).out).rstrip("\0")
            path = Path(os.path.normpath(path / noted)) if noted else path
        branch = lines["branch"].removeprefix(HEADS) if "branch" in lines else None
        commit = head if head.strip("0") else None
        trees.append(WorktreeInfo(path, commit, branch, number == 0, not is_standing(path)))
    return tuple(trees)


def run_with_retry(repo: Repository, arguments: tuple[str, ...], operation: str) -> bytes:
    """Returns the output of a git that reads all worktrees; waits for one that is being made.

    Git fails on a worktree whose folder is half made, or half removed. A worktree half made by a
    killed command of thence is removed. Raises GitFailed.
    """
    for attempt in range(_LISTINGS_MAX):
        answer = repo.git.ask(*arguments)
        if answer.status == 0 or "failed to read" not in answer.stderr:
            break
        time.sleep(_PAUSE_S)
        if attempt:
            with suppress(GitFailed), locked(repo.common / MAKING, wait_s=0.0):
                pass  # what a killed command has left there is gone now
    if answer.status:
        raise repo.git.failed(answer, arguments, operation=operation)
    return answer.out


def is_standing(tree: Path) -> bool:
    """Reports whether the folder of a recorded working tree exists."""
    return os.path.exists(tree / ".git")


def operation_under_way(git_dir: Path) -> str | None:
    """Returns the operation under way in a working tree, such as "rebase".

    One of merge, rebase, am, cherry-pick, revert and bisect, or None.
    """
    for name, operation in _OPERATIONS:
        if os.path.exists(git_dir / name):
            return operation
    return None


def rebase_of(repo: Repository, branch: str) -> Path | None:
    """Returns the git folder of the working tree in which a branch is being rebased, else None.

    HEAD is detached during a rebase, so that the branch seems free; its ref is moved at the end.
    """
    ref = HEADS + branch
    for folder in (repo.common, *(repo.common / "worktrees").glob("*")):
        for name in _REBASED:
            try:
                lines = os.fsdecode((folder / name).read_bytes())
            except OSError:
                continue
            if ref in lines.splitlines():
                return folder
    return None


def _plain(folder: Path) -> Repository | None:
    """Returns the repository of a folder in an ordinary working tree of the user's own.

    None where git has to be asked: for a bare repository, a submodule, a configured working tree,
    another user's files, a path across file systems or with a line end, or where git is missing.
    """
    with suppress(OSError, ValueError, RuntimeError):
        resolved = folder.resolve(strict=True)
        has_git = any(os.access(f"{path}/git", os.X_OK) for path in os.get_exec_path())
        if not has_git or "\n" in str(resolved):
            return None
        for top in (resolved, *resolved.parents):
            if top.stat().st_dev != resolved.stat().st_dev or os.path.lexists(top / "HEAD"):
                return None
            if os.path.lexists(top / ".git"):
                own = git_dir_of(top)
                link = own / "commondir"
                noted = os.fsdecode(link.read_bytes()).removesuffix("\n") if link.exists() else "."
                common = (own / noted).resolve(strict=True)
                folders = (top, own, common, common / "objects")
                is_users = all(path.stat().st_uid == os.geteuid() for path in folders)
                is_usual = not _UNUSUAL.search((common / "config").read_bytes())
                is_begun = (own / "HEAD").is_file() and "\n" not in str(own)
                is_plain = is_users and is_usual and is_begun
                return Repository(top, common, own, is_bare=False) if is_plain else None
    return None


def git_dir_of(path: Path) -> Path:
    """Returns the git folder of a working tree; raises OSError if it is missing."""
    own = (path / ".git").resolve(strict=True)
    if own.is_dir():
        return own
    noted = os.fsdecode(own.read_bytes()).removeprefix("gitdir: ").removesuffix("\n")
    return (path / noted).resolve(strict=True)
