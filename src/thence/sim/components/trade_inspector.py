"""The validator of the trade network."""

from thence.sim.actions import Action, Verdict
from thence.sim.components.trade_markets import TradeMap
from thence.sim.validator import BaseValidator
from thence.sim.views import RecordedState


class TradeInspector(BaseValidator):
    """A validator that accepts the actions that stock, goods and provisions allow."""

    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Returns a rejection with `at_most` or `provisions_needed`, or accepts."""
        trader = state.agent(action.agent_id)
        trade_map: TradeMap = state.facts
        place, good = str(action.payload.get("place")), str(action.payload.get("good"))
        amount = action.payload.get("amount", 0)
        if action.action_type == "buy":
            at_most = trade_map.share(place, good, state.place(place)[f"stock_{good}"])
            if isinstance(amount, int) and amount > at_most:
                return Verdict.reject(
                    f"{place} lets one trader take {at_most} {good} a turn", at_most=at_most
                )
        elif action.action_type == "sell":
            held = trader[good]
            if isinstance(amount, int) and amount > held:
                return Verdict.reject(f"{action.agent_id} has {held} {good}", at_most=held)
        elif action.action_type == "travel":
            return self._judge_travel(action, state)
        return Verdict.accept()

    def _judge_travel(self, action: Action, state: RecordedState) -> Verdict:
        until = action.payload.get("until")
        turns = until - state.turn if isinstance(until, int) else 0
        provisions = state.agent(action.agent_id)["provisions"]
        if turns > provisions:
            return Verdict.reject(
                f"{turns} turns on the road need more than {provisions} provisions",
                provisions_needed=turns,
            )
        return Verdict.accept()
