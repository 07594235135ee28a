"""The emitter of a project's events, one method for each type: `get_emitter()`.

Each method appends one event and returns an Outcome that reports whether the event is durable; only
an invalid event raises. So a log that can't be written stops nobody's work.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

from thence.core.event import Event
from thence.core.values.new_event import Unchanged
from thence.errors import BadSettings, HeadsMoved, InvalidEvent, OutcomeUnknown, ThenceError
from thence.replica import new_id
from thence.work.journal.store import ACTOR, EventStore, WorkEvent
from thence.work.naming import digits_of
from thence.work.project.project import find_project


class Outcome(NamedTuple):
    """The outcome of an append: the durable events, or the `error` that prevented it."""

    events: tuple[Event, ...]
    error: ThenceError | None = None

    @property
    def is_durable(self) -> bool:
        """True if the events are in the journal and on the device."""
        return self.error is None

    @property
    def event(self) -> Event | None:
        """The first of the events, None if there is none."""
        return self.events[0] if self.events else None


class EventEmitter:
    """Records the events of one project. Safe from threads; `get_emitter` returns a project's."""

    def __init__(self, store: EventStore) -> None:
        self.store = store

    def generate_causation_id(self) -> str:
        """Returns a new id for the events of one batch."""
        return new_id()

    def emit(self, *new_events: WorkEvent, guard: Unchanged | None = None) -> Outcome:
        """Appends events in one piece.

        Raises InvalidEvent, BadSettings, and HeadsMoved where the guard is broken.
        """
        try:
            return Outcome(tuple(self.store.append(*new_events, guard=guard)))
        except (InvalidEvent, HeadsMoved, BadSettings):
            raise
        except OutcomeUnknown as unknown:
            return self._retry(unknown)
        except ThenceError as error:
            return Outcome((), error)

    def wp_status_changed(
        self,
        feature_slug: str,
        wp_id: str,
        previous_status: str,
        new_status: str,
        *,
        changed_by: str | None = None,
        reason: str | None = None,
        gate_results: Sequence[Mapping[str, Any]] | None = None,
        dependency_status: Mapping[str, Any] | None = None,
        guard: Unchanged | None = None,
    ) -> Outcome:
        """Records that a package went from one lane to another."""
        payload = {
            "wp_id": wp_id,
            "previous_status": previous_status,
            "new_status": new_status,
            "changed_by": changed_by or self.store.actor,
            "feature_slug": feature_slug,
            "reason": reason,
            "gate_results": gate_results,
            "dependency_status": dependency_status,
        }
        return self.emit(WorkEvent("WPStatusChanged", payload, feature_slug), guard=guard)

    def wp_created(
        self, feature_slug: str, wp_id: str, title: str, dependencies: Sequence[str] = ()
    ) -> Outcome:
        """Records that a package was cut out of a feature."""
        payload = {
            "wp_id": wp_id,
            "title": title,
            "feature_slug": feature_slug,
            "dependencies": list(dependencies),
        }
        return self.emit(WorkEvent("WPCreated", payload, feature_slug))

    def wp_assigned(
        self, feature_slug: str, wp_id: str, agent_id: str, phase: str, retry_count: int = 0
    ) -> Outcome:
        """Records that an agent was given a package, for implementation or review."""
        payload = {
            "wp_id": wp_id,
            "agent_id": agent_id,
            "phase": phase,
            "retry_count": retry_count,
        }
        return self.emit(WorkEvent("WPAssigned", payload, feature_slug))

    def wp_reviewed(
        self, feature_slug: str, wp_id: str, commit: str, base: str, patch: str, *patches: str
    ) -> Outcome:
        """Records a package's code as it went to review: commits, and patch-ids of git."""
        payload = {
            "wp_id": wp_id,
            "commit": commit,
            "base": base,
            "patch": patch,
            "patches": list(patches),
        }
        return self.emit(WorkEvent("WPReviewed", payload, feature_slug))

    def wp_landed(
        self,
        feature_slug: str,
        wp_id: str,
        how: str,
        commit: str | None = None,
        reason: str | None = None,
    ) -> Outcome:
        """Records the landing of a package's code in its target."""
        payload = {"wp_id": wp_id, "how": how, "commit": commit, "reason": reason}
        return self.emit(WorkEvent("WPLanded", payload, feature_slug))

    def conflict_settled(
        self, feature_slug: str, wp_id: str, events: Sequence[str], winner: str, reason: str
    ) -> Outcome:
        """Records the winner among concurrent events on a package."""
        payload = {"wp_id": wp_id, "events": list(events), "winner": winner, "reason": reason}
        return self.emit(WorkEvent("ConflictSettled", payload, feature_slug, tuple(events)))

    def feature_created(self, feature_slug: str, target_branch: str, wp_count: int) -> Outcome:
        """Records that a feature has its packages."""
        payload = {
            "feature_slug": feature_slug,
            "feature_number": digits_of(feature_slug),
            "target_branch": target_branch,
            "wp_count": wp_count,
        }
        return self.emit(WorkEvent("FeatureCreated", payload, feature_slug))

    def feature_completed(
        self, feature_slug: str, total_wps: int, total_duration: float | None = None
    ) -> Outcome:
        """Records that all packages of a feature are done; the duration is in seconds."""
        payload = {
            "feature_slug": feature_slug,
            "total_wps": total_wps,
            "total_duration": total_duration,
        }
        return self.emit(WorkEvent("FeatureCompleted", payload, feature_slug))

    def history_added(
        self,
        feature_slug: str,
        wp_id: str,
        entry_content: str,
        entry_type: str = "note",
        author: str | None = None,
    ) -> Outcome:
        """Records a note, a review, an error or a comment on a package."""
        payload = {
            "wp_id": wp_id,
            "entry_type": entry_type,
            "entry_content": entry_content,
            "author": author or self.store.actor,
        }
        return self.emit(WorkEvent("HistoryAdded", payload, feature_slug))

    def error_logged(
        self,
        error_type: str,
        error_message: str,
        *,
        feature_slug: str | None = None,
        wp_id: str | None = None,
        agent_id: str | None = None,
        stack_trace: str | None = None,
    ) -> Outcome:
        """Records that something failed: validation, runtime, network, auth or unknown."""
        payload = {
            "error_type": error_type,
            "error_message": error_message,
            "wp_id": wp_id,
            "stack_trace": stack_trace,
            "agent_id": agent_id,
        }
        return self.emit(WorkEvent("ErrorLogged", payload, feature_slug))

    def dependency_resolved(
        self, feature_slug: str, wp_id: str, dependency_wp_id: str, resolution_type: str
    ) -> Outcome:
        """Records that a dependency of a package is completed, skipped or merged."""
        payload = {
            "wp_id": wp_id,
            "dependency_wp_id": dependency_wp_id,
            "resolution_type": resolution_type,
        }
        return self.emit(WorkEvent("DependencyResolved", payload, feature_slug))

    def spec_created(self, feature_slug: str, title: str, mission: str) -> Outcome:
        """Records that a feature has its spec."""
        payload = {"feature_slug": feature_slug, "title": title, "mission": mission}
        return self.emit(WorkEvent("SpecCreated", payload, feature_slug))

    def workspace_created(
        self, feature_slug: str, work_package_id: str, worktree_path: str, branch_name: str
    ) -> Outcome:
        """Records that a package has its worktree and branch."""
        payload = {
            "work_package_id": work_package_id,
            "worktree_path": worktree_path,
            "branch_name": branch_name,
        }
        return self.emit(WorkEvent("WorkspaceCreated", payload, feature_slug))

    def subtask_completed(
        self, feature_slug: str, work_package_id: str, subtask_index: int | str, subtask_text: str
    ) -> Outcome:
        """Records that a subtask is done."""
        payload = {
            "work_package_id": work_package_id,
            "subtask_index": subtask_index,
            "subtask_text": subtask_text,
        }
        return self.emit(WorkEvent("SubtaskCompleted", payload, feature_slug))

    def subtask_reopened(
        self, feature_slug: str, work_package_id: str, subtask_index: int | str, subtask_text: str
    ) -> Outcome:
        """Records that the tick of a subtask was taken back."""
        payload = {
            "work_package_id": work_package_id,
            "subtask_index": subtask_index,
            "subtask_text": subtask_text,
        }
        return self.emit(WorkEvent("SubtaskReopened", payload, feature_slug))

    def gate_created(
        self, feature_slug: str, work_package_id: str, gate_type: str, gate_id: str | None = None
    ) -> Outcome:
        """Records that a package needs a gate passed before it is done."""
        payload = {
            "work_package_id": work_package_id,
            "gate_type": gate_type,
            "gate_id": gate_id or new_id(),
        }
        return self.emit(WorkEvent("GateCreated", payload, feature_slug))

    def gate_result_changed(
        self,
        feature_slug: str,
        gate_id: str,
        old_status: str,
        new_status: str,
        result_data: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Records the result of a gate: pending, passed or failed."""
        payload = {
            "gate_id": gate_id,
            "old_status": old_status,
            "new_status": new_status,
            "result_data": result_data,
        }
        return self.emit(WorkEvent("GateResultChanged", payload, feature_slug))

    def _retry(self, unknown: OutcomeUnknown) -> Outcome:
        try:
            events = unknown.retry()
        except ThenceError as error:
            return Outcome((), error)
        assert isinstance(events, list)
        return Outcome(tuple(events))


class _Emitters:
    """The emitters of this process, one a project."""

    known: ClassVar[dict[Path, EventEmitter]] = {}
    making = Lock()


def get_emitter(folder: str | Path = ".", *, actor: str = ACTOR) -> EventEmitter:
    """Returns the emitter of the project that a folder belongs to, always the same one.

    `actor` is named by the events, if this call is the first. Raises NotAProject, GitFailed.
    """
    project = find_project(Path(folder))
    with _Emitters.making:
        if project.home not in _Emitters.known:
            _Emitters.known[project.home] = EventEmitter(EventStore(project, actor=actor))
        return _Emitters.known[project.home]
