"""What has a package's old number in one clone, and gets the new one: files, branch, worktree."""

import re
from collections.abc import Collection

from thence.errors import PlanningError
from thence.work.board.state import FeatureState, PackageState
from thence.work.day_lines import Splice
from thence.work.journal.claims import claimed
from thence.work.naming import branch_of, worktree_of
from thence.work.plan.frontmatter import read
from thence.work.plan.package_files import is_file_of
from thence.work.plan.tasks import sections
from thence.work.session.package_refs import rename
from thence.work.session.session import Session
from thence.work.vcs.git import failure
from thence.work.vcs.leftovers import MAKING
from thence.work.vcs.locks import held
from thence.work.vcs.repository import branches, checkouts

_DEPENDS = re.compile(rb"depend|begins when", re.IGNORECASE)


def files(
    session: Session, feature: FeatureState, package: PackageState, old: str
) -> tuple[dict[str, Splice], list[str]]:
    """Returns how the planning files that lie here change, and those that go.

    The package's section and file are known by its title; those of packages that depend on it get
    the new number where they name it as what they need. Nothing changes that was changed already.
    """
    new = package.wp_id
    needing = [each for each in feature.packages.values() if new in each.dependencies]
    sure = {
        (number, each.title)
        for each in needing
        if old not in each.dependencies
        for number in (each.wp_id.partition("~")[0], each.renumbered_from or each.wp_id)
    }
    tasks = session.planning.path(feature.slug, "tasks.md")
    changes: dict[str, Splice] = {}
    if session.planning.read(None, tasks) is not None:
        changes[tasks] = _in_tasks(old, package, sure)
    removed = []
    for path, _ in [*session.planning.package_files(None, feature.slug)]:
        data = session.planning.read(None, path) or b""
        folder, _, name = path.rpartition("/")
        if is_file_of(old, path) and _title(data, path) == package.title:
            moved = f"{folder}/{name.replace(old, new, 1)}"
            changes[moved] = _as_new(_renamed(data, old, new))
            removed.append(path)
        elif is_file_of(new, path):
            before = f"{folder}/{name.replace(new, old, 1)}"
            if session.planning.read(None, before) is None:  # a command that was killed moved it
                changes.setdefault(path, _as_it_lies)
                removed.append(before)
        elif any(
            is_file_of(number, path) and _title(data, path) == title for number, title in sure
        ):
            changes[path] = _depending(old, new)
    return changes, removed


def move(session: Session, slug: str, old: str, new: str) -> None:
    """Renames the branch of this clone and moves its worktree, unless that is done already.

    Raises Refused if somebody is at work there, GitFailed.
    """
    repo, root = session.repo, session.project.root
    before, after = branch_of(slug, old), branch_of(slug, new)
    with (
        claimed(session.project.home, session.store.subject(slug, old)),
        held(repo.common / MAKING),
    ):
        path, goal = root / worktree_of(slug, old), root / worktree_of(slug, new)
        trees = [each for each in checkouts(repo) if each.path == path and not each.is_missing]
        if any(each.branch is None for each in trees):
            hint = "end what is under way there: git status tells how"
            raise failure("could not move the worktree", path, "no branch is checked out", hint)
        if any(each.branch in (before, after) for each in trees):
            repo.git.run("worktree", "move", str(path), str(goal), doing="could not move")
        if before in branches(repo):
            repo.git.run("branch", "--move", before, after, doing="could not rename a branch of")
        rename(repo, session.refs, slug, old, new)


def _title(data: bytes, path: str) -> str:
    try:
        return read(data, path).text("title")
    except PlanningError:
        return ""


def _in_tasks(old: str, package: PackageState, needing: Collection[tuple[str, str]]) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        lines = data.split(b"\n") if data is not None else []
        for section in sections(data or b""):
            name = (section.wp_id, section.title)
            for at in range(section.begin, section.end):
                is_its_own = name == (old, package.title)
                if is_its_own or (name in needing and _DEPENDS.search(lines[at])):
                    lines[at] = _renamed(lines[at], old, package.wp_id)
        return b"\n".join(lines) if data is not None else None

    return splice


def _depending(old: str, new: str) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        lines = (data or b"").split(b"\n")
        changed = [_renamed(each, old, new) if _DEPENDS.search(each) else each for each in lines]
        return b"\n".join(changed) if data is not None else None

    return splice


def _renamed(data: bytes, old: str, new: str) -> bytes:
    return re.sub(rb"(?<![0-9A-Za-z])%s(?![0-9A-Za-z])" % old.encode(), new.encode(), data)


def _as_new(data: bytes) -> Splice:
    return lambda there: data if there is None else there


def _as_it_lies(data: bytes | None) -> bytes | None:
    return data
