"""The planning files of a project: their paths, and the branch from which they are read.

They belong to the target branch of a feature. Where that is checked out in the main working tree
its files are read there, unfinished ones too; otherwise the files are read from the branch.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from thence.core.ready import ready
from thence.errors import PlanningError
from thence.git.files import TreeFiles
from thence.git.objects import is_file, is_folder, objects
from thence.git.refs import Refs, refs_of
from thence.git.repository import HEADS, current_branch, main_of
from thence.work.names import is_slug, number_of, package_of
from thence.work.project.project import Project

SPECS = "kitty-specs"
_PACKAGES = "tasks"
_ENDING = ".md"
_BESIDE = ("tasks.md", _PACKAGES, "meta.json")
_DEFAULT_BRANCH = "main"


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of a feature's meta.json."""

    feature_number: str = ""
    slug: str = ""
    friendly_name: str = ""
    mission: str = ""
    target_branch: str = ""
    created_at: str = ""

    def as_bytes(self) -> bytes:
        """Returns the content as the bytes of the file, without the members that are empty."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class Planning:
    """The planning files of one project.

    `folders` are those of renamed features, by slug.
    """

    def __init__(self, project: Project, refs: Callable[[], Refs] | None = None) -> None:
        """Opens the planning files; `refs` returns the refs as its caller has read them."""
        self._project = project
        self._refs = refs or self._look
        self.folders: Mapping[str, str] = {}

    def path(self, slug: str, name: str = "") -> str:
        """Returns the path of a feature's file, from the top of the repository.

        A renamed feature whose old folder alone is here, as before a pull, has that.
        """
        folder = self.folders.get(slug, slug)
        if folder != slug and not _names(self._project.root, f"{SPECS}/{folder}"):
            folder = slug
        return f"{SPECS}/{folder}/{name}" if name else f"{SPECS}/{folder}"

    def beside(self, paths: Iterable[str]) -> list[str]:
        """Returns the paths that are committed as they lie beside files of the same features."""
        parts = [path.split("/") for path in paths if path.startswith(f"{SPECS}/")]
        slugs = sorted({part[1] for part in parts})
        return [self.path(slug, name) for slug in slugs for name in _BESIDE]

    def feature_here(self) -> str:
        """Returns the feature of the working folder, empty if it belongs to none."""
        named = package_of(self._project.here.name)
        if named is not None:
            return named[0]
        try:
            parts = Path.cwd().relative_to(self._project.here).parts
        except (OSError, ValueError):
            return ""
        folder = parts[1] if len(parts) > 1 and parts[0] == SPECS else ""
        slugs = {name: slug for slug, name in self.folders.items()}
        return slugs.get(folder, folder)

    def slugs(self) -> list[str]:
        """Returns the features that have a folder in the main working tree."""
        names = _names(self._project.root, SPECS)
        return sorted(name for name in names if number_of(name) or is_slug(name))

    def other_folders(self) -> list[str]:
        """Returns the folders beside those of features whose names no feature can have."""
        names = {*_names(self._project.root, SPECS)} - {*self.slugs()}
        folders = (name for name in names if not name.startswith("."))
        return sorted(n for n in folders if self._project.files.is_folder(self.path(n)))

    def branch_of(self, slug: str) -> str:
        """Returns the target branch of a feature whose files name none.

        The default branch if that has the files, else the one that is checked out.
        """
        default, here = self._refs().default, self.branch_here()
        if default and (default == here or self.names(default, self.path(slug))):
            return default
        return here or default or _DEFAULT_BRANCH

    def read(self, branch: str | None, path: str) -> bytes | None:
        """Returns the bytes of a planning file on a target branch; None if it is not there."""
        folder = self._folder(branch) if branch else self._project.root
        if folder is not None:
            try:
                return TreeFiles(folder).read(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise _unreadable(folder / path, error) from error
        with objects(self._project.repo) as store:
            commit = store.commit(f"{HEADS}{branch}")
            entry = store.find(commit[1], path) if commit else None
            return store.blob(entry.oid) if entry and is_file(entry) else None

    def names(self, branch: str | None, path: str) -> list[str]:
        """Returns the names in a planning folder, sorted; none if it is not there."""
        folder = self._folder(branch) if branch else self._project.root
        if folder is not None:
            return _names(folder, path)
        with objects(self._project.repo) as store:
            commit = store.commit(f"{HEADS}{branch}")
            entry = store.find(commit[1], path) if commit else None
            if entry is None or not is_folder(entry):
                return []
            return sorted(map(os.fsdecode, store.tree(entry.oid)))

    def package_files(self, branch: str | None, slug: str) -> Iterator[tuple[str, str]]:
        """Yields the paths below a feature's tasks/ that end in .md, each with the folder in it.

        Such a folder is named after a lane, as other tools keep them.
        """
        folder = self.path(slug, _PACKAGES)
        for name in self.names(branch, folder):
            path = f"{folder}/{name}"
            if name.endswith(_ENDING):
                yield path, ""
                continue
            for inner in self.names(branch, path):
                if inner.endswith(_ENDING):
                    yield f"{path}/{inner}", name

    def meta(self, branch: str | None, slug: str) -> Meta | None:
        """Returns a feature's meta.json; raises PlanningError if it is no JSON."""
        path = self.path(slug, "meta.json")
        data = self.read(branch, path)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=ready(Meta))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PlanningError(
                "could not read",
                place=path,
                cause=f"{error}",
                hint="correct the file, or take it from an earlier commit",
            ) from error

    def _look(self) -> Refs:
        return refs_of(main_of(self._project.repo, self._project.root))

    def branch_here(self) -> str | None:
        """Returns the branch that the main working tree has checked out; None if HEAD is detached.

        Git is asked only where no commit is on it yet.
        """
        here = self._refs().here
        return here or current_branch(main_of(self._project.repo, self._project.root))

    def _folder(self, branch: str) -> Path | None:
        """Returns the working tree that has a branch checked out, the main one first."""
        refs = self._refs()
        if branch in refs.branches:
            return refs.trees.get(branch)
        return self._project.root if branch == self.branch_here() else None


def _names(tree: Path, path: str) -> list[str]:
    try:
        return TreeFiles(tree).names(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    except OSError as error:
        raise _unreadable(tree / path, error) from error


def _unreadable(path: Path, error: OSError) -> PlanningError:
    return PlanningError(
        "could not read", place=path, cause=error.strerror or error, hint="look at the path"
    )
