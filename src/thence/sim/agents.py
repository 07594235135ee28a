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
    """Whether the agent keeps anything between turns, so that its decisions name its earlier
    ones as causes; an agent that decides by what it observes alone says False."""

    def __init__(self, name: str) -> None:
        self.name = name

    def decide_action(self, observation: Observation) -> Decision | Awaitable[Decision]:
        """Returns what the agent does in this turn: an action, several, or None.

        It may be `async`. Every variable read from the observation becomes a cause of the
        decision. After a rejection it may be asked once more, with `observation.rejections`.
        """
        raise NotImplementedError(f"{type(self).__name__} decides nothing")
