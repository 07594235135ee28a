"""`thence work move-task`: moves a package to another lane, if its guards let it through."""

from msgspec.structs import replace

from thence.work.claims import claimed
from thence.work.desk import Desk
from thence.work.mirror import is_mirrored, mirror
from thence.work.moving import facts_of, move, package_of
from thence.work.naming import wp_id_of
from thence.work.package_code import told_of
from thence.work.result import Result
from thence.work.state import DOING, DONE


def move_task(
    desk: Desk,
    given: str,
    to: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_local: bool = False,
    no_code: str | None = None,
) -> Result:
    """Moves a package, and shows it in the package's file if that has a lane.

    `is_local` and `no_code` are said of one that goes to done, as to `accept`. Raises Refused with
    the guard that stands against it, PlanningError.
    """
    desk.look()
    found = desk.feature(feature)
    wp_id = wp_id_of(given)
    package = package_of(found, wp_id)
    with claimed(desk.project.home, package.subject):
        facts = facts_of(desk, found, wp_id, to, reason=reason, is_forced=is_forced)
        code = told_of(desk, found, package, None, no_code, reason) if to == DONE else None
        facts = replace(facts, is_local=is_local, code=code)
        made = move(desk, found.slug, wp_id, to, facts)
        if is_mirrored(desk, found):
            desk.look()
        mirror(desk, desk.board.features.get(found.slug, found), is_all=True)
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
    if to == DOING and made.previous == "planned":
        lines.append(f"next: thence work implement {wp_id} makes its worktree")
    return desk.result(data, lines)
