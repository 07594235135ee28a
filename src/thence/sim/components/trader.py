"""A trader who carries goods from cheap places to dear ones.

The trader decides only by its observation and reads no more than it needs: its own order, place,
provisions and goods, and the prices at the places for which it has a licence.
"""

from collections.abc import Sequence

from thence.sim.actions import Action, Rejection
from thence.sim.agents import BaseAgent
from thence.sim.components.trade_markets import TradeMap
from thence.sim.components.trade_order import ON_THE_ROAD, StandingOrder, parse
from thence.sim.views import Observation

_LOW_PROVISIONS = 2
_FULL_PROVISIONS = 8
_PURSE = 8.0  # kept back from trade, so that no trader is stranded without provisions


class Trader(BaseAgent):
    """An agent that trades `goods` at `places`, `lot` units at a time.

    `margin` is the least gain per unit that the trader accepts; a turn of travel costs
    `turn_cost` per unit.
    """

    remembers = False

    def __init__(
        self,
        name: str,
        *,
        goods: Sequence[str],
        places: Sequence[str],
        lot: int = 4,
        margin: float = 0.5,
        turn_cost: float = 0.3,
    ) -> None:
        super().__init__(name)
        self.goods = tuple(goods)
        self.places = tuple(places)
        self.lot = lot
        self.margin = margin
        self.turn_cost = turn_cost

    def decide_action(self, observation: Observation) -> Action | None:
        """Returns the next order; None on the road."""
        if parse(observation["order"]).until > observation.turn:
            return None
        location: str = observation["location"]
        if location == ON_THE_ROAD:
            return None
        if observation.rejections:
            return self._decide_again(observation, location, observation.rejections[-1])
        if observation["provisions"] <= _LOW_PROVISIONS and observation["money"] >= 1:
            return self._restock(location, _FULL_PROVISIONS)
        for good in self.goods:
            held = observation[good]
            if held:
                return self._sell(observation, location, good, held)
        return self._buy(observation, location)

    def _sell(self, observation: Observation, location: str, good: str, held: int) -> Action:
        """Sells here, or travels to the place where a unit earns most."""
        trade_map: TradeMap = observation.facts
        earnings = {
            place: _price(observation, place, good)
            - self.turn_cost * trade_map.distance(location, place)
            for place in self.places
            if trade_map.has(place, good)
        }
        best = max(earnings, key=lambda place: (earnings[place], place))
        if best != location:
            return _travel(trade_map, location, best, observation.turn, f"to sell {held} {good}")
        return _trade(
            StandingOrder("sell", location, min(held, self.lot), good), earnings[location]
        )

    def _buy(self, observation: Observation, location: str) -> Action:
        """Buys the good that earns most elsewhere, or travels to the place that sells it."""
        trade_map: TradeMap = observation.facts
        choices = []
        for good in self.goods:
            prices = {
                place: _price(observation, place, good)
                for place in self.places
                if trade_map.has(place, good)
            }
            for source, cost in prices.items():
                for target, value in prices.items():
                    if source != target:
                        turns = trade_map.distance(location, source)
                        turns += trade_map.distance(source, target)
                        gain = value - cost - self.turn_cost * turns
                        choices.append((round(gain, 4), source, target, good, cost))
        gain, source, target, good, cost = max(choices)
        if gain < self.margin:
            return _rest(location, observation.turn + 2)
        if source != location:
            return _travel(trade_map, location, source, observation.turn, f"to buy {good}")
        amount_max = self.lot + observation.random("haggle").randint(0, 2)
        amount = min(amount_max, int((observation["money"] - _PURSE) / cost))
        if amount < 1:
            return _rest(location, observation.turn + 2)
        return _trade(StandingOrder("buy", location, amount, good), cost, f", to sell at {target}")

    def _restock(self, location: str, amount: int) -> Action:
        order = StandingOrder("restock", location, amount)
        return _action(order, "restock", order.text)

    def _decide_again(
        self, observation: Observation, location: str, rejection: Rejection
    ) -> Action:
        """Orders less, buys provisions for the road, or rests, after a rejection."""
        facts, payload = rejection.verdict.facts, rejection.action.payload
        at_most = facts.get("at_most", 0)
        if isinstance(at_most, int) and at_most > 0:
            order = StandingOrder(
                rejection.action.action_type, location, at_most, str(payload["good"])
            )
            return _trade(order, _price(observation, location, order.good))
        if "provisions_needed" in facts:
            return self._restock(location, _FULL_PROVISIONS)
        return _rest(location, observation.turn + 2)


def _price(observation: Observation, place: str, good: str) -> float:
    price: float = observation.place(place)[f"price_{good}"]
    return price


def _trade(order: StandingOrder, price: float, purpose: str = "") -> Action:
    return _action(order, "trade", f"{order.text} for {price:.2f} each{purpose}")


def _travel(trade_map: TradeMap, location: str, to: str, turn: int, purpose: str) -> Action:
    turns = trade_map.distance(location, to)
    order = StandingOrder("travel", to, until=turn + turns)
    unit = "turn" if turns == 1 else "turns"
    return _action(order, "travel", f"travel to {to}, {turns} {unit}, {purpose}")


def _rest(location: str, until: int) -> Action:
    order = StandingOrder("rest", location, until=until)
    return _action(order, "rest", order.text)


def _action(order: StandingOrder, decision_type: str, text: str) -> Action:
    fields: dict[str, object] = {"place": order.place}
    if order.good:
        fields["good"] = order.good
    if order.amount:
        fields["amount"] = order.amount
    if order.until:
        fields["until"] = order.until
    return Action(order.verb, fields, decision=text, decision_type=decision_type)
