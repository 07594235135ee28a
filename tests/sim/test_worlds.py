"""Maps answer as another hand's do, follow who moves, and go through a resume."""

import itertools
import random
from pathlib import Path

import networkx
import pytest
from tests.sim.toys import Doer, assert_goes_on, causes, played, told

from thence.errors import ScenarioError, ThenceError
from thence.sim import Action, BaseEngine, SimulationConfig, SimulationOrchestrator, branch

pytestmark = pytest.mark.promise("O14a")

FISHER = f"{Path(__file__).parents[2]}/scenarios/fishery.py:GreedyFisher"
NUMBER = {"name": "x", "type": "int"}


def given(spatial, turns=3, **sections):
    """Returns a scenario with a world."""
    variables = {"agent_vars": [NUMBER], "global_vars": [NUMBER]}
    return SimulationConfig.from_mapping(
        {
            "simulation": {"name": "world", "max_turns": turns, "seed": 1},
            "state_variables": variables,
            "spatial": spatial,
            **sections,
        }
    )


def asked(spatial, ask, names=("ann",), **sections):
    """Returns what an agent's observation answers in the first turn."""
    answers = []
    agents = [Doer(names[0], lambda seen: answers.append(ask(seen)))]
    agents += [Doer(name, lambda seen: None) for name in names[1:]]
    played(given(spatial, turns=1, **sections), agents)
    return answers[0]


def graph_of_grid(width, height, neighbours, wraps):
    graph = networkx.Graph()
    graph.add_nodes_from(itertools.product(range(width), range(height)))
    for (x, y), a, b in itertools.product(list(graph), (-1, 0, 1), (-1, 0, 1)):
        if a and b and neighbours == 4:
            continue
        cell = ((x + a) % width, (y + b) % height) if wraps else (x + a, y + b)
        if cell in graph and cell != (x, y):
            graph.add_edge((x, y), cell)
    return networkx.relabel_nodes(graph, {cell: f"{cell[0]},{cell[1]}" for cell in graph})


def compare(world, graph, rng):
    """Compares neighbours, distances, paths and who is within some steps with those of networkx."""
    distances = dict(networkx.all_pairs_shortest_path_length(graph))
    for _ in range(60):
        a, b = rng.choices(list(graph), k=2)
        steps = rng.randint(0, 4)
        assert set(world.neighbours(a)) == set(graph[a])
        assert world.distance(a, b) == distances[a].get(b)
        path = world.path(a, b)
        assert len(path) == distances[a].get(b, -1) + 1
        assert networkx.is_path(graph, path) or len(path) < 2
        within = world.within(a, steps)
        assert set(within) == {name for name, far in distances[a].items() if far <= steps}
        assert [distances[a][name] for name in within] == sorted(distances[a][n] for n in within)


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_grid_measures_as_networkx_does(neighbours, wraps):
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for size in [(1, 1), (2, 1), (1, 2), (2, 3), (7, 5), (rng.randint(3, 9), rng.randint(3, 9))]:
        grid = {"width": size[0], "height": size[1], "neighbours": neighbours, "wraps": wraps}
        graph = graph_of_grid(*size, neighbours, wraps)
        asked({"grid": grid}, lambda seen, graph=graph: compare(seen.world_map, graph, rng))


@pytest.mark.parametrize("kind", [networkx.Graph, networkx.DiGraph])
def test_network_measures_as_networkx_does(kind):
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(5):
        graph = kind(networkx.gnp_random_graph(14, 0.12, rng.getrandbits(32)))
        named = networkx.relabel_nodes(graph, str)

        def ask(seen, named=named):
            compare(seen.world_map, named, rng)

        edges = [[a, b, dict(of)] for a, b, of in graph.edges(data=True)]
        network = {"edges": edges, "directed": graph.is_directed()}
        places = [{"name": str(name)} for name in graph]
        asked({"network": network, "places": places}, ask)


class Mover(BaseEngine):
    """An engine that carries out what an action says by the map's own methods."""

    def __init__(self, places=()):
        super().__init__()
        self.places = dict(places)

    def initialize_state(self, state):
        return state.replace({(f"agent/{who}", "position"): at for who, at in self.places.items()})

    def apply_action(self, view, action):
        if action.action_type == "count":
            view.agent(action.agent_id)["x"] = len(action.payload["near"])
        else:
            getattr(view.world_map, action.action_type)(**action.payload)


def doing(name, by_turn):
    """Returns an agent that acts in some turns."""
    return Doer(name, lambda seen: by_turn.get(seen.turn))


def counting(name, steps=1, **keywords):
    """Returns an agent that decides by who is near."""
    near = lambda seen: seen.world_map.agents_within(name, steps, **keywords)  # noqa: E731
    return Doer(name, lambda seen: Action("count", {"near": near(seen)}))


def move(agent, place):
    return Action("move", {"agent": agent, "place": place})


GRID = {"grid": {"width": 9, "height": 9}}
PLACES = {"ann": "0,0", "ben": "1,0", "cleo": "8,8"}


def test_who_is_near_depends_on_the_moves_of_all_even_of_those_who_left():
    agents = [
        counting("ann"),
        doing("ben", {1: move("ben", "5,5")}),
        doing("cleo", {2: move("cleo", "0,1")}),
    ]
    events, simulation = played(given(GRID, turns=4), agents, Mover(PLACES))
    near = [events[f"{turn}.decide.ann.0"].new_value["near"] for turn in (1, 2, 3)]
    assert near == [["ben"], [], ["cleo"]]
    assert "1.apply0.ben.agent/ben/position" in causes(events, "2.decide.ann.0")
    assert "2.apply0.cleo.agent/cleo/position" in causes(events, "3.decide.ann.0")
    assert causes(events, "1.apply0.ben.agent/ben/position") == {"1.act.ben.0"}
    assert "map" not in simulation.history[-1].as_dict()


def test_who_of_some_is_near_depends_on_the_moves_of_these_alone():
    agents = [
        counting("ann", among=("cleo",)),
        doing("ben", {1: move("ben", "0,1")}),
        doing("cleo", {2: move("cleo", "0,1")}),
    ]
    events, _ = played(given(GRID, turns=4), agents, Mover(PLACES))
    assert events["3.decide.ann.0"].new_value["near"] == ["cleo"]
    named = set().union(*(causes(events, f"{turn}.decide.ann.0") for turn in (1, 2, 3)))
    assert "2.apply0.cleo.agent/cleo/position" in named
    assert "1.apply0.ben.agent/ben/position" not in named


def test_nobody_is_near_among_none():
    agents = [counting("ann", 9, among=()), doing("ben", {}), doing("cleo", {})]
    events, _ = played(given(GRID), agents, Mover(PLACES))
    assert events["1.decide.ann.0"].new_value["near"] == []


def test_nothing_depends_on_positions_where_no_agent_moves():
    agents = [counting("ann"), counting("ben"), counting("cleo")]
    events, _ = played(given({**GRID, "moves": False}), agents, Mover(PLACES))
    assert causes(events, "3.decide.ann.0") == {"0.start.-.0", "3.turn_start.-.0"}
    mover = doing("ben", {1: move("ben", "5,5")})
    with pytest.raises(ThenceError, match="moves is false") as raised:
        played(given({**GRID, "moves": False}), [mover], Mover({"ben": "1,0"}))
    assert "moves: true" in raised.value.hint


def test_moves_within_one_call_are_seen_there():
    class Swap(Mover):
        def apply_engine_rules(self, view):
            with view.rule("swap"):
                view.world_map.move("ann", "8,8")
                view.world_map.move("cleo", "")
                assert view.world_map.agents_at("8,8") == ["ann"]
                assert view.world_map.agents_within("ann", 1) == []
                assert view.world_map.position("cleo") == ""

    _, simulation = played(given(GRID), [doing(name, {}) for name in PLACES], Swap(PLACES))
    assert simulation.history[-1].agent("ann")["position"] == "8,8"


def test_agents_begin_where_the_scenario_says_or_by_chance_of_the_seed():
    agents = [
        {"name": "p", "type": FISHER, "count": 9},
        {"name": "q", "type": FISHER, "initial_location": "1,2"},
    ]
    names = [f"p-{number}" for number in range(1, 10)] + ["q"]

    def places(seed):
        config = given(GRID, turns=1, agents=agents)
        run = SimulationOrchestrator(config, seed=seed, agents=[doing(name, {}) for name in names])
        run.run()
        return [run.history[0].agent(name)["position"] for name in names]

    assert places(1) == places(1) != places(2)
    assert places(1)[-1] == "1,2"
    assert len(set(places(1))) > 3


def test_agent_that_is_added_is_on_the_map_from_then_on():
    class Adding(Mover):
        def apply_engine_rules(self, view):
            if view.turn == 1:
                view.add_agent(doing("dov", {}), {"position": "0,1"})
                view.add_agent(doing("esme", {}))

    agents = [counting("ann"), doing("ben", {}), doing("cleo", {})]
    events, simulation = played(given(GRID), agents, Adding(PLACES))
    near = [events[f"{turn}.decide.ann.0"].new_value["near"] for turn in (1, 2)]
    assert near == [["ben"], ["ben", "dov"]]
    assert "1.added.dov.0" in causes(events, "2.decide.ann.0")
    assert simulation.history[-1].agent("esme")["position"] == ""


EDGES = [["ann", "ben", {"strength": 2}], ["ben", "cleo"]]
NETWORK = {"network": {"nodes": "agents", "edges": EDGES}}


def test_edges_of_a_network_are_facts_with_attributes():
    names = ("ann", "ben", "cleo")

    def ask(seen):
        assert seen.world_map.attributes("ann", "ben")["strength"] == 2
        assert seen.world_map.attributes("ann", "cleo") is None
        assert seen.world_map.neighbours("ben") == ["ann", "cleo"]
        return dict(seen.reads)

    assert asked(NETWORK, ask, names) == {}


def test_neighbours_as_reach_depend_on_what_an_agent_left_undone():
    class Giving(Mover):
        def apply_action(self, view, action):
            if action.action_type == "give":
                view.agent("ben")["x"] = 1

        def apply_engine_rules(self, view):
            view.world["x"] = 1

    class Asking(Giving):
        def reach(self, agent):
            return "neighbours"

    def named(rules, **sections):
        """Returns what it names as causes of what ben has got that ann read, who gave nothing."""
        agents = [
            Doer("ann", lambda seen: None if seen.world["x"] or seen.turn == 1 else Action("give")),
            doing("ben", {}),
            Doer("cleo", lambda seen: Action("look", {"x": seen.agent("ben")["x"]})),
        ]
        events, _ = played(given(NETWORK, turns=3, **sections), agents, rules)
        return "1.rules.-.global/x" in causes(events, "3.decide.cleo.0")

    assert named(Asking())
    assert named(Giving(), engine={"type": "base", "reach": "neighbours"})
    assert not named(Giving())


def problem(spatial, **sections):
    """Returns the first problem of a scenario: its key, message and hint."""
    with pytest.raises(ScenarioError) as raised:
        given(spatial, **sections)
    first = raised.value.problems[0]
    return first["key"], first["message"], first["hint"]


@pytest.mark.parametrize(
    ("spatial", "key", "words"),
    [
        ({"grid": {"width": 0, "height": 3}}, "spatial.grid.width", "at least 1"),
        ({"grid": {"width": 3}}, "spatial.grid.height", "missing"),
        ({"grid": {"width": 3, "height": 3, "neighbours": 6}}, "spatial.grid.neighbours", "4 or 8"),
        ({**GRID, "places": [{"name": "a"}]}, "spatial.places", "a grid"),
        ({"network": {"edges": [["a"]]}}, "spatial.network.edges[0]", "[a, b]"),
        ({"network": {"edges": [["a", "b", "c"]]}}, "spatial.network.edges[0]", "[a, b]"),
        (
            {"places": [{"name": "mill"}], "network": {"edges": [["mill", "mil"]]}},
            "spatial.network.edges[0]",
            "nearest is mill",
        ),
        (
            {"network": {"edges": [["a", "b", {"cost": 1}], ["b", "a", {"cost": 2}]]}},
            "spatial.network.edges[1]",
            "from 'b' to 'a' again",
        ),
        (
            {"places": [{"name": "mill"}], "network": {"nodes": "agents"}},
            "spatial.places",
            "a network of agents",
        ),
        ({"network": {"file": "none.json"}}, "spatial.network.file", "No such file"),
        ({"topology": {"type": "hex_grid"}}, "spatial.topology", "grid, network"),
        ({"grid": {"width": 3, "height": 3, "wrapping": True}}, "spatial.grid.wrapping", "wraps"),
    ],
)
def test_bad_world_is_told_with_its_key_and_what_to_write(spatial, key, words):
    at, message, hint = problem(spatial)
    assert at == key
    assert words in f"{message} {hint}"


def test_bad_edges_in_a_file_are_told_with_line_and_file(tmp_path):
    scenario = tmp_path / "world.yaml"
    scenario.write_text(
        "simulation: {name: world}\nspatial:\n  places: [{name: mill}, {name: inn}]\n"
        "  network:\n    file: edges.json\n"
    )
    edges = tmp_path / "edges.json"
    for content, words in {
        "[[1,": "truncated",
        '{"a": 1}': "array",
        '[["mill", "in"]]': "edge 0 leads to 'in'",
        '[["mill", 3.5]]': "got `float`",
    }.items():
        edges.write_text(content)
        with pytest.raises(ScenarioError) as raised:
            SimulationConfig.from_file(scenario)
        first = raised.value.problems[0]
        assert (first["line"], first["key"]) == (5, "spatial.network.file")
        assert words in first["message"]
    edges.write_text('[["mill", "inn"]]')
    assert len(SimulationConfig.from_file(scenario).spatial.network.edges) == 1


def test_bad_place_is_told_where_an_agent_begins_and_where_it_goes():
    agents = [{"name": "p", "type": FISHER, "initial_location": "9,9"}]
    key, message, hint = problem(GRID, agents=agents)
    assert key == "agents[0].initial_location"
    assert "8,8" in hint, message
    for place in ("9,0", "x", "0"):
        with pytest.raises(ThenceError, match="there is no place"):
            played(given(GRID), [doing("ben", {1: move("ben", place)})], Mover({"ben": "1,0"}))
    with pytest.raises(ThenceError, match="no grid and no network"):
        asked({}, lambda seen: seen.world_map)
    with pytest.raises(ThenceError, match="'cleo'"):
        played(given(NETWORK), [doing("ann", {}), doing("ben", {})])


def test_variable_that_the_world_declares_is_refused():
    variables = {"agent_vars": [{"name": "position", "type": "str"}]}
    key, message, _ = problem(GRID, state_variables=variables)
    assert key == "state_variables.agent_vars"
    assert "position" in message


def running(folder, components, turns, verbosity="STATE"):
    """Returns what starts a run of a name in the world, with a checkpoint every three turns."""

    def run(name, **keywords):
        settings = {"name": "world", "max_turns": turns, "checkpoint_interval": 3}
        terms = {"output_root": folder, "run_id": name, "verbosity": verbosity, **keywords}
        return SimulationOrchestrator(given(GRID, simulation=settings), **terms, **components())

    return run


def components():
    agents = [counting("ann"), *[doing(name, {}) for name in ("ben", "cleo")]]

    class Wandering(Mover):
        def reach(self, agent):
            return "neighbours"

        def apply_engine_rules(self, view):
            with view.rule("wander"):
                near = view.world_map.neighbours(view.world_map.position("ben"))
                view.world_map.move("ben", view.random("ben").choice(near))
            if view.turn == 2:  # and stays there, over all checkpoints
                view.world_map.move("cleo", "4,5")

    return {"agents": agents, "engine": Wandering({"ann": "4,4", "ben": "4,3", "cleo": "4,6"})}


@pytest.mark.parametrize("verbosity", ["STATE", "ACTION"])
def test_moving_world_goes_on_after_a_kill_as_if_there_had_been_none(tmp_path, verbosity):
    run = running(tmp_path, components, 12, verbosity)
    assert_goes_on(tmp_path, run, components, 8)
    moved = {"agent/ben/position": "4,5"}
    changed = branch(tmp_path / "whole", 5, set=moved, run_id="b", **components()).run()
    details = {step: of for _, step, _, of, _ in told(changed.output_dir)}
    assert "ben" in details["6.decide.ann.0"]["new_value"]["near"]


def test_what_an_agent_that_left_might_have_changed_is_the_same_after_a_resume(tmp_path):
    class Leaving(Mover):
        def reach(self, agent):
            return "neighbours" if agent == "cleo" else None

        def apply_engine_rules(self, view):
            if view.turn == 2:  # beside ann
                view.world_map.move("cleo", "4,5")
            if view.turn == 4:
                view.remove_agent("cleo")

    def components():
        ann = Doer("ann", lambda seen: Action("count", {"near": [seen["x"]]}))
        engine = Leaving({"ann": "4,4", "ben": "1,1", "cleo": "4,7"})
        return {"agents": [ann, doing("ben", {}), doing("cleo", {})], "engine": engine}

    assert_goes_on(tmp_path, running(tmp_path, components, 9), components, 7)
    named = {step: causes for _, step, _, _, causes in told(tmp_path / "whole")}
    assert "4.removed.cleo.0" in named["8.decide.ann.0"]
