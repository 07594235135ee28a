"""`thence work renumber`: gives a package whose number was given twice one of its own."""

from thence.errors import HeadsMoved, Refused
from thence.inspection.log_folder import next_node_id
from thence.work.board.attempt import begun_as
from thence.work.board.state import FeatureState, PackageState
from thence.work.commands.add import taken_ids
from thence.work.journal.claims import workspace_made
from thence.work.journal.store import WorkEvent
from thence.work.naming import next_wp_id, twin_of, wp_id_of
from thence.work.naming import package_of as named_in
from thence.work.result import CommandResult
from thence.work.session import renumbering
from thence.work.session.command_commit import check_committer, commit
from thence.work.session.moving import made_durable, package_of
from thence.work.session.session import ATTEMPTS_MAX, Session
from thence.work.vcs.repository import branches

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
    found, package = _numbered(session, given, to, feature)
    old, new = package.renumbered_from or "", package.wp_id
    _move(session, found, package)
    branch = session.target_of(found)
    session.watch(branch)
    files, removed = renumbering.files(session, found, package, old)
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


def _numbered(
    session: Session, given: str, to: str | None, feature: str | None
) -> tuple[FeatureState, PackageState]:
    """Tells the new number; returns the package under it."""
    for _ in range(ATTEMPTS_MAX):
        session.look()
        found = session.feature(feature)
        package = _given(found, given)
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
            session.say(WorkEvent("WPRenumbered", payload, found.slug, causes), guard=guard)
        except HeadsMoved:
            continue
        made_durable(session)
        given = new
        session.look()
        found = session.feature(found.slug)
        return found, package_of(found, new)
    raise _refused(found, given, "others gave numbers meanwhile", "try again")


def _given(found: FeatureState, given: str) -> PackageState:
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


def _move(session: Session, found: FeatureState, package: PackageState) -> None:
    """Moves the branch and the worktree if it was this clone that made them."""
    old = begun_as(found, package, next_node_id(session.project.home))
    if old is not None:
        renumbering.move(session, found.slug, old, package.wp_id)
        session.say(workspace_made(found.slug, package.wp_id, None))


def _refused(found: FeatureState, given: str, cause: str, hint: str) -> Refused:
    place = f"{found.slug}/{given}"
    return Refused(_DOING, guard="number_given_once", place=place, cause=cause, hint=hint)
