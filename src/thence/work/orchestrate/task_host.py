"""The protocol by which a package task uses its orchestrator."""

from collections.abc import Mapping
from typing import Protocol

from thence.work.board.rounds import Round
from thence.work.board.state import FeatureState
from thence.work.orchestrate.scheduling import Task
from thence.work.project.agents import Setup
from thence.work.session.session import Session


class TaskHost(Protocol):
    """The session, the feature and the records that the tasks of an orchestration share."""

    setup: Setup
    rounds: dict[str, Round]

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

    def failed(self, task: Task) -> None:
        """Records a failed try, and the time of the next one."""

    def happen(
        self,
        kind: str,
        text: str,
        wp_id: str | None = None,
        agent: str | None = None,
        phase: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Reports progress to the user."""
