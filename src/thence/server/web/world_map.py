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

from thence.core.markup import Html, cut, el, facts, path
from thence.core.query.filter import Filter
from thence.core.ready import ready
from thence.core.sentences.events import counted
from thence.log.index.lookup import values_at
from thence.log.index.overview import LogFacts
from thence.log.index.query import count
from thence.server.logs.root import OpenLog, Root
from thence.server.logs.summaries import run_object
from thence.server.web.run import Question

PLACES_MAX, LABELS_MAX, LISTED_MAX, NAMES_MAX = 10_000, 40, 100, 20
CHANGES_MAX = 30_000
# the events of type SYSTEM that are searched for agents that came or went
SYSTEM_READ_MAX = 5_000
_ROSTER = [
    Filter.of(type="SYSTEM", where=f"error_type = {kind}")
    for kind in ("agent_added", "agent_removed")
]
_COLOURS, _RADIUS = 8, 50


class _World(NamedTuple):
    """The points of a map by the names of places, and the edges of a network; a grid has None.

    `variable` holds the place of an agent; `groups` are the agents of which there are several.
    """

    points: Mapping[str, tuple[float, float]]
    edges: Sequence[tuple[str, str]] | None
    variable: str
    groups: Sequence[str]


def map_section(root: Root, log: OpenLog, summary: LogFacts, question: Question) -> Html | None:
    """Returns the map after the last turn that the question names; None of a run without one."""
    config = run_object(root, log, "config.json") if log.is_simulation else {}
    world = _world(config.get("scenario"))
    if world is None:
        return None
    state = run_object(root, log, "result.json").get("final_state")
    scopes = state.items() if isinstance(state, dict) else ()
    values = end = {scope: of.get(world.variable) for scope, of in scopes if isinstance(of, dict)}
    last = turn = summary.turns
    named, systems = question.filter.turn_last, summary.by_type.get("SYSTEM", 0)
    has_turns = "STATE" in summary.by_type and systems <= SYSTEM_READ_MAX
    has_turns = has_turns and not (systems and any(count(log.index, one) for one in _ROSTER))
    if has_turns and (named is not None or not end):
        at, name = last if named is None else max(0, min(named, last)), world.variable
        changed = log.index.answer(lambda one: values_at(log.index, one, name, at, CHANGES_MAX))
        values, turn = (end, last) if changed is None else (end | changed, at)
    here: defaultdict[str, list[str]] = defaultdict(list)
    for scope, place in values.items():
        if scope.startswith("agent/") and isinstance(place, str):
            here[place if place in world.points else ""].append(scope.removeprefix("agent/"))
    if not here:
        return None  # the record has no places of agents
    elsewhere = len(here.pop("", ()))
    text = f"After turn {turn:,}: {counted(sum(map(len, here.values())), 'agent')} at {len(here):,}"
    text += f" of {counted(len(world.points), 'place')}"
    text += f", {elsewhere:,} elsewhere" if elsewhere else ""
    text += "" if end else "; an agent that has not moved yet is not on it"
    links = [
        el("a", name, href=path("runs", log.id, **question.query(turn=f"{to}")) + "#map")
        for name, to in (("A turn earlier", turn - 1), ("A turn later", turn + 1))
        if has_turns and 0 <= to <= last
    ]
    marks = [
        el("span", el("span", "■ ", class_=f"type-{at}"), cut(name, 60), " ")
        for at, name in enumerate(world.groups)
        if world.edges is None
    ]
    listed = [(cut(at, 60), _names(agents)) for at, agents in [*here.items()][:LISTED_MAX]]
    return el(
        "section",
        el("h2", "Map"),
        el("p", text, class_="quiet"),
        _drawn(world, here, text),
        el("p", *marks, class_="look-legend quiet") if marks else None,
        el("nav", *links, class_="pages", aria_label="The map through time") if links else None,
        el("details", el("summary", "Agents by place"), facts(listed)) if listed else None,
        id="map",
    )


def _world(scenario: object) -> _World | None:
    """Returns the world of a recorded scenario; None without one, or of one that is too large."""
    from thence.sim.scenario.sections import SpatialSettings
    from thence.sim.space.worlds import POSITION, Graph, shape_of

    sections = scenario if isinstance(scenario, dict) else {}
    try:
        spatial = msgspec.convert(sections.get("spatial"), ready(SpatialSettings))
        agents = msgspec.convert(sections.get("agents", ()), tuple[dict[str, Any], ...])
    except msgspec.ValidationError:
        return None
    grid, network = spatial.grid, spatial.network
    size = grid.width * grid.height if grid else 0
    shape = shape_of(spatial) if spatial.has_world and size <= PLACES_MAX else None
    groups = [str(entry.get("name")) for entry in agents if entry.get("count")][:_COLOURS]
    if grid is not None:
        return _World(shape.places, None, POSITION, groups) if shape else None
    names = [place.name for place in spatial.places]
    edges = [road.between for road in spatial.roads]
    if isinstance(shape, Graph):
        names = [*shape.places]
        edges = [(a, b) for a in shape.edges for b in shape.edges[a]]
    # in a network of agents each of them is a place
    if not 0 < len(names) <= PLACES_MAX or (network and network.nodes == "agents"):
        return None
    angles = [2 * pi * at / len(names) for at in range(len(names))]
    around = [(round(_RADIUS * sin(angle), 2), round(-_RADIUS * cos(angle), 2)) for angle in angles]
    variable = POSITION if spatial.has_world else "location"
    return _World(dict(zip(names, around, strict=True)), edges, variable, groups)


def _drawn(world: _World, here: Mapping[str, Sequence[str]], text: str) -> Html:
    """Returns the map: the more agents a place has, the darker is its cell, or larger its dot."""
    top = max(map(len, here.values()), default=1)
    if world.edges is None:
        wide, high = (1 + max(point[axis] for point in world.points.values()) for axis in (0, 1))
        box, ground = f"0 0 {wide} {high}", f"M0 0H{wide}V{high}H0z"
    else:
        ends = [(world.points.get(a), world.points.get(b)) for a, b in world.edges[:PLACES_MAX]]
        ground = "".join(f"M{a[0]} {a[1]}L{b[0]} {b[1]}" for a, b in ends if a and b)
        box = "-90 -60 180 120"
    parts = [el("path", d=ground, class_="ground")]
    for place, (x, y) in world.points.items():
        agents = here.get(place, ())
        title = el("title", f"{cut(place, 60)}: {_names(agents) or 'no one'}")
        share = len(agents) / top
        if world.edges is None and agents:
            group = Counter(one.rpartition("-")[0] for one in agents).most_common(1)[0][0]
            colour = f"type-{world.groups.index(group)}" if group in world.groups else None
            way, shade = f"M{x} {y}h1v1h-1z", f"{0.3 + 0.7 * share:.2f}"
            parts.append(el("path", title, d=way, fill_opacity=shade, class_=colour))
        elif world.edges is not None:
            parts.append(el("circle", title, cx=f"{x}", cy=f"{y}", r=f"{1 + 5 * sqrt(share):.2f}"))
            if len(world.points) <= LABELS_MAX:
                side, dx = ("start", 8) if x >= 0 else ("end", -8)
                label = {"x": f"{x + dx}", "y": f"{y + 1.5}", "text_anchor": side}
                parts.append(el("text", cut(place, 20), class_="label", **label))
    return el("svg", *parts, viewBox=box, class_="map", role="img", aria_label=text)


def _names(agents: Sequence[str]) -> str:
    rest = f" and {len(agents) - NAMES_MAX:,} more" if len(agents) > NAMES_MAX else ""
    return ", ".join(agents[:NAMES_MAX]) + rest
