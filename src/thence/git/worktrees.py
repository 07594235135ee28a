"""Worktrees for work packages: a branch and a folder of its own for each, made and removed whole.

A worktree is made in two steps: branch and folder under the repository's lock, then the files under
a lock of the worktree's own. The next command completes a worktree that a killed command left
between the steps. Nothing uncommitted and nothing unmerged is ever deleted.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from thence.errors import GitFailed
from thence.git.files import IS_LINK, TreeFiles
from thence.git.git import Git, failure
from thence.git.locks import INDEX_LOCK, MAKING, locked, naming, ref_locks
from thence.git.merging import base_of
from thence.git.refs import refs_of
from thence.git.repository import (
    HEADS,
    Repository,
    WorktreeInfo,
    current_branch,
    git_dir_of,
    is_ancestor,
    is_standing,
    list_worktrees,
    operation_under_way,
    repository,
    tip,
)

CHANGES_MAX = 20
SETUP_TIMEOUT_S = 600.0  # for a command in a new worktree
_SUBMODULE = "160000"  # its mode in a tree
_STORE = {"HEAD", "objects", "refs"}  # the names in a bare repository
_MAKING = "could not make a worktree at"
_REMOVING = "could not remove the worktree"


class Worktree(NamedTuple):
    """A complete worktree: its folder, its branch, and the commit it began at or is at.

    `is_new` is True for exactly one of several commands that make the same worktree concurrently:
    that command made the branch, and may claim the package. `warnings` are sentences on what of its
    setting up failed.
    """

    path: Path
    branch: str
    head: str
    is_new: bool
    warnings: tuple[str, ...] = ()


class WorktreeState(NamedTuple):
    """The state of a worktree.

    "clean": nothing is uncommitted. "dirty": `changes` lists some uncommitted changes, as `git
    status --porcelain` does, or `operation` is under way. "missing": git knows no worktree at the
    path. "moved": the branch is checked out at `path` instead. "foreign": something else is there,
    or has another branch checked out, which is `branch`.
    """

    kind: Literal["clean", "dirty", "missing", "moved", "foreign"]
    path: Path
    branch: str | None
    changes: tuple[str, ...] = ()
    operation: str | None = None


def make(
    repo: Repository,
    branch: str,
    path: Path,
    base: str | Sequence[str],
    tips: Mapping[str, str] | None = None,
) -> Worktree:
    """Makes a branch and a worktree for it at an absolute path, or completes and returns them.

    `base` is a branch or commit to begin at; several are merged, without a working tree. An
    existing branch is checked out with its commits, or begins again if it has none of its own.
    Raises GitFailed, with nothing made, if the branch is checked out elsewhere, if something else
    is at the path, or if the bases conflict. A branch that has none of the `tips` is made without
    listing branches and worktrees, which are listed only if git refuses. Below the main working
    tree no part of the path may be a link: a clone could hold one that leads elsewhere.

    When its files are there, submodules are initialised that the main working tree has so, and the
    repository's hook post-checkout runs, once.
    """
    _check_path(repo, path)
    with locked(repo.common / MAKING):
        head, is_new = _make_empty(repo, branch, path, base, tips)
    warnings: tuple[str, ...] = ()
    if _fill(path):
        if TreeFiles(path).look(".gitmodules") is not None:
            update = ("submodule", "--quiet", "update")
            warnings = _set_up(path, "could not fill its submodules", *update)
        hook = ("hook", "run", "--ignore-missing", "post-checkout", "--", "0" * len(head), head)
        warnings += _set_up(path, "the hook post-checkout failed", *hook, "1")
    return Worktree(path, branch, head, is_new, warnings)


def remove(repo: Repository, branch: str, path: Path, into: str) -> None:
    """Removes a worktree and its branch, if all its work is committed and in `into`.

    Either may be gone already. Ignored files are removed with the folder. Raises GitFailed, with
    nothing removed, if anything is uncommitted, under way, or not in the branch or commit `into`,
    and if there is a submodule, another repository, a hidden change, or a commit that no ref has.
    """
    with locked(repo.common / MAKING):
        commit, kind = removable(repo, branch, path, into)
        if kind == "clean":
            repo.git.run("worktree", "remove", path, operation=f"{_REMOVING} {path} of")
        elif not os.path.lexists(path):
            for tree in list_worktrees(repo):
                _forget_missing(repo, tree, path)
        if commit is not None:
            _delete(repo, branch, commit)


def removable(repo: Repository, branch: str, path: Path, into: str) -> tuple[str | None, str]:
    """Returns the branch's tip and the kind of its worktree's state; raises as `remove` does."""
    commit = tip(repo, branch)
    if commit is not None and not is_ancestor(repo, commit, into):
        cause = f"{branch} has commits that are not in {into}"
        hint = "merge them first, or remove it yourself: git worktree remove"
        raise failure(_REMOVING, path, cause, hint)
    state = state_of(repo, branch, path)
    what = {
        "moved": f"its branch is checked out at {state.path}",
        "foreign": f"{state.branch or 'something else'} is there",
        "dirty": f"a {state.operation} is under way there"
        if state.operation
        else f"it holds uncommitted work: {', '.join(state.changes)}",
    }
    if state.kind in what:
        raise failure(_REMOVING, path, what[state.kind], "commit or move what is there, or keep it")
    if state.kind == "clean" and (kept := _only_here(path)):
        hint = f"see what is there, then remove it yourself: git worktree remove --force {path}"
        raise failure(_REMOVING, path, kept, hint)
    return commit, state.kind


def _only_here(path: Path) -> str:
    """Returns what a clean worktree holds that git would not miss, "" for nothing."""
    git = Git(path)
    entries = os.fsdecode(git.run("ls-files", "-z", "--stage", "-v")).split("\0")[:-1]
    for entry in entries:
        (tag, mode, *_), name = entry.partition("\t")[0].split(" "), entry.partition("\t")[2]
        if mode == _SUBMODULE:
            return f"it has the submodule {name}"
        if (tag.islower() or tag == "S") and os.path.lexists(path / name):
            return f"git hides changes of {name} (git ls-files -v)"
    for folder, folders, names in os.walk(path):
        inside = {*folders, *names}
        if folder != os.fspath(path) and (".git" in inside or inside >= _STORE):
            return f"the repository {os.path.relpath(folder, path)} is in it"
    with suppress(FileNotFoundError):
        reflog = (git_dir_of(path) / "logs/HEAD").read_bytes().splitlines()
        stdin = b"".join(line.split(maxsplit=2)[1] + b"\n" for line in reflog)
        alone = ("rev-list", "--ignore-missing", "--stdin", "--not", "--all")
        if commits := git.run(*alone, stdin=stdin).decode().split():
            return f"no branch has commit {commits[0]}, which was made there: git branch NAME it"
    return ""


def check_out(repo: Repository, commit: str, path: Path) -> None:
    """Makes a worktree of a commit, on no branch; raises GitFailed as `make` does."""
    _check_path(repo, path)
    with locked(repo.common / MAKING):
        _add(repo, path, ("--detach", path, commit))
    _fill(path)


def discard(repo: Repository, path: Path) -> None:
    """Removes a worktree that `check_out` has made, with all its files; raises GitFailed."""
    with locked(repo.common / MAKING):
        if any(_is_same(tree.path, path) for tree in list_worktrees(repo)):
            arguments = ("worktree", "remove", "--force", "--force", path)
            repo.git.run(*arguments, operation=f"{_REMOVING} {path} of")


def state_of(
    repo: Repository, branch: str, path: Path, standing: Mapping[str, Path] | None = None
) -> WorktreeState:
    """Returns the state of a branch's worktree that was made at a path.

    `standing` are the working trees by their branches; without it git lists them.
    """
    at = (refs_of(repo).trees if standing is None else standing).get(branch)
    if at is not None and _is_same(at, path):
        return _state_at(path, branch, branch)
    if is_standing(path):
        with suppress(GitFailed):
            here = repository(path)
            if here.common == repo.common:
                return _state_at(path, current_branch(here), branch)
    if at is not None:
        return WorktreeState("moved", at, branch)
    return WorktreeState("missing" if _is_free(path) else "foreign", path, None)


def _state_at(path: Path, present: str | None, branch: str) -> WorktreeState:
    operation = operation_under_way(git_dir_of(path))
    if present != branch and operation is None:
        return WorktreeState("foreign", path, present)
    changes = uncommitted(path)
    kind: Literal["clean", "dirty"] = "dirty" if operation or changes else "clean"
    return WorktreeState(kind, path, present, changes, operation)


def uncommitted(path: Path) -> tuple[str, ...]:
    """Returns the first uncommitted changes of a working tree, untracked files included.

    Each is a line of `git status --porcelain`, CHANGES_MAX at most; a submodule counts if it has
    uncommitted changes, or is at another commit.
    """
    arguments = ("status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames")
    out = Git(path).run(*arguments, "--ignore-submodules=none", operation="could not look into")
    return (*os.fsdecode(out).split("\0")[:-1],)[:CHANGES_MAX]


def ignored(path: Path) -> tuple[str, ...]:
    """Returns the ignored files of a working tree, folders of nothing else as one; none if gone."""
    if not is_standing(path):
        return ()
    arguments = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    return tuple(os.fsdecode(Git(path).run(*arguments)).split("\0")[:-1])


def _make_empty(
    repo: Repository,
    branch: str,
    path: Path,
    base: str | Sequence[str],
    tips: Mapping[str, str] | None,
) -> tuple[str, bool]:
    """Makes a worktree without its files, unless it is there.

    Returns the commit that it is at, and whether the branch begins there.
    """
    taken = ref_locks(repo.common, repo.git_dir, branch)
    if tips is not None and branch not in tips and _is_free(path):
        with suppress(GitFailed):  # or something came about since somebody looked
            start = base_of(repo, base, tips)
            _add(repo, path, ("--no-track", "-b", branch, path, start), taken)
            return start, True
    tips = refs_of(repo).branches
    for tree in list_worktrees(repo):
        is_here = _is_same(tree.path, path)
        if tree.is_missing:
            _forget_missing(repo, tree, path)
        elif is_here and tree.branch == branch:
            return tree.head or "", False
        elif is_here or tree.branch == branch:
            cause = f"{tree.branch or 'no branch'} is checked out at {tree.path}"
            elsewhere = "continue there, or check out another branch there"
            hint = f"git -C {path} checkout {branch}" if is_here else elsewhere
            raise failure(_MAKING, path, cause, hint)
    if not _is_free(path):
        cause = f"the path exists, and git does not know it as the worktree of {branch}"
        raise failure(_MAKING, path, cause, "move it away, then try again")
    start = base_of(repo, base, tips)
    is_new = branch not in tips or is_ancestor(repo, tips[branch], start)
    if is_new and branch in tips:
        _delete(repo, branch, tips[branch])
    _add(repo, path, ("--no-track", "-b", branch, path, start) if is_new else (path, branch), taken)
    return start if is_new else tips[branch], is_new


def _located(repo: Repository, path: Path) -> tuple[TreeFiles, str]:
    """Returns the tree that contains a worktree's folder, and the folder's path in it."""
    main = repo.common.parent
    top = main if main in path.parents else path.parent.parent
    return TreeFiles(top), os.fspath(path.relative_to(top))


def _check_path(repo: Repository, path: Path) -> None:
    """Raises GitFailed if the folder of a new worktree, or one above it, is a link."""
    files, relative = _located(repo, path)
    hint = f"see what it is (ls -l {path.parent}), take it out, then try again"
    try:
        target = files.target_of(relative)
    except OSError as error:
        raise failure(_MAKING, path, f"{error.filename}: {error.strerror}", hint) from error
    if target is not None:
        raise failure(_MAKING, path, f"{relative}: {IS_LINK}", hint)


def _is_free(path: Path) -> bool:
    if not path.parent.is_dir() or (files := TreeFiles(path.parent)).look(path.name) is None:
        return True
    return files.is_folder(path.name) and not files.names(path.name)


def _forget_missing(repo: Repository, tree: WorktreeInfo, path: Path) -> None:
    """Removes git's record of a worktree if it is of this path, and its folder is gone."""
    if not tree.is_missing or tree.is_main or not _is_same(tree.path, path):
        return
    if tree.branch is None and tree.head is not None:
        cause = f"its folder is gone, and it stood at {tree.head} on no branch"
        raise failure(_MAKING, path, cause, f"git branch NAME {tree.head}; git worktree prune")
    repo.git.run("worktree", "remove", "--force", tree.path, operation=f"{_REMOVING} {path} of")


def _delete(repo: Repository, branch: str, commit: str) -> None:
    taken = ref_locks(repo.common, repo.git_dir, branch)
    with naming(repo.common / MAKING, repo.folder, taken) as note:
        arguments = ("update-ref", "-d", f"{HEADS}{branch}", commit)
        Git(repo.folder, keeps=(note,)).run(*arguments, operation=f"could not delete {branch} in")


def _add(
    repo: Repository, path: Path, what: Sequence[str | Path], taken: Sequence[Path] = ()
) -> None:
    """Makes a worktree without its files; `taken` are the locks that git takes meanwhile."""
    files, relative = _located(repo, path)
    if above := os.path.dirname(relative):
        files.make_folder(above)
    adding = ("worktree", "add", "--quiet", "--no-checkout", *what)
    with naming(repo.common / MAKING, repo.folder, (*taken, path / ".git")) as note:
        Git(repo.folder, keeps=(note,)).run(*adding, operation=f"{_MAKING} {path} of")


def _fill(path: Path) -> bool:
    """Checks out the files of a worktree that has none yet; returns False for one that has.

    Existing files stay.
    """
    own = git_dir_of(path)
    if (own / "index").exists():
        return False
    lock = own / "thence.lock"
    with locked(lock), naming(lock, path, ()) as note:
        if (own / "index").exists():
            return False
        (own / INDEX_LOCK).unlink(missing_ok=True)  # of a git that was killed
        arguments = ("read-tree", "--reset", "-u", "--no-recurse-submodules", "HEAD")
        git = Git(path, keeps=(note,))
        git.run(*arguments, operation="could not check out the files of")
    return True


def _set_up(path: Path, failed: str, *command: str) -> tuple[str, ...]:
    """Runs a command of git in a new worktree as the user does; returns how it failed, if so."""
    try:
        answer = Git(path, is_users=True, alone_s=SETUP_TIMEOUT_S).ask(*command)
    except GitFailed as error:
        return (f"{failed} in {path}: {error.cause}",)
    why = answer.stderr or f"it exited with {answer.status}"
    return (f"{failed} in {path}: git {' '.join(command)}: {why}",) if answer.status else ()


def _is_same(path: Path, other: Path) -> bool:
    # of hundreds of worktrees all but one have another name
    return path.name == other.name and os.path.realpath(path) == os.path.realpath(other)
