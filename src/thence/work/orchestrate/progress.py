"""The progress of an orchestration: reports for its user, the appended events, the feature's end.

Package tasks share it by the protocol `TaskHost`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from thence.core.clock import microseconds
from thence.errors import HeadsMoved
from thence.replica import now
from thence.work.board.rounds import Round
from thence.work.board.state import FeatureState
from thence.work.journal.store import WorkEvent
from thence.work.orchestrate.scheduling import Task
from thence.work.project.agents import Setup
from thence.work.session.lane_moves import check_written
from thence.work.session.mirror import mirror
from thence.work.session.session import Session

NOTES_MAX = 100


class ProgressNote(NamedTuple):
    """A report of an orchestrator's step or observation.

    `kind` is begun, failed, reviewed, sent_back, moved, merged, unreviewed, overlap, waiting,
    note, trouble, completed or stopped.
    """

    kind: str
    text: str
    wp_id: str | None = None
    agent: str | None = None
    phase: str | None = None
    seconds: float | None = None


class Progress:
    """Passes reports to the user, and collects the ids of the appended events: `appended`."""

    def __init__(self, report: Callable[[ProgressNote], None]) -> None:
        self._report = report
        self._reported: list[str] = []
        self.appended: list[str] = []

    def report(self, kind: str, text: str, *more: Any) -> None:
        """Passes a report to the user; `more` are the other members of a ProgressNote.

        A full disk behind stderr stops no work.
        """
        try:
            self._report(ProgressNote(kind, text, *more))
        except BrokenPipeError:
            raise
        except OSError:
            return

    def collect(self, session: Session) -> None:
        """Collects a session's events, and reports its warnings, none of the last 100 twice."""
        self.appended += [event.event_id for event in session.appended]
        session.appended.clear()
        for note in session.warnings:
            if note not in self._reported:
                self._reported = [*self._reported, note][-NOTES_MAX:]
                self.report("note", note)
        session.warnings.clear()


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


class TaskHost(Protocol):
    """The session, the feature and the records that the tasks of an orchestration share."""

    setup: Setup
    rounds: dict[str, Round]
    progress: Progress

    @property
    def session(self) -> Session:
        """The project, as it was last looked at."""

    @property
    def feature(self) -> FeatureState:
        """The feature, as the board had it at the last look."""

    def gate_passed(self, wp_id: str, gate_type: str, commit: str, message: str) -> None:
        """Records that this process saw a gate pass, and the event of the result."""

    def gates_passed(self, wp_id: str, commit: str) -> Mapping[str, str]:
        """Returns the gates that this process saw a commit of a package pass."""

    def landed_past_review(self, wp_id: str, commits: Sequence[str]) -> None:
        """Records commits of a package that came to the target, and that no run merged."""

    def failed(self, task: Task) -> None:
        """Records a failed try, and the time of the next one."""

    def sent_back(self, wp_id: str) -> None:
        """Records that a package was sent back: its failed tries count no more."""
