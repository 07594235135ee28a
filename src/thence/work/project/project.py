"""The project of a folder, the project's home, and the project's own files.

The home, with the project's journal, is in the git folder that all worktrees share, where no git
command looks; without git it is in `.kittify/.thence/`. The configuration gives each clone the
project's id.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISLNK
from typing import NamedTuple

from thence.errors import GitFailed, NotAProject, PlanningError
from thence.work.day_lines import FileEdit
from thence.work.project.adopting import OWN_HOME, adopt, check_home
from thence.work.project.project_id import (
    CONFIG,
    add_random_id,
    id_of_board,
    id_of_history,
    id_of_spec_kitty,
    ids_in,
    is_id,
    with_id,
)
from thence.work.vcs.files import NotFollowed, TreeFiles
from thence.work.vcs.refs import refs_of
from thence.work.vcs.repository import Repository, checkouts, main_of, repository

KITTIFY = ".kittify"
_HOMES = "thence"
_NOBODY = "none"
_EXCLUDE = "info/exclude"
_DERIVED = (
    b".kittify/.thence",
    b".kittify/clock.json",
    b".kittify/errors/",
    b".kittify/events/index.db*",
)
# folders by which a project is recognised
_TRACES = (KITTIFY, "kitty-specs")


class Project(NamedTuple):
    """A project, seen from one folder in it.

    `root` is the main working tree, or the working tree used in its place; `here` is the one that
    contains the folder. `aliases` are other ids that the project's events may carry: two clones had
    each made one, and the smallest won. `repo` is None without git.
    """

    root: Path
    here: Path
    uuid: str
    aliases: tuple[str, ...]
    home: Path
    repo: Repository | None

    @property
    def files(self) -> TreeFiles:
        """The files of the main working tree."""
        return TreeFiles(self.root)


def find_project(folder: Path, *, create: bool = True) -> Project:
    """Returns the project that a folder belongs to.

    A git repository that is no project yet becomes one, with the id that `project_id` finds; before
    its first commit, and without git, a random id is written to `.kittify/config.yaml`. Without
    `create` it becomes one only if it has planning files or events; else the returned project has
    no id, and nothing is made. Raises NotAProject elsewhere, and PlanningError for an invalid id,
    or an id that a shallow clone can't find.
    """
    repo = _repository(folder)
    root = _root_of(repo) if repo else _above(folder)
    here = (repo.top if repo else None) or root
    if root is None or here is None:
        raise _not_a_project(folder, repo)
    try:
        return _project_in(repo, root, here, create=create)
    except NotFollowed as error:
        raise PlanningError(
            "could not use the project in",
            place=root,
            cause=f"{error.filename}: {error.strerror}",
            hint=f"see what it is (ls -l {error.filename}), take it out, then try again",
        ) from error


def own_files(project: Project) -> dict[str, FileEdit]:
    """Returns the files of each commit: the configuration, with the project's id."""
    try:
        config: bytes | None = project.files.read(CONFIG)
    except OSError:  # the branch that is checked out lacks it
        config = None
    return {CONFIG: lambda data: with_id(config if data is None else data, project.uuid)}


def _project_in(repo: Repository | None, root: Path, here: Path, *, create: bool) -> Project:
    ids = list(_ids((root, here)))
    homes = repo.common / _HOMES if repo else None
    if not ids and homes is not None:
        ids = _known_homes(homes)  # the branch that is checked out lacks the file
    refs = refs_of(main_of(repo, root)) if repo and not ids else None
    if repo and refs:
        ids = list(filter(None, (id_of_board(repo, refs),)))
    if not ids:
        is_kept = any(TreeFiles(tree).is_folder(name) for tree in (root, here) for name in _TRACES)
        if not create and not is_kept:
            if homes is None:
                raise _not_a_project(root, repo)
            return Project(root, here, "", (), homes / _NOBODY, repo)
        found = _id_of_spec_kitty((root, here))
        if found is None and repo and refs:
            found = id_of_history(repo, refs)
        ids = [found or add_random_id(TreeFiles(root))]
    uuid, *aliases = sorted(dict.fromkeys(ids))
    home = _own_home(root) if homes is None else _home(homes, (uuid, *aliases))
    if repo is not None and not home.is_dir():
        _exclude(repo.common / _EXCLUDE)
        adopt(TreeFiles(root), repo, home)
    return Project(root, here, uuid, tuple(aliases), home, repo)


def _repository(folder: Path) -> Repository | None:
    try:
        return repository(folder)
    except GitFailed as error:
        is_without_git = "No such file or directory: git" in error.cause
        if "not a git repository" in error.cause or (is_without_git and not _has_git(folder)):
            return None
        raise


def _root_of(repo: Repository) -> Path | None:
    """Returns the main working tree; for a bare repository, the working tree of the user."""
    if repo.git_dir == repo.common:
        return repo.top
    if repo.common.name == ".git" and not _is_bare(repo.common):
        return repo.common.parent
    return next(
        (tree.path for tree in checkouts(repo) if tree.is_main and not tree.is_missing), repo.top
    )


def _is_bare(common: Path) -> bool:
    try:
        return re.search(rb"(?m)^\s*bare\s*=\s*true", (common / "config").read_bytes()) is not None
    except OSError:
        return False


def _has_git(folder: Path) -> bool:
    """Reports whether a folder is in a repository: its journal then needs the program git."""
    absolute = folder.absolute()
    return any((each / ".git").exists() for each in (absolute, *absolute.parents))


def _above(folder: Path) -> Path | None:
    absolute = folder.absolute()
    return next((each for each in (absolute, *absolute.parents) if _may_be_kept(each)), None)


def _may_be_kept(folder: Path) -> bool:
    """Reports whether a folder looks like a project; a link is refused later, with a message."""
    try:
        found = TreeFiles(folder).look(KITTIFY)
    except OSError:
        return False
    return found is not None and (S_ISDIR(found.st_mode) or S_ISLNK(found.st_mode))


def _ids(trees: tuple[Path, ...]) -> Iterator[str]:
    for tree in dict.fromkeys(trees):
        try:
            data = TreeFiles(tree).read(CONFIG)
        except (FileNotFoundError, NotADirectoryError):
            continue
        found = ids_in(data, tree / CONFIG)
        if found:
            yield from found
            return


def _id_of_spec_kitty(trees: tuple[Path, ...]) -> str | None:
    for tree in dict.fromkeys(trees):
        with suppress(FileNotFoundError, NotADirectoryError):
            return id_of_spec_kitty(TreeFiles(tree).read(CONFIG))
    return None


def _exclude(path: Path) -> None:
    """Makes git ignore derived files, in projects without a .gitignore for them."""
    with suppress(OSError):
        known = path.read_bytes().splitlines() if path.exists() else []
        missing = [line for line in _DERIVED if line not in known]
        if missing:
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(b"\n".join((b"# thence", *missing, b"")))


def _known_homes(homes: Path) -> list[str]:
    try:
        return [name for name in os.listdir(homes) if is_id(name)]
    except OSError:
        return []


def _own_home(root: Path) -> Path:
    check_home(TreeFiles(root))
    return root / OWN_HOME


def _home(homes: Path, ids: tuple[str, ...]) -> Path:
    """Returns the existing home under any of the project's ids, else the path under its own."""
    return next((homes / name for name in ids if (homes / name).is_dir()), homes / ids[0])


def _not_a_project(folder: Path, repo: Repository | None) -> NotAProject:
    if repo is None:
        cause = "neither this folder nor one above it is a git repository or holds .kittify"
        hint = "run `git init` first, or go to the project's folder"
    else:
        cause = "no working tree is here: the repository is bare, or this is its git folder"
        hint = "go to a working tree of it, or make one: git worktree add PATH BRANCH"
    where = folder.absolute()
    return NotAProject("could not find a project at", place=where, cause=cause, hint=hint)
