"""The project of a folder, the project's home, and the project's own files.

The home, with the project's journal, is in the git folder that all worktrees share, where no git
command looks. The configuration gives each clone the project's id.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from thence.errors import GitFailed, PlanningError, ThenceError
from thence.git.files import NotFollowed, TreeFiles
from thence.git.refs import refs_of
from thence.git.repository import Repository, exclude, list_worktrees, main_of, repository
from thence.work.project.package_refs import planned_configurations
from thence.work.project.project_id import (
    CONFIG,
    configurations,
    id_of_board,
    id_of_history,
    ids_in,
    is_id,
    random_id,
    with_id,
)

KITTIFY = ".kittify"
_HOMES = "thence"
_NOBODY = "none"
_DERIVED = (
    b".kittify/clock.json",
    b".kittify/errors/",
    b".kittify/events/",
    b".worktrees/",
)
# folders by which a project is recognised
_TRACES = (KITTIFY, "kitty-specs")


class Project(NamedTuple):
    """A project, seen from one folder in it.

    `root` is the main working tree, or the working tree used in its place; `here` is the one that
    contains the folder. `aliases` are other ids that the project's events may carry: two clones had
    each made one, and the smallest won. `had_files` is True if files of a project were there,
    `is_random` if the id is random, as there was no commit to make it from.
    """

    root: Path
    here: Path
    uuid: str
    aliases: tuple[str, ...]
    home: Path
    repo: Repository
    had_files: bool
    is_random: bool = False

    @property
    def main(self) -> Repository:
        """The repository as seen from the main working tree."""
        return main_of(self.repo, self.root)

    @property
    def shared_folder(self) -> Path:
        """The folder of locks and records that can be written even if the home can't."""
        folder = self.repo.common / "thence"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def is_begun(self) -> bool:
        """True if it has a journal, or the files of a project."""
        return self.had_files or self.home.is_dir()

    @property
    def files(self) -> TreeFiles:
        """The files of the main working tree."""
        return TreeFiles(self.root)

    def begin(self) -> None:
        """Has git ignore the derived files, and the configuration name a random id.

        Called before the first event, so that a refused command leaves nothing. What can't be
        written is left out.
        """
        with suppress(OSError):
            exclude(self.repo, b"# thence", *_DERIVED)
        with suppress(OSError):
            if self.is_random:
                before = next((data for _, data in configurations(self.root)), b"")
                self.files.append(CONFIG, with_id(before, self.uuid)[len(before) :])


def find_project(folder: Path, *, create: bool = True) -> Project:
    """Returns the project that a folder belongs to.

    A git repository that is no project yet gets the id that `project_id` finds, before its first
    commit a random one. Without `create` it gets one only if it has planning files or events.
    Raises `not_a_project` elsewhere, PlanningError for an invalid id, or an id that a shallow
    clone can't find.
    """
    try:
        repo = repository(folder)
    except GitFailed as error:
        if "not a git repository" not in error.cause:
            raise
        raise _not_a_project(
            folder,
            "neither this folder nor one above it is a git repository",
            "run `git init` in the project's folder, or go to a repository",
        ) from error
    root = _root_of(repo)
    here = repo.top or root
    if root is None or here is None:
        raise _not_a_project(
            folder,
            "no working tree is here: the repository is bare, or this is its git folder",
            "go to a working tree of it, or make one: git worktree add PATH BRANCH",
        )
    try:
        return _project_in(repo, root, here, create=create)
    except NotFollowed as error:
        raise PlanningError(
            "could not use the project in",
            place=root,
            cause=f"{error.filename}: {error.strerror}",
            hint=f"see what it is (ls -l {error.filename}), take it out, then try again",
        ) from error


def _project_in(repo: Repository, root: Path, here: Path, *, create: bool) -> Project:
    kept = (TreeFiles(tree).is_folder(name) for tree in (root, here) for name in _TRACES)
    had_files, is_random = any(kept), False
    configs = configurations(root, here)
    ids = next(filter(None, (ids_in(data, path) for path, data in configs)), [])
    homes = repo.common / _HOMES
    if not ids:
        with suppress(OSError):  # the branch that is checked out lacks the file
            ids = [name for name in os.listdir(homes) if is_id(name)]
    refs = refs_of(main_of(repo, root)) if not ids else None
    if refs:
        ids = list(filter(None, (id_of_board(repo, refs),)))
    if not ids:
        # of plan branches, which the branch that is checked out lacks as yet
        plans = planned_configurations(repo, refs) if refs else ()
        planned = next((one for data in plans for one in ids_in(data, Path(CONFIG))), None)
        if not create and not had_files and planned is None:
            return Project(root, here, "", (), homes / _NOBODY, repo, had_files)
        history = id_of_history(repo, refs) if refs and planned is None else None
        made = random_id(homes, makes=history is None) if planned is None else None
        is_random = made is not None
        ids = [planned or made or history or ""]
    uuid, *aliases = sorted(dict.fromkeys(ids))
    named = (homes / name for name in (uuid, *aliases))
    home = next((path for path in named if path.is_dir()), homes / uuid)
    return Project(root, here, uuid, tuple(aliases), home, repo, had_files, is_random)


def _root_of(repo: Repository) -> Path | None:
    """Returns the main working tree; for a bare repository, the working tree of the user."""
    if repo.git_dir == repo.common:
        return repo.top
    config = b""
    with suppress(OSError):
        config = (repo.common / "config").read_bytes()
    if repo.common.name == ".git" and not re.search(rb"(?m)^\s*bare\s*=\s*true", config):
        return repo.common.parent
    return next(
        (tree.path for tree in list_worktrees(repo) if tree.is_main and not tree.is_missing),
        repo.top,
    )


def _not_a_project(folder: Path, cause: str, hint: str) -> ThenceError:
    operation, where, code = "could not find a project at", folder.absolute(), "not_a_project"
    return ThenceError(operation, place=where, cause=cause, hint=hint, code=code)
