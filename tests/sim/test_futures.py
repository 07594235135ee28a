"""What-ifs: other seeds from one turn, runs in one picture, those who left, actions of a moment."""

import json
import re
from statistics import median

import pytest
from tests.cli.test_sweep_pictures import lines_drawn
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import act, generous, user, village, written

from thence.errors import ThenceError
from thence.sim import SimulationOrchestrator, branch, open_run, replay, resume, survey

DICE = """\
simulation: {name: dice, max_turns: 6, seed: 1, checkpoint_interval: 2}
events: {verbosity: STATE}
state_variables: {global_vars: [{name: sum, type: int, default: 0}]}
engine: {type: "./dice.py:Dice"}
"""
ENGINE = """\
from thence.sim import BaseEngine


class Dice(BaseEngine):
    def apply_engine_rules(self, view):
        with view.rule("roll"):
            view.world["sum"] += view.random("die").randint(1, 1000)
"""


def play(scenario, **settings):
    root = scenario.parent / "output"
    return SimulationOrchestrator(scenario, output_root=root, **settings).run()


@pytest.fixture
def dice(tmp_path):
    (tmp_path / "dice.yaml").write_text(DICE)
    (tmp_path / "dice.py").write_text(ENGINE)
    return play(tmp_path / "dice.yaml", run_id="base").output_dir


def sums(folder):
    with open_run(folder) as run:
        return run.courses(["global/sum"])[1]["global/sum"]


def test_branch_with_another_seed_is_another_future_from_its_turn_on(dice, tmp_path):
    base, others = sums(dice), []
    for seed in (5, 5, 6):
        run = branch(dice, 3, seed=seed, run_id=f"b{len(others)}").run()
        assert run.altered == {"3.seed.-": seed}
        assert replay(run.output_dir).step == ""
        others.append(sums(run.output_dir))
    assert all(other[:4] == base[:4] and other[4] != base[4] for other in others)
    assert others[0] == others[1]
    assert others[0][4] != others[2][4]
    later = branch(tmp_path / "output" / "b0", 5, set={"global/sum": 0}, run_id="late").run()
    assert sums(later.output_dir)[:5] == others[0][:5]
    assert sums(later.output_dir)[6] == others[0][6] - others[0][5]
    longer = resume(tmp_path / "output" / "b2", max_turns=8).run()
    assert sums(longer.output_dir)[:7] == others[2]


def test_branch_with_another_seed_asks_models_anew(tmp_path):
    with village(generous, tmp_path) as (endpoint, scenario):
        base = play(scenario)
        count = len(endpoint.requests)
        branch(base.output_dir, 2, seed=9).run()
        assert len(endpoint.requests) == count + 6


@pytest.mark.promise("O11")
def test_command_branches_by_name_and_draws_both_runs_with_their_parting(dice, tmp_path):
    words = ("--at", "3", "--seed", "9", "--run-id", "other", "--quiet")
    assert warm("sim", "branch", "base", *words, cwd=tmp_path).code == 0
    plot = ("sim", "plot", "base", "other", "--variable", "global/sum", "-o", "both.svg")
    drawn = warm(*plot, cwd=tmp_path)
    assert (drawn.code, drawn.err) == (0, "")
    text = (tmp_path / "both.svg").read_text()
    assert all(word in text for word in ("global/sum", ">base<", ">other<"))
    assert "other parts, turn 3" in text


@pytest.mark.promise("O11a")
def test_line_over_runs_is_the_course_of_one_and_says_how_many_there_are(dice, tmp_path):
    words = ("dice.yaml", "--seeds", "1-5", "--output", "swept", "--quiet")
    assert warm("sim", "sweep", *words, cwd=tmp_path).code == 0
    drawn = warm("sim", "plot", "swept", "--variable", "global/sum", "-o", "s.svg", cwd=tmp_path)
    assert drawn.code == 0, drawn.err
    courses = [sums(tmp_path / "swept" / f"set-1-seed-{seed}") for seed in range(1, 6)]
    medians = [*map(median, zip(*courses, strict=True))]
    assert medians not in courses, "the runs cross"
    (line,) = lines_drawn(tmp_path / "s.svg")
    assert [round(value) for value in line] in courses
    assert ">all (5 runs)<" in (tmp_path / "s.svg").read_text()


def test_run_id_that_is_none_is_a_usage_error(dice, tmp_path):
    for words in (("run", "dice.yaml"), ("branch", "base", "--at", "1")):
        done = warm("sim", *words, "--run-id", "a:b", cwd=tmp_path)
        assert (done.code, "a run id has letters" in done.err) == (2, True)


LEAVING = """
    def apply_engine_rules(self, view):
        if view.turn == 2:
            view.remove_agent("ben")
"""


def asked(body):
    if "trust" in user(body):
        return json.dumps({"answer": re.search(r"It is turn \d", user(body))[0]})
    return generous(body)


@pytest.mark.promise("O12")
def test_survey_names_who_left_and_asks_them_as_of_their_last_turn(tmp_path, caplog):
    with village(asked, tmp_path) as (endpoint, scenario):
        with (tmp_path / "gifts.py").open("a") as file:
            file.write(LEAVING)
        folder = play(scenario, run_id="a").output_dir
        assert [row["agent"] for row in survey(folder, 4, "Whom do you trust?")] == ["ann", "cleo"]
        with pytest.raises(ThenceError, match="ben left in turn 2") as caught:
            survey(folder, 3, "Whom do you trust?", names=["ben"])
        assert "--at 2" in str(caught.value.hint)
        rows = [*survey(folder, 4, "Whom do you trust?", leavers=True)]
        assert {row["agent"]: row["answer"] for row in rows} == {
            "ben": "It is turn 2",
            "ann": "It is turn 4",
            "cleo": "It is turn 4",
        }
        assert rows[0]["turn"] == 2
        count = len(endpoint.requests)
        words = ("sim", "survey", "a", "--at", "4", "--question", "Whom do you trust?")
        told = warm(*words, cwd=tmp_path)
        assert "ben in turn 2" in told.err
        shown = warm(*words, "--leavers", cwd=tmp_path)
        assert shown.lines[0].split("  ")[0] == "ben (turn 2)"
        assert len(endpoint.requests) == count, "what was recorded is asked for nothing"
    assert replay(folder).step == ""


GAME = """\
simulation: {{name: game, max_turns: 4, on_agent_error: skip}}
llm: {{endpoints: {{local: {{base_url: "{url}", model: qwen}}}}}}
state_variables:
  global_vars: [{{name: night, type: bool, default: false}}]
  agent_vars: [{{name: coins, type: int, default: 1}}]
engine: {{type: "./game.py:Game"}}
validator: {{type: declared}}
agents:
  - &one
    name: wolf
    type: llm_agent
    prompt: p
    actions:
      - {{name: kill, when: global/night = true}}
      - {{name: pay, when: coins > 1}}
  - {{<<: *one, name: idle, actions: [{{name: sleep, when: global/night = true}}]}}
  - {{name: cheat, type: scripted, script: [{{do: kill}}, {{do: kill}}], actions: [*kill]}}
"""
TURNS = """\
from thence.sim import BaseEngine


class Game(BaseEngine):
    def apply_action(self, view, action):
        pass

    def apply_engine_rules(self, view):
        with view.rule("dusk"):
            view.world["night"] = view.turn % 2 == 1
"""


@pytest.mark.promise("O14")
def test_action_is_offered_and_accepted_only_when_it_holds(tmp_path):
    with Endpoint(lambda body: act("kill")) as endpoint:
        text = GAME.format(url=endpoint.base_url).replace("- {name: kill,", "- &kill {name: kill,")
        text = text.replace("type: scripted, script", "type: ./game.py:Cheat, script")
        (tmp_path / "game.yaml").write_text(text)
        (tmp_path / "game.py").write_text(TURNS + CHEAT)
        result = play(tmp_path / "game.yaml", verbosity="STATE")
        bodies = [one.body for one in endpoint.requests]
    asked = [(user(body).split()[2], user(body).split()[6]) for body in bodies]
    # by day neither has any action, and is not asked; coins are never more than 1
    assert {*asked} == {("idle.", "2."), ("idle.", "4."), ("wolf.", "2."), ("wolf.", "4.")}
    for body in bodies:
        schema = json.dumps(body["response_format"])
        assert "pay" not in body["messages"][0]["content"] + schema
    with open_run(result.output_dir) as run:
        events = [*run.log.read()]
    acts = {(e.turn_number, e.actor) for e in events if e.event_type == "ACTION"}
    assert {(2, "wolf"), (2, "cheat")} <= acts
    assert (1, "cheat") not in acts, "the validator decides by the same comparison"
    assert replay(result.output_dir).step == ""


CHEAT = """

from thence.sim import Action, BaseAgent


class Cheat(BaseAgent):
    remembers = False

    def __init__(self, name, script: list = [], actions: list = []):
        super().__init__(name)

    def decide_action(self, observation):
        return Action("kill")
"""


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("nigth = true", "there is no variable 'nigth'"),
        ("agent/ann/coins > 1", "is another's variable"),
        ("coins >", "when can't be read: a value"),
    ],
)
def test_when_of_a_variable_that_is_none_is_told_with_its_line(tmp_path, when, told):
    text = GAME.format(url="http://127.0.0.1:9/v1").replace("coins > 1", when)
    text = text.partition("  - {name: cheat")[0]
    (tmp_path / "game.yaml").write_text(text)
    (tmp_path / "game.py").write_text(TURNS)
    shown = warm("sim", "validate", "game.yaml", cwd=tmp_path)
    assert (shown.code, told in shown.out) == (2, True), shown.out


SUBCLASS = """\
from thence.sim import DeclaredValidator, PromptedAgent, Verdict


class Sleeper(PromptedAgent):
    def asks(self, observation):
        return observation.turn != 2 and super().asks(observation)


class Strict(DeclaredValidator):
    def validate_action(self, action, state):
        verdict = super().validate_action(action, state)
        if verdict.is_valid and action.payload.get("amount") == 5:
            return Verdict.reject("not all at once")
        return verdict
"""


@pytest.mark.promise("P2")
def test_llm_agent_and_declared_validator_are_extended(tmp_path):
    with Endpoint(lambda body: act("give", to="ben", amount=5)) as endpoint:
        changes = {
            "type: llm_agent": "type: ./own.py:Sleeper",
            'prompt: "You may give money."': "prompt_file: ann.md",
            "type: declared": "type: ./own.py:Strict",
        }
        scenario = written(tmp_path, endpoint.base_url, **changes)
        (tmp_path / "own.py").write_text(SUBCLASS)
        (tmp_path / "ann.md").write_text("You are kind.")
        result = play(scenario, max_turns=3)
        turns = [user(one.body).split("turn ")[1][:1] for one in endpoint.requests]
        assert "You are kind." in endpoint.requests[0].body["messages"][0]["content"]
    assert sorted(set(turns)) == ["1", "3"]
    with open_run(result.output_dir) as run:
        refused = [e for e in run.log.read() if "rejected" in str(e.payload.get("error_type"))]
    assert refused
