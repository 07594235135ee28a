"""A scenario is read whole, or every problem of it is told with its line."""

import re
import sys
from pathlib import Path

import pytest
from tests.sim.toys import SCENARIO, Doer, config, played

import thence
from thence.errors import ScenarioError
from thence.sim import SimulationConfig, SimulationOrchestrator, replay
from thence.sim.scenario.component_classes import component_class

pytestmark = pytest.mark.promise("O8")

TYPE = "type: scenarios.traders:Trader"
GOOD = """\
simulation:
  name: small
  max_turns: 5
state_variables:
  global_vars:
    - {name: season, type: categorical, choices: [dry, wet]}
  agent_vars:
    - {name: money, type: float, default: 3, min: 0, max: 10}
    - {name: location, type: str}
spatial:
  places:
    - {name: Mill}
    - {name: Abbey}
  roads:
    - {between: [Mill, Abbey], turns: 2}
agents:
  - {name: ada, type: TRADER, initial_location: Mill, goods: [grain], places: [Mill]}
""".replace("TRADER", "scenarios.traders:Trader")


@pytest.fixture
def problems(tmp_path):
    """Returns the problems of the good scenario with one text replaced by another."""

    def found(old="", new="", text=GOOD):
        assert old in text
        path = written(tmp_path, text.replace(old, new, 1))
        with pytest.raises(ScenarioError) as caught:
            SimulationConfig.from_file(path)
        for problem in caught.value.problems:
            assert problem.keys() == {"file", "line", "key", "message", "hint"}
            assert problem["file"] == str(path)
        return caught.value.problems

    return found


def short(problem):
    return problem["line"], problem["key"], problem["message"]


def written(folder, text):
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


def test_scenario_is_read_from_a_file(tmp_path):
    path = written(tmp_path, GOOD)
    read = SimulationConfig.from_file(path)
    assert (read.simulation.name, read.simulation.max_turns, read.source) == ("small", 5, path)
    assert read.agents[0].initial == {"location": "Mill"}
    assert read.agents[0].params == {"goods": ["grain"], "places": ["Mill"]}
    assert not read.agents[0].blocks
    table = read.table(["ada"])
    subjects = [variable.subject for variable in table]
    assert subjects == ["global/season", "map/present", "agent/ada/money", "agent/ada/location"]
    assert table.defaults() == ("dry", 0, 3.0, "")


def test_values_with_an_anchor_are_read_as_those_without(tmp_path):
    text = (
        "simulation: {name: &n x, max_turns: &m 5, timeout_s: &t 0.5, seed: 0x10}\n"
        "spatial: {grid: {width: *m, height: *m, wraps: &w true}, moves: *w}\n"
    )
    read = SimulationConfig.from_file(written(tmp_path, text))
    of = read.simulation
    assert (of.name, of.max_turns, of.timeout_s, of.seed) == ("x", 5, 0.5, 16)
    assert (read.spatial.grid.width, read.spatial.grid.wraps, read.spatial.moves) == (5, True, True)
    assert read.given["spatial"]["moves"] is True
    assert type(read.given["simulation"]["name"]) is str


def test_map_of_names_is_told_with_the_list_to_write(problems):
    found = problems(
        text="simulation: {name: x}\n"
        "state_variables:\n  agent_vars:\n    money: {type: int}\n"
        "agents:\n  ada: {type: scenarios.traders:Trader, goods: [], places: []}\n"
    )
    assert [short(each)[:2] for each in found] == [(3, "state_variables.agent_vars"), (5, "agents")]
    assert {each["hint"] for each in found} == {"begin each entry with -"}


@pytest.mark.promise("O2")
@pytest.mark.parametrize("name", [SCENARIO, f"{SCENARIO}.yaml"])
def test_bare_name_finds_the_shipped_scenario(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = SimulationConfig.from_file(name)
    assert read.simulation.name == "spatial-trade-network"
    assert len(read.spatial.places) >= 6
    assert len(read.agents) >= 8


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "nearest"),
    [
        ("  max_turns: 5", "  max_turnz: 5", 3, "simulation.max_turnz", "max_turns"),
        ("agents:", "agent:", 16, "agent", "agents"),
        ("max: 10", "maximum: 10", 8, "state_variables.agent_vars[0].maximum", "max"),
        ("{name: Mill}", "{nam: x, name: Mill}", 12, "spatial.places[0].nam", "name"),
        ("goods: [grain]", "goods: [], god: []", 17, "agents[0].god", "goods"),
        (
            "agents:",
            "engine: {type: scenarios.traders:TradeNetwork, markets: [{plac: x}]}\nagents:",
            16,
            "engine.markets[0].plac",
            "place",
        ),
        ("agents:", "events: {verbose: x}\nagents:", 16, "events.verbose", "verbosity"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_known_one(problems, old, new, line, key, nearest):
    found = [problem for problem in problems(old, new) if problem["key"] == key]
    assert short(found[0]) == (line, key, "this key is not known")
    assert found[0]["hint"] == f"the nearest known is {nearest}"


LLM = """\
llm:
  endpoints:
    local: {base_url: "http://127.0.0.1:1/v1", model: qwen}
"""
TRADER = "scenarios.traders:Trader, initial_location: Mill, goods: [grain], places: [Mill]"
MODELS = GOOD.replace(TRADER, "KIND") + LLM
LLM_AGENT = "llm_agent, actions: [{name: give, fields: {x: {type: int}}}]"


@pytest.mark.promise("O12")
@pytest.mark.parametrize(
    ("old", "new", "key", "message", "hint"),
    [
        ("model: qwen", "model: qwen, api_key: sk-1", "llm.endpoints.local.api_key",
         "this key is not known", "write key_env: NAME, the environment variable that holds it"),
        ("//127", "//me:sk-1@127", "llm.endpoints.local.base_url",
         "base_url is not a plain address, such as https://HOST/v1", ""),
        ("llm:", "llm:\n  default: lokal", "llm.default",
         "there is no endpoint 'lokal'", "the nearest endpoint is local"),
        ("llm_agent", "llm_agent, endpoint: lokal", "agents[0].endpoint",
         "there is no endpoint 'lokal'", "the nearest endpoint is local"),
        (LLM, "", "agents[0].endpoint",
         "it asks a model, and there is no endpoint",
         "write llm: {endpoints: {local: {base_url: …, model: …}}}"),
        ("type: int}", "type: int, min: 2, max: 1}", "agents[0].actions[0].fields.x.min",
         "min is above max, 1: swap them", ""),
        ("type: int}", "type: int, min: 0.5}", "agents[0].actions[0].fields.x.min",
         "min is not a whole number", ""),
        ("type: int}", "type: str, min: 1}", "agents[0].actions[0].fields.x.min",
         "min is for an int or float without choices", ""),
        ("type: int}", "type: int, choices: []}", "agents[0].actions[0].fields.x.choices",
         "choices is empty, no one can choose: list at least one", ""),
        ("type: int}", "type: int, choices: [a]}", "agents[0].actions[0].fields.x.choices",
         "choices are of int or str, and all of the type, int", ""),
        ("type: int}", "type: int, max_length: 1}", "agents[0].actions[0].fields.x.max_length",
         "max_length is for a str", ""),
        ("type: int}", "type: text}", "agents[0].actions[0].fields.x.type",
         "should be 'int', 'float', 'str' or 'bool', not 'text'", ""),
        ("{x: {", "{do: {", "agents[0].actions[0].fields",
         "fields can't have 'do', which holds the action's name", ""),
        ("name: give", "name: none", "agents[0].actions[0].name",
         "name can't be 'none', which means no action", ""),
        ("name: give", "name: give it", "agents[0].actions[0].name",
         "'give it' is not a name", "names have letters, digits and '_' only, 100 at most"),
        ("local:", "my own:", "llm.endpoints.my own",
         "'my own' is not a name", "names have letters, digits and '_' only, 100 at most"),
        ("llm_agent", "llm_agent, memory: -1", "agents[0].memory",
         "should be an integer, at least 0 and at most 1000 or a map, not -1", ""),
        ("llm_agent", "llm_agent, sees: [monney]", "agents[0].sees[0]",
         "there is no variable 'monney'", "the nearest variable is money"),
        ("llm_agent", "llm_agent, sees: ['*', heard, agent/*/xyz]", "agents[0].sees[2]",
         "there is no variable 'agent/*/xyz'", "write one of money, location, heard"),
        ("llm_agent", "llm_agent, sees: [globl/x]", "agents[0].sees[0]",
         "there is no variable 'globl/x'", "none is variable here"),
        ("[{name: give", "[{name: give}, {name: give", "agents[0].actions[1].name",
         "the name 'give' appears twice", ""),
    ],
)  # fmt: skip
def test_models_that_nobody_can_ask_are_refused_with_what_to_write(
    problems, old, new, key, message, hint
):
    text = MODELS.replace("KIND", LLM_AGENT)
    (problem,) = problems(old, new, text)
    assert (problem["key"], problem["message"], problem["hint"]) == (key, message, hint)
    assert problem["line"] > 0
    assert "sk-1" not in str(problem)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("max_turns: 5", "max_turns: five", 3, "simulation.max_turns",
         "should be an integer, at least 1 and at most 1000000000, not 'five'"),
        ("max_turns: 5", "max_turns: 0", 3, "simulation.max_turns",
         "should be an integer, at least 1 and at most 1000000000, not 0"),
        ("max_turns: 5", f"max_turns: {10**400}", 3, "simulation.max_turns",
         f"should be an integer, at least 1 and at most 1000000000, not {10**59}"),
        ("max_turns: 5", "max_turns: true", 3, "simulation.max_turns",
         "should be an integer, at least 1 and at most 1000000000, not True"),
        ("max_turns: 5", "max_turns: 3.0", 3, "simulation.max_turns",
         "should be an integer, at least 1 and at most 1000000000, not 3.0"),
        ("max_turns: 5", "timeout_s: true", 3, "simulation.timeout_s",
         "should be a number, above 0 and at most 86400, not True"),
        ("max_turns: 5", "timeout_s: .nan", 3, "simulation.timeout_s",
         "should be a number, above 0 and at most 86400, not nan"),
        ("name: small", r'name: "small\n"', 2, "simulation.name", r"'small\n' is not a name"),
        ("name: small", r'name: "\uD800"', 2, "simulation.name", r"'\ud800' is half a character"),
        ("max_turns: 5", r'"\uD800": 1', 3, r"simulation.\ud800", r"'\ud800' is half a character"),
        ("name: small", f"name: {'x' * 101}", 2, "simulation.name", f"'{'x' * 59} is not a name"),
        ("name: small", "name: 3", 2, "simulation.name", "should be a string, not 3"),
        ("name: small", "seed: 1", 1, "simulation.name", "this key is missing"),
        ("type: float", "type: flot", 8, "state_variables.agent_vars[0].type",
         "should be 'float', 'int', 'bool', 'categorical', 'str', 'list' or 'dict', not 'flot'"),
        ("min: 0", "min: 20", 8, "state_variables.agent_vars[0].min", "20 is above max 10"),
        ("default: 3", "default: 30", 8, "state_variables.agent_vars[0].default",
         "money can't be 30, its maximum is 10"),
        ("default: 3", "default: much", 8, "state_variables.agent_vars[0].default",
         "money needs a float, not 'much'"),
        ("{name: location, type: str}", "{name: location, type: str, min: 1}", 9,
         "state_variables.agent_vars[1].min", "a str variable has no bounds"),
        (", choices: [dry, wet]", "", 6, "state_variables.global_vars[0].type",
         "only a categorical variable has choices"),
        ("name: location", "name: money", 9, "state_variables.agent_vars[1].name",
         "the name 'money' appears twice"),
        ("[dry, wet]", "[dry, 2]", 6, "state_variables.global_vars[0].choices[1]",
         "should be a string, not 2"),
        ("[Mill, Abbey]", "[Mill]", 15, "spatial.roads[0].between",
         "should be a list of 2, not ['Mill']"),
        ("{name: Abbey}", "Abbey", 13, "spatial.places[1]", "should be a map, not 'Abbey'"),
        ("[Mill, Abbey]", "[Mill, Aby]", 15, "spatial.roads[0].between[1]",
         "there is no place 'Aby'"),
        ("initial_location: Mill", "initial_location: Mil", 17, "agents[0].initial_location",
         "there is no place 'Mil'"),
        ("initial_location: Mill", "initial: {mony: 1}", 17, "agents[0].initial.mony",
         "there is no variable 'mony'"),
        ("initial_location: Mill", "initial: {money: 11}", 17, "agents[0].initial.money",
         "money can't be 11, its maximum is 10"),
        ("name: ada", "name: '-'", 17, "agents[0].name", "a name can't be just '-'"),
        ("name: ada", "name: a da", 17, "agents[0].name", "'a da' is not a name"),
        ("goods: [grain]", "goods: grain", 17, "agents[0].goods", "should be a list, not 'grain'"),
        ("goods: [grain]", "goods: [], lot: true", 17, "agents[0].lot",
         "should be an integer, not True"),
        ("goods: [grain], ", "", 17, "agents[0].goods", "this key is missing"),
        (TYPE, "type: scriptd", 17, "agents[0].type", "there is no agent type 'scriptd'"),
        (TYPE, "type: nowhere:X", 17, "agents[0].type",
         "nowhere can't be imported: No module named 'nowhere'"),
        (TYPE, "type: json:Nothing", 17, "agents[0].type", "json has no class Nothing"),
        (TYPE, "type: json:JSONDecoder", 17, "agents[0].type",
         "JSONDecoder is not a BaseAgent"),
        ("agents:", "engine: {type: trad_network}\nagents:", 16, "engine.type",
         "there is no engine type 'trad_network'"),
        ("agents:", "events: {mode: slow}\nagents:", 16, "events.mode",
         "should be 'async' or 'sync', not 'slow'"),
        ("agents:", "events: null\nagents:", 16, "events", "should be a map, not None"),
        ("agents:",
         "engine: {type: scenarios.traders:TradeNetwork, markets: [{makes: '1'}]}\nagents:", 16,
         "engine.markets[0].makes", "should be an integer, not '1'"),
    ],
)  # fmt: skip
def test_wrong_value_is_told_with_its_line(problems, old, new, line, key, message):
    assert (line, key, message) in [short(problem) for problem in problems(old, new)]


def test_entry_that_does_not_fit_leaves_the_others_their_lines(problems):
    text = GOOD.replace("type: float", "type: flot").replace("type: str}", "type: str, max: 1}")
    at = "state_variables.agent_vars"
    found = [short(problem)[:2] for problem in problems(text=text)]
    assert found == [(8, f"{at}[0].type"), (9, f"{at}[1].max")]


def test_integer_is_a_number_null_is_none_and_an_entry_says_whether_it_blocks(tmp_path):
    text = GOOD.replace("goods:", "margin: 1, timeout_s: null, count: null, blocks: true, goods:")
    read = SimulationConfig.from_file(written(tmp_path, text.replace("max: 10", "max: null")))
    assert (read.agents[0].name, read.agents[0].timeout_s) == ("ada", None)
    assert read.agents[0].blocks
    money = read.state_variables.agent_vars[0]
    assert (money.minimum, money.maximum, type(money.minimum)) == (0.0, None, float)


def test_all_problems_are_told_at_once_in_the_order_of_lines(problems):
    text = GOOD.replace("max_turns", "turns").replace("min: 0", "min: 20")
    text = text.replace("[Mill, Abbey]", "[Mill, Aby]").replace("goods: [grain]", "goods: 3")
    assert [problem["line"] for problem in problems(text=text)] == [3, 8, 8, 15, 17]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("name: ada, typ: trader", [("type", "missing", "add it"), ("typ", "not known", "type")]),
        (
            "nme: ada, tpye: trader, cuont: 2",
            [
                ("name", "missing", "add it"),
                ("type", "missing", "add it"),
                ("nme", "not known", "name"),
                ("tpye", "not known", "type"),
                ("cuont", "not known", "count"),
            ],
        ),
        (
            "name: ada, type: scriptd, timeout: 3",
            [
                ("timeout", "not known", "timeout_s"),
                ("type", "no agent type 'scriptd'", "scripted"),
            ],
        ),
        (
            "name: ada, type: 3, site: {}",
            [("type", "should be a string, not 3", ""), ("site", "not known", "sight")],
        ),
        # a key like no other may be one of the type, which nobody knows yet
        ("name: ada, goods: [grain]", [("type", "missing", "add it")]),
        ("name: ada, names: [ben]", [("type", "missing", "add it")]),
    ],
)
def test_entry_without_a_type_is_told_its_misspelt_keys(problems, entry, expected):
    raised = problems(f"name: ada, type: {TRADER}", entry)
    assert len(raised) == len(expected)
    for key, message, hint in expected:
        (problem,) = [problem for problem in raised if problem["key"] == f"agents[0].{key}"]
        assert (problem["line"], problem["hint"].rpartition(" is ")[2]) == (17, hint)
        assert message in problem["message"]


@pytest.mark.parametrize("section", ["engine", "validator"])
def test_type_misspelt_of_the_engine_or_validator_is_told(problems, section):
    (problem,) = problems("agents:", f"{section}: {{typ: base}}\nagents:")
    assert (problem["key"], problem["hint"]) == (f"{section}.typ", "the nearest known is type")


MERGED = """\
simulation: {name: small}
agents:
  - &ada
    name: ada
    type: scenarios.traders:Trader
    goods: []
    places: []
    count: x
  - {name: cleo,
     <<: [{lot: true}, *ada], margin: z}
"""


def test_merged_key_is_told_at_the_line_of_its_map(problems):
    count = "should be an integer, at least 1 and at most 100000, not 'x'"
    assert [short(problem) for problem in problems(text=MERGED)] == [
        (8, "agents[0].count", count),
        (9, "agents[1].count", count),
        (9, "agents[1].lot", "should be an integer, not True"),
        (10, "agents[1].margin", "should be a number, not 'z'"),
    ]


def test_one_problem_is_told_once_by_the_key_of_the_file(problems):
    (problem,) = problems("    - {name: location, type: str}\n", "")
    assert short(problem) == (16, "agents[0].initial_location", "there is no variable 'location'")
    (problem,) = problems("type: str}", "type: text}")
    assert problem["key"] == "state_variables.agent_vars[1].type"


def test_work_for_many_problems_grows_with_their_number():
    entry = {"type": "scenarios.traders:Trader", "goods": [], "places": []}
    wrong = {**entry, "initial": {"mony": 3}, "lto": 1}

    def calls(count):
        agents = [{"name": f"a{number}", **wrong} for number in range(count)]
        made = 0

        def tally(frame, event, argument):
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(tally)
        try:
            with pytest.raises(ScenarioError) as caught:
                SimulationConfig.from_mapping({"simulation": {"name": "x"}, "agents": agents})
        finally:
            sys.setprofile(None)
        assert len(caught.value.problems) == 2 * count
        return made

    calls(10)  # imports
    assert calls(400) < 4.5 * calls(100)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("simulation:\n  name: x\n max: 1\n", 3, "not YAML at column 2"),
        ("simulation: {name: x\n", 2, "not YAML at column 1"),
        ("simulation: {name: x}\nsimulation: {name: y}\n", 2, "found duplicate key"),
        ("- simulation\n", 1, "a scenario is a map of sections"),
        ("", 1, "a scenario is a map of sections"),
        ("%YAML 1.3\n---\nsimulation: {}\n", 0, "can't be read: version minor part"),
        ('simulation: "\\U00110000"\n', 0, "can't be read: chr() arg"),
        ("simulation: !!python/object:os.system {}\n", 1, "this key is missing"),
    ],
)
def test_file_that_holds_no_scenario_says_where(problems, text, line, message):
    problem = problems(text=text)[0]
    assert problem["line"] == line
    assert message in problem["message"]


def test_file_that_is_not_text_and_a_folder_are_refused(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="can't be read"):
        SimulationConfig.from_file(path)
    with pytest.raises(ScenarioError, match="this is a folder"):
        SimulationConfig.from_file(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("spatial_trade", f"the nearest shipped scenario is {SCENARIO}"),
        ("nope", "shipped: fishery, negotiation, spatial_trade_network, village"),
    ],
)
def test_missing_file_is_told_with_the_nearest_shipped_scenario_or_all(name, hint):
    with pytest.raises(ScenarioError, match="there is no such file") as caught:
        SimulationConfig.from_file(name)
    assert caught.value.problems[0]["hint"] == hint


@pytest.mark.promise("O2")
@pytest.mark.parametrize("name", ["epidemic", "segregation.yaml", "commons"])
def test_bare_name_of_an_example_is_told_with_its_file(name):
    with pytest.raises(ScenarioError, match="this is an example") as caught:
        SimulationConfig.from_file(name)
    path = Path(caught.value.problems[0]["hint"].removeprefix("name its file: "))
    assert path.is_relative_to(Path(thence.__file__).parent)
    assert SimulationConfig.from_file(path).simulation.name == path.stem


def test_problem_of_a_mapping_has_no_file_and_no_line():
    with pytest.raises(ScenarioError, match="given as a mapping") as caught:
        SimulationConfig.from_mapping({"simulation": {"name": "x", "turns": 1}})
    assert caught.value.problems[0]["line"] == 0


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scenario.md"


def blocks(language):
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_example_of_the_page_runs(tmp_path):
    scenario, people, models = blocks("yaml")
    agents, *_ = blocks("python")
    (tmp_path / "agents.py").write_text(agents)
    path = tmp_path / "market.yaml"
    path.write_text(scenario)
    read = SimulationConfig.from_file(path)
    assert [agent.name for agent in read.agents] == ["ada-1", "ada-2", "ada-3"]
    result = SimulationOrchestrator(path, output_root=tmp_path / "out").run()
    assert (result.status, result.turns, result.error) == ("completed", 40, None)
    path.write_text("simulation: {name: village}\n" + models)
    assert SimulationConfig.from_file(path).llm.endpoints["local"].concurrency == 8
    (tmp_path / "people.csv").write_text("id,name,age,money,town\nann,Ann,41,5,south\n")
    endpoint = 'llm: {endpoints: {local: {base_url: "http://127.0.0.1:9/v1", model: m}}}\n'
    of_agents = "[{name: money, type: int}, {name: town, type: str}]"
    declared = f"state_variables: {{agent_vars: {of_agents}}}\n"
    path.write_text(f"simulation: {{name: village}}\n{endpoint}{declared}{people}")
    (ann,) = SimulationConfig.from_file(path).agents
    assert ann.params == {"prompt": 'You are Ann, 41. Answer as {"do": …}.'}
    assert ann.initial == {"money": 5, "town": "in south"}


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
