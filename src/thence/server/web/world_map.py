"""The map of a run's world as it was after a turn: who was where, as SVG without script.

The grid or network is that of the recorded scenario. Where agents were at the end is in
result.json; after another turn it follows from the STATE events of their positions, unless agents
were added or removed. The place of an agent that has not moved is in result.json alone.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import cos, pi, sin, sqrt
from typing import Any, NamedTuple

import msgspec

from thence.core.markup import Html, cut, el, facts, path, visible
from thence.core.query.filter import Filter
from thence.core.sentences.events import counted
from thence.index.lookup import values_at
from thence.index.query import count
from thence.server.logs.open_logs import OpenLog
from thence.server.logs.root import FoundLog, Root
from thence.server.logs.run_record import run_object
from thence.server.logs.summaries import LogFacts
from thence.server.web.run import Question

PLACES_MAX, EDGES_MAX, LABELS_MAX = 10_000, 2_000, 40
LISTED_MAX, NAMES_MAX = 100, 20
CHANGES_MAX = 30_000
# the events of type SYSTEM that are searched for agents that came or went
SYSTEM_READ_MAX = 5_000
_COLOURS = 8
_RADIUS = 50


class _World(NamedTuple):
    """The points of a map by the names of places, and the edges of a network; a grid has None.

    `variable` holds the place of an agent; `groups` are the agents of which there are several.
    """

    points: Mapping[str, tuple[float, float]]
    edges: Sequence[tuple[str, str]] | None
    variable: str
    groups: Sequence[str]


def map_section(
    root: Root, log: OpenLog, location: FoundLog, summary: LogFacts, question: Question
) -> Html | None:
    """Returns the map after the last turn that the question names; None of a run without one."""
    config = run_object(root, location, "config.json") if location.is_simulation else {}
    world = _world(config.get("scenario"))
    if world is None:
        return None
    state = run_object(root, location, "result.json").get("final_state")
    scopes = state.items() if isinstance(state, dict) else ()
    values = end = {scope: of.get(world.variable) for scope, of in scopes if isinstance(of, dict)}
    last = turn = summary.turns
    named, has_turns = question.filter.turn_last, _has_turns(log, summary)
    if has_turns and (named is not None or not end):
        turn = last if named is None else max(0, min(named, last))
        name, at = world.variable, turn
        changed = log.index.answer(lambda one: values_at(log.index, one, name, at, CHANGES_MAX))
        values, turn = (end, last) if changed is None else (end | changed, turn)
    here: defaultdict[str, list[str]] = defaultdict(list)
    for scope, place in values.items():
        if scope.startswith("agent/") and isinstance(place, str):
            here[place if place in world.points else ""].append(scope.removeprefix("agent/"))
    elsewhere = len(here.pop("", ()))
    text = f"After turn {turn:,}: {counted(sum(map(len, here.values())), 'agent')} at {len(here):,}"
    text += f" of {counted(len(world.points), 'place')}"
    text += f", {elsewhere:,} elsewhere" if elsewhere else ""
    text += "" if end else "; an agent that has not moved yet is not on it"
    text += "" if named is None or turn == min(named, last) else "; an earlier one is not known"
    links = [
        el("a", name, href=path("runs", location.id, **question.query(turn=f"{to}")) + "#map")
        for name, to in (("A turn earlier", turn - 1), ("A turn later", turn + 1))
        if has_turns and 0 <= to <= last
    ]
    listed = [(visible(cut(at, 60)), _names(agents)) for at, agents in [*here.items()][:LISTED_MAX]]
    return el(
        "section",
        el("h2", "Map"),
        el("p", text, class_="quiet"),
        _drawn(world, here, text),
        *_legend(world),
        el("nav", *links, class_="pages", aria_label="The map through time") if links else None,
        el("details", el("summary", "Who is where"), facts(listed)) if listed else None,
        id="map",
    )


def _has_turns(log: OpenLog, summary: LogFacts) -> bool:
    """Reports whether the log holds all that changed who was where."""
    systems = summary.by_type.get("SYSTEM", 0)
    if "STATE" not in summary.by_type or systems > SYSTEM_READ_MAX:
        return False
    came_or_went = ("error_type = agent_added", "error_type = agent_removed")
    return not systems or not any(
        count(log.index, Filter.of(type="SYSTEM", where=where)) for where in came_or_went
    )


def _world(scenario: object) -> _World | None:
    """Returns the world of a recorded scenario; None without one, or of one that is too large."""
    from thence.sim.scenario.sections import SpatialSettings
    from thence.sim.space.worlds import POSITION, Graph, shape_of

    sections = scenario if isinstance(scenario, dict) else {}
    try:
        spatial = msgspec.convert(sections.get("spatial"), SpatialSettings)
        agents = msgspec.convert(sections.get("agents", ()), tuple[dict[str, Any], ...])
    except msgspec.ValidationError:
        return None
    groups = [str(entry.get("name")) for entry in agents if entry.get("count")][:_COLOURS]
    grid, network = spatial.grid, spatial.network
    if grid is not None:
        cells = shape_of(spatial).places if grid.width * grid.height <= PLACES_MAX else {}
        return _World(cells, None, POSITION, groups) if cells else None
    names = [place.name for place in spatial.places]
    edges = [road.between for road in spatial.roads]
    if network is not None:
        graph = shape_of(spatial)
        if not isinstance(graph, Graph) or network.nodes == "agents":
            return None  # there each place is an agent
        names, layers = [*graph.places], () if network.changes else graph.layers.values()
        edges = [(a, b) for layer in layers for a, near in layer.items() for b in near]
    if not 0 < len(names) <= PLACES_MAX:
        return None
    angles = [2 * pi * at / len(names) for at in range(len(names))]
    points = {
        name: (round(_RADIUS * sin(angle), 2), round(-_RADIUS * cos(angle), 2))
        for name, angle in zip(names, angles, strict=True)
    }
    return _World(points, edges, POSITION if spatial.has_world else "location", groups)


def _drawn(world: _World, here: Mapping[str, Sequence[str]], text: str) -> Html:
    """Returns the map: the more agents a place has, the darker is its cell, or larger its dot."""
    top = max(map(len, here.values()), default=1)
    parts: list[Html] = []
    if world.edges is not None:
        ends = [(world.points.get(a), world.points.get(b)) for a, b in world.edges[:EDGES_MAX]]
        lines = "".join(f"M{a[0]} {a[1]}L{b[0]} {b[1]}" for a, b in ends if a and b)
        parts.append(el("path", d=lines, class_="ground"))
    for place, (x, y) in world.points.items():
        agents = here.get(place, ())
        title = el("title", f"{cut(place, 60)}: {_names(agents) or 'nobody'}")
        share = len(agents) / top
        if world.edges is None and agents:
            colour, shade = _colour(world, agents), f"{0.3 + 0.7 * share:.2f}"
            cell = {"x": f"{x}", "y": f"{y}", "width": "1", "height": "1", "fill_opacity": shade}
            parts.append(el("rect", title, fill="currentColor", class_=colour, **cell))
        elif world.edges is not None:
            radius = f"{1 + 5 * sqrt(share):.2f}"
            parts.append(el("circle", title, cx=f"{x}", cy=f"{y}", r=radius, fill="currentColor"))
            if len(world.points) <= LABELS_MAX:
                side, dx = ("start", 8) if x >= 0 else ("end", -8)
                label = {"x": f"{x + dx}", "y": f"{y + 1.5}", "text_anchor": side}
                parts.append(
                    el("text", visible(cut(place, 20)), font_size=5, class_="label", **label)
                )
    box = "-90 -60 180 120"
    if world.edges is None:
        wide, high = (1 + max(point[axis] for point in world.points.values()) for axis in (0, 1))
        parts.insert(0, el("rect", width=f"{wide}", height=f"{high}", class_="ground"))
        box = f"0 0 {wide} {high}"
    return el("svg", *parts, viewBox=box, class_="map", role="img", aria_label=text)


def _colour(world: _World, agents: Sequence[str]) -> str | None:
    """Returns the class of the group that most agents of a place are of."""
    groups = [world.groups.index(one) for one in _groups(agents) if one in world.groups]
    return f"type-{Counter(groups).most_common(1)[0][0]}" if groups else None


def _groups(agents: Sequence[str]) -> list[str]:
    return [agent.rpartition("-")[0] for agent in agents]


def _legend(world: _World) -> list[Html]:
    if world.edges is not None:
        return []
    marks = [
        el("span", el("span", "■ ", class_=f"type-{at}"), visible(cut(name, 60)), " ")
        for at, name in enumerate(world.groups)
    ]
    return [el("p", *marks, class_="look-legend quiet")] if marks else []


def _names(agents: Sequence[str]) -> str:
    rest = f" and {len(agents) - NAMES_MAX:,} more" if len(agents) > NAMES_MAX else ""
    return ", ".join(agents[:NAMES_MAX]) + rest
