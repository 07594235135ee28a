"""The map of a scenario: places, and roads that take some turns to travel."""

import heapq

from thence.sim.settings import SpatialSettings


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
