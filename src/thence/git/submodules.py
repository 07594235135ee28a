"""Submodules of packages' worktrees: made ready as in the main working tree, and kept.

Each worktree has stores of its own for its submodules, below `modules` in its git folder. They go
with it, and with them what is in no other clone: commits, branches and stashes. git status knows of
uncommitted files alone, and of none below a submodule that is not initialised.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from thence.errors import GitFailed
from thence.git.files import NotFollowed, TreeFiles
from thence.git.git import Git
from thence.git.repository import Repository

_LINK = "160000"  # the mode of a submodule in a tree
_FIRST = "refs/remotes/"


def initialise(main: Path, tree: Path) -> tuple[str, ...]:
    """Initialises the submodules of a worktree that the main one has initialised.

    Returns a sentence on each that failed, such as without a network.
    """
    if not _is_there(tree, ".gitmodules"):
        return ()
    warnings: list[str] = []
    for path in _links(tree):
        if not _is_there(main, f"{path}/.git"):
            continue
        try:
            arguments = ("submodule", "--quiet", "update", "--init", "--", path)
            Git(tree, is_users=True).run(*arguments, operation="could not initialise it in")
        except GitFailed as error:
            warnings.append(
                f"submodule {path} of the worktree is empty: {error.cause};"
                f" next: git -C {tree} submodule update --init {path}"
            )
            continue
        warnings += initialise(main / path, tree / path)
    return tuple(warnings)


def files_in_empty_ones(tree: Path) -> tuple[str, ...]:
    """Returns the paths of submodules that are not initialised and hold files all the same."""
    if not _is_there(tree, ".gitmodules"):
        return ()
    return tuple(
        path
        for path in _links(tree)
        if not _is_there(tree, f"{path}/.git") and _has_entries(tree, path)
    )


def only_here(repo: Repository, tree: Path, git_dir: Path) -> str:
    """Returns what the submodules of a worktree hold and no other clone does, "" for nothing.

    What a remote of a submodule has counts as kept, as far as the last fetch or push knows, and so
    does what the main working tree's submodule has. Raises GitFailed.
    """
    for store in _stores(git_dir / "modules"):
        name = store.relative_to(git_dir / "modules")
        kept = _commits_beyond_remotes(store)
        other = repo.common / "modules" / name
        if kept and not (_is_store(other) and _has_all(other, kept)):
            return f"commits of submodule {_path(store, tree)} are in no other clone: push them"
    for path in _links(tree):
        is_own = _has_entries(tree, f"{path}/.git")  # no file: a repository of its own
        if is_own and _commits_beyond_remotes(tree / path / ".git"):
            return f"commits of the repository {path} are in no other clone: push them"
    for path in files_in_empty_ones(tree):
        return f"files lie below submodule {path}, which is not initialised"
    return ""


def unpushed_pointers(repo: Repository, before: str, after: str) -> tuple[str, ...]:
    """Returns a sentence on each pointer changed between two commits that no remote can follow.

    It names a commit which a clone of the submodule has here, and its remote does not.
    """
    out = repo.git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", before, after, "--")
    fields = iter(os.fsdecode(out).split("\0"))
    changed = [(head.split(), next(fields)) for head in fields if head]
    pointers = [(path, head[3]) for head, path in changed if head[1] == _LINK]
    if not pointers:
        return ()
    folders = [repo.common / "modules", *(repo.common / "worktrees").glob("*/modules")]
    stores = [store for folder in folders for store in _stores(folder)]
    sentences: list[str] = []
    for path, commit in pointers:
        having = [store for store in stores if _has_all(store, [commit])]
        if having and not any(_is_on_remote(store, commit) for store in having):
            sentences.append(
                f"submodule {path} is at {commit}, which its remote does not have: push it there"
            )
    return tuple(sentences)


def _is_there(tree: Path, path: str) -> bool:
    """Reports whether a path of a working tree is there, without following a link."""
    with suppress(NotFollowed):
        return TreeFiles(tree).look(path) is not None
    return False


def _has_entries(tree: Path, path: str) -> bool:
    with suppress(NotFollowed):
        return bool(TreeFiles(tree).stats(path))
    return False


def _links(tree: Path) -> list[str]:
    """Returns the paths of a working tree's submodules, initialised or not."""
    out = os.fsdecode(Git(tree).run("ls-files", "-z", "--stage"))
    entries = (entry.partition("\t") for entry in out.split("\0"))
    return [path for head, _, path in entries if head.startswith(_LINK)]


def _is_store(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _stores(folder: Path) -> Iterator[Path]:
    """Yields the git folders below a folder of modules, nested ones too."""
    if not folder.is_dir():
        return
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        if _is_store(child):
            yield child
            yield from _stores(child / "modules")
        else:  # a name of several parts
            yield from _stores(child)


def _git(store: Path, *arguments: str, stdin: bytes = b"") -> str:
    # its own working tree may be gone, and none is needed
    options = (f"--git-dir={store}", "-c", "core.worktree=", "-c", "core.bare=true")
    return os.fsdecode(Git(store).run(*options, *arguments, stdin=stdin))


def _commits_beyond_remotes(store: Path) -> list[str]:
    """Returns the commits of a store's refs, HEAD and stashes that no remote-tracking ref has."""
    listed = _git(store, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    tips = [ref.split(" ")[0] for ref in listed if not ref.split(" ", 1)[1].startswith(_FIRST)]
    tips.append("HEAD")
    try:
        entries = (store / "logs/refs/stash").read_text("utf-8", "replace").splitlines()
        tips += [entry.split(" ")[1] for entry in entries]
    except OSError:  # there never was one
        pass
    stdin = "".join(f"{tip}\n" for tip in tips).encode()
    arguments = ("rev-list", "--ignore-missing", "--stdin", "--not", "--remotes")
    return _git(store, *arguments, stdin=stdin).split()


def _has_all(store: Path, commits: Sequence[str]) -> bool:
    stdin = "".join(f"{commit}\n" for commit in commits).encode()
    return "missing" not in _git(store, "cat-file", "--batch-check", stdin=stdin)


def _is_on_remote(store: Path, commit: str) -> bool:
    arguments = ("for-each-ref", "--count=1", f"--contains={commit}", _FIRST)
    return bool(_git(store, *arguments))


def _path(store: Path, tree: Path) -> str:
    """Returns the path of a store's working tree, below a worktree where it is there."""
    noted = Git(store).ask(f"--git-dir={store}", "config", "core.worktree").out
    path = os.path.normpath(store / os.fsdecode(noted).strip())
    return os.path.relpath(path, os.path.realpath(tree)) if noted else store.name
