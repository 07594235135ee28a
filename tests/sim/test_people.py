"""Agents from a table: one entry for all rows, and each problem with its file and line."""

import hashlib
import json

import pytest
from tests.cli.warm import warm

from thence.errors import ScenarioError
from thence.sim import SimulationConfig, SimulationOrchestrator, branch, replay

SCENARIO = """\
simulation: {name: folk, max_turns: 3}
state_variables:
  agent_vars: [{name: money, type: int, max: 9}, {name: town, type: str}]
agents:
  - {name: zoe, type: scripted, script: []}
  - from: people.csv
    name: "{id}"
    type: "./folk.py:Person"
    prompt: 'You are {full}, {age}: {{"do": 1}}.'
    age: "{age}"
    initial: {money: "{money}", town: "{town}"}
"""
TABLE = 'id,full,age,money,town\nann,"Ann, the miller",41,5,7\nben,Ben,17.5,7,north\n'
FOLK = """\
from thence.sim import Action, BaseAgent


class Person(BaseAgent):
    remembers = False

    def __init__(self, name, *, prompt: str, age: float):
        super().__init__(name)
        self.prompt, self.age = prompt, age

    def decide_action(self, observation):
        return Action("say", {"text": self.prompt, "money": observation["money"]})
"""


@pytest.fixture
def read(tmp_path):
    """Returns the scenario of a text and a table, by which its problems are read too."""

    def read_scenario(text=SCENARIO, table=TABLE, name="people.csv"):
        (tmp_path / "folk.py").write_text(FOLK)
        (tmp_path / "folk.yaml").write_text(text)
        data = table.encode() if isinstance(table, str) else table
        if data is not None:
            (tmp_path / name).write_bytes(data)
        return SimulationConfig.from_file(tmp_path / "folk.yaml")

    return read_scenario


def problems(read, *arguments, **named):
    with pytest.raises(ScenarioError) as caught:
        read(*arguments, **named)
    return [
        (one["file"].rpartition("/")[2], one["line"], one["key"], one["message"])
        for one in caught.value.problems
    ]


TOWN_IS_TEXT = SCENARIO.replace('"{town}"', '"in {town}"')


def test_row_is_an_agent_with_its_columns_in_every_text(read):
    config = read(TOWN_IS_TEXT)
    zoe, ann, ben = config.agents
    assert (zoe.name, ann.name, ben.name) == ("zoe", "ann", "ben")
    assert ann.params == {"prompt": 'You are Ann, the miller, 41: {"do": 1}.', "age": 41}
    assert ben.params["age"] == 17.5
    assert ann.initial == {"money": 5, "town": "in 7"}
    assert ben.initial == {"money": 7, "town": "in north"}


def test_text_of_one_placeholder_is_the_number_of_its_column(read):
    assert ("people.csv", 2, "agents[1].initial.town", "town needs a str, not 7") in problems(read)


def test_whole_number_that_pandas_wrote_as_a_float_is_an_integer(read):
    config = read(TOWN_IS_TEXT, TABLE.replace("41,5,", "41.0,5.0,"))
    assert config.agents[1].initial["money"] == 5
    assert type(config.agents[1].initial["money"]) is int


TOO_RICH = "money can't be 12, its maximum is 9"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ben,", "ann,", ("people.csv", 3, "agents[1].name", "the name 'ann' appears twice")),
        ("ben,", "zoe,", ("people.csv", 3, "agents[1].name", "the name 'zoe' appears twice")),
        ("ben,", "b n,", ("people.csv", 3, "agents[1].name", "'b n' is not a name")),
        ("7,north", "12,north", ("people.csv", 3, "agents[1].initial.money", TOO_RICH)),
        ("ben,", "", ("people.csv", 3, "agents[1].from", "4 values in 5 columns")),
        ("north", '"north', ("people.csv", 3, "agents[1].from", "no CSV: unexpected end of data")),
        ("full", "id", ("people.csv", 1, "agents[1].from", "columns need names, all different")),
        (TABLE, "", ("folk.yaml", 6, "agents[1].from", "people.csv has 0 rows, 0 bytes")),
        (TABLE, "id,age\n", ("folk.yaml", 6, "agents[1].from", "people.csv has 0 rows, 7 bytes")),
    ],
)
def test_problem_of_a_row_has_the_file_and_line_of_the_table(read, old, new, expected):
    assert problems(read, TOWN_IS_TEXT, TABLE.replace(old, new)) == [expected]


def test_problem_of_a_row_behind_a_text_of_several_lines_has_its_first_line(read):
    table = TABLE.replace("Ann, the", "Ann,\nthe").replace("7,north", "12,north")
    assert [one[:2] for one in problems(read, TOWN_IS_TEXT, table)] == [("people.csv", 4)]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("{full}", "{ful}", 9, "the table has no column 'ful'"),
        ("{full}", "{full", 9, "a brace has no end"),
        ('"{id}"', "{id}", 7, "a placeholder is text"),
        ("people.csv", "people.txt", 6, "people.txt is not a table"),
        ("people.csv", "none.csv", 6, "none.csv can't be read: No such file or directory"),
        ("    age:", "    agee: 1\n    age:", 10, "this key is not known"),
    ],
)
def test_problem_of_the_entry_is_told_once_at_its_line(read, old, new, line, message):
    found = problems(read, TOWN_IS_TEXT.replace(old, new))
    assert [one for one in found if one[3] == message] == [
        ("folk.yaml", line, found[0][2], message)
    ]


@pytest.mark.parametrize("kind", ["llm_agent", '"./talker.py:Talker"'])
def test_file_of_a_prompt_is_filled_too(read, tmp_path, kind):
    (tmp_path / "who.md").write_text("You are {full}.")
    talker = "from thence.sim import PromptedAgent\n\n\nclass Talker(PromptedAgent):\n    pass\n"
    (tmp_path / "talker.py").write_text(talker)
    text = "\n".join(line for line in SCENARIO.splitlines() if "prompt:" not in line)
    text = text.replace('"./folk.py:Person"', kind).replace('"{town}"', "x")
    text = text.replace("    age:", "    prompt_file: who.md\n    memory:")
    text += '\nllm: {endpoints: {local: {base_url: "http://127.0.0.1:9/v1", model: m}}}\n'
    config = read(text, TABLE.replace("17.5", "17"))
    assert config.agents[2].params == {"prompt": "You are Ben.", "memory": 17}
    assert config.given["agents"][2]["prompt"] == "You are Ben."
    assert "who.md" in config.files
    (tmp_path / "who.md").write_text("You are {ful}.")
    with pytest.raises(ScenarioError) as caught:
        SimulationConfig.from_file(tmp_path / "folk.yaml")
    assert caught.value.hint == "the nearest is full"


def test_setting_is_one_of_the_entry_for_all_of_its_agents(read, tmp_path):
    read(TOWN_IS_TEXT)
    config = SimulationConfig.from_file(tmp_path / "folk.yaml", {"agents.1.age": 3})
    assert [one.params.get("age") for one in config.agents] == [None, 3, 3]


def test_agent_that_its_class_refuses_is_told_with_the_line_of_its_row(read, tmp_path):
    read(TOWN_IS_TEXT)
    refusal = "        if age < 18:\n            raise ValueError('too young')\n        self.prompt"
    (tmp_path / "folk.py").write_text(FOLK.replace("        self.prompt", refusal, 1))
    validated = warm("sim", "validate", "folk.yaml", cwd=tmp_path)
    assert validated.out.splitlines()[0] == (
        "people.csv:3: agents[1]: ./folk.py:Person can't be made: too young"
    )


def test_run_keeps_its_agents_and_never_reads_the_table_again(read, tmp_path):
    result = SimulationOrchestrator(read(TOWN_IS_TEXT), output_root=tmp_path / "runs").run()
    config = json.loads((result.output_dir / "config.json").read_bytes())
    assert [one["name"] for one in config["scenario"]["agents"]] == ["zoe", "ann", "ben"]
    digest = hashlib.sha256(TABLE.encode()).hexdigest()
    assert config["files"]["people.csv"] == digest
    (tmp_path / "people.csv").unlink()
    assert replay(result.output_dir).step == ""
    branched = branch(result.output_dir, 1, set={"agent/ben/money": 1}).run()
    assert branched.status == "completed"
    again = json.loads((branched.output_dir / "config.json").read_bytes())
    assert (again["scenario"], again["files"]) == (config["scenario"], config["files"])
