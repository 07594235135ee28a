"""The emitter of a project's events, one method for each type: `get_emitter()`.

What a payload holds is written in `work.events` alone: a method records those of its arguments
that its type has as members. Each appends one event and returns an Outcome that reports whether the
event is durable; only an invalid event raises. So a log that can't be written stops nobody's work.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.new_event import Unchanged
from thence.errors import HeadsMoved, InvalidEvent, ThenceError
from thence.log.open import new_id
from thence.work.events import member_names
from thence.work.journal.store import ACTOR, EventStore, WorkEvent
from thence.work.names import digits_of
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

        Raises InvalidEvent, `bad_settings`, and HeadsMoved if the guard is broken.
        """
        try:
            return Outcome(tuple(self.store.append(*new_events, guard=guard)))
        except (InvalidEvent, HeadsMoved):
            raise
        except ThenceError as error:
            if error.code == "bad_settings":
                raise
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
    ) -> Outcome:
        """Records that a package went from one lane to another."""
        return self._record("WPStatusChanged", locals())

    def wp_created(
        self, feature_slug: str, wp_id: str, title: str, dependencies: Sequence[str] = ()
    ) -> Outcome:
        """Records that a package was split off a feature."""
        return self._record("WPCreated", locals())

    def wp_assigned(
        self, feature_slug: str, wp_id: str, agent_id: str, phase: str, retry_count: int = 0
    ) -> Outcome:
        """Records that an agent was given a package, for implementation or review."""
        return self._record("WPAssigned", locals())

    def wp_reviewed(
        self, feature_slug: str, wp_id: str, commit: str, base: str, patch: str, *patches: str
    ) -> Outcome:
        """Records a package's code as it went to review: commits, and patch-ids of git."""
        return self._record("WPReviewed", locals())

    def wp_landed(
        self,
        feature_slug: str,
        wp_id: str,
        how: str,
        commit: str | None = None,
        reason: str | None = None,
    ) -> Outcome:
        """Records the landing of a package's code in its target."""
        return self._record("WPLanded", locals())

    def feature_created(self, feature_slug: str, target_branch: str, wp_count: int) -> Outcome:
        """Records that a feature has its packages."""
        return self._record("FeatureCreated", locals())

    def feature_completed(
        self, feature_slug: str, total_wps: int, total_duration: float | None = None
    ) -> Outcome:
        """Records that all packages of a feature are done; the duration is in seconds."""
        return self._record("FeatureCompleted", locals())

    def history_added(
        self,
        feature_slug: str,
        wp_id: str,
        entry_content: str,
        entry_type: str = "note",
        author: str | None = None,
    ) -> Outcome:
        """Records a note, a review, an error or a comment on a package."""
        return self._record("HistoryAdded", locals())

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
        return self._record("ErrorLogged", locals())

    def dependency_resolved(
        self, feature_slug: str, wp_id: str, dependency_wp_id: str, resolution_type: str
    ) -> Outcome:
        """Records that a dependency of a package is completed, skipped or merged."""
        return self._record("DependencyResolved", locals())

    def spec_created(self, feature_slug: str, title: str, mission: str) -> Outcome:
        """Records that a feature has its spec."""
        return self._record("SpecCreated", locals())

    def workspace_created(
        self, feature_slug: str, work_package_id: str, worktree_path: str, branch_name: str
    ) -> Outcome:
        """Records that a package has its worktree and branch."""
        return self._record("WorkspaceCreated", locals())

    def subtask_completed(
        self, feature_slug: str, work_package_id: str, subtask_index: int | str, subtask_text: str
    ) -> Outcome:
        """Records that a subtask is done."""
        return self._record("SubtaskCompleted", locals())

    def subtask_reopened(
        self, feature_slug: str, work_package_id: str, subtask_index: int | str, subtask_text: str
    ) -> Outcome:
        """Records that the tick of a subtask was undone."""
        return self._record("SubtaskReopened", locals())

    def gate_created(
        self, feature_slug: str, work_package_id: str, gate_type: str, gate_id: str | None = None
    ) -> Outcome:
        """Records that a package needs a gate passed before it is done."""
        return self._record("GateCreated", locals())

    def gate_result_changed(
        self,
        feature_slug: str,
        gate_id: str,
        old_status: str,
        new_status: str,
        result_data: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Records the result of a gate: pending, passed or failed."""
        return self._record("GateResultChanged", locals())

    def _record(self, event_type: str, arguments: Mapping[str, Any]) -> Outcome:
        """Appends an event with the members of its type, by a method's arguments of that name."""
        slug, actor = arguments["feature_slug"], self.store.actor
        values: dict[str, Any] = {
            "changed_by": actor,
            "author": actor,
            "gate_id": new_id(),
            "feature_number": digits_of(slug or ""),
        }
        values |= {name: value for name, value in arguments.items() if value or name not in values}
        payload = {name: values[name] for name in member_names(event_type) if name in values}
        return self.emit(WorkEvent(event_type, payload, slug))


_EMITTERS: dict[Path, EventEmitter] = {}  # of this process, by the project's home
_MAKING = Lock()


def get_emitter(folder: str | Path = ".", *, actor: str = ACTOR) -> EventEmitter:
    """Returns the emitter of the project that a folder belongs to, always the same one.

    `actor` is named by the events, if this call is the first. Raises `not_a_project`, GitFailed.
    """
    project = find_project(Path(folder))
    with _MAKING:
        if project.home not in _EMITTERS:
            _EMITTERS[project.home] = EventEmitter(EventStore(project, actor=actor))
        return _EMITTERS[project.home]
