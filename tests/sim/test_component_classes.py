"""A type in a scenario names a shipped class, a module's or a file's."""

from pathlib import Path

import pytest

from thence.errors import ScenarioError
from thence.sim import SimulationConfig
from thence.sim.run.simulation import make_components

FILE = """
from collections.abc import Iterable
from pathlib import Path

from thence.sim import Action, BaseAgent, BaseEngine

class Greeter(BaseAgent):
    def __init__(self, name, *, words: str = "hello", times: int = 1):
        super().__init__(name)
        if times == 0:
            raise KeyError("greeting")
        if times > 3:
            raise ValueError("nobody greets more than 3 times")
        self.words = words

    def decide_action(self, observation):
        return Action("greet", {"words": self.words})

class Free(BaseAgent):
    def __init__(self, name, **anything):
        super().__init__(name)
        self.anything = anything

class Reader(BaseAgent):
    def __init__(self, name, *, book: Path | None = None, pages: Iterable[str] = (),
                 odd: list[int] | tuple[str, ...] = ()):
        super().__init__(name)
        self.book, self.pages, self.odd = book, pages, odd
"""


def scenario(folder, agent):
    (folder / "greeter.py").write_text(FILE)
    path = folder / "s.yaml"
    path.write_text(f"simulation: {{name: hi, max_turns: 1}}\nagents:\n  - {agent}\n")
    return path


def problems(folder, agent):
    with pytest.raises(ScenarioError) as caught:
        make_components(SimulationConfig.from_file(scenario(folder, agent)))
    return caught.value.problems


def test_keys_of_a_users_class_are_checked(tmp_path):
    found = problems(tmp_path, "{name: ada, type: './greeter.py:Greeter', word: hi, times: x}")
    assert [(each["line"], each["key"], each["hint"]) for each in found] == [
        (3, "agents[0].times", ""),
        (3, "agents[0].word", "the nearest known is words"),
    ]


def test_class_that_takes_anything_takes_any_key(tmp_path):
    path = scenario(tmp_path, "{name: ada, type: './greeter.py:Free', colour: red}")
    (ada,) = make_components(SimulationConfig.from_file(path)).agents
    assert ada.anything == {"colour": "red"}


def test_annotations_beside_those_of_json_are_read(tmp_path):
    path = scenario(tmp_path, "{name: ada, type: './greeter.py:Reader', book: a.txt, odd: [1]}")
    (ada,) = make_components(SimulationConfig.from_file(path)).agents
    assert (ada.book, ada.pages, ada.odd) == (Path("a.txt"), (), [1])
    found = problems(tmp_path, "{name: ada, type: './greeter.py:Reader', book: 3, pages: ab}")
    told = ["should be a Path, not 3", "should be a list, not 'ab'"]
    assert [problem["message"] for problem in found] == told


def test_file_that_fails_when_imported_is_a_problem_of_the_scenario(tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    (problem,) = problems(tmp_path, "{name: ada, type: './broken.py:X'}")
    assert "can't be imported: division by zero" in problem["message"]


def test_component_whose_making_raises_anything_is_told_with_its_line(tmp_path):
    (problem,) = problems(tmp_path, "{name: ada, type: './greeter.py:Greeter', times: 0}")
    assert (problem["line"], problem["key"]) == (3, "agents[0]")
    assert problem["message"] == "./greeter.py:Greeter can't be made: KeyError: 'greeting'"
