"""A sweep or a run that goes on is one experiment: what its scenario names may not change."""

import hashlib
import json
import shutil

import pytest
from tests.cli.warm import warm

from thence.errors import RunDiverged
from thence.sim import SimulationOrchestrator, replay, resume

SCENARIO = """\
simulation: {name: s, max_turns: 3, seed: 1, checkpoint_interval: 2}
events: {verbosity: ACTION}
state_variables:
  global_vars: [{name: coins, type: int, default: 0}]
spatial: {network: {file: e.json, nodes: agents}}
llm: {endpoints: {local: {base_url: "http://127.0.0.1:9/v1", model: qwen}}, cassette: tape.jsonl}
engine: {type: "./world.py:World"}
agents:
  - {name: ann, type: "./idle.py:Idle", prompt: "a"}
  - {name: ben, type: "./idle.py:Idle"}
  - {from: people.csv, name: "{name}", type: llm_agent, prompt_file: "of-{name}.md"}
"""
FILES = {
    "s.yaml": SCENARIO,
    "e.json": '[["ann", "ben"]]',
    "tape.jsonl": "{}\n",
    "people.csv": "name\ncid\n",
    "of-cid.md": "You are kind.",
    "idle.py": """\
from thence.sim import BaseAgent


class Idle(BaseAgent):
    remembers = False

    def __init__(self, name, prompt: str = ""):
        super().__init__(name)

    def decide_action(self, observation):
        return None
""",
    "world.py": """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from steps.size import SIZE
from thence.sim import BaseEngine

sys.path.pop(0)
sys.modules.pop("steps.size"), sys.modules.pop("steps")


class World(BaseEngine):
    def apply_engine_rules(self, view):
        with view.rule("add"):
            view.world["coins"] += SIZE
""",
    "steps/__init__.py": "",
    "steps/size.py": "SIZE = 1\n",
}
CHANGES = {
    "e.json": "[]",
    "tape.jsonl": "{} \n",
    "people.csv": "name\ncid\n\n",
    "of-cid.md": "You are cruel.",
    "idle.py": FILES["idle.py"] + "\n",
    "world.py": FILES["world.py"].replace("+= SIZE", "+= 10 * SIZE"),
    "steps/size.py": "SIZE = 10\n",
    "s.yaml": SCENARIO.replace("default: 0", "default: 5"),
}


def laid_out(folder, *, models=True):
    (folder / "steps").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    if not models:
        lines = [line for line in SCENARIO.splitlines() if "llm" not in line]
        (folder / "s.yaml").write_text("\n".join(lines))
    return folder / "s.yaml"


def test_config_of_a_run_holds_the_digest_of_each_file_that_its_scenario_names(tmp_path):
    scenario = laid_out(tmp_path)
    run = SimulationOrchestrator(scenario, output_root=tmp_path / "runs")
    run.close()
    config = json.loads((run.output_dir / "config.json").read_bytes())
    digests = {
        name: hashlib.sha256(text.encode()).hexdigest()
        for name, text in FILES.items()
        if name != "s.yaml"
    }
    assert config["files"] == digests


@pytest.mark.parametrize("name", CHANGES)
def test_sweep_refuses_to_go_on_with_another_experiment_and_names_what_changed(tmp_path, name):
    laid_out(tmp_path, models=name in ("tape.jsonl", "people.csv", "of-cid.md"))
    words = ("sim", "sweep", "s.yaml", "--seeds", "1-2", "--output", "swept", "--quiet")
    warm(*words, cwd=tmp_path)
    shutil.rmtree(tmp_path / "swept" / "set-1-seed-2")
    text = CHANGES[name]
    if name == "s.yaml":
        text = (tmp_path / name).read_text().replace("default: 0", "default: 5")
    (tmp_path / name).write_text(text)
    again = warm(*words, cwd=tmp_path)
    assert again.code == 1
    assert f"its plan has another value of: {name}" in again.err
    assert not (tmp_path / "swept" / "set-1-seed-2").exists()
    (tmp_path / name).write_text(FILES[name])


@pytest.mark.parametrize("verbosity", ["MILESTONE", "ACTION", "STATE"])
@pytest.mark.parametrize("remembers", [False, True])
def test_resume_and_replay_compare_the_last_known_state(tmp_path, verbosity, remembers):
    scenario = laid_out(tmp_path / "a", models=False)
    idle = (scenario.parent / "idle.py").read_text()
    (scenario.parent / "idle.py").write_text(idle.replace("= False", f"= {remembers}"))
    result = SimulationOrchestrator(
        scenario, output_root=tmp_path / "runs", run_id="a", verbosity=verbosity
    ).run()
    assert result.final_state["global"]["coins"] == 3
    other = laid_out(tmp_path / "b", models=False)  # a module is loaded once in a process
    (other.parent / "steps" / "size.py").write_text("SIZE = 10\n")
    config = json.loads((result.output_dir / "config.json").read_bytes())
    config["source"] = str(other)
    (result.output_dir / "config.json").write_text(json.dumps(config))
    for _ in range(2):  # a refused one leaves what the next one compares
        with pytest.raises(RunDiverged) as error:
            resume(result.output_dir, max_turns=6).run()
        assert "steps/size.py changed since it was played" in str(error.value)
    if verbosity != "STATE":
        assert "'coins': 12" in str(error.value) or '"coins":' in str(error.value)
    difference = replay(result.output_dir)
    assert difference.step
    assert "steps/size.py" in difference.difference
    config["source"] = str(scenario)
    (result.output_dir / "config.json").write_text(json.dumps(config))
    assert replay(result.output_dir).difference == ""
    assert resume(result.output_dir, max_turns=6).run().final_state["global"]["coins"] == 6
