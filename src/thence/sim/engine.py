"""The base of every engine."""

import inspect
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, final

from thence.sim.actions import Action
from thence.sim.config import SimulationConfig
from thence.sim.engine_views import View, Writes
from thence.sim.state import State
from thence.sim.turn import Turn
from thence.sim.views import RecordedState


class BaseEngine:
    """The rules of a simulated world; every method that a child overrides may be `async`.

    Keyword parameters of a child's `__init__` are the keys that `engine` in the scenario may
    have besides `type`. State belongs into variables: values that an engine keeps on itself
    between calls have no causes.
    """

    facts: Any = None
    """The facts that never change in this world, such as a map; every observation shows them."""

    def __init__(self, config: SimulationConfig | None = None) -> None:
        self.config = config

    def initialize_state(self, state: State) -> State | Awaitable[State]:
        """Returns the state before the first turn; `state` has the scenario's values."""
        return state

    def apply_actions(
        self, state: RecordedState, actions: Sequence[Action], writes: Writes
    ) -> State | Awaitable[State | None] | None:
        """Applies the actions of a turn, one by one, through `apply_action`.

        A child may override this: `with writes.action(action) as view:` gives the view that
        records changes as effects of that action. If the method returns a state instead, each
        difference names all actions of the turn as causes, with a warning.
        """
        if inspect.iscoroutinefunction(self.apply_action):
            return self._apply_each(actions, writes)
        for action in actions:
            with writes.action(action) as view:
                self.apply_action(view, action)
        return None

    def apply_action(self, view: View, action: Action) -> Awaitable[None] | None:
        """Applies one action to the variables, through the view."""
        return None

    def apply_engine_rules(self, view: View) -> State | Awaitable[State | None] | None:
        """Applies the rules of the world once a turn, through the view.

        `with view.rule("price"):` keeps the causes of one rule apart from those of others.
        """
        return None

    def check_termination(self, state: RecordedState) -> str | Awaitable[str | None] | None:
        """Returns the reason to end the simulation after this turn, or None to go on."""
        return None

    def reach(self, agent: str) -> Iterable[tuple[str, str] | str] | None:
        """Returns the variables, by (scope, name), that an action of this agent may change.

        The name of an agent stands for all variables of that one, so that a function of an agent's
        neighbours will do. When the agent does nothing, or something else, these variables depend
        on that too, in each turn: name no more than an action can change. None means all variables
        of the agent itself; override this if actions change others.
        """
        return None

    @final
    async def run_turn(self, turn: Turn) -> State:
        """Plays one turn, writes its events and returns the state after it."""
        return await turn.play(self)

    async def _apply_each(self, actions: Sequence[Action], writes: Writes) -> None:
        for action in actions:
            with writes.action(action) as view:
                pending = self.apply_action(view, action)
                if pending is not None:
                    await pending
