"""Branches that features go to, as this clone knows them after one was renamed.

A feature keeps the name that it was begun with. Where no such branch is left, here or on a remote,
the one that took its place is found: by the reflog of `git branch -m`, else it is the default
branch, if that has the feature's planning files.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from thence.errors import PlanningError
from thence.work.plan.planning_files import Planning
from thence.work.vcs.refs import Refs
from thence.work.vcs.repository import HEADS, Repository

if TYPE_CHECKING:
    from thence.work.session.session import Session

_RENAMED = re.compile(r"\tBranch: renamed refs/heads/(\S+) to refs/heads/\S+$", re.MULTILINE)
_LOG_BYTES_MAX = 1 << 24


def name_today(session: "Session", slug: str, branch: str) -> str:
    """Returns the name of a feature's target as it is now, with a note where it has changed.

    Raises PlanningError where it is gone and nothing tells what took its place, GitFailed.
    """
    repo = session.project.repo
    if repo is None or branch in session.refs.branches:
        return branch
    key = f"{slug}/{branch}"
    if key not in session.renamed:
        found = _successor(session.main, session.refs, session.planning, slug, branch)
        if found != branch:
            session.notes.append(f"{branch}, the target of {slug}, is {found} now")
        session.renamed[key] = found
    return session.renamed[key]


def _successor(repo: Repository, refs: Refs, planning: Planning, slug: str, branch: str) -> str:
    """Returns the branch that took the place of another: itself while that is there."""
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
        cause=f"{branch} is gone, here and on remotes, and nothing tells what took its place",
        hint=f"git branch {branch} COMMIT makes it again",
    )


def _is_gone(repo: Repository, refs: Refs, branch: str) -> bool:
    """Tells whether a branch is nowhere, as far as this clone can tell.

    A clone of some branches alone does not know the others.
    """
    if branch in refs.branches or refs.on_remotes(branch):
        return False
    told = repo.git.ask("config", "--get-regexp", r"^remote\..*\.(url|fetch)$").out
    lines = os.fsdecode(told).splitlines()
    known = {line.partition(".url ")[0] for line in lines if ".url " in line}
    whole = {line.partition(".fetch ")[0] for line in lines if "refs/heads/*:" in line}
    return bool(refs.commits) and known <= whole


def _renamed_to(logs: Path, branch: str) -> list[str]:
    """Returns the branches whose reflog says that they were called so once."""
    found: list[str] = []
    for folder, _, names in os.walk(logs):
        for name in names:
            path = Path(folder, name)
            try:
                with path.open("rb") as file:
                    told = os.fsdecode(file.read(_LOG_BYTES_MAX))
            except OSError:
                continue
            if branch in _RENAMED.findall(told):
                found.append(path.relative_to(logs).as_posix())
    return sorted(found)
