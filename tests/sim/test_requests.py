"""What a model is sent is what the record says, and its identity is what makes the answer."""

import json

import pytest
from tests.sim.models.endpoint import FAULTS, Endpoint, Reply
from tests.sim.models.village import generous, user, written
from tests.sim.test_thinking import events_of, run_of, run_with

from thence.sim import replay
from thence.sim.record.outcomes import read_outcomes

pytestmark = pytest.mark.promise("O12")
SECRET = "sk-village-0123456789"


def recorded(result, bodies):
    """Returns the facts of all calls; asserts that their messages are those that were sent."""
    calls = events_of(result.output_dir, "llm_call")
    texts = sorted(json.dumps(call.payload["messages"]) for call in calls.values())
    assert texts == sorted(json.dumps(body["messages"]) for body in bodies)
    return [call.payload for call in calls.values()]


def test_schema_in_words_is_in_the_record_and_enforced_is_beside_it(tmp_path):
    def script(body):
        has_words = "fits this JSON Schema" in body["messages"][-1]["content"]
        if "response_format" in body and body["response_format"]["json_schema"]["strict"]:
            return Reply({"error": {"message": "response_format is unknown"}}, 400)
        return generous(body) if has_words else "no"

    enforced, endpoint = run_with(generous, tmp_path / "enforced", max_turns=2)
    bodies = [one.body for one in endpoint.requests]
    for call in recorded(enforced, bodies):
        assert call["schema_mode"] == "enforced"
        assert json.loads(call["schema"]) == bodies[0]["response_format"]["json_schema"]["schema"]
    worded, endpoint = run_with(script, tmp_path / "worded", max_turns=2)
    bodies = [one.body for one in endpoint.requests if "response_format" not in one.body]
    assert {call["schema_mode"] for call in recorded(worded, bodies)} == {"in words"}
    assert replay(worded.output_dir).step == ""
    assert worded.final_state == enforced.final_state
    # it is the same request
    keys = [{*read_outcomes(result.output_dir)} for result in (enforced, worded)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("terms", "is_same"),
    [
        ("headers: {X-Title: village, X-Api-Key: {env: VILLAGE_KEY}}", True),
        ("timeout_s: 60, retries: 9", True),
        ("body: {}", True),
        ("body: {top_k: 20}", False),
        ("temperature: 0", False),
    ],
)
def test_identity_of_a_request_holds_what_the_model_is_sent(tmp_path, monkeypatch, terms, is_same):
    monkeypatch.setenv("VILLAGE_KEY", SECRET)
    with Endpoint(generous) as endpoint:
        plain = run_of(written(tmp_path / "a", endpoint.base_url), max_turns=1).run()
        changes = {"timeout_s: 5, retries: 2": terms}
        other = run_of(written(tmp_path / "b", endpoint.base_url, **changes), max_turns=1).run()
    assert (plain.status, other.status) == ("completed", "completed")
    keys = [{*read_outcomes(result.output_dir)} for result in (plain, other)]
    assert (keys[0] == keys[1]) == is_same
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


def test_run_with_failed_calls_plays_again_from_its_cassette(tmp_path):
    faults = ["bad_request", "cut", "refusal", "prose", "html"]

    def script(body):
        text = user(body)
        number = int(text.partition("It is turn ")[2].partition(".")[0])
        return FAULTS[faults[number - 1]] if text.startswith("You are ann.") else generous(body)

    whole, _ = run_with(script, tmp_path, {"retries: 2": "retries: 0"}, max_turns=5)
    assert (whole.status, whole.decisions_failed) == ("completed", 5)
    cassette = whole.output_dir / "outcomes.jsonl"
    played = run_of(tmp_path / "village.yaml", max_turns=5, cassette=cassette).run()
    assert (played.status, played.decisions_failed) == ("completed", 5)
    assert replay(played.output_dir).sha256 == replay(whole.output_dir).sha256
    assert played.final_state == whole.final_state
    assert played.usage["by_agent"] == whole.usage["by_agent"]
    assert played.usage["by_origin"]["own"]["calls"] == 0
