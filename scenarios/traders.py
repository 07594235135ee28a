"""A network of traders, who carry goods from cheap places to dear ones.

A trader decides only by its observation and reads no more than it needs: its own order, place,
provisions and goods, and the prices at the places for which it has a licence. An order is valid
until the trader gives another one; it is stored as text, so that the log is easy to read.

Each rule of the engine writes one variable, reads only the variables that matter to it, and writes
it even if it stays the same, so that a trader who did not come is a cause too. Only its licensed
traders affect a market, which keeps causes few.
"""

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from thence.sim import (
    Action,
    BaseAgent,
    BaseEngine,
    BaseValidator,
    Observation,
    RecordedState,
    Rejection,
    SimulationConfig,
    State,
    Verdict,
    View,
)

ON_THE_ROAD = "road"
VERBS = ("buy", "sell", "restock", "travel", "rest")
_LOW_PROVISIONS = 2
_FULL_PROVISIONS = 8
_PURSE = 8.0  # kept back from trade, so that no trader is stranded without provisions
_STOCK_MAX = 120


class StandingOrder(msgspec.Struct, frozen=True):
    """The order that a trader follows until the next one.

    `place` is the place of the order, or the destination of a travel. `until` is the turn in
    which a traveller arrives or a rest ends, 0 for other orders.
    """

    verb: str
    place: str
    amount: int = 0
    good: str = ""
    until: int = 0

    @property
    def is_trade(self) -> bool:
        """True for an order to buy or sell."""
        return self.verb in ("buy", "sell")

    @property
    def text(self) -> str:
        """The order in words, as `parse` reads it."""
        if self.is_trade:
            return f"{self.verb} {self.amount} {self.good} at {self.place}"
        if self.verb == "restock":
            return f"restock {self.amount} provisions at {self.place}"
        return (
            f"{self.verb} {'to' if self.verb == 'travel' else 'at'} {self.place} until {self.until}"
        )

    def whereabouts(self, turn: int) -> str:
        """Returns the trader's location at the end of a turn: a place, or `road`."""
        is_away = self.verb == "travel" and self.until > turn + 1
        return ON_THE_ROAD if is_away else self.place


def parse(text: str) -> StandingOrder:
    """Parses the text of an order; raises ValueError if it is none."""
    words = text.split()
    if len(words) == 5 and words[0] in VERBS:
        if words[0] in ("travel", "rest"):
            return StandingOrder(words[0], words[2], until=int(words[4]))
        good = "" if words[0] == "restock" else words[2]
        return StandingOrder(words[0], words[4], int(words[1]), good)
    raise ValueError(f"not an order: {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market for one good at one place.

    At `usual_stock` a unit costs `base_price`, and the place makes `makes` units a turn, or uses
    them up if `makes` is negative; with a larger stock it makes less, or uses more.
    """

    place: str
    good: str
    base_price: float
    makes: int
    usual_stock: int = 20

    def price(self, stock: int) -> float:
        """Returns the price at a stock: twice the base when empty, half at twice the usual."""
        price: float = self.base_price * 2.0 ** (1 - stock / self.usual_stock)
        return round(price, 2)

    def made(self, stock: int, chance: float) -> int:
        """Returns the units made in a turn, negative if used up; `chance`, 0 to 1, rounds."""
        plenty = stock / self.usual_stock
        amount = self.makes * (max(0.0, 2 - plenty) if self.makes > 0 else plenty)
        return int(amount + chance) if amount > 0 else -int(-amount + chance)


class TradeMap:
    """The markets by place and good, their licensed traders, the distances of places."""

    def __init__(self, config: SimulationConfig, markets: Iterable[Market] = ()) -> None:
        self.markets = {(market.place, market.good): market for market in markets}
        self.traders: dict[str, tuple[str, ...]] = {}
        self.licensed: dict[tuple[str, str], list[str]] = {key: [] for key in self.markets}
        for agent in config.agents:
            if {"goods", "places"} <= agent.params.keys():
                goods = self.traders[agent.name] = tuple(agent.params["goods"])
                for key in self.markets.keys() & itertools.product(agent.params["places"], goods):
                    self.licensed[key].append(agent.name)
        self._distances: dict[str, dict[str, int]] = {}
        self._roads: dict[str, list[tuple[int, str]]] = {}
        for road in config.spatial.roads:
            for origin, destination in (road.between, road.between[::-1]):
                self._roads.setdefault(origin, []).append((road.turns, destination))

    def share(self, place: str, good: str, amount: int) -> int:
        """Returns the share of an amount that one licensed trader may take in one turn."""
        return amount // max(1, len(self.licensed[place, good]))

    def distance(self, origin: str, destination: str) -> int:
        """Returns the turns of travel along the shortest way; ValueError if there is none."""
        if origin not in self._distances:
            distances: dict[str, int] = {}
            frontier = [(0, origin)]  # Dijkstra 1959
            while frontier:
                turns, place = heapq.heappop(frontier)
                if place not in distances:
                    distances[place] = turns
                    for road_turns, neighbour in self._roads.get(place, ()):
                        heapq.heappush(frontier, (turns + road_turns, neighbour))
            self._distances[origin] = distances
        if destination not in self._distances[origin]:
            raise ValueError(f"no way leads from {origin} to {destination}")
        return self._distances[origin][destination]


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
            return _restock(location)
        for good in self.goods:
            held = observation[good]
            if held:
                return self._sell(observation, location, good, held)
        return self._buy(observation, location)

    def _sell(self, observation: Observation, location: str, good: str, held: int) -> Action:
        """Sells here, or travels to the place where a unit earns most."""
        trade_map: TradeMap = observation.facts
        earnings = {
            place: price - self.turn_cost * trade_map.distance(location, place)
            for place, price in self._prices(observation, good).items()
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
            prices = self._prices(observation, good)
            for source, target in itertools.permutations(prices, 2):
                turns = trade_map.distance(location, source) + trade_map.distance(source, target)
                gain = prices[target] - prices[source] - self.turn_cost * turns
                choices.append((round(gain, 4), source, target, good, prices[source]))
        gain, source, target, good, cost = max(choices)
        if gain < self.margin:
            return _rest(location, observation.turn)
        if source != location:
            return _travel(trade_map, location, source, observation.turn, f"to buy {good}")
        amount_max = self.lot + observation.random("haggle").randint(0, 2)
        amount = min(amount_max, int((observation["money"] - _PURSE) / cost))
        if amount < 1:
            return _rest(location, observation.turn)
        return _trade(StandingOrder("buy", location, amount, good), cost, f", to sell at {target}")

    def _prices(self, observation: Observation, good: str) -> dict[str, float]:
        markets = observation.facts.markets
        places = [place for place in self.places if (place, good) in markets]
        return {place: observation.place(place)[f"price_{good}"] for place in places}

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
            return _trade(order, observation.place(location)[f"price_{order.good}"])
        if "provisions_needed" in facts:
            return _restock(location)
        return _rest(location, observation.turn)


def _trade(order: StandingOrder, price: float, purpose: str = "") -> Action:
    return _action(order, f"{order.text} for {price:.2f} each{purpose}")


def _travel(trade_map: TradeMap, location: str, to: str, turn: int, purpose: str) -> Action:
    turns = trade_map.distance(location, to)
    unit = "turn" if turns == 1 else "turns"
    order = StandingOrder("travel", to, until=turn + turns)
    return _action(order, f"travel to {to}, {turns} {unit}, {purpose}")


def _rest(location: str, turn: int) -> Action:
    return _action(StandingOrder("rest", location, until=turn + 2))


def _restock(location: str) -> Action:
    return _action(StandingOrder("restock", location, _FULL_PROVISIONS))


def _action(order: StandingOrder, text: str = "") -> Action:
    """Returns the action that gives an order, told by a text or by the order's own."""
    names = ("place", "good", "amount", "until")
    fields = {name: value for name in names if (value := getattr(order, name))}
    kind = "trade" if order.is_trade else order.verb
    return Action(order.verb, fields, decision=text or order.text, decision_type=kind)


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
            until, provisions = action.payload.get("until"), trader["provisions"]
            turns = until - state.turn if isinstance(until, int) else 0
            if turns > provisions:
                reason = f"{turns} turns on the road need more than {provisions} provisions"
                return Verdict.reject(reason, provisions_needed=turns)
        return Verdict.accept()


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
        changes: dict[tuple[str, str], object] = {
            (f"place/{place}", f"price_{good}"): market.price(state.place(place)[f"stock_{good}"])
            for (place, good), market in self.facts.markets.items()
        }
        for trader in self.facts.traders:
            order = StandingOrder("rest", state.agent(trader)["location"])
            changes[f"agent/{trader}", "order"] = order.text
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
            self._follow_order(view, trader, goods)
        for market in self.facts.markets.values():
            self._trade(view, market)

    def _follow_order(self, view: View, trader: str, goods: Iterable[str]) -> None:
        """Sets how much of a standing order can be filled, and what comes of it."""
        own = view.agent(trader)
        with view.rule("fill"):
            own.set_within("filled", self._available(view, trader, parse(own["order"])))
        with view.rule("pay"):
            order, cost = parse(own["order"]), 0.0
            if order.verb == "restock":
                cost = own["filled"] * self.meal_price
            elif order.is_trade and (order.place, order.good) in self.facts.markets:
                price = view.place(order.place)[f"price_{order.good}"]
                cost = own["filled"] * price * (1 if order.verb == "buy" else -1)
            own.set_within("money", round(own["money"] - cost, 2))
        for good in goods:
            with view.rule("load"):
                order, change = parse(own["order"]), 0
                if order.is_trade and order.good == good:
                    change = own["filled"] * (1 if order.verb == "buy" else -1)
                own.set_within(good, own[good] + change)
        with view.rule("eat"):
            bought = own["filled"] if parse(own["order"]).verb == "restock" else 0
            own.set_within("provisions", max(0, own["provisions"] - 1) + bought)
        with view.rule("move"):
            own["location"] = parse(own["order"]).whereabouts(view.turn)

    def _available(self, view: View, trader: str, order: StandingOrder) -> int:
        """Returns the units, or provisions, that an order can have now."""
        own = view.agent(trader)
        if order.verb == "restock":
            return min(order.amount, int(own["money"] / self.meal_price))
        if not (order.is_trade and (order.place, order.good) in self.facts.markets):
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

    def _trade(self, view: View, market: Market) -> None:
        """Takes bought units from a market's stock, adds sold and produced ones, sets the price."""
        place_view, name = view.place(market.place), f"stock_{market.good}"
        with view.rule("trade"):
            sold = 0
            for trader in self.facts.licensed[market.place, market.good]:
                own = view.agent(trader)
                order = parse(own["order"])
                if order.is_trade and (order.place, order.good) == (market.place, market.good):
                    sold += own["filled"] * (1 if order.verb == "sell" else -1)
            stock = place_view[name]
            chance = view.random(f"make/{market.place}/{market.good}").random()
            place_view.set_within(name, stock + sold + market.made(stock, chance))
        with view.rule("price"):
            stock, price = place_view[name], f"price_{market.good}"
            place_view[price] = market.price(stock)
            values = {"stock": stock, "usual_stock": market.usual_stock, "base": market.base_price}
            view.explain(f"place/{market.place}", price, "price_of_stock", values)
