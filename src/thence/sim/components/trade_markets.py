"""The constant facts of the trade network: markets, licences, distances along roads."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from thence.sim.config import SimulationConfig
from thence.sim.scenario import SpatialSettings


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

    def __init__(self, config: SimulationConfig, markets: Iterable[Market]) -> None:
        self.network = Network(config.spatial)
        self.markets = {(market.place, market.good): market for market in markets}
        self.traders = {
            agent.name: tuple(agent.params["goods"])
            for agent in config.agents
            if {"goods", "places"} <= agent.params.keys()
        }
        self.licensed: dict[tuple[str, str], list[str]] = {key: [] for key in self.markets}
        for agent in config.agents:
            for place in agent.params.get("places", ()):
                for good in agent.params.get("goods", ()):
                    if (place, good) in self.licensed:
                        self.licensed[place, good].append(agent.name)

    def has(self, place: str, good: str) -> bool:
        """Reports whether a good is traded at a place."""
        return (place, good) in self.markets

    def share(self, place: str, good: str, amount: int) -> int:
        """Returns the share of an amount that one licensed trader may take in one turn."""
        return amount // max(1, len(self.licensed[place, good]))

    def distance(self, origin: str, destination: str) -> int:
        """Returns the turns of travel between two places; ValueError if there is no way."""
        turns = self.network.distance(origin, destination)
        if turns is None:
            raise ValueError(f"no way leads from {origin} to {destination}")
        return turns


class Network:
    """A map of places; distances are in turns, along the shortest way."""

    def __init__(self, spatial: SpatialSettings) -> None:
        self.places = tuple(place.name for place in spatial.places)
        self._roads: dict[str, dict[str, int]] = {name: {} for name in self.places}
        for road in spatial.roads:
            a, b = road.between
            turns = min(road.turns, self._roads[a].get(b, road.turns))
            self._roads[a][b] = self._roads[b][a] = turns
        self._distances: dict[str, dict[str, int]] = {}

    def distance(self, origin: str, destination: str) -> int | None:
        """Returns the turns from one place to another, None if there is no way."""
        if origin not in self._distances:
            self._distances[origin] = self._distances_from(origin)
        return self._distances[origin].get(destination)

    def _distances_from(self, origin: str) -> dict[str, int]:
        """Returns the distances from one place (Dijkstra 1959)."""
        distances: dict[str, int] = {}
        frontier = [(0, origin)]
        while frontier:
            turns, place = heapq.heappop(frontier)
            if place in distances:
                continue
            distances[place] = turns
            for neighbour, road_turns in self._roads[place].items():
                heapq.heappush(frontier, (turns + road_turns, neighbour))
        return distances
