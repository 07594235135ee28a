"""The world of a run: a grid or a network, and who is where on it.

A cell of a grid is named "column,row", from "0,0" on; the places of a network are those of the
scenario, or the agents themselves. Positions are the agents' variable `position`. A network that
changes holds its edges in variables too, `links` and `links_<layer>`; else they are facts.

A question reads what its answer depends on. Who is at a place depends on the position of every
agent, also of those elsewhere: the variable `map/whereabouts`, which nobody sets, has their causes.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from thence.core.nearest import nearest
from thence.errors import ThenceError
from thence.sim.scenario_sections import GridSettings, NetworkSettings, SpatialSettings
from thence.sim.state import MAP, Declaration, Name, State, VariableTable

POSITION = "position"
Read = Callable[[int], Any]
Edge = tuple[str, str, Mapping[str, Any]]
Fault = tuple[str, str]
_FILE_BYTES_MAX = 100_000_000
_CELLS_MAX = 1_000_000


class Grid:
    """The cells of a grid; a step leads to one of 4 or 8 cells around. It has no layers."""

    def __init__(self, settings: GridSettings) -> None:
        self.size = settings.width, settings.height
        self._wraps, self._is_square = settings.wraps, settings.neighbours == 8
        self.places = {
            f"{x},{y}": (x, y) for y in range(settings.height) for x in range(settings.width)
        }
        self._near: dict[str, list[str]] = {}

    def fault(self, place: str) -> Fault | None:
        """Returns why there is no such cell, and what to write; None if there is one."""
        if place in self.places:
            return None
        last = " and ".join(
            f"{axis} from 0 to {n - 1}" for axis, n in zip("xy", self.size, strict=True)
        )
        return f"there is no place {place!r}", f'write "x,y" with {last}'

    def neighbours(self, place: str, read: Read, layer: str | None) -> Sequence[str]:
        """Returns the cells one step away."""
        if place not in self._near:
            (x, y), (width, height) = self.places[place], self.size
            around = [
                (a, b) for b in (-1, 0, 1) for a in (-1, 0, 1) if self._is_square or not a * b
            ]
            cells = [(x + a, y + b) for a, b in around]
            if self._wraps:
                cells = [(a % width, b % height) for a, b in cells]
            names = dict.fromkeys(f"{a},{b}" for a, b in cells)
            self._near[place] = [name for name in names if name != place and name in self.places]
        return self._near[place]

    def distance(self, start: str, goal: str, read: Read, layer: str | None) -> int:
        """Returns the steps between two cells."""
        pairs = zip(self.places[start], self.places[goal], self.size, strict=True)
        gaps = [(abs(a - b), size) for a, b, size in pairs]
        steps = [min(gap, size - gap) if self._wraps else gap for gap, size in gaps]
        return max(steps) if self._is_square else sum(steps)

    def path(self, start: str, goal: str, read: Read, layer: str | None) -> list[str]:
        """Returns the cells of a shortest way."""
        way = [start]
        while way[-1] != goal:
            near = self.neighbours(way[-1], read, layer)
            way.append(min(near, key=lambda cell: self.distance(cell, goal, read, layer)))
        return way


class Network:
    """The places of a network and its edges by layer; one without a layer is in the layer ""."""

    def __init__(
        self, spatial: SpatialSettings, network: NetworkSettings, table: VariableTable | None = None
    ) -> None:
        self.settings = network
        self._owner = "agent" if network.nodes == "agents" else "place"
        self._table = table
        self.places = dict.fromkeys(place.name for place in spatial.places)
        self.layers: dict[str, dict[str, dict[str, Any]]] = {}
        for start, goal, attributes in network.edges:
            layer = self.layers.setdefault(attributes.get("layer", ""), {})
            for a, b in self.directions(start, goal):
                layer.setdefault(a, {})[b] = attributes
            self.places.update({start: None, goal: None})
        self.layers = self.layers or {"": {}}

    def directions(self, start: str, goal: str) -> list[tuple[str, str]]:
        """Returns an edge in each direction that it has."""
        return [(start, goal)] if self.settings.directed else [(start, goal), (goal, start)]

    def fault(self, place: str) -> Fault | None:
        """Returns why there is no such place, and the nearest; None if there is one."""
        scopes = self._table.by_scope if self._table else {}
        if (f"agent/{place}" in scopes) if self._owner == "agent" else (place in self.places):
            return None
        near = nearest(place, self.places, likeness=0)
        return f"there is no place {place!r}", f"the nearest is {near[0]}" if near else "name it"

    def variable(self, place: str, layer: str) -> int:
        """Returns the index of the variable with the edges of a place in a layer."""
        assert self._table is not None, "a run has a table"
        return self._table.index(f"{self._owner}/{place}", links_name(layer))

    def links(self, place: str, read: Read, layer: str) -> dict[str, Any]:
        """Returns the attributes of a place's edges in one layer, by the place they lead to."""
        if self.settings.changes:
            links: dict[str, Any] = read(self.variable(place, layer))
            return links
        return self.layers.get(layer, {}).get(place, {})

    def neighbours(self, place: str, read: Read, layer: str | None) -> Sequence[str]:
        """Returns the places that an edge leads to, in one layer or any."""
        layers = self.layers if layer is None else (layer,)
        return list({name: None for of in layers for name in self.links(place, read, of)})

    def distance(self, start: str, goal: str, read: Read, layer: str | None) -> int | None:
        """Returns the least number of edges between two places; None if no way leads there."""
        place = search(self, start, read, layer, goal=goal).get(goal)
        return None if place is None else place[0]

    def path(self, start: str, goal: str, read: Read, layer: str | None) -> list[str]:
        """Returns the places of a shortest way; [] if there is none."""
        reached = search(self, start, read, layer, goal=goal)
        way = [goal] if goal in reached else []
        while way and way[-1] != start:
            way.append(reached[way[-1]][1])
        return way[::-1]


def search(
    shape: Grid | Network,
    start: str,
    read: Read,
    layer: str | None,
    *,
    steps: float = float("inf"),
    goal: str | None = None,
) -> dict[str, tuple[int, str]]:
    """Returns the places reached from one, nearest first, with their distance and the one before.

    The search, breadth first, ends at a distance of `steps`, or at the `goal`.
    """
    reached = {start: (0, "")}
    frontier = deque((start,))
    while frontier and goal not in reached:
        place = frontier.popleft()
        distance = reached[place][0] + 1
        if distance > steps:
            break
        for name in shape.neighbours(place, read, layer):
            if name not in reached:
                reached[name] = (distance, place)
                frontier.append(name)
    return reached


class World:
    """The shape of one run's world with its variables, and an index of who is where.

    `positions` has the agent of each variable that is a position; none has one where the agents
    are the places.
    """

    def __init__(self, spatial: SpatialSettings, table: VariableTable) -> None:
        network = spatial.network
        self.table = table
        self.shape = shape_of(spatial, table)
        self.is_of_agents = network is not None and network.nodes == "agents"
        self._moves = spatial.moves and not self.is_of_agents
        self.may_change = self._moves or (network is not None and network.changes)
        self.whereabouts = table.index(MAP, "whereabouts")
        self.positions: dict[int, str] = {}
        self._places: dict[int, str] = {}
        self._here: dict[str, set[int]] = {}
        for place in self.shape.places if self.is_of_agents else ():
            self.check(place)

    def check(self, place: str) -> None:
        """Raises ThenceError for a place that is none."""
        if fault := self.shape.fault(place):
            raise map_error("place", place, *fault)

    def placed(self, state: State, chance: Callable[[str], random.Random]) -> State:
        """Returns the first state: with the edges, and agents without a position placed by chance.

        `chance` returns the random stream of an agent.
        """
        first: dict[tuple[str, str], object] = {}
        shape, places = self.shape, list(self.shape.places)
        if isinstance(shape, Network) and shape.settings.changes:
            for layer, by_place in shape.layers.items():
                for place, links in by_place.items():
                    variable = self.table[shape.variable(place, layer)]
                    first[variable.scope, variable.declaration.name] = links
        for scope, names in self.table.by_scope.items() if places else ():
            agent, index = scope.removeprefix("agent/"), names.get(POSITION, -1)
            if agent != scope and index >= 0 and not state.values()[index]:
                first[scope, POSITION] = chance(agent).choice(places)
        return state.replace(first)

    def take(self, values: Sequence[Any], agents: Iterable[str]) -> None:
        """Takes the positions of agents anew; raises ThenceError for a place that is none."""
        for agent in () if self.is_of_agents else agents:
            self.positions[self.table.index(f"agent/{agent}", POSITION)] = agent
        self._take(self.positions, values)

    def follow(self, written: Iterable[int], values: Sequence[Any]) -> list[int]:
        """Keeps the index true behind writes; returns the positions among the variables.

        Raises ThenceError for a place that is none, and for a move where no agent moves.
        """
        moved = [index for index in written if index in self.positions]
        for index in moved:
            if not self._moves and values[index] != self._places[index]:
                agent = self.positions[index]
                raise map_error("move", agent, "moves is false", "write moves: true in spatial")
        self._take(moved, values)
        return moved

    def at(self, place: str, pending: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Yields the position and name of each agent that is at a place, or may be by `pending`."""
        indices = self._here.get(place, set()).union(self.positions.keys() & pending)
        return ((index, self.positions[index]) for index in sorted(indices))

    def reachable(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Returns variables that an action may change, without positions if no agent moves."""
        if not self._moves:
            return tuple([index for index in indices if index not in self.positions])
        reached = tuple(indices)
        moves = not self.positions.keys().isdisjoint(reached)
        return (*reached, self.whereabouts) if moves else reached

    def _take(self, indices: Iterable[int], values: Sequence[Any]) -> None:
        for index in indices:
            place = values[index]
            if place:
                self.check(place)
            self._here.get(self._places.get(index, ""), set()).discard(index)
            self._places[index] = place
            self._here.setdefault(place, set()).add(index)


class MapView(Protocol):
    """The view that a map asks for its variables."""

    def value(self, index: int) -> Any: ...
    def put(self, index: int, value: object) -> None: ...
    def may_read(self, index: int) -> bool: ...
    def pending(self) -> Iterable[int]: ...


class WorldMap:
    """The map of a world as one view sees it: `view.world_map`.

    Distances are in steps: cells of a grid, edges of a network, of one `layer` if it is named.
    Each method raises ThenceError for a place or agent that is none.
    """

    __slots__ = ("_view", "_world")

    def __init__(self, view: MapView, world: World | None) -> None:
        if world is None:
            hint = "write grid: {width: 9, height: 9} in the section spatial"
            raise map_error("map", "of the world", "the scenario has no grid and no network", hint)
        self._view, self._world = view, world

    def places(self) -> list[str]:
        """Returns the names of all places."""
        return list(self._world.shape.places)

    def neighbours(self, place: str, layer: str | None = None) -> list[str]:
        """Returns the places one step from a place."""
        self._world.check(place)
        return list(self._world.shape.neighbours(place, self._view.value, layer))

    def distance(self, start: str, goal: str, layer: str | None = None) -> int | None:
        """Returns the steps of a shortest way; None if there is none."""
        self._world.check(start)
        self._world.check(goal)
        return self._world.shape.distance(start, goal, self._view.value, layer)

    def path(self, start: str, goal: str, layer: str | None = None) -> list[str]:
        """Returns the places of a shortest way, both ends among them; [] if there is none."""
        self._world.check(start)
        self._world.check(goal)
        return self._world.shape.path(start, goal, self._view.value, layer)

    def within(self, place: str, steps: int, layer: str | None = None) -> list[str]:
        """Returns the places at most so many steps from a place, itself first, nearest first."""
        self._world.check(place)
        return list(search(self._world.shape, place, self._view.value, layer, steps=steps))

    def attributes(self, start: str, goal: str, layer: str = "") -> Mapping[str, Any] | None:
        """Returns the attributes of an edge of a network; None if there is no such edge."""
        self._world.check(start)
        self._world.check(goal)
        return self._network().links(start, self._view.value, layer).get(goal)

    def position(self, agent: str) -> str:
        """Returns the place of an agent, "" if it is nowhere."""
        if self._world.is_of_agents:
            self._world.check(agent)
            return agent
        place: str = self._view.value(self._world.table.index(f"agent/{agent}", POSITION))
        return place

    def agents_at(self, place: str) -> list[str]:
        """Returns the agents at a place, in their order; it depends on where all agents are."""
        self._world.check(place)
        if self._world.is_of_agents:
            return [place]
        view = self._view
        view.value(self._world.whereabouts)
        return [
            agent
            for index, agent in self._world.at(place, view.pending())
            if view.may_read(index) and view.value(index) == place
        ]

    def agents_within(
        self,
        agent: str,
        steps: int,
        *,
        among: Iterable[str] | None = None,
        layer: str | None = None,
    ) -> list[str]:
        """Returns the other agents at most so many steps from an agent, nearest first.

        It depends on where all agents are, with `among` on where these are. An agent that is
        nowhere has none around it.
        """
        here = self.position(agent)
        places = self.within(here, steps, layer) if here else []
        if among is None:
            names = [name for place in places for name in self.agents_at(place)]
        else:
            position_of = {name: self.position(name) for name in among}
            names = [name for name in position_of if position_of[name] in places]
            names.sort(key=lambda name: places.index(position_of[name]))
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
        if self._world.is_of_agents:
            raise map_error("move", agent, "the agents are the places", "use link and unlink")
        if place:
            self._world.check(place)
        self._view.put(self._world.table.index(f"agent/{agent}", POSITION), place)

    def link(self, start: str, goal: str, layer: str = "", **attributes: Any) -> None:
        """Adds an edge to a network that changes, or gives it other attributes.

        Raises TypeError as `move` does.
        """
        self._edit(start, goal, layer, {"layer": layer, **attributes} if layer else attributes)

    def unlink(self, start: str, goal: str, layer: str = "") -> None:
        """Takes an edge away, if there is one; raises TypeError as `move` does."""
        self._edit(start, goal, layer, None)

    def _edit(self, start: str, goal: str, layer: str, edge: Mapping[str, Any] | None) -> None:
        self._world.check(start)
        self._world.check(goal)
        network = self._network()
        if not network.settings.changes:
            raise map_error("edge", f"{start} to {goal}", "changes is false", "write changes: true")
        for a, b in network.directions(start, goal):
            links = network.links(a, self._view.value, layer)
            links.pop(b, None)
            self._view.put(
                network.variable(a, layer), links if edge is None else {**links, b: edge}
            )

    def _network(self) -> Network:
        if isinstance(self._world.shape, Grid):
            raise map_error("edge", "of a grid", "a grid has no edges", "write spatial.network")
        return self._world.shape


def shape_of(spatial: SpatialSettings, table: VariableTable | None = None) -> Grid | Network:
    """Returns the grid or network of a scenario that has one."""
    if spatial.grid is not None:
        return Grid(spatial.grid)
    assert spatial.network is not None, "a world is a grid or a network"
    return Network(spatial, spatial.network, table)


def links_name(layer: str) -> str:
    """Returns the name of the variable with the edges of a layer."""
    return f"links_{layer}" if layer else "links"


def declared_by(spatial: SpatialSettings) -> dict[str, tuple[Declaration, ...]]:
    """Returns the variables that a world declares itself, by their section."""
    if not spatial.has_world:
        return {}
    position, network = (Declaration(name=POSITION, kind="str"),), spatial.network
    if network is None:
        return {"agent_vars": position}
    layers = Network(spatial, network).layers if network.changes else ()
    links = tuple(Declaration(name=links_name(layer), kind="dict") for layer in layers)
    if network.nodes == "agents":
        return {"agent_vars": links}
    return {"agent_vars": position, "place_vars": links}


def with_edges(
    spatial: SpatialSettings, folder: Path, agents: Sequence[str]
) -> tuple[SpatialSettings, dict[tuple[str | int, ...], Fault]]:
    """Returns a world with its edges read, from their file if it names one, and what is wrong.

    `agents` are those of the scenario, none if they come as objects.
    """
    grid, network = spatial.grid, spatial.network
    others = [key for key in ("network", "places", "roads") if getattr(spatial, key)]
    if grid is not None and others:
        return spatial, {(others[0],): ("a grid has its own places", f"leave {others[0]} out")}
    if grid is not None and grid.width * grid.height > _CELLS_MAX:
        return spatial, {("grid",): (f"it has more than {_CELLS_MAX:,} cells", "make it smaller")}
    if network is None:
        return spatial, {}
    if spatial.roads:
        return spatial, {("roads",): ("a network has edges, and no roads", "write them as edges")}
    path: tuple[str | int, ...] = ("network", "edges")
    raw: Sequence[object] = network.edges
    if network.file is not None:
        path = ("network", "file")
        raw, fault = _read_edges(folder / network.file)
        if network.edges or fault:
            fault = fault or "the edges stand twice, here and in the file"
            return spatial, {path: (fault, "name a file of JSON such as [[a, b], [b, c]]")}
    names = agents if network.nodes == "agents" else [place.name for place in spatial.places]
    known, edges, faults = set(names), [], {}
    for number, item in enumerate(raw):
        edge = _edge(item)
        at = path if network.file else (*path, number)
        unknown = [end for end in edge[:2] if known and end not in known] if edge else []
        if edge is None:
            hint = "write [a, b] or [a, b, {layer: work}]"
            faults[at] = f"edge {number} is no edge: {item!r:.60}", hint
        elif unknown:
            near = nearest(unknown[0], names, likeness=0)[0]
            message = f"edge {number} leads to {unknown[0]!r}, which is none of the {network.nodes}"
            faults[at] = message, f"the nearest is {near}"
        else:
            edges.append(edge)
    network = msgspec.structs.replace(network, edges=tuple(edges))
    return msgspec.structs.replace(spatial, network=network), faults


def plain_network(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a scenario with a graph of networkx, or one like it, as the section `network`.

    The name of each node is its `str`.
    """
    spatial = scenario.get("spatial")
    if not isinstance(spatial, Mapping) or not hasattr(spatial.get("network"), "is_directed"):
        return dict(scenario)
    graph = spatial["network"]
    edges = [[str(a), str(b), dict(attributes)] for a, b, attributes in graph.edges(data=True)]
    network = {"edges": edges, "directed": bool(graph.is_directed())}
    return {**scenario, "spatial": {**spatial, "network": network}}


def _read_edges(path: Path) -> tuple[Sequence[object], str]:
    """Returns the edges in a JSON file, and why they can't be read, if so."""
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            return (), f"{path} has more than {_FILE_BYTES_MAX:,} bytes"
        edges = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        return (), f"{path} can't be read: {error.strerror or error}"
    except msgspec.DecodeError as error:
        return (), f"{path} is not JSON: {error}"
    return (edges, "") if isinstance(edges, list) else ((), f"{path} holds no list of edges")


def _edge(item: object) -> Edge | None:
    """Returns an edge as (start, goal, attributes); None if an item is none."""
    match item:
        case [int() | str() as start, int() | str() as goal]:
            attributes: Mapping[str, Any] = {}
        case [int() | str() as start, int() | str() as goal, Mapping() as attributes]:
            pass
        case _:
            return None
    try:
        msgspec.convert([str(start), str(goal), attributes.get("layer", "x")], tuple[Name, ...])
    except msgspec.ValidationError:
        return None
    return str(start), str(goal), attributes


def map_error(what: str, place: str, cause: str, hint: str) -> ThenceError:
    """Returns the error for what a world lacks."""
    return ThenceError(f"could not take the {what}", place=place, cause=cause, hint=hint)
