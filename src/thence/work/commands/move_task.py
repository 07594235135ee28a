"""`thence work move-task`, `release`, `reopen`: a package goes to another lane by its guards."""

from msgspec.structs import replace

from thence.errors import Refused
from thence.work.board.state import DOING, DONE, PLANNED, PackageState
from thence.work.journal.claims import claimed
from thence.work.naming import wp_id_of
from thence.work.result import CommandResult
from thence.work.session.lane_moves import check_written, facts_of, move, package_of
from thence.work.session.mirror import is_mirrored, mirror
from thence.work.session.package_code import code_of
from thence.work.session.session import Session


def move_task(
    session: Session,
    given: str,
    to: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_local: bool = False,
    no_code: str | None = None,
    from_lane: str | None = None,
) -> CommandResult:
    """Moves a package, and updates the package's file if that has a lane.

    `is_local` and `no_code` apply to a move to done, as in `accept`. With `from_lane` the package
    has to be in that lane. Raises Refused with the guard that refuses the move, PlanningError.
    """
    session.look()
    found = session.feature(feature, given)
    wp_id = wp_id_of(given)
    package = package_of(found, wp_id)
    if from_lane is not None and package.lane != from_lane:
        raise _elsewhere(package, from_lane)
    with claimed(session.project.home, package.subject):
        facts = facts_of(session, found, wp_id, to, reason=reason, is_forced=is_forced)
        code = code_of(session, found, package, None, no_code, reason) if to == DONE else None
        facts = replace(facts, is_local=is_local, code=code)
        made = move(session, found.slug, wp_id, to, facts)
        if is_mirrored(session, found):
            session.look()
        mirror(session, session.board.features.get(found.slug, found), is_all=True)
    data = {
        "feature_slug": found.slug,
        "wp_id": wp_id,
        "from": made.previous,
        "to": to,
        "overruled": list(made.overruled),
    }
    lines = [f"{wp_id} of {found.slug}: {made.previous} -> {to}"]
    lines += [f"overruled: {guard}" for guard in made.overruled]
    for each in made.follow_ups:
        if each.event_type == "DependencyResolved":
            lines.append(f"{each.payload['wp_id']} can begin now")
    if to == PLANNED and made.previous == DOING:
        lines.append("its branch and worktree stay as they are")
    if to == DOING and made.previous in (PLANNED, DONE):
        lines.append(f"next: thence work implement {wp_id} --feature {found.slug}")
    return session.result(data, lines)


def release(
    session: Session,
    given: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
) -> CommandResult:
    """Gives back a package that the actor works on; somebody else's package only by force.

    Raises as `move_task` does, and the journal's error if it could not be written.
    """
    made = move_task(
        session,
        given,
        PLANNED,
        feature=feature,
        reason=reason,
        is_forced=is_forced,
        from_lane=DOING,
    )
    check_written(session)
    return made


def reopen(
    session: Session, given: str, *, feature: str | None = None, reason: str
) -> CommandResult:
    """Reopens a package that was done; it becomes the actor's.

    Raises as `move_task` does, and the journal's error if it could not be written.
    """
    made = move_task(session, given, DOING, feature=feature, reason=reason, from_lane=DONE)
    check_written(session)
    return made


def _elsewhere(package: PackageState, lane: str) -> Refused:
    return Refused(
        "could not move",
        guard="not_in_lane",
        place=package.wp_id,
        cause=f"{package.wp_id} is in {package.lane}, not in {lane}",
        hint="look at `thence work status`; `thence work move-task` makes other moves",
    )
