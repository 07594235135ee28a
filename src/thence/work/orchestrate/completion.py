"""The completion of a feature: recorded once, with its duration."""

from thence.core.times import microseconds
from thence.errors import HeadsMoved
from thence.replica import now
from thence.work.board.state import FeatureState
from thence.work.journal.store import WorkEvent
from thence.work.session.mirror import mirror
from thence.work.session.moving import check_written
from thence.work.session.session import Session


def complete(session: Session, feature: FeatureState, actor: str) -> bool:
    """Records that all packages of a feature are done; returns False if that is recorded already.

    The duration is from the feature's FeatureCreated until now. Raises the journal's error if it
    can't be written.
    """
    if feature.is_completed:
        return False
    begun = next((each for each in session.events if each.event_id == feature.created_event), None)
    payload = {
        "feature_slug": feature.slug,
        "total_wps": len(feature.packages),
        "total_duration": _seconds_since(begun.header.timestamp) if begun else None,
    }
    ends = [each.lane_event for each in feature.packages.values() if each.lane_event]
    completed = WorkEvent("FeatureCompleted", payload, feature.slug, tuple(ends), actor)
    guard = session.guard((feature.slug, feature.slug), types=("FeatureCompleted",))
    try:
        session.append(completed, guard=guard)
    except HeadsMoved:
        return False
    check_written(session)
    mirror(session, feature)
    return True


def _seconds_since(timestamp: str) -> float | None:
    """Returns the seconds since a timestamp by the system clock; None if it is later or invalid."""
    begun_us, now_us = microseconds(timestamp), microseconds(now())
    if begun_us is None or now_us is None or now_us < begun_us:
        return None
    return (now_us - begun_us) / 1e6
