"""The world of a run: a grid or a network, and who is where on it.

A cell of a grid is named "column,row", from "0,0" on; the places of a network are those of the
scenario, or the agents themselves. Positions are the agents' variable `position`; edges are facts.

A question reads what its answer depends on. Who is at a place depends on the positions of those who
are there, and of those who went from there last; and on all others, who did not come: the variable
`map/whereabouts`, which nobody sets, has their causes, summed up in one notice.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import msgspec

from thence.core.nearest import nearest
from thence.core.ready import ready
from thence.errors import ThenceError
from thence.sim.scenario.sections import (
    EdgeSettings,
    GridSettings,
    NetworkSettings,
    SpatialSettings,
)
from thence.sim.scenario.state import MAP, WHEREABOUTS, Declaration, State, VariableTable

POSITION = "position"
Read = Callable[[int], Any]
Fault = tuple[tuple[str | int, ...], str, str]


class Grid:
    """The cells of a grid; a step leads to one of 4 or 8 cells around."""

    def __init__(self, settings: GridSettings) -> None:
        width, height = self._size = settings.width, settings.height
        self._wraps, self._is_square = settings.wraps, settings.neighbours == 8
        self.places = {f"{x},{y}": (x, y) for y in range(height) for x in range(width)}
        self._near: dict[str, list[str]] = {}

    def near(self, place: str, read: Read) -> Sequence[str]:
        """Returns the cells one step away."""
        if place not in self._near:
            (x, y), (width, height) = self.places[place], self._size
            around = product((-1, 0, 1), repeat=2)
            cells = [(x + a, y + b) for b, a in around if self._is_square or not a * b]
            if self._wraps:
                cells = [(a % width, b % height) for a, b in cells]
            names = dict.fromkeys(f"{a},{b}" for a, b in cells)
            self._near[place] = [name for name in names if name != place and name in self.places]
        return self._near[place]

    def distance(self, start: str, goal: str) -> int:
        """Returns the steps between two cells."""
        pairs = zip(self.places[start], self.places[goal], self._size, strict=True)
        gaps = [(abs(a - b), size) for a, b, size in pairs]
        steps = [min(gap, size - gap) if self._wraps else gap for gap, size in gaps]
        return max(steps) if self._is_square else sum(steps)


class Graph:
    """The places of a network, and the attributes of its edges by both ends."""

    def __init__(
        self, spatial: SpatialSettings, network: NetworkSettings, table: VariableTable | None = None
    ) -> None:
        self._table = table
        self.places: dict[str, Any] = dict.fromkeys(place.name for place in spatial.places)
        self.edges: dict[str, dict[str, Any]] = {}
        for edge in network.edges:
            start, goal = edge.ends
            self.edges.setdefault(start, {})[goal] = edge.attributes
            if not network.directed:
                self.edges.setdefault(goal, {})[start] = edge.attributes
            self.places.update(dict.fromkeys(edge.ends))
        self.gone: Mapping[str, str] = {}  # agents that were removed, whom no edge leads to

    def near(self, place: str, read: Read) -> Sequence[str]:
        """Returns the places that an edge leads to."""
        names = [*self.edges.get(place, {})]
        if self._table is None or self.gone.keys().isdisjoint(names):
            return names
        read(self._table.index(MAP, WHEREABOUTS))
        return [name for name in names if name not in self.gone]


class World:
    """The shape of one run's world with its variables, and an index of who is where.

    `positions` has the agent of each variable that is a position; none has one where the agents
    are the places. `gone` has the last place of each agent that was removed.
    """

    def __init__(self, spatial: SpatialSettings, table: VariableTable) -> None:
        network = spatial.network
        self.table = table
        self.shape = shape_of(spatial, table)
        self.is_of_agents = network is not None and network.nodes == "agents"
        self.moves = spatial.moves and not self.is_of_agents
        self.whereabouts = table.index(MAP, WHEREABOUTS)
        self.positions: dict[int, str] = {}
        self.gone: dict[str, str] = {}
        self._places: dict[int, str] = {}
        self._here: dict[str, set[int]] = {}
        # who went from each place last, and from where each went
        self._left: dict[str, set[int]] = {}
        self._came_from: dict[int, str] = {}
        if isinstance(self.shape, Graph) and self.is_of_agents:
            ends, self.shape.places = self.shape.places, dict.fromkeys(_agents(table))
            self.shape.gone = self.gone
            self.check(*ends)

    def check(self, *places: str) -> None:
        """Raises ThenceError for a place that is none."""
        for place in places:
            if place not in self.shape.places:
                near = nearest(place, self.shape.places, likeness=0)
                cause = f"there is no place {place!r}"
                raise _map_error("place", place, cause, f"the nearest is {near[0]}" if near else "")

    def placed(self, state: State, chance: Callable[[str], random.Random]) -> State:
        """Returns the first state, with agents without a position placed by chance.

        `chance` returns the random stream of an agent.
        """
        first: dict[tuple[str, str], object] = {}
        places = list(self.shape.places)
        for agent in () if self.is_of_agents or not places else _agents(self.table):
            if state.agent(agent).get(POSITION) == "":  # a population is nowhere
                first[f"agent/{agent}", POSITION] = chance(agent).choice(places)
        return state.replace(first)

    def take(self, values: Sequence[Any], agents: Iterable[str] = ()) -> None:
        """Takes the positions of agents, all if none is named; ThenceError for no place."""
        for agent in agents or _agents(self.table):
            if isinstance(self.shape, Graph) and self.is_of_agents:
                self.shape.places[agent] = None
            elif POSITION in self.table.names(f"agent/{agent}"):
                index = self.table.index(f"agent/{agent}", POSITION)
                self.positions[index] = agent
                self._take(index, values[index])

    def leave(self, agent: str) -> None:
        """Forgets where an agent is, who is nowhere from now on."""
        self.gone[agent] = agent
        if not self.is_of_agents:
            index = self.table.index(f"agent/{agent}", POSITION)
            self.gone[agent] = self._places.pop(index)
            self._here[self.gone[agent]].discard(index)
            del self.positions[index]

    def whereabouts_of(self, agent: str) -> int:
        """Returns the variable by whose causes an agent is where it is, or was removed."""
        return self.table.names(f"agent/{agent}").get(POSITION, self.whereabouts)

    def follow(self, written: Iterable[int], values: Sequence[Any]) -> list[int]:
        """Keeps the index true behind writes; returns the positions among the variables.

        Raises ThenceError for a place that is none, and for a move where no agent moves.
        """
        moved = [index for index in written if index in self.positions]
        for index in moved:
            if not self.moves and values[index] != self._places[index]:
                hint = "write moves: true in spatial"
                raise _map_error("move", self.positions[index], "moves is false", hint)
            self._take(index, values[index])
        return moved

    def at(self, place: str, pending: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Yields the position and name of each agent that is at a place, or may be by `pending`.

        Those who went from there last are among them: they are asked about, too.
        """
        indices = self._here.get(place, set()).union(self.positions.keys() & pending)
        indices |= self._left.get(place, set()) & self.positions.keys()
        return ((index, self.positions[index]) for index in sorted(indices))

    def forget_departures(self) -> None:
        """Forgets who went from where, as a run that is resumed here does."""
        self._left.clear()
        self._came_from.clear()

    def reachable(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Returns variables that an action may change, without positions if no agent moves."""
        if not self.moves:
            return tuple([index for index in indices if index not in self.positions])
        moves = not self.positions.keys().isdisjoint(indices)
        return (*indices, self.whereabouts) if moves else tuple(indices)

    def _take(self, index: int, place: str) -> None:
        if place:
            self.check(place)
        if before := self._places.get(index, ""):
            self._here[before].discard(index)
            if before != place:
                self._left.get(self._came_from.get(index, ""), set()).discard(index)
                self._left.setdefault(before, set()).add(index)
                self._came_from[index] = before
        self._places[index] = place
        self._here.setdefault(place, set()).add(index)


class MapView(Protocol):
    """The view that a map asks for its variables."""

    def value(self, index: int) -> Any: ...
    def put(self, index: int, value: object) -> None: ...
    def sees(self, scope: str, name: str) -> bool: ...
    def pending(self) -> Iterable[int]: ...


class WorldMap:
    """The map of a world as one view sees it: `view.world_map`.

    Distances are in steps: cells of a grid, edges of a network.
    Each method raises ThenceError for an unknown place or agent.
    """

    __slots__ = ("_shape", "_view", "_world")

    def __init__(self, view: MapView, world: World | None) -> None:
        if world is None:
            hint = "write grid: {width: 9, height: 9} in the section spatial"
            raise _map_error("map", "of the world", "the scenario has no grid and no network", hint)
        self._view, self._world, self._shape = view, world, world.shape

    def places(self) -> list[str]:
        """Returns the names of all places."""
        if not (self._world.is_of_agents and self._world.gone):
            return list(self._shape.places)
        return [name for name in self._shape.places if self.position(name)]

    def neighbours(self, place: str) -> list[str]:
        """Returns the places one step from a place."""
        self._world.check(place)
        return list(self._shape.near(place, self._view.value))

    def distance(self, start: str, goal: str) -> int | None:
        """Returns the steps of a shortest way; None if there is none."""
        self._world.check(start, goal)
        if isinstance(self._shape, Grid):
            return self._shape.distance(start, goal)
        return self._search(start, goal=goal).get(goal, (None, ""))[0]

    def path(self, start: str, goal: str) -> list[str]:
        """Returns the places of a shortest way, both ends among them; [] if there is none."""
        self._world.check(start, goal)
        shape, way = self._shape, [goal]
        if isinstance(shape, Grid):
            while way[-1] != start:
                near = shape.near(way[-1], self._view.value)
                way.append(min(near, key=lambda cell: shape.distance(cell, start)))
            return way[::-1]
        reached = self._search(start, goal=goal)
        while way[-1] != start and goal in reached:
            way.append(reached[way[-1]][1])
        return way[::-1] if goal in reached else []

    def within(self, place: str, steps: int) -> list[str]:
        """Returns the places at most so many steps from a place, itself first, nearest first."""
        self._world.check(place)
        return list(self._search(place, steps=steps))

    def attributes(self, start: str, goal: str) -> Mapping[str, Any] | None:
        """Returns the attributes of an edge of a network; None if there is no such edge."""
        self._world.check(start, goal)
        if isinstance(self._shape, Grid):
            return None
        return self._shape.edges.get(start, {}).get(goal)

    def position(self, agent: str) -> str:
        """Returns the place of an agent, "" if it is nowhere, as who was removed."""
        if agent in self._world.gone:
            of_agent, of_all = self._world.whereabouts_of(agent), self._world.whereabouts
            self._view.value(of_agent if self._sees(agent) else of_all)
            return ""
        if self._world.is_of_agents:
            self._world.check(agent)
            return agent
        place: str = self._view.value(self._world.table.index(f"agent/{agent}", POSITION))
        return place

    def agents_at(self, place: str) -> list[str]:
        """Returns the agents at a place, in their order; it depends on where all agents are.

        The causes of whoever is there, or left it last, are named one by one.
        """
        self._world.check(place)
        if self._world.is_of_agents:
            return [place] if self.position(place) else []
        view, world = self._view, self._world
        at: Iterable[tuple[int, str]] = world.positions.items()
        if view.sees(MAP, WHEREABOUTS):
            view.value(world.whereabouts)
            at = world.at(place, view.pending())
        return [name for index, name in at if self._sees(name) and view.value(index) == place]

    def agents_within(
        self,
        agent: str,
        steps: int,
        *,
        among: Iterable[str] | None = None,
    ) -> list[str]:
        """Returns the other agents at most so many steps from an agent, nearest first.

        It depends on where all agents are, with `among`, which limits the agents judged, on where
        these are. An agent that is nowhere has none around it, and one that can't be seen is left
        out.
        """
        here = self.position(agent)
        places = self.within(here, steps) if here else []
        if among is None:
            names = [name for place in places for name in self.agents_at(place)]
        else:
            at = {name: self.position(name) for name in among if self._sees(name)}
            names = [name for place in places for name in at if at[name] == place]
        return [name for name in names if name != agent]

    def reach(self, agent: str) -> tuple[int, ...]:
        """Returns the variables of an agent, of those one step from it, and of the places there."""
        here, table = self.position(agent), self._world.table
        owners = [f"agent/{name}" for name in (agent, *self.agents_within(agent, 1))]
        owners += [f"place/{place}" for place in (self.within(here, 1) if here else ())]
        return self._world.reachable([i for owner in owners for i in table.of_scope(owner)])

    def move(self, agent: str, place: str) -> None:
        """Moves an agent to a place, near or far; "" takes it off the map.

        Raises TypeError where nothing can be set: only the view of an engine changes variables.
        """
        self._world.check(*[place] if place else ())
        self._view.put(self._world.table.index(f"agent/{agent}", POSITION), place)

    def _sees(self, agent: str) -> bool:
        """Reports whether the view sees where an agent is; all see the nodes of a network."""
        return self._world.is_of_agents or self._view.sees(f"agent/{agent}", POSITION)

    def _search(
        self, start: str, *, steps: float = float("inf"), goal: str = ""
    ) -> dict[str, tuple[int, str]]:
        """Returns the places reached, nearest first, with their distance and the place before.

        The search, breadth first, ends at a distance of `steps`, or at the `goal`.
        """
        reached, frontier = {start: (0, "")}, deque((start,))
        while frontier and goal not in reached:
            place = frontier.popleft()
            distance = reached[place][0] + 1
            if distance > steps:
                break
            for name in self._shape.near(place, self._view.value):
                if name not in reached:
                    reached[name] = (distance, place)
                    frontier.append(name)
        return reached


def shape_of(spatial: SpatialSettings, table: VariableTable | None = None) -> Grid | Graph:
    """Returns the grid or network of a scenario that has one."""
    if spatial.grid is not None:
        return Grid(spatial.grid)
    assert spatial.network is not None, "a world is a grid or a network"
    return Graph(spatial, spatial.network, table)


def declared_by(spatial: SpatialSettings) -> tuple[Declaration, ...]:
    """Returns the variables that a world declares itself, for each agent."""
    network = spatial.network
    if not spatial.has_world or (network and network.nodes == "agents"):
        return ()
    return (Declaration(name=POSITION, kind="str"),)


def with_edges(
    spatial: SpatialSettings, folder: Path, agents: Sequence[str]
) -> tuple[SpatialSettings, list[Fault]]:
    """Returns a world with the edges of its file, if it names one, and what is wrong.

    `agents` are those of the scenario, none if they come as objects.
    """
    network = spatial.network
    if spatial.grid is not None:
        world, others = "a grid", ["network", "places", "roads"]
    elif network is not None and network.nodes == "agents":
        world, others = "a network of agents", ["places", "roads"]
    else:
        world, others = "a network", ["roads"] if network else []
    for key in others:
        if getattr(spatial, key):
            message = f"it does not go with {world}"
            return spatial, [((key,), message, "leave one of the two out")]
    if network is None:
        return spatial, []
    edges = network.edges
    if network.file is not None:
        try:
            data = (folder / network.file).read_bytes()
            edges = (*edges, *msgspec.json.decode(data, type=ready(tuple[EdgeSettings, ...])))
        except (OSError, msgspec.MsgspecError) as error:
            message = f"{network.file} can't be read: {error}"
            return spatial, [(("network", "file"), message, "write edges as [[a, b], [b, c]]")]
    names = agents if network.nodes == "agents" else [place.name for place in spatial.places]
    earlier: dict[object, Mapping[str, Any]] = {}
    places, faults = set(names), list[Fault]()
    for number, edge in enumerate(edges):
        is_of_file = number >= len(network.edges)
        path = ("network", "file") if is_of_file else ("network", "edges", number)
        for end in [end for end in edge.ends if names and end not in places]:
            message = f"edge {number} leads to {end!r}, which is none of the {network.nodes}"
            faults.append((path, message, f"the nearest is {nearest(end, names, likeness=0)[0]}"))
        pair = edge.ends if network.directed else frozenset(edge.ends)
        if earlier.setdefault(pair, edge.attributes) != edge.attributes:
            message = "edge {} leads from {!r} to {!r} again".format(number, *edge.ends)
            faults.append((path, f"{message}, with other attributes", "leave one of them out"))
    network = msgspec.structs.replace(network, edges=edges)
    return msgspec.structs.replace(spatial, network=network), faults


def _agents(table: VariableTable) -> Iterator[str]:
    return (scope[6:] for scope in table.by_scope if scope.startswith("agent/"))


def _map_error(what: str, place: str, cause: str, hint: str) -> ThenceError:
    return ThenceError(f"could not take the {what}", place=place, cause=cause, hint=hint)
