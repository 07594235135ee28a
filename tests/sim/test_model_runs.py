"""Runs of many model-driven agents: killed at any moment, concurrent, altered, typed."""

import json
import random
import re
from collections import Counter
from zlib import crc32

import pytest
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.killed import Killer, faults
from tests.sim.models.village import act, generous, user, village, written
from tests.sim.test_thinking import events_of, run_of
from tests.sim.truth import Run, sampled_causes, sampled_outsiders
from tests.test_public_names import MYPY, judged

from thence.sim import SimulationConfig, VerbosityLevel, replay, resume

pytestmark = [pytest.mark.promise("O12"), pytest.mark.rest]
KILLS = 5
__all__ = ["judged"]


def test_run_killed_at_any_call_comes_to_the_same_and_pays_for_calls_in_flight_alone(tmp_path):
    first, seen = random.SystemRandom().getrandbits(32), Counter()
    print("seeds from", first)
    for seed in range(first, first + KILLS):
        assert faults(seed, tmp_path / str(seed), seen) == []
    assert seen["kills"] == KILLS


class Fickle(Killer):
    """A model that can be used at once, at the second try, or not at all, by what it is asked."""

    def __call__(self, body):
        self.count()
        mood = crc32(user(body).encode()) % 4
        if mood == 0 or (mood == 1 and len(body["messages"]) == 2):
            return "I would rather not say."
        return act("give", to="ben", amount=mood)


@pytest.mark.parametrize("verbosity", ["MILESTONE", "STATE"])
@pytest.mark.parametrize("keys", ["endpoint: local", "talk: true"])
def test_run_killed_among_answers_of_no_use_comes_to_the_same(tmp_path, keys, verbosity):
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    rng, model = random.Random(seed), Fickle()
    with Endpoint(model, delay_s=0.01) as endpoint:
        scenario = written(tmp_path, endpoint.base_url, keys=keys)
        settings = {"max_turns": 6, "verbosity": verbosity}
        whole = _to_its_end(run_of(scenario, run_id="whole", **settings).run())
        content = replay(whole.output_dir)
        assert (whole.status, content.step) == ("completed", "")
        assert 0 < whole.decisions_failed < whole.decisions
        count = len(endpoint.requests)
        for number in range(5):
            mode = rng.choice(["sync", "async"])
            others = {**settings, "run_id": f"killed-{number}", "mode": mode}
            last = rng.randint(1, count)
            model.kill(
                lambda others=others: _to_its_end(run_of(scenario, **others).run()),
                last,
                rng.uniform(0, 0.03),
            )
            folder = tmp_path / "runs" / others["run_id"]
            ended = folder / "result.json"  # or paused, when it was killed
            is_ended = ended.exists() and json.loads(ended.read_bytes())["status"] == "completed"
            result = whole if is_ended else _to_its_end(resume(folder).run())
            assert result.final_state == whole.final_state
            told = (result.decisions, result.decisions_failed, _without_places(result.usage))
            assert told == (whole.decisions, whole.decisions_failed, _without_places(whole.usage))
            played = replay(folder)
            assert (played.step, played.sha256) == ("", content.sha256)


def _to_its_end(result):
    """Resumes a run for as long as a turn of no use has paused it."""
    while result.status == "interrupted":
        result = resume(result.output_dir).run()
    return result


def _without_places(usage):
    """Returns sums whatever the order in which the agents were answered."""
    return {
        section: {name: {**sums, "cost": round(sums["cost"], 9)} for name, sums in of.items()}
        for section, of in usage.items()
    }


def test_many_agents_wait_for_their_models_at_once(tmp_path):
    count = 100
    with Endpoint(lambda body: act(), delay_s=2.0) as endpoint:
        terms = {
            "  - &agent\n    name: ann": f"  - &agent\n    name: ann\n    count: {count}",
            "  - {<<: *agent, name: ben}\n  - {<<: *agent, name: cleo}\n": "",
            "timeout_s: 5": f"timeout_s: 60, concurrency: {count}",
            "gifts.py:Gifts": "gifts.py:Gifts",
        }
        scenario = written(tmp_path, endpoint.base_url, **terms)
        text = scenario.read_text().replace('{type: "./gifts.py:Gifts"}', "{type: base}")
        scenario.write_text(text)
        result = run_of(scenario, max_turns=1).run()
    assert result.status == "completed"
    assert len(events_of(result.output_dir, "llm_call")) == count
    assert endpoint.in_flight_max == count  # more than the 64 async calls of other components


@pytest.mark.parametrize("verbosity", ["DETAIL", "ACTION", "DECISION"])
@pytest.mark.whole(rows=2)
def test_what_changes_by_an_altered_event_names_it_as_a_cause(tmp_path, verbosity):
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)

    def script(body):
        text = user(body)
        if "You hear" in text or int(re.search(r"turn (\d+)", text)[1]) % 3:
            return generous(body)
        return act("say", to="all", text=re.search(r"money = \d+", text)[0])

    with village(script, tmp_path, keys="talk: true") as (_, scenario):
        run = Run(SimulationConfig.from_file(scenario), 1, VerbosityLevel[verbosity])
        wrong = sampled_outsiders(run, random.Random(seed), 40)
        if verbosity == "DETAIL":
            idle = sampled_causes(run, random.Random(seed), 20)
            assert len(idle) < 15
    assert [(effect.step, event.step) for effect, event, _ in wrong] == []


PROGRAM = """\
from collections.abc import Mapping, Sequence
from thence.sim import (
    Action, Decision, LLMAgent, LLMEngine, LLMValidator, Observation, RecordedState, RunResult,
    SimulationOrchestrator, Verdict, View,
)

class Trader(LLMAgent):
    def messages(self, observation: Observation) -> Sequence[Mapping[str, str]]:
        return [{"role": "user", "content": f"You have {observation['money']}."}]
    def action(self, answer: str, observation: Observation) -> Decision:
        return Action("give", {"to": "ben", "amount": int(answer)})

class Judge(LLMValidator):
    def messages(self, action: Action, state: RecordedState) -> Sequence[Mapping[str, str]]:
        return [{"role": "user", "content": action.action_type}]
    def verdict(self, answer: str, action: Action, state: RecordedState) -> Verdict:
        return Verdict.accept() if answer == "yes" else Verdict.reject(answer)

class Weather(LLMEngine):
    def messages(self, view: View) -> Sequence[Mapping[str, str]]:
        return [{"role": "user", "content": "rain?"}]
    def change(self, answer: str, view: View) -> None:
        view.world["rain"] = answer == "yes"

run = SimulationOrchestrator(
    "negotiation", agents=[Trader("ann", endpoint="local")], engine=Weather(),
    validator=Judge(), max_calls=10, max_cost=0.5, cassette="answers.jsonl",
)
result = run.run()
if isinstance(result, RunResult):
    reveal_type(result.usage)
"""


@MYPY
def test_components_that_ask_models_are_typed(judged):
    *told, end = judged(PROGRAM)
    assert end == "Success: no issues found in 1 source file"
    assert "Mapping[str, Any]" in "".join(told)
    *_, wrong = judged(PROGRAM.replace("int(answer)", "answer.foo"))
    assert wrong.startswith("Found 1 error")
