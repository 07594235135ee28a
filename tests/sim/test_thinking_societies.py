"""Random societies of model agents: an altered decision changes its effects, and nothing else.

A refused decision has no effect but its rejection. What another one in its place changes goes back
to that one, in the branch.
"""

import json
import os
import random
from hashlib import blake2b
from itertools import pairwise

import pytest
from tests.sim.models.endpoint import Endpoint

import thence
from thence.core.diff import VOLATILE
from thence.sim import BaseEngine, BaseValidator, SimulationOrchestrator, Verdict, branch, replay

pytestmark = pytest.mark.promise("O6", "O12")
NAMES = ("ann", "ben", "cleo", "dov", "eve", "fay")
TURNS = 5
RUN = {"name": "society", "max_turns": TURNS, "on_agent_error": "skip"}
LEVELS = ("DETAIL", "STATE", "ACTION", "DECISION")
_TIMES = {*VOLATILE, "latency_s", "attempts"}


class Town(BaseEngine):
    def apply_action(self, view, action):
        own, payload = view.agent(action.agent_id), action.payload
        if action.action_type == "work":
            own.set_within("money", own["money"] + payload["hours"])
        elif action.action_type == "give":
            other = view.agent(payload["to"])
            own.set_within("money", own["money"] - payload["amount"])
            other.set_within("money", other["money"] + payload["amount"])


class Thrifty(BaseValidator):
    """Refuses to give what nobody has, and to work on a full purse."""

    def validate_action(self, action, state):
        money = state.agent(action.agent_id)["money"]
        if action.action_type == "give" and action.payload["amount"] > money:
            return Verdict.reject(f"you have {money}")
        if action.action_type == "work" and money > 12:
            return Verdict.reject(f"rest, you have {money}")
        return Verdict.accept()


def instance(schema, rng):
    """Returns a random value that fits a JSON Schema as it is sent to models."""
    if "anyOf" in schema:
        return instance(rng.choice(schema["anyOf"]), rng)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    if schema["type"] == "object":
        return {name: instance(of, rng) for name, of in schema["properties"].items()}
    if schema["type"] == "integer":
        return rng.randint(schema.get("minimum", 0), schema.get("maximum", 9))
    return rng.choice(["I gave.", "They are\nann: kind", "Never again", "Who knows?"])


def oracle(body):
    """Answers equal prompts equally, and others at random, one in eight with prose."""
    digest = blake2b(json.dumps(body["messages"]).encode()).hexdigest()
    if digest.startswith(("0", "1")):
        return "Let me think."
    schema = body["response_format"]["json_schema"]["schema"]
    return json.dumps(instance(schema, random.Random(digest)))


def society(seed, url):
    """Returns a random society on a random network, as a scenario."""
    rng = random.Random(f"society {seed}")
    names = NAMES[: rng.randint(4, 6)]
    edges = {*pairwise(names)}
    edges |= {(names[0], names[-1])} if rng.random() < 0.5 else set()
    other = rng.choice(["agents", "neighbours"])
    fields = {"to": {"type": "str", "choices": "neighbours"}}
    give = {**fields, "amount": {"type": "int", "min": 1, "max": 9}}
    work = {"hours": {"type": "int", "min": 1, "max": 5}}
    shout = {"to": {"type": "str", "choices": other}}
    actions = [{"name": "give", "fields": give}, {"name": "work", "fields": work}]
    actions += [{"name": "shout", "fields": shout}]
    talk = rng.choice([False, {"reach": "neighbours"}, {"reach": "neighbours"}, True])
    memory = {"size": rng.randint(1, 6)}
    memory |= {"tokens": rng.randint(20, 90)} if rng.random() < 0.5 else {}
    memory |= {"reflect": rng.randint(1, 3)} if rng.random() < 0.5 else {}
    llm = {"endpoints": {"local": {"base_url": url, "model": "qwen"}}}
    common = {"type": "llm_agent", "prompt": "Live well.", "actions": actions}
    agents = [{"name": n, **common, "talk": talk, "memory": memory} for n in names]
    return {
        "simulation": {**RUN, "seed": seed},
        "state_variables": {
            "agent_vars": [{"name": "money", "type": "int", "min": 0, "max": 20, "default": 5}]
        },
        "spatial": {"network": {"nodes": "agents", "edges": [*map(list, sorted(edges))]}},
        "engine": {"type": f"{__name__}:Town", "reach": "neighbours"},
        "validator": {"type": f"{__name__}:Thrifty", "retries": rng.randint(0, 1)},
        "llm": llm,
        "agents": agents,
    }


def events_of(folder):
    with thence.open(folder) as log:
        return [event for event in log.read() if event.turn_number]


def played(run, states):
    """Plays a run; keeps what each agent remembers behind each turn."""

    def keep(progress):
        for agent in run.agents:
            states[progress.turn, agent.name] = json.dumps(agent.get_state())

    run._on_turn = keep
    result = run.run()
    assert result.status == "completed", result.error
    return result.output_dir


def lasting(event):
    return {name: value for name, value in event.payload.items() if name not in _TIMES}


def cone_of(events, event_id):
    """Returns the ids of an event and of all its effects."""
    cone = {event_id}
    for event in events:
        if not cone.isdisjoint(event.caused_by):
            cone.add(event.event_id)
    return cone


def altered(seed, root):
    """Alters a decision of a society; returns what is wrong, and counts in the cone and outside."""
    rng = random.Random(f"alter {seed}")
    before, after = {}, {}
    with Endpoint(oracle) as endpoint:
        terms = {"output_root": root, "verbosity": rng.choice(LEVELS)}
        scenario = society(seed, endpoint.base_url)
        folder = played(SimulationOrchestrator(scenario, run_id="a", **terms), before)
        events = events_of(folder)
        decisions = [e for e in events if e.event_type == "DECISION" and e.turn_number < TURNS - 1]
        event = rng.choice(decisions)
        work = {"action_type": "work", "payload": {"hours": 1}}
        change = {event.step: rng.choice([None, work])}
        other = played(branch(folder, 0, decide=change, output_root=root, run_id="b"), after)
        assert replay(other).step == ""
    steps = {e.step: e for e in events if e.step}
    branched = events_of(other)
    cone, now = cone_of(events, event.event_id), {e.step: e for e in branched}
    if event.step.replace("decide", "reject") in steps and event.step in now:
        instead = cone_of(branched, now[event.step].event_id)
        cone |= {
            e.event_id for step, e in steps.items() if step in now and now[step].event_id in instead
        }
    wrong, is_changed = [], 0
    for step, effect in steps.items():
        if step not in now or lasting(now[step]) != lasting(effect):
            is_changed += effect is not event
            wrong += [step] if effect.event_id not in cone else []
    for (turn, name), state in before.items():
        call = steps.get(f"{turn + 1}.llm-decide.{name}.0")
        if after[turn, name] != state and call is not None:
            wrong += [] if call.event_id in cone else [f"memory of {name} behind {turn}"]
    return event.step, wrong, is_changed, len(steps) - len(cone)


def check(first, count, tmp_path):
    changed = outside = 0
    for seed in range(first, first + count):
        step, wrong, effects, others = altered(seed, tmp_path / str(seed))
        assert not wrong, f"THENCE_TEST_SEED={seed}: {step} altered, and {wrong[:5]} without it"
        changed, outside = changed + effects, outside + others
    assert changed > count, "alterations change something"
    assert outside > 20 * count, "the cone is not all that follows"


def seed():
    return int(os.environ.get("THENCE_TEST_SEED") or random.SystemRandom().getrandbits(24))


@pytest.mark.promise("O6", "O12", tier="person")
def test_altered_decision_changes_nothing_outside_its_cone(tmp_path):
    check(seed(), 4, tmp_path)
