"""The base of every agent."""

from collections.abc import Awaitable, Sequence

from thence.sim.actions import Action
from thence.sim.views import Observation

Decision = Action | Sequence[Action] | None


class BaseAgent:
    """One actor of a simulation.

    Keyword parameters of a child's `__init__` are the keys that its entry under `agents` in
    the scenario may have, with their types.
    """

    remembers = True
    """True if the agent keeps anything between turns, so that its decisions name its earlier
    ones as causes; False if it decides only by its observation."""

    def __init__(self, name: str) -> None:
        self.name = name

    def decide_action(self, observation: Observation) -> Decision | Awaitable[Decision]:
        """Returns the agent's decision for this turn: an action, several, or None.

        The method may be `async`. Every variable read from the observation becomes a cause of
        the decision. After a rejection the method may be called again in the same turn, with
        `observation.rejections`.
        """
        raise NotImplementedError(f"{type(self).__name__} decides nothing")
