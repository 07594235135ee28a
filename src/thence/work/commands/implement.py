"""`thence work implement`: claims a package and makes its worktree."""

from thence.core.values.new_event import Unchanged
from thence.errors import GitFailed, HeadsMoved, Refused
from thence.work.board.state import DOING, FeatureState, PackageState
from thence.work.board.transitions import DECIDING_TYPES
from thence.work.journal.claims import claim_release, claimed
from thence.work.journal.store import WorkEvent
from thence.work.naming import wp_id_of
from thence.work.result import CommandResult
from thence.work.session.command_commit import check_at_target, keep_unwritten
from thence.work.session.lane_moves import check_written, decide_move, facts_of, move, package_of
from thence.work.session.mirror import is_mirrored, mirror
from thence.work.session.session import Session
from thence.work.session.workspaces import release_reason, workspace


def implement(
    session: Session,
    given: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    takes_over: bool = False,
) -> CommandResult:
    """Moves a package to doing and makes its branch and worktree, on top of its dependencies.

    With `takes_over` a package that somebody else has in doing becomes the actor's. For a package
    that the actor has already, the worktree is completed or just reported. If the worktree can't be
    made the package goes back to planned. Raises Refused, PlanningError, GitFailed.
    """
    session.look()
    session.unwritten_events.clear()  # the next look appends the events that this one could not
    found = session.feature(feature, given)
    package = package_of(found, wp_id_of(given))
    with claimed(session.project.home, package.subject):
        facts = facts_of(session, found, package.wp_id, reason=reason, is_forced=is_forced)
        is_mine = package.lane == DOING and package.agent in (None, facts.actor, facts.changed_by)
        claim, former = None, None
        if takes_over and package.lane == DOING and not is_mine:
            _take_over(session, found, package, facts.actor)
            former, is_mine = package.agent, True
        if not is_mine:
            decide_move(session, found.slug, package.wp_id, DOING, facts)
            check_at_target(session, found, session.target_of(found))
            move(session, found.slug, package.wp_id, DOING, facts, begins=True)
            claim = next((event.event_id for event in session.appended if event.begins), None)
        try:
            made = workspace(session, found, package, claim)
        except GitFailed as error:
            if not is_mine:
                reason, who = release_reason(error), session.changed_by()
                session.append(claim_release(reason, found.slug, package.wp_id, who, claim))
            raise
        if session.journal_error is not None and made.is_new:  # making the branch was the claim
            keep_unwritten(session)
        elif session.journal_error is None and is_mirrored(session, found):
            session.look()
            mirror(session, session.board.features.get(found.slug, found))
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
        "work and commit there",
        f"next: thence work move-task {package.wp_id} --feature {found.slug} --to for_review",
    ]
    if former and made.is_new:
        lines.insert(1, f"what {former} has not pushed of it is not in this branch")
    return session.result(data, lines)


def _take_over(session: Session, feature: FeatureState, package: PackageState, actor: str) -> None:
    payload = {"wp_id": package.wp_id, "agent_id": actor, "phase": "implementation"}
    causes = tuple(dict.fromkeys(package.events_of("lane", "agent")))
    guard = Unchanged(session.position, {package.subject}, DECIDING_TYPES)
    try:
        session.append(WorkEvent("WPAssigned", payload, feature.slug, causes), guard=guard)
    except HeadsMoved as error:
        raise Refused(
            "could not take over",
            guard="moved_meanwhile",
            place=f"{feature.slug}/{package.wp_id}",
            cause="somebody changed it meanwhile",
            hint="look at `thence work status`, then try again",
        ) from error
    check_written(session)
