"""The engine of the trade network: orders are filled, stocks change, prices follow.

Each rule writes one variable, reads only the variables that matter to it, and writes it even if
it stays the same, so that a trader who did not come is a cause too. Only its licensed traders
affect a market, which keeps causes few.
"""

from collections.abc import Iterable, Sequence

import msgspec

from thence.sim.actions import Action
from thence.sim.components.trade_markets import Market, TradeMap
from thence.sim.components.trade_order import StandingOrder, parse
from thence.sim.config import SimulationConfig
from thence.sim.engine import BaseEngine
from thence.sim.engine_views import View
from thence.sim.state import State

_STOCK_MAX = 120


class TradeNetwork(BaseEngine):
    """An engine that moves traders, goods, money and prices.

    `meal_price` is the price of one turn's provisions.
    """

    facts: TradeMap

    def __init__(
        self,
        config: SimulationConfig,
        *,
        markets: Sequence[Market],
        meal_price: float = 1.0,
    ) -> None:
        super().__init__(config)
        self.meal_price = meal_price
        self.facts = TradeMap(config, markets)

    def initialize_state(self, state: State) -> State:
        """Returns the state with each price by its stock, and all traders at rest."""
        changes: dict[tuple[str, str], object] = {}
        for (place, good), market in self.facts.markets.items():
            stock = state.place(place)[f"stock_{good}"]
            changes[f"place/{place}", f"price_{good}"] = market.price(stock)
        for trader in self.facts.traders:
            place_view = state.agent(trader)["location"]
            changes[f"agent/{trader}", "order"] = StandingOrder("rest", place_view, until=0).text
        return state.replace(changes)

    def reach(self, agent: str) -> Iterable[tuple[str, str]]:
        """Returns the one variable that a trader's action changes: its order."""
        return ((f"agent/{agent}", "order"),)

    def apply_action(self, view: View, action: Action) -> None:
        """Makes the action the standing order of its trader."""
        order = msgspec.convert({"verb": action.action_type, **action.payload}, StandingOrder)
        view.agent(action.agent_id)["order"] = order.text

    def apply_engine_rules(self, view: View) -> None:
        """Fills and pays orders, moves traders, then updates the markets."""
        for trader, goods in self.facts.traders.items():
            self._fill(view, trader)
            self._pay(view, trader)
            for good in goods:
                self._load(view, trader, good)
            self._eat(view, trader)
            self._move(view, trader)
        for market in self.facts.markets.values():
            self._trade(view, market)
            self._price(view, market)

    def _fill(self, view: View, trader: str) -> None:
        """Sets the amount of a standing order that can be filled: units, or provisions."""
        own = view.agent(trader)
        with view.rule("fill"):
            order = parse(own["order"])
            own.set_within("filled", self._available(view, trader, order))

    def _available(self, view: View, trader: str, order: StandingOrder) -> int:
        own = view.agent(trader)
        if order.verb == "restock":
            meals = int(own["money"] / self.meal_price)
            return min(order.amount, meals)
        if not (order.is_trade and self.facts.has(order.place, order.good)):
            return 0
        market = view.place(order.place)
        stock: int = market[f"stock_{order.good}"]
        if order.verb == "sell":
            held: int = own[order.good]
            room = self.facts.share(order.place, order.good, _STOCK_MAX - stock)
            return min(order.amount, held, room)
        price: float = market[f"price_{order.good}"]
        share = self.facts.share(order.place, order.good, stock)
        affordable = int(own["money"] / price)
        return min(order.amount, share, affordable)

    def _pay(self, view: View, trader: str) -> None:
        own = view.agent(trader)
        with view.rule("pay"):
            order, cost = parse(own["order"]), 0.0
            if order.verb == "restock":
                cost = own["filled"] * self.meal_price
            elif order.is_trade and self.facts.has(order.place, order.good):
                price = view.place(order.place)[f"price_{order.good}"]
                cost = own["filled"] * price * (1 if order.verb == "buy" else -1)
            own.set_within("money", round(own["money"] - cost, 2))

    def _load(self, view: View, trader: str, good: str) -> None:
        own = view.agent(trader)
        with view.rule("load"):
            order, change = parse(own["order"]), 0
            if order.is_trade and order.good == good:
                change = own["filled"] * (1 if order.verb == "buy" else -1)
            own.set_within(good, own[good] + change)

    def _eat(self, view: View, trader: str) -> None:
        own = view.agent(trader)
        with view.rule("eat"):
            bought = own["filled"] if parse(own["order"]).verb == "restock" else 0
            own.set_within("provisions", max(0, own["provisions"] - 1) + bought)

    def _move(self, view: View, trader: str) -> None:
        own = view.agent(trader)
        with view.rule("move"):
            own["location"] = parse(own["order"]).whereabouts(view.turn)

    def _trade(self, view: View, market: Market) -> None:
        """Subtracts bought units from a market's stock, adds sold and produced ones."""
        place_view, name = view.place(market.place), f"stock_{market.good}"
        with view.rule("trade"):
            sold = 0
            for trader in self.facts.licensed[market.place, market.good]:
                own = view.agent(trader)
                order = parse(own["order"])
                if order.is_for(market.place, market.good):
                    sold += own["filled"] * (1 if order.verb == "sell" else -1)
            stock = place_view[name]
            chance = view.random(f"make/{market.place}/{market.good}").random()
            place_view.set_within(name, stock + sold + market.made(stock, chance))

    def _price(self, view: View, market: Market) -> None:
        place_view = view.place(market.place)
        with view.rule("price"):
            stock = place_view[f"stock_{market.good}"]
            place_view[f"price_{market.good}"] = market.price(stock)
            view.explain(
                f"place/{market.place}",
                f"price_{market.good}",
                "price_of_stock",
                {"stock": stock, "usual_stock": market.usual_stock, "base": market.base_price},
            )
