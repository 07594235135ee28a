"""The commands about runs whose agents ask models."""

import json
import re
import shutil
import socket

import pytest
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.players import EXAMPLES, MODELS, SCENARIOS, recorded
from tests.sim.models.village import generous, user, written

from thence.sim import open_run

pytestmark = [pytest.mark.promise("O12"), pytest.mark.rest]


def test_run_that_reaches_its_limit_says_how_it_goes_on(tmp_path):
    with Endpoint(generous) as endpoint:
        scenario = written(tmp_path, endpoint.base_url)
        paused = warm("sim", "run", scenario, "--max-calls", "4", "--run-id", "a", cwd=tmp_path)
        assert paused.code == 130
        *_, first, why, following = paused.err.splitlines()
        assert first == "thence: run a is paused"
        assert why.startswith("  why:  could not ask a model: max_calls is 4; ")
        assert following == "  next: thence sim resume output/a --max-calls 8"
        assert warm("sim", "list", cwd=tmp_path).out.startswith("interrupted")
        calls = len(endpoint.requests)
        paused = warm("sim", "resume", "a", "--max-calls", "6", cwd=tmp_path)
        assert (paused.code, len(endpoint.requests)) == (130, 6)
        resumed = warm("sim", "resume", "a", "--max-calls", "100", "--json", cwd=tmp_path)
    assert (resumed.code, resumed.json["status"]) == (0, "completed")
    assert calls == 4
    assert resumed.json["usage"]["by_model"]["qwen"]["calls"] == len(endpoint.requests) == 12


def test_run_to_which_no_answer_was_of_use_fails_and_says_so(tmp_path):
    with Endpoint(lambda body: "I would rather not") as endpoint:
        scenario = written(tmp_path, endpoint.base_url, policy="skip")
        ended = warm("sim", "run", scenario, "--run-id", "a", "--turns", "1", "-q", cwd=tmp_path)
    assert (ended.code, ended.out[:12]) == (1, "run a failed")
    assert "none of 6 answers could be used" in ended.err
    assert "next: thence why @last-error --log output/a" in ended.err
    assert "3 of 3 decisions failed" in ended.out
    assert "none of 6 answers" in warm("why", "@last-error", cwd=tmp_path).out
    assert warm("sim", "list", cwd=tmp_path).out.startswith("failed")


def test_run_with_failed_decisions_is_never_just_completed_and_shows_the_answer(tmp_path):
    useless = '{"reasoning": "ignore \\u202e <b>", "action": {"do": "none"}}'

    def script(body):
        return useless if "You are ann." in user(body) else generous(body)

    with Endpoint(script) as endpoint:
        scenario = written(tmp_path, endpoint.base_url)
        ended = warm("sim", "run", scenario, "--run-id", "a", "-q", cwd=tmp_path)
    status = "completed, 4 of 12 decisions failed"
    assert (ended.code, ended.out[: len(f"run a {status}:")]) == (0, f"run a {status}:")
    assert warm("sim", "list", cwd=tmp_path).out.startswith(f"{status}  ")
    assert f"\n  {status}: max_turns 4 reached\n" in warm("sim", "show", "a", cwd=tmp_path).out
    (run,) = warm("sim", "list", "--json", cwd=tmp_path).json["runs"]
    assert (run["status"], run["decisions"], run["decisions_failed"]) == ("completed", 12, 4)
    for event in ("@last-error", None):
        if event is None:  # the call itself
            calls = warm("log", "--failed", "--json", cwd=tmp_path).out.splitlines()
            event = next(json.loads(one)["event_id"] for one in calls if '"llm_call"' in one)
        told = warm("show", event, cwd=tmp_path).out
        assert "\nsystem:\n  You may give money." in told
        assert "\nuser:\n  You are ann." in told
        assert f"\nanswer:\n  {useless[:40]}" in told


def test_decision_shows_what_it_was_told_and_answered(tmp_path):
    warm("sim", "run", "negotiation", "--run-id", "a", "--quiet", cwd=tmp_path)
    (line,) = [
        line
        for line in warm("log", "--limit", "0", "--json", cwd=tmp_path).out.splitlines()
        if '"step":"3.decide.mill.0"' in line
    ]
    event_id = line.partition('"event_id":"')[2][:26]
    text = warm("show", event_id, cwd=tmp_path).out
    told = text.partition("\nsystem:\n")[2]
    assert told.startswith("  You speak for a village on a river.")
    assert "\nuser:\n  You are mill. It is turn 3.\n  You see:\n  need = 30\n" in told
    assert '  north: "We go down to 28.' in told
    assert '\nanswer:\n  {"action": {"do": "claim", "amount":' in told
    assert "mill asked qwen of local: 20 tokens in, 5 out" in text


def test_show_sums_up_calls_by_agent_and_model(tmp_path):
    warm("sim", "run", "negotiation", "--run-id", "a", "--quiet", cwd=tmp_path)
    lines = warm("sim", "show", "a", cwd=tmp_path).lines
    assert lines[lines.index("models, by agent") + 1] == (
        "  north: 5 calls, 100 tokens in, 25 tokens out"
    )
    assert lines[lines.index("models, by model") + 1].startswith("  qwen: 25 calls, 500 tokens")
    used = warm("sim", "show", "a", "--json", cwd=tmp_path).json["usage"]["by_agent"]["mill"]
    counts = {"calls": 5, "requests": 5, "failed": 0, "unusable": 0, "without_tokens": 0}
    tokens = {"tokens_in": 100, "tokens_out": 25, "tokens_cached": 0}
    assert used == {**counts, **tokens, "without_cost": 5, "cost": None}


def test_first_failure_of_an_agent_is_told_where_the_run_goes_on(tmp_path):
    def script(body):
        return generous(body) if "You are cleo." in user(body) else "I would rather not"

    with Endpoint(script) as endpoint:
        scenario = written(tmp_path, endpoint.base_url, policy="skip")
        ended = warm("sim", "run", scenario, "--run-id", "a", cwd=tmp_path)
    assert (ended.code, ended.out[:15]) == (0, "run a completed")
    assert "run a completed, 8 of 12 decisions failed: 4 turns, " in ended.out
    lines = warm("sim", "show", "a", cwd=tmp_path).lines
    assert "  completed, 8 of 12 decisions failed: max_turns 4 reached" in lines
    (sums,) = [line for line in lines if line.startswith("  ann: 8 calls")]
    assert sums.startswith("  ann: 8 calls, 8 with an answer that could not be used, 160 tokens")
    told = warm("log", "--actor", "ann", "--limit", "0", cwd=tmp_path).out
    assert "  the answer could not be used: JSON is malformed" in told
    assert " (ann asked qwen of local in turn 1)" in told
    (line,) = [line for line in ended.err.splitlines() if "agent_failed" in line]
    assert line.startswith("warning: agent_failed agent=ann turn=1 policy=skip error=")
    assert "agent_failed" not in warm("sim", "replay", "a", cwd=tmp_path).err


def test_fishers_of_three_kinds_go_out_as_their_kinds_do(tmp_path):
    run = warm(
        "sim", "run", EXAMPLES / "commons.yaml", "--run-id", "a", "--json", cwd=tmp_path
    ).json
    assert (run["turns"], run["reason"][:19]) == (12, "the stock collapsed")
    assert sum(one["calls"] for one in run["usage"]["by_agent"].values()) == 15 * 12
    hours = {
        name: {
            run["final_state"][agent]["hours"]
            for agent in run["final_state"]
            if agent.startswith(f"agent/{name}")
        }
        for name in ("poor", "careful", "bold")
    }
    assert all(len(of_kind) == 1 for of_kind in hours.values())
    assert max(hours["careful"]) < max(hours["poor"]) < max(hours["bold"])


@pytest.mark.promise("O2")
def test_fifty_people_of_a_table_take_more_as_a_rumour_spreads(tmp_path):
    run = warm("sim", "run", "village", "--run-id", "a", "--json", cwd=tmp_path).json
    assert (run["status"], run["turns"], run["decisions_failed"]) == ("completed", 8, 0)
    assert len(run["usage"]["by_agent"]) == 50
    few = warm("sim", "show", "a", cwd=tmp_path).lines
    assert "  30 more agents; -v shows all" in few
    assert len(warm("sim", "show", "a", "-v", cwd=tmp_path).lines) > len(few) + 25
    assert run["usage"]["by_origin"]["own"]["calls"] == 0
    with open_run(tmp_path / "output" / "a") as recorded:
        claimed = [row["global/claimed"] for row in recorded.variables()]
    assert claimed[0] < claimed[3] < claimed[-1]
    events = warm("log", "--json", "--limit", "0", cwd=tmp_path).lines
    heard = {
        event["details"]["action_payload"]["to"]
        for event in map(json.loads, events)
        if event["event_type"] == "ACTION" and event["details"]["action_type"] == "say"
    }
    assert len(heard) > 3


def test_cassette_of_a_run_plays_it_again(tmp_path):
    with Endpoint(generous) as endpoint:
        scenario = written(tmp_path, endpoint.base_url)
        warm("sim", "run", scenario, "--run-id", "a", "--quiet", cwd=tmp_path)
    shutil.copy(tmp_path / "output" / "a" / "outcomes.jsonl", tmp_path / "b.jsonl")
    played = warm("sim", "run", scenario, "--cassette", "b.jsonl", "--json", cwd=tmp_path)
    assert played.json["status"] == "completed"
    assert (
        warm("sim", "replay", "a", "--json", cwd=tmp_path).json["sha256"]
        == (warm("sim", "replay", played.json["run_id"], "--json", cwd=tmp_path).json["sha256"])
    )
    (tmp_path / "b.jsonl").unlink()
    replayed = warm("sim", "replay", played.json["run_id"], cwd=tmp_path)
    assert replayed.out.startswith("the same: ")
    lacking = warm("sim", "run", scenario, "--cassette", "b.jsonl", cwd=tmp_path)
    assert lacking.code == 2


def test_run_pauses_where_nobody_listens_whatever_becomes_of_its_agents(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        scenario = written(tmp_path, url, policy="skip")
        paused = warm("sim", "run", scenario, "--run-id", "a", "-q", cwd=tmp_path)
    assert paused.code == 130
    assert f"endpoint local: no connection to {url}: " in paused.err
    assert "config.json holds" in paused.err
    config = tmp_path / "output" / "a" / "config.json"
    with Endpoint(generous) as endpoint:
        config.write_text(config.read_text().replace(url, endpoint.base_url))
        resumed = warm("sim", "resume", "a", "-q", cwd=tmp_path)
    assert (resumed.code, len(endpoint.requests)) == (0, 12)


@pytest.mark.parametrize(
    ("content", "why"),
    [("hello\n", "it holds no recorded answers"), (None, "the recorded answer of 1.decide.north")],
)
def test_cassette_that_holds_no_answers_pauses_the_run(tmp_path, content, why):
    text = (
        (SCENARIOS / "negotiation.jsonl").read_text().replace('"endpoint":"local"', '"endpoint":5')
    )
    (tmp_path / "a.jsonl").write_text(content or text)
    words = ("negotiation", "--run-id", "a", "--cassette", "a.jsonl", "-q")
    paused = warm("sim", "run", *words, cwd=tmp_path)
    assert paused.code == 130
    assert why in paused.err


def test_recorded_answer_that_somebody_changed_is_told(tmp_path):
    warm("sim", "run", "negotiation", "--run-id", "a", "-q", cwd=tmp_path)
    answers = tmp_path / "output" / "a" / "outcomes.jsonl"
    text = answers.read_text()
    changed = text.replace(r"\"amount\": 28", r"\"amount\": 27", 1)
    assert changed != text
    answers.write_text(changed)
    replayed = warm("sim", "replay", "a", "-q", cwd=tmp_path)
    assert replayed.code == 1
    difference = replayed.out.splitlines()[1]
    assert re.search(r'says \{"answer":.* 27\}, .* now, and said \{"answer":.* 28\}, ', difference)
    answers.write_text(text.replace('"text":"', '"text":7,"other":"', 1))
    for words in (("replay", "a"), ("show", "a")):
        told = warm("sim", *words, "-q", cwd=tmp_path).failure(1)
        assert "could not read the recorded answer of 1.decide." in told


@pytest.mark.parametrize("scenario", MODELS, ids=lambda path: path.stem)
def test_shipped_cassette_is_what_its_model_answers(scenario, tmp_path):
    cassette = scenario.with_suffix(".jsonl")
    run = recorded(scenario, tmp_path)

    def answers(file):
        """Returns the answers by step and request."""
        lines = file.read_text().splitlines()
        return {line.partition('"value"')[0]: line.partition('"text":"')[2] for line in lines}

    assert answers(run / "outcomes.jsonl") == answers(cassette)
