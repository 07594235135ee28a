"""Agents of a world speak to those near them, and choose among the agents that there are."""

import re

import pytest
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import act, choices, user, written
from tests.sim.test_thinking import behind, causes, events_of, run_of

from thence.errors import ScenarioError
from thence.sim import replay

pytestmark = pytest.mark.promise("O12")
NETWORK = "spatial: {network: {nodes: agents, edges: [[ann, ben], [ben, cleo]]}}\nllm:\n"
NEAR = "talk: {reach: neighbours}"


def in_a_row(folder, url, keys=NEAR, network=NETWORK, **changes):
    """Writes the village with ann beside ben, and ben beside cleo."""
    base = {'{type: "./gifts.py:Gifts"}': "{type: base}", "llm:\n": network}
    return written(folder, url, keys=keys, **{**base, **changes})


def calling(body):
    """Ann says something to all in turn 1."""
    is_first = "You are ann. It is turn 1." in user(body)
    return act("say", to="all", text="rain") if is_first else act()


@pytest.mark.promise("O12", tier="person")
def test_only_neighbours_are_offered_to_speak_to_and_hear_it(tmp_path):
    with Endpoint(calling) as endpoint:
        result = run_of(in_a_row(tmp_path, endpoint.base_url)).run()
    assert choices(endpoint, "ann", 1, "say", "to") == ["all", "ben"]
    assert choices(endpoint, "ben", 1, "say", "to") == ["all", "ann", "cleo"]
    hearers = [re.match(r"You are (\w+)", text).group(1) for text in texts(endpoint, '"rain"')]
    assert hearers == ["ben"]
    events = events_of(result.output_dir)
    assert "1.act.ann.0" in behind(events, "2.llm-decide.ben.0")
    assert "1.act.ann.0" not in behind(events, "2.llm-decide.cleo.0")
    assert replay(result.output_dir).step == ""


def texts(endpoint, part):
    return [user(one.body) for one in endpoint.requests if part in user(one.body)]


@pytest.mark.parametrize("verbosity", ["MILESTONE", "STATE"])
def test_what_is_said_to_somebody_out_of_reach_is_refused_with_the_reason(tmp_path, verbosity):
    script = (
        "  - {name: dov, type: scripted, talk: {reach: neighbours},"
        " script: [{do: say, to: cleo, text: wind}, {do: say, to: ann, text: sun}]}\n"
    )
    with Endpoint(lambda body: act()) as endpoint:
        network = NETWORK.replace("[ben, cleo]", "[ben, cleo], [ann, dov]")
        scenario = in_a_row(tmp_path, endpoint.base_url, "talk: true", network)
        scenario.write_text(scenario.read_text() + script)
        result = run_of(scenario, max_turns=3, verbosity=verbosity).run()
    assert result.status == "completed"
    assert not texts(endpoint, "wind")
    assert len(texts(endpoint, "sun")) == 1
    if verbosity == "STATE":
        reason = events_of(result.output_dir)["1.reject.dov.0"].payload["reason"]
        assert "Invalid enum value 'cleo'" in reason
    assert replay(result.output_dir).step == ""


def test_neighbours_on_a_grid_are_those_a_step_away_and_change_with_it(tmp_path):
    walk = (
        "from thence.sim import BaseEngine\n\n\nclass Walk(BaseEngine):\n"
        "    def apply_engine_rules(self, view):\n"
        "        if view.turn == 1:\n            view.world_map.move('cleo', '0,0')\n"
    )
    grid = "spatial: {moves: true, grid: {width: 9, height: 1}}\nllm:\n"
    engine = '{type: "./walk.py:Walk"}'
    with Endpoint(calling) as endpoint:
        scenario = in_a_row(tmp_path, endpoint.base_url, NEAR, grid, **{"{type: base}": engine})
        text = scenario.read_text().replace(
            "name: ann\n", 'name: ann\n    initial_location: "0,0"\n'
        )
        text = text.replace("name: ben}", 'name: ben, initial_location: "1,0"}')
        scenario.write_text(text.replace("name: cleo}", 'name: cleo, initial_location: "8,0"}'))
        (tmp_path / "walk.py").write_text(walk)
        result = run_of(scenario, max_turns=2).run()
    assert result.error is None
    assert choices(endpoint, "ann", 1, "say", "to") == ["all", "ben"]
    assert choices(endpoint, "cleo", 1, "say", "to") == []
    assert choices(endpoint, "ann", 2, "say", "to") == ["all", "ben", "cleo"]
    events = events_of(result.output_dir)
    assert any(".agent/cleo/position" in step for step in causes(events, "2.llm-decide.ann.0"))
    assert replay(result.output_dir).step == ""


@pytest.mark.parametrize(
    ("word", "ann", "cleo"),
    [("agents", {"ben", "cleo"}, {"ann", "ben"}), ("neighbours", {"ben"}, {"ben"})],
)
def test_field_chooses_among_agents_or_neighbours(tmp_path, word, ann, cleo):
    changes = {"choices: [ann, ben, cleo]": f"choices: {word}"}
    with Endpoint(lambda body: act("give", to="ben", amount=1)) as endpoint:
        scenario = in_a_row(tmp_path, endpoint.base_url, "endpoint: local", **changes)
        result = run_of(scenario, max_turns=1).run()
    assert set(choices(endpoint, "ann", 1, "give", "to")) == ann
    assert set(choices(endpoint, "cleo", 1, "give", "to")) == cleo
    failures = events_of(result.output_dir, "agent_failed")
    assert [*failures] == ["1.failed.ben.0"], "nobody gives to itself"
    altered = {"1.decide.ann.0": {"action_type": "give", "payload": {"to": "ann", "amount": 1}}}
    with Endpoint(lambda body: act("give", to="ben", amount=1)) as endpoint:
        scenario = in_a_row(tmp_path / "b", endpoint.base_url, "endpoint: local", **changes)
        result = run_of(scenario, max_turns=1).run(alter=altered)
    reason = events_of(result.output_dir)["1.reject.ann.0"].payload["reason"]
    assert "Invalid enum value 'ann'" in reason


@pytest.mark.parametrize(
    ("keys", "changes", "key"),
    [
        (NEAR, {}, "talk"),
        ("endpoint: local", {"choices: [ann, ben, cleo]": "choices: neighbours"}, "actions"),
        ("talk: {reach: far}", {}, "talk"),
        ("memory: {sise: 3}", {}, "memory"),
        ("endpoint: local", {"choices: [ann, ben, cleo]": "choices: everybody"}, "choices"),
    ],
)
def test_what_a_world_does_not_have_is_a_problem_of_the_scenario(tmp_path, keys, changes, key):
    scenario = written(tmp_path, "http://127.0.0.1:9/v1", keys=keys, **changes)
    with pytest.raises(ScenarioError, match=key):
        run_of(scenario)
