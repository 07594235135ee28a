"""The feature that a command works on, and the present name of the branch that the feature goes to.

A feature keeps the name of the target branch that it was begun with. Where no such branch is left,
here or on a remote, its successor is found: by the reflog of `git branch -m`, else the default
branch, if that has the feature's planning files.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from thence.errors import PlanningError, Refused
from thence.git.refs import Refs
from thence.git.repository import HEADS, Repository, main_of
from thence.work.board.state import Board, FeatureState
from thence.work.names import is_slug, resolve
from thence.work.plan.planning_files import Planning
from thence.work.project.project import Project

_RENAMED = re.compile(r"\tBranch: renamed refs/heads/(\S+) to refs/heads/\S+$", re.MULTILINE)
_LOG_BYTES_MAX = 1 << 24
_NAMED_MAX = 3


def choose_feature(
    name: str | None,
    board: Board,
    here: str,
    not_imported: Sequence[str] = (),
    wp_ids: Sequence[str] = (),
) -> FeatureState:
    """Returns the named feature, else that of the folder `here`, else the only possible one.

    That is the only open feature, or the only one that has all packages `wp_ids`. Features in
    `not_imported` have planning files, and nothing in the log. Raises Refused for a feature that is
    not on the board, PlanningError where several are possible or none is open.
    """
    features = board.features
    if name is not None:
        return _feature_named(name, board, not_imported)
    if here in features:
        return features[here]
    remaining = [slug for slug, feature in features.items() if not feature.is_completed]
    if len(remaining) == 1:
        return features[remaining[0]]
    owners = [slug for slug in features if {*wp_ids} <= {*features[slug].packages}]
    if wp_ids and len(owners) == 1:
        return features[owners[0]]
    if remaining:
        several = wp_ids and owners
        raise PlanningError(
            "could not decide which feature is meant",
            cause=f"{', '.join(wp_ids)}: several features have it, {', '.join(owners)}"
            if several
            else f"there are {', '.join(remaining)}",
            hint="name one with --feature",
        )
    raise PlanningError(
        "could not decide which feature is meant",
        cause="there is none that is not completed",
        hint=f"thence work {'finalize-tasks' if not_imported else 'setup-spec TITLE'}",
    )


def not_imported(board: Board, planning: Planning) -> list[str]:
    """Returns the features that have planning files, and whose beginning is not in the log.

    `thence work finalize-tasks` adopts them.
    """
    begun = {slug for slug, feature in board.features.items() if is_begun(feature)}
    return [slug for slug in planning.slugs() if is_slug(slug) and slug not in begun]


def is_begun(feature: FeatureState) -> bool:
    """Reports whether the log has the beginning of a feature, or of one of its packages."""
    created = (package.created_event for package in feature.packages.values())
    return any((feature.spec_event, feature.created_event, *created))


def existing_branch(refs: Refs, name: str) -> str:
    """Returns the name of a local branch; raises PlanningError if there is none of this name."""
    if name not in refs.branches:
        raise PlanningError(
            "could not find the branch",
            place=repr(name),
            cause="there is none of this name in the repository",
            hint="name one that is there (git branch --list), or make it first",
        )
    return name


def _feature_named(name: str, board: Board, not_imported: Sequence[str]) -> FeatureState:
    try:
        return board.features[resolve(name, board.features)]
    except Refused:
        slug = resolve(name, [*board.features, *not_imported])
        raise Refused(
            "could not use the feature",
            guard="not_imported",
            place=slug,
            cause="its planning files were never brought into the log",
            hint=f"thence work finalize-tasks --feature {slug}",
        ) from None


class Targets:
    """The present names of target branches, each looked up once for a command."""

    def __init__(
        self,
        project: Project,
        planning: Planning,
        refs: Callable[[], Refs],
        warnings: list[str],
    ) -> None:
        self._project = project
        self._planning = planning
        self._refs = refs
        self._warnings = warnings
        self._names: dict[tuple[str, str], str] = {}
        self._renamed: dict[tuple[str, str], list[str]] = {}

    def current_name(self, slug: str, branch: str) -> str:
        """Returns the present name of a feature's target; a changed name adds a warning.

        Raises PlanningError where the branch is gone and has no known successor, GitFailed.
        """
        if branch in self._refs().branches:
            return branch
        key = (slug, branch)
        if key not in self._names:
            main = main_of(self._project.repo, self._project.root)
            successor = _successor(main, self._refs(), self._planning, slug, branch)
            self._names[key] = successor
            if successor != branch:
                self._warn(slug, branch, successor)
        return self._names[key]

    def _warn(self, slug: str, branch: str, successor: str) -> None:
        """Adds a feature to the warning of all whose target has another name now."""
        slugs = self._renamed.setdefault((branch, successor), [])
        previous = _sentence(branch, successor, slugs)
        slugs.append(slug)
        if previous in self._warnings:
            self._warnings.remove(previous)
        self._warnings.append(_sentence(branch, successor, slugs))


def _sentence(branch: str, successor: str, slugs: Sequence[str]) -> str:
    features = ", ".join(slugs) if len(slugs) <= _NAMED_MAX else f"{len(slugs)} features"
    return f"{branch}, the target of {features}, is {successor} now"


def _successor(repo: Repository, refs: Refs, planning: Planning, slug: str, branch: str) -> str:
    """Returns the successor of a branch: the branch itself while it exists."""
    if not _is_gone(repo, refs, branch):
        return branch
    for name in _renamed_to(repo.common / "logs" / HEADS, branch):
        if name in refs.branches:
            return name
    if refs.default and planning.names(refs.default, planning.path(slug)):
        return refs.default
    raise PlanningError(
        "could not find the branch of the feature",
        place=slug,
        cause=f"{branch} is gone, here and on remotes, and no branch is known to have replaced it",
        hint=f"git branch {branch} COMMIT makes it again",
    )


def _is_gone(repo: Repository, refs: Refs, branch: str) -> bool:
    """Reports whether a branch is gone, here and on all remotes.

    False in a clone that fetches only some branches: it does not know the others.
    """
    if branch in refs.branches or refs.on_remotes(branch):
        return False
    out = repo.git.ask("config", "--get-regexp", r"^remote\..*\.(url|fetch)$").out
    lines = os.fsdecode(out).splitlines()
    remotes = {line.partition(".url ")[0] for line in lines if ".url " in line}
    complete = {line.partition(".fetch ")[0] for line in lines if "refs/heads/*:" in line}
    return bool(refs.commits) and remotes <= complete


def _renamed_to(logs: Path, branch: str) -> list[str]:
    """Returns the branches that were renamed from a name, by their reflogs."""
    branches: list[str] = []
    for folder, _, names in os.walk(logs):
        for name in names:
            path = Path(folder, name)
            try:
                with path.open("rb") as file:
                    text = os.fsdecode(file.read(_LOG_BYTES_MAX))
            except OSError:
                continue
            if branch in _RENAMED.findall(text):
                branches.append(path.relative_to(logs).as_posix())
    return sorted(branches)
