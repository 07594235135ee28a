"""A git repository: its folders, branches, working trees and operations under way.

All is read only.
"""

import os
import re
import time
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
# what a reflog says of commits that were made here
_MADE = re.compile(
    r"(?!.*[Ff]ast-forward)(?:commit\b|am\b|cherry-pick:|revert:|.*: Merge made by |"
    r"(?:rebase|pull)\b.* \((?:pick|reword|edit|squash|fixup|continue|merge)\))"
)
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

    Raises GitFailed with `git init` as its hint if there is none.
    """
    git = Git(folder)
    arguments = ("rev-parse", "--path-format=absolute", "--is-bare-repository")
    answer = git.ask(*arguments, "--git-common-dir", "--git-dir", "--show-toplevel")
    lines = answer.out.split(b"\n")
    if len(lines) < 4:
        raise git.failed(answer, arguments, operation="found no git repository in", hint="git init")
    common, own = (Path(os.fsdecode(line)) for line in lines[1:3])
    if len(lines) > 5:
        cause = "its path contains a line end, which git puts between its answers"
        raise failure("could not find the repository of", folder, cause, "move it elsewhere")
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
        hint = "check a branch out: git switch BRANCH"
        raise failure("could not find the branch of", repo.folder, "HEAD is detached", hint)
    return branch


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


def made_in(repo: Repository) -> set[str]:
    """Returns the commits that git's reflog has as made in this working tree, for 90 days."""
    out = repo.git.ask("log", "--walk-reflogs", "--format=%H %gs", "HEAD", "--").out
    entries = (line.partition(" ") for line in out.decode("utf-8", "replace").split("\n"))
    return {commit for commit, _, how in entries if _MADE.match(how)}


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
            path = repository(path).top or path
        branch = lines["branch"].removeprefix(HEADS) if "branch" in lines else None
        commit = head if head.strip("0") else None
        trees.append(WorktreeInfo(path, commit, branch, number == 0, not is_standing(path)))
    return tuple(trees)


def run_with_retry(repo: Repository, arguments: tuple[str, ...], operation: str) -> bytes:
    """Returns the output of a git that reads all worktrees; waits for one that is being made.

    Git fails on a worktree whose folder is half made, or half removed. A worktree half made by a
    killed command of thence is removed. Raises GitFailed.
    """
    for _ in range(_LISTINGS_MAX):
        answer = repo.git.ask(*arguments)
        if answer.status == 0 or "failed to read" not in answer.stderr:
            break
        time.sleep(_PAUSE_S)
        with suppress(GitFailed), locked(repo.common / MAKING, wait_s=0.0):
            pass  # what a killed command has left there is gone now
    if answer.status:
        raise repo.git.failed(answer, arguments, operation=operation)
    return answer.out


def exclude(repo: Repository, *lines: bytes) -> None:
    """Makes git ignore what lines of a .gitignore name, in this repository; raises OSError."""
    path = repo.common / "info/exclude"
    data = path.read_bytes() if path.exists() else b""
    held = data.splitlines()
    if missing := [line for line in lines if line not in held]:
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            end = b"\n" if data and not data.endswith(b"\n") else b""
            file.write(end + b"".join(b"%b\n" % line for line in missing))


def is_standing(tree: Path) -> bool:
    """Reports whether the folder of a recorded working tree exists."""
    return os.path.exists(tree / ".git")


def operation_under_way(git_dir: Path) -> str | None:
    """Returns the operation under way in a working tree, such as "rebase".

    One of merge, rebase, am, cherry-pick, revert and bisect, or None.
    """
    return next((what for name, what in _OPERATIONS if os.path.exists(git_dir / name)), None)


def git_dir_of(path: Path) -> Path:
    """Returns the git folder of a working tree; raises OSError if it is missing."""
    own = (path / ".git").resolve(strict=True)
    if own.is_dir():
        return own
    noted = os.fsdecode(own.read_bytes()).removeprefix("gitdir: ").removesuffix("\n")
    return (path / noted).resolve(strict=True)
