"""The page on scenarios is true: its example is read, its agent runs."""

import re
from pathlib import Path

import pytest
from tests.sim.toys import Doer, config, played

from thence.sim import SimulationConfig, SimulationOrchestrator, replay
from thence.sim.component_classes import component_class

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scenario.md"


def blocks(language):
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_example_of_the_page_runs(tmp_path):
    (scenario,) = blocks("yaml")
    agents, *_ = blocks("python")
    (tmp_path / "agents.py").write_text(agents)
    path = tmp_path / "market.yaml"
    path.write_text(scenario)
    read = SimulationConfig.from_file(path)
    assert [agent.name for agent in read.agents] == ["ada-1", "ada-2", "ada-3"]
    result = SimulationOrchestrator(path, output_root=tmp_path / "out").run()
    assert (result.status, result.turns, result.error) == ("completed", 40, None)


def test_engine_of_the_page_pauses_an_agent(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("python")[1])
    decided = []
    given = config(turns=6, agent_vars=[{"name": "tired", "type": "int", "default": 6}])
    mine = component_class("engines", "./mine.py:Mine", tmp_path)
    played(given, [Doer("ada", lambda seen: decided.append(seen.turn))], mine())
    assert decided == [1, 4, 5, 6]


@pytest.mark.promise("O11")
def test_agent_of_the_page_that_asks_is_replayed_without_asking(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("python")[2])
    asking = component_class("agents", "./mine.py:Asking", tmp_path)
    given = config(turns=3, agent_vars=[{"name": "money", "type": "int"}])
    made = SimulationOrchestrator(
        given, agents=[asking("ada")], output_root=tmp_path / "out", checkpoint_interval=1
    )
    folder = made.run().output_dir
    assert len((folder / "outcomes.jsonl").read_bytes().splitlines()) == 3
    assert len(list((folder / "checkpoints").glob("turn-*.json"))) == 2
    again = replay(folder, agents=[asking("ada")])
    assert (again.turns, again.step) == (3, "")
