"""The progress of an orchestrator: reports for its user, and the appended events."""

from collections.abc import Callable
from typing import NamedTuple

from thence.work.session.session import Session

NOTES_MAX = 100


class ProgressNote(NamedTuple):
    """A report of an orchestrator's step or observation.

    `kind` is begun, failed, reviewed, sent_back, moved, merged, overlap, waiting, note, trouble,
    completed or stopped.
    """

    kind: str
    text: str
    wp_id: str | None = None
    agent: str | None = None
    phase: str | None = None
    seconds: float | None = None


class Progress:
    """Passes reports to the user, and collects the ids of the appended events: `appended`."""

    def __init__(self, tell: Callable[[ProgressNote], None]) -> None:
        self._tell = tell
        self._reported: list[str] = []
        self.appended: list[str] = []

    def tell(self, note: ProgressNote) -> None:
        """Passes a report to the user; a full disk behind stderr stops no work."""
        try:
            self._tell(note)
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
                self.tell(ProgressNote("note", note))
        session.warnings.clear()
