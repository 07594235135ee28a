"""The planning files of a project: their paths, and the branch from which they are read.

They belong to the target branch of a feature. Where that is checked out in the main working tree
its files are read there, unfinished ones too; otherwise the files are read from the branch.

Where features land by pull requests, they are on the feature's plan branch until that has landed,
here or on a remote, and afterwards in the target's upstream. They are written in a worktree of the
plan branch, so the user's own working tree, index and branch stay as they are.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.ready import ready
from thence.errors import PlanningError
from thence.git.files import TreeFiles
from thence.git.landed import Memo, Question, landings, reviewed_of
from thence.git.objects import Objects, is_file, is_folder, objects
from thence.git.refs import Refs, newest_of
from thence.git.repository import (
    HEADS,
    Repository,
    current_branch,
    is_ancestor,
    main_of,
    repository,
)
from thence.work.names import is_slug, number_of, package_of, plan_branch, plan_worktree
from thence.work.project.configuration import (
    PULL_REQUEST,
    Land,
    land_in,
    read_configuration,
)
from thence.work.project.package_refs import own_refs, plan_refs, planned_configurations, target_in
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


class OpenPlan(NamedTuple):
    """A plan branch that has not landed: the newest one's name, its commit, its working tree.

    `name` is a branch, or one on a remote with the remote's name; `tree` is None where it is
    checked out nowhere, or where a remote has more. `is_altered` is whether the target has all its
    files in another state, such as what a squash with changes made of them.
    """

    name: str
    tip: str
    tree: Path | None
    is_altered: bool


class Planning(msgspec.Struct, frozen=True, dict=True):
    """The planning files of one project, by refs that are read once.

    `folders` are those of renamed features, by slug. `chosen_land` is what the command's user says
    of how features land, which the command's commit records. `writes_in` is the working tree of the
    plan branch that the command writes to, None where it writes to the main working tree.
    """

    project: Project
    read_refs: Callable[[], Refs]
    memo: Memo
    folders: Mapping[str, str] = {}
    chosen_land: Land | None = None
    writes_in: Path | None = None

    @cached_property
    def land(self) -> Land | None:
        """How features land, None where nobody has said it.

        The configuration here says it, else those on plan branches.
        """
        if self.chosen_land is not None:
            return self.chosen_land
        planned = planned_configurations(self.project.repo, self.read_refs())
        places = chain((read_configuration(self.project),), planned)
        return next(filter(None, map(land_in, places)), None)

    @cached_property
    def _plans(self) -> dict[str, OpenPlan | None]:
        return {}

    @property
    def is_by_pull_request(self) -> bool:
        """True if features land by pull requests."""
        return self.land == PULL_REQUEST

    @property
    def repository(self) -> Repository:
        """The repository as seen from the working tree that the command writes to."""
        if self.writes_in is not None:
            return repository(self.writes_in)
        return main_of(self.project.repo, self.project.root)

    @property
    def files(self) -> TreeFiles:
        """The files of the working tree that the command writes to."""
        return TreeFiles(self.writes_in or self.project.root)

    def open_plan(self, slug: str) -> OpenPlan | None:
        """Returns a feature's plan branch, unless it has landed; None with `land: merge` too."""
        if not self.is_by_pull_request:
            return None
        if slug not in self._plans:
            self._plans[slug] = self._find_plan(slug)
        return self._plans[slug]

    def _find_plan(self, slug: str) -> OpenPlan | None:
        repo, refs, branch = self.project.repo, self.read_refs(), plan_branch(slug)
        newest = newest_of(repo, own_refs(refs), branch)
        if newest is None:
            return None
        name, tip = newest
        tree = refs.trees.get(branch) if name == branch else None
        path = self.path(slug, "meta.json")
        with objects(repo) as store:
            meta = self._blob(store, tip, path)
            try:
                target = msgspec.json.decode(meta or b"{}", type=ready(Meta)).target_branch
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                target = ""
            aim = target_in(refs, target or refs.default or _DEFAULT_BRANCH).tip
            folders = self.path(slug), self.path(slug, _PACKAGES)
            is_altered = aim is not None and all(
                _listed(store, tip, folder) <= _listed(store, aim, folder) for folder in folders
            )
        if aim is not None:
            ask = partial(has_landed, repo, tip, aim)
            if self.memo.last(f"plan {slug}", f"{tip} {aim}", ask):
                return None
        return OpenPlan(name, tip, tree, is_altered)

    def path(self, slug: str, name: str = "") -> str:
        """Returns the path of a feature's file, from the top of the repository.

        A renamed feature whose old folder alone is here, as before a pull, has that.
        """
        folder = self.folders.get(slug, slug)
        if folder != slug and not _names(self.project.root, f"{SPECS}/{folder}"):
            folder = slug
        return f"{SPECS}/{folder}/{name}" if name else f"{SPECS}/{folder}"

    def shown(self, slug: str, name: str) -> str:
        """Returns the path of a feature's file that a command writes, from the main tree's top."""
        path, tree = self.path(slug, name), self.writes_in
        return os.path.relpath(tree / path, self.project.root) if tree else path

    def beside(self, paths: Iterable[str]) -> list[str]:
        """Returns the paths that are committed as they lie beside files of the same features."""
        parts = [path.split("/") for path in paths if path.startswith(f"{SPECS}/")]
        slugs = sorted({part[1] for part in parts})
        return [self.path(slug, name) for slug in slugs for name in _BESIDE]

    def feature_here(self) -> str:
        """Returns the feature of the worktree at hand, empty if it belongs to none."""
        name = self.project.here.name
        named, planned = package_of(name), name.removeprefix(plan_worktree("").rpartition("/")[2])
        if named is not None:
            return named[0]
        return planned if planned != name and is_slug(planned) else ""

    def slugs(self) -> list[str]:
        """Returns the features that have a folder in the main working tree, or an open plan."""
        names = {*_names(self.project.root, SPECS)}
        if self.is_by_pull_request:
            names |= {slug for slug in plan_refs(self.read_refs()) if self.open_plan(slug)}
            names |= {*self.names(self.read_refs().default, SPECS)}
        return sorted(name for name in names if number_of(name) or is_slug(name))

    def other_folders(self) -> list[str]:
        """Returns the folders beside those of features whose names no feature can have."""
        names = {*_names(self.project.root, SPECS)} - {*self.slugs()}
        folders = (name for name in names if not name.startswith("."))
        return sorted(n for n in folders if self.project.files.is_folder(self.path(n)))

    def branch_of(self, slug: str) -> str:
        """Returns the target branch of a feature whose files name none.

        The default branch if that has the files, else the one that is checked out.
        """
        default, here = self.read_refs().default, self.branch_here()
        if default and (default == here or self.names(default, self.path(slug))):
            return default
        return here or default or _DEFAULT_BRANCH

    def read(self, branch: str | None, path: str) -> bytes | None:
        """Returns the bytes of a planning file on a target branch; None if it is not there.

        Without a branch that is the file which a command would write.
        """
        place = self._place(branch, path)
        if isinstance(place, Path):
            try:
                return TreeFiles(place).read(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise _unreadable(place / path, error) from error
        with objects(self.project.repo) as store:
            return self._blob(store, place, path)

    def _blob(self, store: Objects, name: str, path: str) -> bytes | None:
        commit = store.commit(name)
        entry = store.find(commit[1], path) if commit else None
        return store.blob(entry.oid) if entry and is_file(entry) else None

    def names(self, branch: str | None, path: str) -> list[str]:
        """Returns the names in a planning folder, sorted; none if it is not there."""
        place = self._place(branch, path)
        if isinstance(place, Path):
            return _names(place, path)
        with objects(self.project.repo) as store:
            return sorted(map(os.fsdecode, _listed(store, place, path)))

    def _place(self, branch: str | None, path: str) -> Path | str:
        """Returns the working tree, or the name of the commit, from which a file is read."""
        slug = path.split("/")[1] if path.startswith(f"{SPECS}/") else ""
        if self.is_by_pull_request:
            if self.writes_in is not None and branch is None:
                return self.writes_in
            if slug and (plan := self.open_plan(slug)):
                return plan.tree or plan.tip
            if branch is None and slug and not _names(self.project.root, self.path(slug)):
                branch = self.read_refs().default
            target = target_in(self.read_refs(), branch) if branch else None
            if target and target.tip and target.tip != target.local:
                return target.tip
        refs = self.read_refs()
        if branch is None or (branch not in refs.branches and branch == self.branch_here()):
            return self.project.root
        return refs.trees.get(branch) or f"{HEADS}{branch}"

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

    def branch_here(self) -> str | None:
        """Returns the branch that the main working tree has checked out; None if HEAD is detached.

        Git is asked only where no commit is on it yet.
        """
        here = self.read_refs().here
        return here or current_branch(main_of(self.project.repo, self.project.root))


def _listed(store: Objects, name: str, folder: str) -> set[bytes]:
    """Returns the names in a folder of a commit; none where there is no such folder."""
    commit = store.commit(name)
    entry = store.find(commit[1], folder) if commit else None
    return set(store.tree(entry.oid)) if entry and is_folder(entry) else set()


def has_landed(repo: Repository, tip: str, target: str) -> bool:
    """Reports whether a target has all that a branch changed, by whatever commits."""
    if is_ancestor(repo, tip, target):
        return True
    base = repo.git.ask("merge-base", target, tip)
    if base.status:
        return False
    code, _ = reviewed_of(repo, base.out.decode().strip(), tip, target)
    return landings(repo, target, [Question(code)])[0].is_there


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
