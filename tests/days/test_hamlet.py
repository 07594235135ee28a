"""A researcher's day by commands alone: people in a table, a pilot, a killed run, a what-if.

Six people on a ring claim grain from one barn; a small program plays the model. What is true of
their course was worked out by hand from the rules that the scenario and `model` have: BASE, GREEDY
and the sentences below stood here before thence was asked for the first time.
"""

import csv
import json
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import THENCE, Ended, begin, is_three_lines
from tests.cli.test_sweep_pictures import lines_drawn
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint

# with a blank row, quoted cells and a byte order mark, as a spreadsheet saves it
PEOPLE = """\
\ufeffid,name,temper,cell,grain
h1,"Hanna, the miller",calm,"0,0",3
h2,Ivo,nervous,"1,0",2
h3,Jo,calm,"2,0",4

h4,Kai,calm,"3,0",1
h5,Lea,nervous,"4,0",3
h6,Mo,calm,"5,0",5
"""
SCENARIO = """\
simulation: {name: hamlet, max_turns: 5, seed: 1, on_agent_error: skip}
events: {verbosity: STATE}
llm:
  endpoints:
    local: {base_url: "%s", model: qwen, key_env: HAMLET_KEY, price_in: 1, price_out: 2}
state_variables:
  global_vars: [{name: barn, type: int, min: 0, default: 40}]
  agent_vars: [{name: claim, type: int, min: 0, max: 9}]
spatial: {grid: {width: 6, height: 1, wraps: true}, moves: false}
engine: {type: "./barn.py:Barn"}
validator: {type: declared}
agents:
  - from: people.csv
    name: "{id}"
    type: llm_agent
    prompt: "You are {name}, {temper}. All take grain from one barn."
    sight: {within: 1}
    sees: [claim, agent/*/claim]
    memory: 5
    initial_location: "{cell}"
    initial: {claim: "{grain}"}
    actions: [{name: claim, fields: {amount: {type: int, min: 0, max: 9}}}]
"""
ENGINE = """\
from thence.sim import BaseEngine


class Barn(BaseEngine):
    def apply_action(self, view, action):
        view.agent(action.agent_id)["claim"] = action.payload["amount"]

    def apply_engine_rules(self, view):
        with view.rule("barn"):
            claims = [view.agent(name)["claim"] for name in view.agents()]
            view.world["barn"] = max(0, view.world["barn"] + 12 - sum(claims))
        for name in view.agents():
            with view.rule(f"leave-{name}"):
                if view.agent(name)["claim"] == 0:
                    view.remove_agent(name)
"""
TURNS = 5
# the barn, then what h1 to h6 claim, after each turn from 0 on
BASE = [
    (40, 3, 2, 4, 1, 3, 5),
    (30, 2, 5, 4, 0, 6, 5),
    (21, 1, 6, 3, 0, 7, 4),
    (13, 0, 7, 2, 0, 8, 3),
    (5, 0, 8, 1, 0, 9, 2),
    (0, 0, 9, 0, 0, 9, 1),
]
CALLS = 24  # 6 in turn 1, 5 once h4 has left, 4 without h1
# the same if h6 claims 9 at the end of turn 2: only its neighbours h1 and h5 see it, and h5 alone
# decides otherwise by it
GREEDY = [
    *BASE[:2],
    (21, 1, 6, 3, 0, 7, 9),
    (6, 0, 7, 2, 0, 9, 9),
    (0, 0, 8, 1, 0, 9, 9),
    (0, 0, 9, 0, 0, 9, 9),
]
# h1, h5 and h6 in turn 3, h5 and h6 in the two turns after
CALLS_CHANGED = 7
LEFT = "h4 in turn 1, h1 in turn 3, h3 in turn 5"
# the nervous have much, and find that it is not enough
ANSWERS = {"h4": "yes", "h1": "yes", "h3": "yes", "h2": "no", "h5": "no", "h6": "yes"}
WHY = [
    r"In turn 4 agent/h5/claim went from 8 to 9 \[.*\], because",
    r"- In turn 4 h5 did claim \(amount 9\) \[.*",
    r"  - In turn 4 h5 decided: amount 9 \[.*",
    r"    - In turn 4 h5 asked qwen of local: 20 tokens in, 5 out.*",
]

FIRST = """
first divergence
  A  no such event
  B  In turn 2 agent/h6/claim went from 4 to 9 ["""


def model(body: dict[str, Any]) -> str:
    """Answers as the nervous and the calm do, with a note of the largest claim in sight."""
    system, text = (message["content"] for message in body["messages"])
    own = int(re.findall(r"^claim = (\d)", text, re.MULTILINE)[0])
    if "Is there enough?" in text:
        return json.dumps({"answer": "no" if own > 4 else "yes"})
    top = max(own, *map(int, re.findall(r"^agent/\w+/claim = (\d)", text, re.MULTILINE)))
    amount = min(9, top + 1) if "nervous" in system else own - (top > own)
    action = {"do": "claim", "amount": amount}
    return json.dumps({"action": action, "note": f"Somebody claims {top}.", "importance": 5})


class Study:
    """The researcher's folder, with an endpoint and the key that it takes."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.folder, self.endpoint = folder, endpoint
        self.env = {"HAMLET_KEY": "sk-hamlet-123456"}
        (folder / "people.csv").write_text(PEOPLE, encoding="utf-8")
        (folder / "barn.py").write_text(ENGINE)
        (folder / "hamlet.yaml").write_text(SCENARIO % endpoint.base_url)

    def __call__(self, *words: object) -> Ended:
        return warm(*words, cwd=self.folder, env=self.env)

    def done(self, *words: object) -> Ended:
        ended = self(*words)
        assert ended.code == 0, ended.err
        return ended

    def turns(self, run: str) -> list[tuple[int, ...]]:
        """Returns the barn and the claims after each turn, from a table in CSV."""
        self.done("sim", "table", run, "--rows", "turns", "--output", f"{run}.csv")
        names = ["global/barn", *(f"agent/h{number}/claim" for number in range(1, 7))]
        with (self.folder / f"{run}.csv").open(newline="") as file:
            return [tuple(int(row[name]) for name in names) for row in csv.DictReader(file)]

    def asked(self, start: int = 0) -> Counter[str]:
        """Returns how often each request came, from the one at `start` on."""
        return Counter(json.dumps(one.body) for one in self.endpoint.requests[start:])


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    with Endpoint(model, delay_s=0.05) as endpoint:
        yield Study(tmp_path, endpoint)


@pytest.mark.promise("O11", "O11a", "O12")
def test_day_of_a_researcher(study: Study) -> None:
    # before anything is paid: those who claim nothing leave, so the calls are a range
    forecast = study.done("sim", "validate", "hamlet.yaml", "--cost")
    assert "ok: hamlet, 6 agents, at most 5 turns" in forecast.out
    assert "5 turns: 6 to 30 calls" in forecast.out
    assert study.asked().total() == 0
    pilot = study.done("sim", "run", "hamlet.yaml", "--turns", "1", "--run-id", "pilot")
    words = "all 5 turns at this rate: 6 to 30 calls, 600 tokens in, 150 tokens out, cost 0.0009"
    assert words in pilot.err
    assert study.turns("pilot") == BASE[:2]

    # killed amid turn 3, and resumed: nothing that was recorded is paid for again
    begun = study.asked().total()
    words = ("sim", "run", "hamlet.yaml", "--run-id", "base", "--quiet")
    with begin(THENCE, *words, cwd=study.folder, **study.env) as process:
        study.endpoint.wait_for(begun + 13)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert study.done("sim", "list").out.splitlines()[0].split()[::3] == ["killed", "base"]
    assert "killed" in study.done("sim", "show", "base").out
    resumed = study.done("sim", "resume", "base", "--quiet")
    assert resumed.out.startswith(f"run base completed: {TURNS} turns, ")
    paid = study.asked(begun)
    assert (len(paid), paid.total() - CALLS <= 5) == (CALLS, True), "5 were in flight at most"
    assert study.turns("base") == BASE
    assert study.done("sim", "replay", "base").out.startswith("the same: 5 turns")
    assert study.done("verify", "--log", "base").code == 0
    (usage,) = study.done("sim", "show", "base", "--json").json["usage"]["by_model"].values()
    assert (usage["calls"], usage["failed"], usage["tokens_in"]) == (CALLS, 0, 20 * CALLS)
    told = study.done("why", "agent/h5/claim", "--log", "base").out.splitlines()
    for pattern, line in zip(WHY, told, strict=False):
        assert re.fullmatch(pattern, line), line
    seen = [one for one in told if "In turn 3 agent/" in one]
    assert "agent/h5/claim went from 7 to 8" in seen[0]
    assert "agent/h6/claim went from 4 to 3" in seen[1]

    # what if Mo had claimed all that he could
    paid_before = study.asked().total()
    words = ("--at", "2", "--set", "agent/h6/claim=9", "--run-id", "greedy", "--quiet")
    branched = study.done("sim", "branch", "base", *words)
    assert f"models: {CALLS_CHANGED} calls, " in branched.out
    assert f"; {CALLS - CALLS_CHANGED} calls, " in branched.out
    assert study.asked().total() - paid_before == CALLS_CHANGED
    assert study.turns("greedy") == GREEDY
    told = study.done("why", "agent/h5/claim", "--log", "greedy").out
    assert "In turn 3 agent/h5/claim went from 7 to 9" in told
    assert "In turn 2 agent/h6/claim went from 4 to 9" in told
    differing = study("diff", "base", "greedy")
    assert (differing.code, FIRST in differing.out) == (3, True), differing.out
    words = ("--variable", "agent/h6/claim", "--output", "what-if.svg")
    study.done("sim", "plot", "base", "greedy", *words)
    courses = [[float(row[6]) for row in rows] for rows in (BASE, GREEDY)]
    assert [line for line in lines_drawn(study.folder / "what-if.svg") if len(line) > 2] == courses
    assert "greedy parts, turn 2" in (study.folder / "what-if.svg").read_text()

    # what they think, those who left too; whoever has answered is not asked again
    question = ("--at", str(TURNS + 1), "--question", "Is there enough?", "--choices", "yes,no")
    present = study.done("sim", "survey", "base", *question, "--json")
    rows = {row["agent"]: row["answer"] for row in present.json["answers"]}
    assert rows == {name: ANSWERS[name] for name in ("h2", "h5", "h6")}
    assert LEFT in present.err
    paid_before = study.asked().total()
    all_asked = study.done("sim", "survey", "base", *question, "--leavers", "--output", "all.csv")
    assert study.asked().total() - paid_before == 3
    assert "6 answers in all.csv" in all_asked.out
    with (study.folder / "all.csv").open(newline="") as file:
        answers = {row["agent"]: row["answer"] for row in csv.DictReader(file)}
    assert [*answers.items()] == [*ANSWERS.items()]

    # a reader plays it without key and endpoint; whoever changes a file is told so
    shutil.copy(study.folder / "output" / "base" / "outcomes.jsonl", study.folder / "answers.jsonl")
    study.env, paid_before = {}, study.asked().total()
    words = ("--cassette", "answers.jsonl", "--run-id", "reader", "--quiet")
    study.done("sim", "run", "hamlet.yaml", *words)
    assert study.turns("reader") == BASE
    assert study.asked().total() == paid_before
    asked_anew = study("sim", "run", "hamlet.yaml", "--run-id", "keyless", "--quiet")
    assert (asked_anew.code, "HAMLET_KEY is not set" in asked_anew.err) == (130, True)
    engine = study.folder / "barn.py"
    engine.write_text(ENGINE.replace("+ 12", "+ 13"))
    changed = study("sim", "replay", "base")
    assert (changed.code, "barn.py changed since it was played" in changed.out) == (1, True)
    wrong = study("sim", "survey", "base", "--at", "9", "--question", "Is there enough?")
    assert (wrong.code, is_three_lines(wrong.err)) == (1, True)
    files = [path for path in study.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if b"sk-hamlet" in path.read_bytes()]
