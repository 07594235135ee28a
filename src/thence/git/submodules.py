"""Submodules of packages' worktrees: made ready as in the main working tree.

Each worktree has stores of its own for its submodules, below `modules` in its git folder. git
status knows of no files below a submodule that is not initialised.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from thence.errors import GitFailed
from thence.git.files import NotFollowed, TreeFiles
from thence.git.git import Git
from thence.git.repository import Repository

SUBMODULE = "160000"  # the mode of a submodule in a tree
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


def unpushed_pointers(repo: Repository, before: str, after: str) -> tuple[str, ...]:
    """Returns a sentence on each pointer changed between two commits that no remote can follow.

    It names a commit which a clone of the submodule has here, and its remote does not.
    """
    out = repo.git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", before, after, "--")
    fields = iter(os.fsdecode(out).split("\0"))
    changed = [(head.split(), next(fields)) for head in fields if head]
    pointers = [(path, head[3]) for head, path in changed if head[1] == SUBMODULE]
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
    return [path for head, _, path in entries if head.startswith(SUBMODULE)]


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


def _has_all(store: Path, commits: Sequence[str]) -> bool:
    stdin = "".join(f"{commit}\n" for commit in commits).encode()
    return "missing" not in _git(store, "cat-file", "--batch-check", stdin=stdin)


def _is_on_remote(store: Path, commit: str) -> bool:
    arguments = ("for-each-ref", "--count=1", f"--contains={commit}", _FIRST)
    return bool(_git(store, *arguments))
