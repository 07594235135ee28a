"""An agent sees what its sight allows, and nothing else is a cause."""

import pytest
from tests.calls import called
from tests.sim.test_thinking import events_of
from tests.sim.toys import Doer, causes, config, orchestrator, played

from thence.errors import ScenarioError, ThenceError
from thence.sim import Action, BaseEngine, replay

pytestmark = pytest.mark.promise("O14b")

NAMES = ("ann", "ben", "cleo")
VARIABLES = [
    {"name": "x", "type": "int", "default": 100},
    {"name": "secret", "type": "float", "default": 50, "sight": "internal"},
    {"name": "mood", "type": "str", "default": "good"},
]
GRID = {"grid": {"width": 9, "height": 9}}
PLACES = {"ann": "0,0", "ben": "1,1", "cleo": "4,4"}


class Anyone(Doer):
    def __init__(self, name):
        super().__init__(name, lambda seen: None)


class Drift(BaseEngine):
    """Changes all variables each turn, so that each has a STATE to be a cause."""

    def apply_engine_rules(self, view):
        for name in NAMES:
            for variable, value in (("x", 100 + view.turn), ("secret", 50.0 + view.turn)):
                with view.rule(f"{variable}-{name}"):
                    view.agent(name)[variable] = value
        with view.rule("season"):
            view.world["sum"] = view.turn


def given(sight, spatial=None, turns=2):
    entry = {"type": "tests.sim.test_sight:Anyone"}
    places = [{"initial_location": place} for place in PLACES.values()] if spatial else [{}] * 3
    agents = [{"name": name, **entry, **at} for name, at in zip(NAMES, places, strict=True)]
    if sight is not None:
        agents[0]["sight"] = sight
    return config(turns=turns, agent_vars=VARIABLES, agents=agents, spatial=spatial or {})


def with_ann(look):
    """Returns agents of which ann alone does something, by what she sees."""
    return [Doer("ann", look), *map(Anyone, NAMES[1:])]


def looked(sight, looks, spatial=None):
    """Returns what ann sees of each variable in turn 2, and the steps that her decision names."""
    seen = {}

    def look(observation):
        for scope, name in looks:
            expected = observation.sees(scope, name)
            try:
                seen[scope, name] = observation.get(scope, name)
            except ThenceError as error:
                if error.code != "not_seen":
                    raise
                seen[scope, name] = None
            assert expected is (seen[scope, name] is not None)
        return Action("look", {"seen": list(seen.values())})

    events, _ = played(given(sight, spatial), with_ann(look), Drift())
    return list(seen.values()), causes(events, "2.decide.ann.0") - {"2.turn_start.-.0"}


LOOKS = [("agent/ann", "secret"), ("agent/ben", "x"), ("agent/ben", "secret"), ("global", "sum")]


@pytest.mark.parametrize(
    ("sight", "values"),
    [
        ({"level": "unaware"}, [51.0, None, None, None]),
        ({"level": "external"}, [51.0, 101, None, 1]),
        (None, [51.0, 101, None, 1]),
        ({"level": "insider"}, [51.0, 101, 51.0, 1]),
    ],
)
def test_each_level_sees_its_variables_and_names_no_others(sight, values):
    seen, named = looked(sight, LOOKS)
    assert seen == values
    variables = zip(LOOKS, values, strict=True)
    steps = {f"{scope}/{name}" for (scope, name), value in variables if value is not None}
    assert {step.split(".-.")[1] for step in named} == steps


@pytest.mark.parametrize(
    ("sight", "values"),
    [
        ({"within": 2}, [101, None, None, None, "1,1", None]),
        ({"within": 2, "level": "insider"}, [101, 51.0, None, None, "1,1", None]),
        (
            {"within": 2, "level": "insider", "beyond": "external"},
            [101, 51.0, 101, None, "1,1", "4,4"],
        ),
        ({"within": 8}, [101, None, 101, None, "1,1", "4,4"]),
        ({"within": 1}, [None] * 6),
    ],
)
def test_distance_decides_the_level(sight, values):
    others = ("agent/ben", "agent/cleo")
    looks = [(scope, name) for scope in others for name in ("x", "secret")]
    looks += [(scope, "position") for scope in others]
    seen, named = looked(sight, looks, GRID)
    assert seen == values
    for (scope, name), value in zip(looks, values, strict=True):
        if name != "position":
            assert any(step.endswith(f"{scope}/{name}") for step in named) is (value is not None)


def test_who_is_out_of_sight_is_not_told_among_those_near():
    def near(seen):
        return Action("look", {"near": seen.world_map.agents_within("ann", 9)})

    for sight, names in (({"within": 2}, ["ben"]), ({"within": 8}, ["ben", "cleo"])):
        events, _ = played(given(sight, GRID), with_ann(near), Drift())
        assert events["1.decide.ann.0"].new_value["near"] == names


def test_moves_that_can_not_be_seen_are_no_causes_of_who_is_near():
    class Coming(BaseEngine):
        def apply_engine_rules(self, view):
            with view.rule("ben"):
                view.world_map.move("ben", f"{view.turn},0")

    def near(seen, **among):
        return Action("look", {"near": seen.world_map.agents_within("ann", 9, **among)})

    blind = {"level": "unaware", "within": 2}  # and no better beyond
    levels = ((blind, []), ({"level": "unaware"}, []), ({"level": "external"}, ["ben", "cleo"]))
    for sight, names in levels:
        for among in ({}, {"among": NAMES[1:]}):
            agents = with_ann(lambda seen, among=among: near(seen, **among))
            events, _ = played(given(sight, GRID), agents, Coming())
            assert events["2.decide.ann.0"].new_value["near"] == names
            moved = "1.ben.-.agent/ben/position" in causes(events, "2.decide.ann.0")
            assert moved is bool(names)


def test_agent_that_fails_by_its_sight_fails_again_when_played_again(tmp_path):
    def look(seen):
        return Action("look", {"x": seen.agent("cleo")["x"]})

    def components():
        return {"agents": with_ann(look), "engine": Drift()}

    scenario = given({"within": 2}, GRID, turns=3)
    run = orchestrator(tmp_path, given=scenario, on_agent_error="skip", **components())
    run.run()
    failure, *_ = events_of(run.output_dir, "agent_failed").values()
    assert "can't see it" in failure.payload["error"]
    assert failure.payload["reads"] == ["agent/ann/position", "agent/cleo/position"]
    assert replay(run.output_dir, **components()).step == ""


def test_bad_sight_is_told_with_its_key():
    with pytest.raises(ScenarioError) as raised:
        given({"level": "blind", "within": -1, "with": 1})
    told = {each["key"]: f"{each['message']} {each['hint']}" for each in raised.value.problems}
    assert "'unaware', 'external' or 'insider'" in told["agents[0].sight.level"]
    assert "at least 0" in told["agents[0].sight.within"]
    assert "within" in told["agents[0].sight.with"]


def test_positions_that_decide_what_is_seen_are_causes_of_what_is_seen_and_what_is_not():
    class Coming(BaseEngine):
        def apply_engine_rules(self, view):
            for name, place in (("ben", "7,7"), ("cleo", "1,0")) if view.turn == 1 else ():
                with view.rule(name):
                    view.world_map.move(name, place)

    def look(seen):
        return Action("look", {name: seen.sees(f"agent/{name}", "x") for name in NAMES[1:]})

    events, _ = played(given({"within": 2}, GRID), with_ann(look), Coming())
    assert events["1.decide.ann.0"].new_value == {"ben": True, "cleo": False}
    assert events["2.decide.ann.0"].new_value == {"ben": False, "cleo": True}
    named = causes(events, "2.decide.ann.0")
    assert {"1.ben.-.agent/ben/position", "1.cleo.-.agent/cleo/position"} <= named


RING = 40


def ring(within):
    """Returns a ring of agents whose sight ends some steps away."""
    names = [f"a{number}" for number in range(RING)]
    entry = {"type": "tests.sim.test_sight:Anyone", "sight": {"within": within}}
    edges = [[name, names[number - 1]] for number, name in enumerate(names)]
    network = {"nodes": "agents", "edges": edges}
    agents = [{"name": name, **entry} for name in names]
    return config(turns=1, agents=agents, spatial={"network": network}), names


@pytest.mark.parametrize("within", [0, 1, 3, RING])
@pytest.mark.whole(rows=2)
def test_sight_in_a_network_is_one_search_an_agent_and_turn(within):
    scenario, names = ring(within)
    searches = []

    def look(seen):
        start = len(calls)
        near = [name for name in names if seen.sees(f"agent/{name}", "x")]
        searches.append(sum(code.co_name == "_search" for code in calls[start:]))
        return Action("look", {"near": near})

    with called() as calls:  # once, for it collects the garbage of all tests before
        events, _ = played(scenario, [Doer(name, look) for name in names], BaseEngine())
    assert sum(code is look.__code__ for code in calls) == RING
    for number, name in enumerate(names):
        steps = range(-min(within, RING // 2), min(within, RING // 2) + 1)
        near = {names[(number + step) % RING] for step in steps}
        assert set(events[f"1.decide.{name}.0"].new_value["near"]) == near
    assert max(searches) <= 1


@pytest.mark.promise("O14a")
@pytest.mark.parametrize(("asked", "moves"), [("ben", True), ("ben", False), ("cleo", False)])
def test_who_left_is_a_cause_for_whoever_asks_about_that_agent_and_may_have_seen_it(asked, moves):
    class Leaving(BaseEngine):
        def apply_engine_rules(self, view):
            for name in ("ben", "cleo") if view.turn == 1 else ():
                with view.rule(name):
                    view.remove_agent(name)

    def look(seen):
        return Action("look", {"sees": seen.sees(f"agent/{asked}", "x")})

    spatial = {**GRID, "moves": moves}
    events, _ = played(given({"within": 2}, spatial), with_ann(look), Leaving())
    assert events["2.decide.ann.0"].new_value == {"sees": False}
    # cleo was out of sight where she stood
    left = {"1.removed.ben.0"} if asked == "ben" else set()
    assert {one for one in causes(events, "2.decide.ann.0") if ".removed." in one} == left
