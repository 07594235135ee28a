"""What there is to know of a git repository before anything in it is changed."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from thence.work.git import Git, failure
from thence.work.leftovers import unmake_if_free

HEADS = "refs/heads/"
_LISTINGS_MAX = 100
_PAUSE_S = 0.01
_BARE = b"true"
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
# where a rebase notes which branches it will move at its end
_REBASED = ("rebase-merge/head-name", "rebase-apply/head-name", "rebase-merge/update-refs")
REMOTE_HEAD = "refs/remotes/origin/HEAD"
_USUAL_NAMES = ("main", "master", "trunk", "develop")


class Repository(NamedTuple):
    """A repository, seen from one folder in it.

    `top` is the top of the working tree that the folder lies in, None in a bare repository;
    `common` is the git folder that all its worktrees share, `git_dir` this worktree's own.
    """

    top: Path | None
    common: Path
    git_dir: Path
    is_bare: bool

    @property
    def git(self) -> Git:
        """The program git, where it sees this repository."""
        return Git(self.top or self.common)

    @property
    def place(self) -> Path:
        """The folder to name in messages."""
        return self.top or self.common


class Checkout(NamedTuple):
    """A working tree of a repository: the main one or a linked worktree.

    `head` is the commit, None before the first; `branch` has no `refs/heads/` and is None when
    HEAD is detached. `is_missing` says that the folder is gone.
    """

    path: Path
    git_dir: Path
    head: str | None
    branch: str | None
    is_main: bool
    is_missing: bool


def repository(folder: Path) -> Repository:
    """Finds the repository that a folder lies in.

    Raises GitFailed with `git init` as its hint if there is none.
    """
    git = Git(folder)
    asked = ("rev-parse", "--path-format=absolute", "--is-bare-repository")
    answer = git.ask(*asked, "--git-common-dir", "--git-dir", "--show-toplevel")
    told = answer.out.split(b"\n")
    if len(told) < 4:
        raise git.failed(answer, asked, doing="found no git repository in", hint="git init")
    common, own = (Path(os.fsdecode(line)) for line in told[1:3])
    if len(told) > 5:
        raise failure(
            "could not tell the repository of",
            folder,
            "its path holds a line end, by which git parts what it answers",
            "move the repository to a path of one line",
        )
    top = Path(os.fsdecode(told[3])) if answer.status == 0 else None
    return Repository(top, common, own, told[0] == _BARE)


def main_of(repo: Repository, root: Path) -> Repository:
    """Returns a repository as it is seen from its main working tree, or what stands for it."""
    return repo if repo.top == root else repo._replace(top=root, git_dir=repo.common)


def branches(repo: Repository) -> dict[str, str]:
    """Returns each branch with the commit at its tip."""
    form = "--format=%(refname) %(objectname)"
    out = repo.git.run("for-each-ref", form, HEADS, doing="could not list the branches of")
    found = (line.rpartition(" ") for line in os.fsdecode(out).splitlines())
    return {ref.removeprefix(HEADS): tip for ref, _, tip in found}


def tip(repo: Repository, branch: str) -> str | None:
    """Returns the commit at a branch's tip; None if there is no such branch."""
    answer = repo.git.ask("rev-parse", "--verify", "--quiet", f"{HEADS}{branch}^{{commit}}")
    return answer.out.decode().strip() if answer.status == 0 else None


def current_branch(repo: Repository) -> str | None:
    """Returns the branch that is checked out in this working tree; None if HEAD is detached."""
    answer = repo.git.ask("symbolic-ref", "--quiet", "HEAD")
    ref = os.fsdecode(answer.out).strip()
    return ref.removeprefix(HEADS) if answer.status == 0 and ref.startswith(HEADS) else None


def branch_of(repo: Repository) -> str:
    """Returns the branch that is checked out; raises GitFailed when HEAD is detached."""
    found = current_branch(repo)
    if found is None:
        raise failure(
            "could not tell the branch of",
            repo.place,
            "HEAD is detached",
            "check a branch out: git switch BRANCH",
        )
    return found


def default_branch(repo: Repository) -> str | None:
    """Returns the branch that others take for the main one; None if nothing tells.

    That is what `origin` says, else the first of main, master, trunk and develop that is there,
    else the only branch, else the one that the main working tree has checked out.
    """
    form = "--format=%(refname) %(symref)"
    out = repo.git.run("for-each-ref", form, HEADS, REMOTE_HEAD)
    told = dict(line.split(" ", 1) for line in os.fsdecode(out).splitlines())
    pointed = told.pop(REMOTE_HEAD, "")
    return default_among(repo, [ref.removeprefix(HEADS) for ref in told], pointed)


def default_among(repo: Repository, names: Sequence[str], pointed: str) -> str | None:
    """Returns the default branch among all, where the remote's HEAD is `pointed` to a ref."""
    remote = pointed.removeprefix("refs/remotes/origin/")
    for name in (remote, *_USUAL_NAMES):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    return next((each.branch for each in checkouts(repo) if each.is_main), None)


def is_ancestor(repo: Repository, older: str, newer: str) -> bool:
    """Tells whether a commit is in the history of another, or the same."""
    answer = repo.git.ask("merge-base", "--is-ancestor", older, newer)
    if answer.status not in {0, 1}:
        raise repo.git.failed(answer, ("merge-base",))
    return answer.status == 0


def checkouts(repo: Repository) -> tuple[Checkout, ...]:
    """Returns every working tree of the repository, the main one first; a bare one has none."""
    out = _listed(repo)
    linked = dict(_linked(repo.common))
    entries = (entry.split("\0") for entry in os.fsdecode(out).split("\0\0") if entry)
    return tuple(
        _checkout(repo, entry, linked, is_main=number == 0)
        for number, entry in enumerate(entries)
        if "bare" not in entry
    )


def _listed(repo: Repository) -> bytes:
    """Returns the worktrees as git lists them; one that is being made is waited for.

    Git gives up on a worktree whose folder it finds half made, or half taken away; one that was
    half made by a command of thence that was killed is taken away.
    """
    arguments = ("worktree", "list", "--porcelain", "-z")
    for attempt in range(_LISTINGS_MAX):
        answer = repo.git.ask(*arguments)
        if answer.status == 0 or "failed to read" not in answer.words:
            break
        time.sleep(_PAUSE_S)
        if attempt:
            unmake_if_free(repo.common)
    if answer.status:
        raise repo.git.failed(answer, arguments, doing="could not list the worktrees of")
    return answer.out


def checkouts_of(trees: Sequence[Checkout], branch: str) -> tuple[Checkout, ...]:
    """Returns the working trees that have a branch checked out and whose folder is there."""
    return tuple(each for each in trees if each.branch == branch and not each.is_missing)


def operation_under_way(git_dir: Path) -> str | None:
    """Returns what somebody has begun in a working tree and not ended, such as "rebase".

    It is one of merge, rebase, am, cherry-pick, revert and bisect, or None.
    """
    for name, operation in _OPERATIONS:
        if os.path.exists(git_dir / name):
            return operation
    return None


def rebase_of(repo: Repository, branch: str) -> Path | None:
    """Returns the git folder of a working tree where a branch is being rebased, else None.

    HEAD is detached meanwhile, so that the branch seems free; its ref is moved at the end.
    """
    ref = HEADS + branch
    folders = [repo.common, *(folder for _, folder in _linked(repo.common))]
    for folder in folders:
        for name in _REBASED:
            try:
                told = os.fsdecode((folder / name).read_bytes())
            except OSError:
                continue
            if ref in told.splitlines():
                return folder
    return None


def _linked(common: Path) -> Iterator[tuple[Path, Path]]:
    """Yields each linked worktree's folder, as git has noted it, with its git folder."""
    try:
        names = sorted(os.listdir(common / "worktrees"))
    except OSError:
        return
    for name in names:
        own = common / "worktrees" / name
        try:
            noted = os.fsdecode((own / "gitdir").read_bytes()).rstrip("\n")
        except OSError:
            continue
        yield (own / noted).parent, own


def _main_path(repo: Repository, named: Path) -> Path:
    """Returns the main working tree; in a submodule git names the git folder instead."""
    if repo.git_dir == repo.common and repo.top is not None:
        return repo.top
    if named != repo.common:
        return named
    arguments = ("config", "--file", repo.common / "config", "--null", "core.worktree")
    noted = os.fsdecode(repo.git.ask(*arguments).out).rstrip("\0")
    return Path(os.path.normpath(repo.common / noted)) if noted else named


def _checkout(
    repo: Repository, entry: list[str], linked: dict[Path, Path], *, is_main: bool
) -> Checkout:
    told = dict(line.partition(" ")[::2] for line in entry)
    path = _main_path(repo, Path(told["worktree"])) if is_main else Path(told["worktree"])
    head = told.get("HEAD")
    return Checkout(
        path=path,
        git_dir=repo.common if is_main else linked.get(path, repo.common / "worktrees" / path.name),
        head=head if head and head.strip("0") else None,
        branch=told["branch"].removeprefix(HEADS) if "branch" in told else None,
        is_main=is_main,
        is_missing=not os.path.exists(path / ".git"),
    )
