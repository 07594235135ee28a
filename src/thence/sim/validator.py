"""The base of every validator."""

from collections.abc import Awaitable

from thence.sim.actions import Action, Verdict
from thence.sim.config import SimulationConfig
from thence.sim.views import RecordedState


class BaseValidator:
    """Judges each action before it happens; this one accepts all.

    Keyword parameters of a child's `__init__` are the keys that `validator` in the scenario
    may have besides `type` and `retries`.
    """

    def __init__(self, config: SimulationConfig | None = None) -> None:
        self.config = config

    def validate_action(self, action: Action, state: RecordedState) -> Verdict | Awaitable[Verdict]:
        """Returns whether an action may happen in this state; it may be `async`.

        Every variable read is a cause of the ACTION or of the rejection.
        """
        return Verdict.accept()
