"""`thence work renumber`: gives a package whose number was given twice a number of its own."""

import re
from collections.abc import Collection

from thence.errors import HeadsMoved, PlanningError, Refused
from thence.inspection.log_folder import next_node_id
from thence.work.board.move_attempt import former_number_in_clone
from thence.work.board.state import FeatureState, PackageState
from thence.work.commands.add import taken_ids
from thence.work.day_lines import Splice, as_it_is, if_missing
from thence.work.journal.claims import claimed, workspace_event
from thence.work.journal.store import WorkEvent
from thence.work.naming import branch_of, next_wp_id, twin_of, worktree_of, wp_id_of
from thence.work.naming import package_of as named_in
from thence.work.plan.frontmatter import read
from thence.work.plan.package_files import is_file_of
from thence.work.plan.tasks import sections
from thence.work.result import CommandResult
from thence.work.session.command_commit import check_committer, commit
from thence.work.session.lane_moves import check_written, package_of
from thence.work.session.package_refs import rename_refs
from thence.work.session.session import ATTEMPTS_MAX, Session
from thence.work.vcs.git import failure
from thence.work.vcs.locks import MAKING, held
from thence.work.vcs.repository import branches, checkouts

_DEPENDS = re.compile(rb"depend|begins when", re.IGNORECASE)
_DOING = "could not renumber"
_GUARDED_TYPES = ("WPCreated", "WPRenumbered")


def renumber(
    session: Session, given: str, *, to: str | None = None, feature: str | None = None
) -> CommandResult:
    """Gives a package such as `WP10~ab12` the number `to`, by default the next that is free.

    Its planning files, branch and worktree follow as far as they are in this clone; where it has a
    number already the rest is done that is still to do here. Raises Refused for a package whose
    number was given once, and what git and the append raise.
    """
    check_committer(session)
    found, package = _append_number(session, given, to, feature)
    old, new = package.renumbered_from or "", package.wp_id
    _move_here(session, found, package)
    branch = session.target_of(found)
    session.watch(branch)
    files, removed = _changed_files(session, found, package, old)
    subject = f"Renumber {old} to {new}: {package.title}"
    made = commit(session, files, subject, "renumber", target=branch, removed=removed)
    data = {
        "feature_slug": found.slug,
        "wp_id": new,
        "old_wp_id": old,
        "title": package.title,
        "commit": made.oid if made else None,
    }
    lines = [f"{old} {package.title!r} of {found.slug} is {new}"]
    if not any(new in path.rpartition("/")[2] for path in files):
        lines.append(f"its planning files are not here: `thence work renumber {new}` moves them")
    rest = [each.wp_id for each in found.packages.values() if old in each.dependencies]
    if rest and old in found.packages:
        lines.append(f"{', '.join(rest)} still after {old}, {found.packages[old].title!r}")
    return session.result(data, lines)


def _append_number(
    session: Session, given: str, to: str | None, feature: str | None
) -> tuple[FeatureState, PackageState]:
    """Appends the WPRenumbered; returns the package under its new number."""
    for _ in range(ATTEMPTS_MAX):
        session.look()
        found = session.feature(feature)
        package = _package_given(found, given)
        if package.has_number:
            if to is not None and wp_id_of(to) != package.wp_id:
                raise _refused(found, given, f"it is {package.wp_id} already", "leave --to out")
            return found, package
        number = package.wp_id.partition("~")[0]
        new = _free(session, found, to)
        payload = {
            "wp_id": new,
            "old_wp_id": number,
            "created_event_id": package.created_event,
        }
        causes = (package.created_event or "", *package.heads)
        guard = session.guard((found.slug, new), (found.slug, number), types=_GUARDED_TYPES)
        try:
            session.append(WorkEvent("WPRenumbered", payload, found.slug, causes), guard=guard)
        except HeadsMoved:
            continue
        check_written(session)
        given = new
        session.look()
        found = session.feature(found.slug)
        return found, package_of(found, new)
    raise _refused(found, given, "others gave numbers meanwhile", "try again")


def _package_given(found: FeatureState, given: str) -> PackageState:
    twin = twin_of(given)
    if twin is None:
        package = package_of(found, wp_id_of(given))
        if package.renumbered_from is None:
            others = [each for each in found.packages if each.startswith(f"{package.wp_id}~")]
            hint = " or ".join(f"thence work renumber {each}" for each in others)
            cause = "it keeps its number" if others else "its number was given once"
            raise _refused(found, given, cause, hint or "look at thence work conflicts")
        return package
    number, end = twin
    if package_ := found.packages.get(f"{number}~{end}"):
        return package_
    for each in found.packages.values():
        if each.renumbered_from == number and (each.created_event or "").lower().endswith(end):
            return each
    return package_of(found, f"{number}~{end}")


def _free(session: Session, found: FeatureState, to: str | None) -> str:
    data = session.planning.read(None, session.planning.path(found.slug, "tasks.md"))
    begun = filter(None, map(named_in, branches(session.repo)))
    known = {
        *taken_ids(session, found, data),
        *(name for slug, name in begun if slug == found.slug),
    }
    new = next_wp_id(known) if to is None else wp_id_of(to)
    if new in known:
        hint = f"choose another, or leave --to out: {next_wp_id(known)} is free"
        raise _refused(found, new, "the number is taken", hint)
    return new


def _refused(found: FeatureState, given: str, cause: str, hint: str) -> Refused:
    place = f"{found.slug}/{given}"
    return Refused(_DOING, guard="number_given_once", place=place, cause=cause, hint=hint)


def _move_here(session: Session, found: FeatureState, package: PackageState) -> None:
    """Renames the branch and moves the worktree that this clone made, unless that is done already.

    Raises Refused if somebody is at work there, GitFailed.
    """
    old = former_number_in_clone(found, package, next_node_id(session.project.home))
    if old is None:
        return
    repo, root, slug, new = session.repo, session.project.root, found.slug, package.wp_id
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
        rename_refs(repo, session.refs, slug, old, new)
    session.append(workspace_event(slug, new, None))


def _changed_files(
    session: Session, feature: FeatureState, package: PackageState, old: str
) -> tuple[dict[str, Splice], list[str]]:
    """Returns the changes of the local planning files, and the files to remove.

    The package's section and file are found by its title. Sections and files of packages that
    depend on it get the new number in their dependencies. Files changed already stay as they are.
    """
    new = package.wp_id
    needing = [each for each in feature.packages.values() if new in each.dependencies]
    certain = {
        (number, each.title)
        for each in needing
        if old not in each.dependencies
        for number in (each.wp_id.partition("~")[0], each.renumbered_from or each.wp_id)
    }
    tasks = session.planning.path(feature.slug, "tasks.md")
    changes: dict[str, Splice] = {}
    if session.planning.read(None, tasks) is not None:
        changes[tasks] = _tasks_splice(old, package, certain)
    removed = []
    for path, _ in [*session.planning.package_files(None, feature.slug)]:
        data = session.planning.read(None, path) or b""
        folder, _, name = path.rpartition("/")
        if is_file_of(old, path) and _title(data, path) == package.title:
            moved = f"{folder}/{name.replace(old, new, 1)}"
            changes[moved] = if_missing(_with_number(data, old, new))
            removed.append(path)
        elif is_file_of(new, path):
            before = f"{folder}/{name.replace(new, old, 1)}"
            if session.planning.read(None, before) is None:  # a command that was killed moved it
                changes.setdefault(path, as_it_is)
                removed.append(before)
        elif any(
            is_file_of(number, path) and _title(data, path) == title for number, title in certain
        ):
            changes[path] = _dependency_splice(old, new)
    return changes, removed


def _title(data: bytes, path: str) -> str:
    try:
        return read(data, path).text("title")
    except PlanningError:
        return ""


def _tasks_splice(old: str, package: PackageState, needing: Collection[tuple[str, str]]) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        lines = data.split(b"\n") if data is not None else []
        for section in sections(data or b""):
            name = (section.wp_id, section.title)
            for at in range(section.begin, section.end):
                is_its_own = name == (old, package.title)
                if is_its_own or (name in needing and _DEPENDS.search(lines[at])):
                    lines[at] = _with_number(lines[at], old, package.wp_id)
        return b"\n".join(lines) if data is not None else None

    return splice


def _dependency_splice(old: str, new: str) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        lines = (data or b"").split(b"\n")
        changed = [
            _with_number(each, old, new) if _DEPENDS.search(each) else each for each in lines
        ]
        return b"\n".join(changed) if data is not None else None

    return splice


def _with_number(data: bytes, old: str, new: str) -> bytes:
    return re.sub(rb"(?<![0-9A-Za-z])%s(?![0-9A-Za-z])" % old.encode(), new.encode(), data)
