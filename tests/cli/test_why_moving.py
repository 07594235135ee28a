"""`why` among agents that move: who was met comes first, and where all others are is summed up."""

import re

import pytest
from tests.cli.warm import warm

SCENARIO = """\
simulation: {name: field, max_turns: 12, seed: 3}
events: {verbosity: STATE}
state_variables: {agent_vars: [{name: alive, type: bool, default: true}]}
spatial: {grid: {width: 8, height: 8, wraps: true}}
engine: {type: "./field.py:Field"}
agents:
  - {name: wolf, type: "./field.py:Animal", count: 9}
  - {name: sheep, type: "./field.py:Animal", count: 20}
"""
CODE = """\
from thence.sim import Action, BaseAgent, BaseEngine


class Animal(BaseAgent):
    def decide_action(self, observation):
        world = observation.world_map
        near = world.neighbours(world.position(self.name))
        for place in near if self.name.startswith("wolf") else ():
            if any(name.startswith("sheep") for name in world.agents_at(place)):
                return Action("move", {"to": place})
        return Action("move", {"to": observation.random("step").choice(near)})


class Field(BaseEngine):
    def apply_action(self, view, action):
        view.world_map.move(action.agent_id, action.payload["to"])

    def apply_engine_rules(self, view):
        for name in view.agents():
            if name.startswith("sheep"):
                with view.rule(f"eaten-{name}"):
                    met = view.world_map.agents_at(view.world_map.position(name))
                    if any(other.startswith("wolf") for other in met):
                        view.agent(name)["alive"] = False
                        view.remove_agent(name)
"""


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A folder with a run in which wolves eat sheep, and the id of each sheep's death."""
    folder = tmp_path_factory.mktemp("field")
    (folder / "field.py").write_text(CODE)
    (folder / "field.yaml").write_text(SCENARIO)
    words = ("sim", "run", "field.yaml", "--run-id", "eaten", "--quiet")
    assert warm(*words, cwd=folder).code == 0
    words = ("query", "--log", "eaten", "--type", "STATE", "--where", "payload.new_value = false")
    deaths = warm(*words, "--json", cwd=folder).out.splitlines()
    return folder, re.findall(r'"event_id":"(\w+)"', "".join(deaths))


@pytest.mark.promise("O14a")
def test_who_was_met_is_among_the_first_reasons(field):
    folder, deaths = field
    assert len(deaths) > 4
    for death in deaths[4:]:  # of turn 3 and later; the chain of an early one is short
        told = warm("why", death, "--log", "eaten", cwd=folder).out
        sheep, place = re.search(r"agent/(sheep-\d+)/alive .*", told)[1], r"\d,\d"
        reasons = re.findall(r"\n- (.*)", told)
        own = [one for one in reasons if f"agent/{sheep}/position" in one]
        place = re.search(r" to (\d,\d) ", own[0])[1] if own else place
        wolf = rf"In turn \d+ agent/wolf-\d/position went from \d,\d to {place} \["
        assert [one for one in reasons if re.match(wolf, one)], told


def test_more_than_thirty_causes_name_the_measurement_that_weighs_them(field):
    folder, deaths = field
    ended = warm("why", deaths[-1], "--log", "eaten", cwd=folder)
    causes = re.search(r"([\d,]+) causes in all", ended.out)[1]
    command = f"why {deaths[-1]} --measure --log eaten"
    assert re.fullmatch(
        rf"{causes} causes: .*{command} shows which of them mattered\n", ended.err
    ), ended.err
    words = ("query", "--log", "eaten", "--type", "DECISION", "--turn", "1", "--json")
    first = re.search(r'"event_id":"(\w+)"', warm(*words, cwd=folder).out)[1]
    assert "--measure" not in warm("why", first, "--log", "eaten", cwd=folder).err
