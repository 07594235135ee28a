"""Parties that share what there is: each claims a part, until the claims fit together."""

from thence.sim import Action, BaseEngine, RecordedState, View


class Negotiation(BaseEngine):
    """The engine of a negotiation: `claim` sets what an agent claims, `claimed` is their sum."""

    def apply_action(self, view: View, action: Action) -> None:
        """Sets the claim of an agent."""
        if action.action_type == "claim":
            view.agent(action.agent_id).set_within("claim", int(str(action.payload["amount"])))

    def apply_engine_rules(self, view: View) -> None:
        """Adds the claims up."""
        names = [agent.name for agent in self.config.agents] if self.config else []
        with view.rule("sum"):
            view.world["claimed"] = sum(view.agent(name)["claim"] for name in names)


class Settlement(Negotiation):
    """The engine of a negotiation that ends when the claims fit together."""

    def check_termination(self, state: RecordedState) -> str | None:
        """Ends the run when there is enough for all claims."""
        return "global/claimed is below 101" if state.world["claimed"] < 101 else None
