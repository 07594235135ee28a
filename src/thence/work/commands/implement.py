"""`thence work implement`: takes a package and makes the worktree that it is done in."""

from thence.errors import GitFailed, ThenceError
from thence.work.claims import claimed
from thence.work.desk import Desk
from thence.work.moving import facts_of, move, package_of
from thence.work.naming import branch_of, worktree_of, wp_id_of
from thence.work.repository import branches, is_ancestor
from thence.work.result import Result
from thence.work.state import DOING, PLANNED, FeatureState, PackageState
from thence.work.store import Said
from thence.work.verdict import Facts
from thence.work.worktrees import Worktree, make


def implement(
    desk: Desk,
    given: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
) -> Result:
    """Moves a package to doing and makes its branch and worktree, on what it depends on.

    For a package that the actor has already, the worktree is completed or just told. Where it
    can't be made the package goes back to planned. Raises Refused, PlanningError, GitFailed.
    """
    desk.look()
    found = desk.feature(feature)
    package = package_of(found, wp_id_of(given))
    with claimed(desk.project.home, package.subject):
        facts = facts_of(desk, found, package.wp_id, reason=reason, is_forced=is_forced)
        is_mine = package.lane == DOING and package.agent in (None, facts.actor)
        if not is_mine:
            move(desk, found.slug, package.wp_id, DOING, facts)
        try:
            made = _made(desk, found, package)
        except GitFailed as error:
            if not is_mine:
                _take_back(desk, found.slug, package.wp_id, error)
            raise
        _tell(desk, found, package, made, facts)
    data = {
        "feature_slug": found.slug,
        "wp_id": package.wp_id,
        "worktree": str(made.path),
        "branch": made.branch,
        "base": made.head,
        "is_new": made.is_new,
    }
    lines = [
        f"{package.wp_id} of {found.slug} is in doing, by {facts.actor}",
        f"worktree: {made.path}",
        f"next: work and commit there, then thence work move-task {package.wp_id} --to for_review",
    ]
    return desk.result(data, lines)


def _made(desk: Desk, feature: FeatureState, package: PackageState) -> Worktree:
    path = desk.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    return make(desk.repo, branch, path, _bases(desk, feature, package))


def _bases(desk: Desk, feature: FeatureState, package: PackageState) -> list[str]:
    """Returns the branches to build upon: those of dependencies that are not merged yet."""
    target = desk.target_of(feature)
    known = branches(desk.repo)
    names = [branch_of(feature.slug, wp_id) for wp_id in package.dependencies]
    open_ones = [
        name
        for name in names
        if name in known and not is_ancestor(desk.repo, known[name], known[target])
    ]
    return open_ones or [target]


def _tell(
    desk: Desk, feature: FeatureState, package: PackageState, made: Worktree, facts: Facts
) -> None:
    known = package.workspace
    if known is not None and known.branch == made.branch and not made.is_new:
        return
    payload = {
        "work_package_id": package.wp_id,
        "worktree_path": worktree_of(feature.slug, package.wp_id),
        "branch_name": made.branch,
    }
    desk.say(Said("WorkspaceCreated", payload, feature.slug))


def _take_back(desk: Desk, slug: str, wp_id: str, error: ThenceError) -> None:
    """Tells that the package is free again: what was begun could not be done."""
    payload = {
        "wp_id": wp_id,
        "previous_status": DOING,
        "new_status": PLANNED,
        "changed_by": desk.store.actor,
        "feature_slug": slug,
        "reason": f"its worktree could not be made: {error.cause or error.message}",
    }
    desk.say(Said("WPStatusChanged", payload, slug))
