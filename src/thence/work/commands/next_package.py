"""`thence work next`: claims the next package that is ready."""

from thence.errors import Refused
from thence.inspection.log_folder import next_node_id
from thence.work.board.move_attempt import Facts
from thence.work.board.state import DOING, PLANNED, FeatureState
from thence.work.board.transitions import claimable
from thence.work.result import CommandResult
from thence.work.session.lane_moves import actor_of, check_written, move
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile

NOTHING_READY = 4


def next_package(session: Session, feature: str | None) -> CommandResult:
    """Moves the first package that is ready from planned to doing, for the actor.

    Ready packages are ordered by feature and number. With nothing ready the exit code is 4. Raises
    Refused if others are faster ATTEMPTS_MAX times, and what the append raises.
    """
    for _ in range(ATTEMPTS_MAX):
        session.look()
        facts = Facts(actor=session.current_actor(), node_id=next_node_id(session.project.home))
        every = list(session.board.features.values())
        chosen = every if feature is None else [session.feature(feature)]
        for each in chosen:
            ready = claimable(session.board, each.slug, facts)
            if ready:
                result = _take(session, each, ready[0].wp_id)
                if result is not None:
                    return result
                break
        else:
            return _nothing(session, chosen)
    raise moved_meanwhile(
        "could not take a package", "", f"others were faster {ATTEMPTS_MAX} times", "try again"
    )


def _take(session: Session, feature: FeatureState, wp_id: str) -> CommandResult | None:
    """Claims a package; returns None if somebody else was faster."""
    actor = actor_of(session, feature, wp_id)
    node_id = next_node_id(session.project.home)
    facts = Facts(actor=actor, changed_by=session.changed_by(), node_id=node_id)
    try:
        move(session, feature.slug, wp_id, DOING, facts)
    except Refused:
        return None
    check_written(session)
    package = feature.packages[wp_id]
    data = {
        "feature_slug": feature.slug,
        "package": {"wp_id": wp_id, "title": package.title, "agent": facts.actor},
    }
    lines = [
        f"{wp_id} of {feature.slug} is yours: {package.title}",
        f"next: thence work implement {wp_id} --feature {feature.slug}",
    ]
    return session.result(data, lines)


def _nothing(session: Session, features: list[FeatureState]) -> CommandResult:
    waiting = [
        f"{package.wp_id} of {feature.slug} waits for {', '.join(package.dependencies)}"
        for feature in features
        for package in feature.packages.values()
        if package.lane == PLANNED and package.dependencies
    ]
    left = session.not_imported()
    if left:
        waiting += [f"not in the log yet: {', '.join(left)}", "next: thence work import"]
    return session.result({"package": None}, ["nothing is ready", *waiting], NOTHING_READY)
