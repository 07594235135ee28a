"""Forty and more ways in which an endpoint or its model misbehaves, each with its right outcome."""

import json

import pytest
from tests.sim.models.endpoint import Endpoint, Reply, completion
from tests.sim.models.village import act, user, written
from tests.sim.test_thinking import events_of, run_of, run_with

from thence.sim import replay
from thence.sim.models.completions import readings

pytestmark = pytest.mark.promise("O12")

GIVE = act("give", to="ben", amount=2)
FENCED = f"```json\n{GIVE}\n```"
LINE = GIVE.replace("2", "2.0")


def call(arguments):
    function = {"name": "answer", "arguments": arguments}
    return {"id": "1", "type": "function", "function": function}


def ended(word):
    return completion(GIVE, finish_reason=word)


def parts(*kinds):
    texts = {"text": GIVE, "refusal": "I can't.", "thinking": [{"type": "text", "text": "Hm."}]}
    return completion([{"type": kind, kind: texts[kind]} for kind in kinds])


def error(status=200, **members):
    return Reply({"error": members}, status)


# what can be read, by a text or a body, is a decision at once
USED = {
    "fence": FENCED,
    "fence without a word": f"```\n{GIVE}\n```",
    "fence of tildes": f"~~~\n{GIVE}\n~~~",
    "longer fence with JSON in capitals": f"~~~~ JSON\r\n{GIVE}\r\n~~~~",
    "prose around a fence": f"Here it is:\n\n{FENCED}\n\nIs that good?",
    "fence beside one of another language": f"```python\nprint({{}})\n```\n{FENCED}",
    "thoughts": f"<think>\nBen is poor.\n</think>\n\n{GIVE}",
    "thoughts that were not opened": f"Ben is poor.\n</think>\n{GIVE}",
    "thoughts before a fence": f"<think>Or\n```json\n{{}}\n```\n?</think>So:\n{FENCED}",
    "list of parts": parts("text"),
    "thoughts among the parts": parts("thinking", "text"),
    "reasoning beside the content": completion(GIVE, reasoning_content="Ben is poor."),
    "tool call": completion(None, tool_calls=[call(GIVE)], finish_reason="tool_calls"),
    "tool call with an object": completion("", tool_calls=[call(json.loads(GIVE))]),
    "float without a fraction": LINE,
    "number as a text": GIVE.replace("2", '"2"'),
    "name in other letters": GIVE.replace("give", "Give"),
    "byte order mark": f"\ufeff{GIVE}",
    "token of the end": f"{GIVE}<|im_end|>",
    "thoughts twice": f"<think>a</think><think>b</think>\n{GIVE}",
    "thoughts of a kind": f"<seed:think>a</seed:think>{GIVE}",
    "channels": f"<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>{GIVE}",
    **{f"ended by {word}": ended(word) for word in ("STOP", "eos_token", "end_turn", None, "")},
    "refusal that is null": completion(GIVE, refusal=None),
}
# what can't is asked for once more
REPAIRED = {
    "two fences": f"{FENCED}\nor\n{FENCED}",
    "open fence": f"```json\n{GIVE}",
    "fence of another language": f"```python\n{GIVE}\n```",
    "fence in a line": f"```{GIVE}```",
    "JSON within prose": f"I choose {GIVE}, of course.",
    "JSON twice": GIVE + GIVE,
    "thoughts without an end": f"<think>Maybe\n{FENCED}\nor not",
    "prose": "I would rather not say.",
    "wrong schema": '{"other": true}',
    "float with a fraction": GIVE.replace("2", "2.5"),
    "number that is none": GIVE.replace("2", '"two"'),
    "deep nesting": '{"action": ' + "[" * 5_000 + "]" * 5_000 + "}",
    "too much": GIVE.replace("2", "9"),
    "half an answer that is called whole": GIVE[:-5],
}
UNFINISHED = (
    *("length", "max_tokens", "MAX_TOKENS", "model_length", "incomplete", "error", "TIME_LIMIT"),
    *("content_filter", "SAFETY", "model_context_window_exceeded"),
)
# what is no whole answer is no decision, though it was paid for
FAILED = {
    **{f"ended by {word}": ended(word) for word in UNFINISHED},
    "refusal": completion(None, refusal="I can't help with that."),
    "refusal among the parts": parts("refusal"),
}
EMPTY = {
    "empty": completion(""),
    "null": completion(None),
    "reasoning alone": completion(None, reasoning_content=GIVE),
    "two tool calls": completion(None, tool_calls=[call(GIVE), call(GIVE)]),
    "tool call without arguments": completion(None, tool_calls=[call("")]),
}


def play(tmp_path, *replies):
    """Plays two turns; the replies are the first answers to ann, in the first turn."""
    rest = [*replies]

    def script(body):
        is_now = rest and user(body).startswith("You are ann. It is turn 1.")
        reply = rest.pop(0) if is_now else GIVE
        return Reply(reply) if isinstance(reply, dict) else reply

    with Endpoint(script) as endpoint:
        terms = {"retries: 2": "retries: 1"}
        result = run_of(written(tmp_path, endpoint.base_url, **terms), max_turns=2).run()
    assert replay(result.output_dir).step == ""
    bodies = [one.body for one in endpoint.requests]
    bodies = [body for body in bodies if user(body).startswith("You are ann. It is turn 1.")]
    return result, events_of(result.output_dir), bodies


@pytest.mark.parametrize("way", USED)
def test_answer_in_a_documented_form_is_used_as_it_came(tmp_path, way):
    result, events, bodies = play(tmp_path, USED[way])
    assert (result.status, result.decisions_failed, len(bodies)) == ("completed", 0, 1)
    assert events["1.apply0.ann.agent/ann/money"]
    amount = events["1.decide.ann.0"].payload["new_value"]["amount"]
    assert (amount, type(amount)) == (2, int)
    if isinstance(USED[way], str):
        assert events["1.llm-decide.ann.0"].payload["answer"] == USED[way]


@pytest.mark.parametrize("way", REPAIRED)
@pytest.mark.whole(rows=7)
def test_answer_that_nothing_can_be_read_from_is_asked_for_once_more(tmp_path, way):
    result, events, bodies = play(tmp_path, REPAIRED[way])
    assert (result.status, result.decisions_failed, len(bodies)) == ("completed", 0, 2)
    assert events["1.llm-decide.ann.0"].payload["status"] == "failure"
    reason = bodies[1]["messages"][-1]["content"]
    is_json = way in (
        "deep nesting",
        "wrong schema",
        "float with a fraction",
        "number that is none",
        "too much",
    )
    assert ("without a code fence around it and without other text" in reason) != is_json
    result, events, _ = play(tmp_path / "twice", REPAIRED[way], REPAIRED[way])
    assert (result.status, result.decisions_failed) == ("completed", 1)
    assert "the second one too" in events["1.failed.ann.0"].payload["error"]


@pytest.mark.parametrize("way", FAILED)
def test_answer_that_is_not_whole_is_paid_and_no_decision(tmp_path, way):
    result, events, bodies = play(tmp_path, FAILED[way])
    assert (result.status, result.decisions_failed, len(bodies)) == ("completed", 1, 1)
    assert "1.failed.ann.0" in events
    assert "1.decide.ann.0" not in events
    ann = result.usage["by_agent"]["ann"]
    assert (ann["unusable"], ann["failed"], ann["tokens_out"]) == (1, 0, 10)
    if way.startswith("ended by"):
        word = way.removeprefix("ended by ")
        assert word in events["1.failed.ann.0"].payload["error"]


@pytest.mark.parametrize("way", EMPTY)
def test_empty_answer_is_asked_for_once_more(tmp_path, way):
    result, events, bodies = play(tmp_path, EMPTY[way])
    assert (result.status, result.decisions_failed, len(bodies)) == ("completed", 0, 2)
    assert bodies[1]["messages"][-1]["content"].endswith("was empty. Answer again, as instructed.")
    assert [message["role"] for message in bodies[1]["messages"]] == ["system", "user"]
    assert events["1.llm-decide.ann.0"].payload["status"] == "failure"
    result, events, bodies = play(tmp_path / "twice", EMPTY[way], EMPTY[way])
    assert (result.status, result.decisions_failed, len(bodies)) == ("completed", 1, 2)
    assert "no text" in events["1.failed.ann.0"].payload["error"]


NOTED = {
    "note of 5,000 characters": {"note": "n" * 5_000, "importance": 3},
    "importance of 99": {"note": "a", "importance": 99},
    "importance in words": {"note": "a", "importance": "high"},
    "no note": {},
    "null": {"note": None, "importance": None},
}


@pytest.mark.parametrize("way", NOTED)
def test_no_action_is_thrown_away_for_its_note(tmp_path, way):
    def script(body):
        notes = NOTED[way] if "It is turn 1." in user(body) else {"note": "b", "importance": 1}
        return json.dumps({**json.loads(GIVE), **notes})

    result, endpoint = run_with(script, tmp_path, {"keys": "memory: 3"}, max_turns=2)
    prompts = [user(one.body) for one in endpoint.requests]
    assert (result.decisions_failed, len(prompts)) == (0, 6)
    events = events_of(result.output_dir)
    assert events["1.apply0.ann.agent/ann/money"]
    assert events["1.llm-decide.ann.0"].payload["repairs"]
    assert "repairs" not in events["2.llm-decide.ann.0"].payload
    (prompt,) = (text for text in prompts if text.startswith("You are ann. It is turn 2."))
    note = (NOTED[way].get("note") or "")[:500]
    assert f'turn 1: "{note}" I did give' in prompt
    assert replay(result.output_dir).step == ""


@pytest.mark.parametrize(
    "text", ["<think>" * 60_000, "<|a|>" * 60_000 + "x", GIVE + " " * 400_000, "</think>" * 60_000]
)
def test_odd_text_is_read_in_time_that_grows_with_its_length(text):
    assert 1 <= len([*readings(text)]) <= 3
