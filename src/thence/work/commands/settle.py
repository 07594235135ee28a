"""`thence work settle`: chooses the winner of a conflict."""

from collections.abc import Sequence

from thence.core.event import Event
from thence.errors import HeadsMoved, PlanningError, Refused
from thence.merge.conflicts import Conflict
from thence.work.board.conflict_sides import action_of, person
from thence.work.board.guards import reason_missing
from thence.work.board.package_numbers import SLOT
from thence.work.board.state import PackageState
from thence.work.board.transitions import DECIDING_TYPES
from thence.work.journal.store import WorkEvent
from thence.work.naming import wp_id_of
from thence.work.result import CommandResult
from thence.work.session.lane_moves import check_written, package_of
from thence.work.session.mirror import mirror
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile

_DOING = "could not settle"


def settle(
    session: Session, given: str, *, winner: str, reason: str, feature: str | None = None
) -> CommandResult:
    """Settles the open conflicts on a package for an event, or for the author of one side.

    The board then follows that side, and both sides stay in the log. Raises Refused where there is
    no conflict, or events of it are missing here, PlanningError for a winner that is no side of it,
    and what the append raises.
    """
    for _ in range(ATTEMPTS_MAX):
        session.look()
        found = session.feature(feature, given)
        package = package_of(found, wp_id_of(given))
        place = f"{found.slug}/{package.wp_id}"
        if not reason.strip():
            raise reason_missing("what was decided otherwise needs a reason").error(
                _DOING, place, is_agent=False
            )
        chosen = _chosen(_open(session, package, place), winner, place)
        choices = [_choice_event(found.slug, package.wp_id, reason, *each) for each in chosen]
        guard = session.guard((found.slug, package.wp_id), types=tuple(DECIDING_TYPES))
        try:
            session.append(*choices, guard=guard)
        except HeadsMoved:
            continue
        check_written(session)
        return _result(session, found.slug, package.wp_id, [event for _, event in chosen])
    raise moved_meanwhile(_DOING, place, f"the board changed {ATTEMPTS_MAX} times meanwhile")


def _open(session: Session, package: PackageState, place: str) -> Sequence[Conflict]:
    about = [each for each in session.board.conflicts if each.subject == package.subject]
    found = [each for each in about if each.is_open or each.slot == SLOT]
    if not found:
        raise Refused(
            _DOING,
            guard="no_conflict",
            place=place,
            cause="nothing was written on it at once that nobody has gone on from",
            hint="look at thence work conflicts --all",
        )
    if any(each.is_provisional for each in found):
        raise Refused(
            _DOING,
            guard="conflict_provisional",
            place=place,
            cause="events that led to the conflict are not here yet",
            hint="get them by `git pull`, then try again",
        )
    return found


def _chosen(conflicts: Sequence[Conflict], winner: str, place: str) -> list[tuple[Conflict, Event]]:
    """Returns the conflicts in which the winner has a side, each with that side's last event."""
    heads = [event for each in conflicts for event in each.heads]
    author = next((person(event) for event in heads if event.event_id == winner), winner)
    found: list[tuple[Conflict, Event]] = []
    for conflict in conflicts:
        sides = [event for event in conflict.heads if event.event_id == winner]
        if conflict.slot == SLOT and not sides:
            continue  # two packages are declared one by naming an event only
        sides = sides or [event for event in conflict.heads if person(event) == author]
        if len(sides) == 1:
            found.append((conflict, sides[0]))
    if not found:
        names = ", ".join(f"{event.event_id} ({action_of(event)})" for event in heads)
        raise PlanningError(
            _DOING,
            place=place,
            cause=f"{winner!r:.80} names no single side of the conflict",
            hint=f"name one of {names}",
        )
    return found


def _choice_event(
    slug: str, wp_id: str, reason: str, conflict: Conflict, winner: Event
) -> WorkEvent:
    sides = tuple(event.event_id for event in conflict.events)
    payload = {
        "wp_id": wp_id,
        "events": list(sides),
        "winner": winner.event_id,
        "reason": reason,
    }
    return WorkEvent("ConflictSettled", payload, slug, sides)


def _result(session: Session, slug: str, wp_id: str, winners: Sequence[Event]) -> CommandResult:
    session.look()
    feature = session.board.features[slug]
    mirror(session, feature, is_all=True)
    package = feature.packages[wp_id]
    data = {
        "feature_slug": slug,
        "wp_id": wp_id,
        "winners": [event.event_id for event in winners],
        "lane": package.lane,
        "agent": package.agent,
    }
    whose = f", with {package.agent}" if package.agent else ""
    lines = [f"{action_of(event)} stands" for event in winners]
    return session.result(data, [*lines, f"{wp_id} of {slug} is in {package.lane}{whose}"])
