"""Places, joined by roads that take turns to travel."""

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
        """Returns the turns from one place to another, None if no way leads there."""
        if origin not in self._distances:
            self._distances[origin] = self._from(origin)
        return self._distances[origin].get(destination)

    def _from(self, origin: str) -> dict[str, int]:
        """Returns the distances from one place (Dijkstra 1959)."""
        found: dict[str, int] = {}
        open_ends = [(0, origin)]
        while open_ends:
            turns, place = heapq.heappop(open_ends)
            if place in found:
                continue
            found[place] = turns
            for neighbour, more in self._roads[place].items():
                heapq.heappush(open_ends, (turns + more, neighbour))
        return found
