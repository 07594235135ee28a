"""The base of every validator."""

from collections.abc import Awaitable

from thence.sim.actions import Action, Verdict
from thence.sim.config import SimulationConfig
from thence.sim.views import RecordedState


class BaseValidator:
    """The base of every validator, which judges actions; it accepts all of them.

    Keyword parameters of a child's `__init__` are the keys that `validator` in the scenario
    may have besides `type` and `retries`.
    """

    def __init__(self, config: SimulationConfig | None = None) -> None:
        self.config = config

    def validate_action(self, action: Action, state: RecordedState) -> Verdict | Awaitable[Verdict]:
        """Returns the verdict on an action in this state; the method may be `async`.

        Every variable read is a cause of the ACTION or of the rejection.
        """
        return Verdict.accept()
