"""Agents that ask models: recorded with causes, paid for once, told once where they fail."""

import asyncio
import json
import re

import pytest
from tests.sim.models.endpoint import FAULTS, Endpoint, Reply, completion
from tests.sim.models.village import act, generous, user, village, written
from tests.sim.toys import causes, lines
from tests.tiers import some

import thence
from thence.core.failures import is_failure
from thence.sim import SimulationOrchestrator, branch, replay, resume
from thence.sim.models.asking import Models
from thence.sim.models.client import ModelRequest
from thence.sim.models.settings import EndpointSettings, ModelSettings
from thence.sim.record.outcomes import Outcomes, read_outcomes
from thence.sim.scenario.scenario import SimulationConfig

pytestmark = pytest.mark.promise("O12")


def run_of(scenario, config=None, **settings):
    settings = {"output_root": scenario.parent / "runs", "verbosity": "STATE", **settings}
    return SimulationOrchestrator(config or scenario, **settings)


def run_with(model, folder, changes=(), **settings):
    """Plays the village whose agents ask a model; returns the result and the endpoint."""
    with village(model, folder, **dict(changes)) as (endpoint, scenario):
        return run_of(scenario, **settings).run(), endpoint


def events_of(folder, kind=None):
    """Returns a run's events by step, whole."""
    with thence.open(folder) as log:
        events = [event for event in log.read() if event.step]
    return {
        event.step: event
        for event in events
        if kind in (None, event.event_type, event.payload.get("error_type"))
    }


def behind(events, step):
    """Returns the steps of all causes of an event."""
    every, waiting = set(), [step]
    while waiting:
        new = causes(events, waiting.pop()) - every
        every |= new
        waiting += new
    return every


def test_call_is_recorded_between_what_it_read_and_the_decision_as_no_error(tmp_path):
    result, _ = run_with(generous, tmp_path)
    assert result.status == "completed"
    events = events_of(result.output_dir)
    assert not any(map(is_failure, events.values()))
    call = events["2.llm-decide.ann.0"]
    read = {"2.turn_start.-.0", "1.apply0.cleo.agent/ann/money"}
    assert causes(events, "2.llm-decide.ann.0") == read
    assert "2.llm-decide.ann.0" in causes(events, "2.decide.ann.0")
    payload = call.payload
    assert (payload["endpoint"], payload["model"]) == ("local", "qwen")
    assert (payload["tokens_in"], payload["tokens_out"]) == (20, 5)
    assert payload["cost"] == pytest.approx(30e-6)
    assert payload["latency_s"] > 0
    assert "money = " in payload["messages"][1]["content"]
    assert json.loads(payload["answer"])["action"]["do"] == "give"
    assert call.actor == "ann"
    assert result.usage["by_agent"]["ann"]["calls"] == 4
    some = {"calls": 12, "requests": 12, "tokens_in": 240, "tokens_out": 60}
    cost = {"cost": pytest.approx(360e-6)}
    none = ("failed", "unusable", "without_tokens", "without_cost", "tokens_cached")
    assert result.usage["by_model"]["qwen"] == {**some, **cost, **dict.fromkeys(none, 0)}


@pytest.mark.parametrize(("verbosity", "count"), [("MILESTONE", 0), ("DECISION", 12)])
def test_calls_are_written_from_decision_up(tmp_path, verbosity, count):
    result, _ = run_with(generous, tmp_path, verbosity=verbosity)
    assert len(events_of(result.output_dir, "llm_call")) == count
    assert result.usage["by_agent"]["cleo"]["calls"] == 4
    assert replay(result.output_dir).step == ""


def test_replay_and_branch_take_recorded_answers_with_the_endpoint_off(tmp_path):
    whole, _ = run_with(generous, tmp_path)
    assert replay(whole.output_dir).step == ""
    branched = branch(whole.output_dir, 2, set={"agent/cleo/money": 60}, max_turns=3).run()
    assert branched.status == "interrupted"  # another request now
    assert '"3.decide.ann"' in (branched.output_dir / "outcomes.jsonl").read_text()
    config = whole.output_dir / "config.json"
    with Endpoint(generous) as endpoint:
        url = re.compile(r"http://127\.0\.0\.1:\d+/v1")
        config.write_text(url.sub(endpoint.base_url, config.read_text()))
        branched = branch(whole.output_dir, 2, set={"agent/cleo/money": 60}).run()
    assert branched.status == "completed"
    texts = [user(one.body) for one in endpoint.requests]
    assert texts[0].startswith("You are cleo. It is turn 3.")
    assert len([text for text in texts if "turn 3" in text]) == 1
    assert all("turn 3" in text or "turn 4" in text for text in texts)


def test_answer_of_no_use_is_asked_for_once_more_with_the_reason(tmp_path):
    def script(body):
        return generous(body) if len(body["messages"]) > 2 else act("give", to="ann", amount=9)

    result, endpoint = run_with(script, tmp_path, max_turns=1)
    asked = [one.body["messages"] for one in endpoint.requests]
    assert len(asked) == 6
    *_, answer, reason = next(messages for messages in asked if len(messages) > 2)
    assert answer == {"role": "assistant", "content": act("give", to="ann", amount=9)}
    assert "Expected `int` <= 5" in reason["content"]
    events = events_of(result.output_dir)
    named = causes(events, "1.decide.ann.0")
    assert {"1.llm-decide.ann.0", "1.llm-decide.ann.1"} < named
    assert "1.llm-decide.ann.0" in causes(events, "1.llm-decide.ann.1")  # its prompt holds it


def of_no_use_to(*names):
    """Returns a model whose answers to some agents are prose; another one gives."""

    def script(body):
        is_prose = any(f"You are {name}." in user(body) for name in names)
        return "Let me think." if is_prose else generous(body)

    return script


@pytest.mark.promise("O12", tier="person")
@pytest.mark.parametrize("verbosity", ["MILESTONE", "DECISION", "STATE"])
def test_second_answer_of_no_use_is_a_failure_by_policy(tmp_path, verbosity):
    settings = {"max_turns": 2, "verbosity": verbosity}
    result, endpoint = run_with(of_no_use_to("ann", "ben"), tmp_path, **settings)
    assert (result.status, result.decisions, result.decisions_failed) == ("completed", 6, 4)
    assert len(endpoint.requests) == 10
    events = events_of(result.output_dir)
    failures = events_of(result.output_dir, "agent_failed")
    assert len(failures) == 4
    facts = failures["1.failed.ann.0"].payload
    assert "the second one too" in facts["error"]
    assert [call["tokens_in"] for call in facts["calls"]] == [20, 20]
    if verbosity == "MILESTONE":
        assert not events_of(result.output_dir, "llm_call")
    else:
        steps = ["1.llm-decide.ann.0", "1.llm-decide.ann.1"]
        assert [call["step"] for call in facts["calls"]] == steps
        assert {*steps} < causes(events, "1.failed.ann.0")
        assert steps[0] in causes(events, steps[1])
        for step, count in zip(steps, (2, 4), strict=True):
            call = events[step].payload
            assert (call["status"], call["answer"]) == ("failure", "Let me think.")
            assert "JSON is malformed" in call["error"]
            assert len(call["messages"]) == count
        assert events["1.llm-decide.cleo.0"].payload["status"] == "success"
        assert "error" not in events["1.llm-decide.cleo.0"].payload
    sums = result.usage["by_agent"].items()
    unusable = {name: (of["unusable"], of["failed"]) for name, of in sums}
    assert unusable == {"ann": (4, 0), "ben": (4, 0), "cleo": (0, 0)}
    assert replay(result.output_dir).step == ""


@pytest.mark.parametrize(
    "fault", ["cut", "empty", "refusal", "two_tool_calls", "bad_request", "html"]
)
def test_call_without_a_usable_answer_is_an_event_with_its_prompt(tmp_path, fault):
    def script(body):
        return FAULTS[fault] if "You are ann." in user(body) else generous(body)

    result, _ = run_with(script, tmp_path, {"retries: 2": "retries: 0"}, max_turns=2)
    assert (result.status, result.decisions_failed) == ("completed", 2)
    call = events_of(result.output_dir, "llm_call")["2.llm-decide.ann.0"].payload
    assert call["status"] == "failure"
    assert call["error"].startswith("could not get an answer from endpoint local")
    assert "money = " in call["messages"][1]["content"]
    assert "2.llm-decide.ann.0" in causes(events_of(result.output_dir), "2.failed.ann.0")
    is_answered = fault != "bad_request"
    count = 4 if fault in ("empty", "two_tool_calls") else 2  # asked once more
    ann = result.usage["by_agent"]["ann"]
    assert ann["calls"] == count
    assert ann["requests"] == (count if is_answered else 2 * count)  # without the schema too
    assert (ann["unusable"], ann["failed"]) == (count * is_answered, count * (not is_answered))
    assert ann["without_tokens"] == (2 if fault == "html" else 0)
    assert replay(result.output_dir).step == ""


@pytest.mark.promise("O12", tier="person")
@pytest.mark.parametrize("verbosity", ["MILESTONE", "DECISION", "STATE"])
def test_run_to_which_no_answer_was_of_use_has_failed(tmp_path, verbosity):
    with village(lambda body: "```json\n{}\n```", tmp_path) as (endpoint, scenario):
        result = run_of(scenario, max_turns=1, verbosity=verbosity).run()
        count = len(endpoint.requests)
    assert (result.status, result.turns) == ("failed", 1)
    assert result.reason == f"none of {count} answers could be used"
    assert result.reason in result.error
    assert (result.decisions, result.decisions_failed) == (3, 3)
    assert json.loads((result.output_dir / "result.json").read_bytes())["decisions_failed"] == 3
    (error,) = events_of(result.output_dir, "run_failed").values()
    assert result.reason in error.payload["error"]
    assert replay(result.output_dir).step == ""
    # it can be played on, with nothing asked for again, and fails for the same
    again = resume(result.output_dir).run()
    assert (again.status, again.reason, again.decisions) == ("failed", result.reason, 3)
    assert (again.usage, len(endpoint.requests)) == (result.usage, count)


@pytest.mark.parametrize("turn", [1, 3, 4])
def test_turn_to_which_no_paid_answer_was_of_use_pauses_the_run(tmp_path, turn):
    """In each later process, too, and nothing that was paid for is asked for again."""
    is_broken = True

    def script(body):
        is_now = is_broken and f"t is turn {turn}." in user(body)
        return "```\n{}\n```\n```\n{}\n```" if is_now else act("give", to="ben", amount=1)

    with Endpoint(script) as endpoint:
        result = run_of(written(tmp_path, endpoint.base_url)).run()
        assert (result.status, result.reason, result.turns) == ("interrupted", "paused", turn)
        assert f"after turn {turn}: none of 3 agents that asked" in result.error
        assert "change the prompt or the model" in result.error
        assert (result.decisions, result.decisions_failed) == (3 * turn, 3)
        is_broken, asked = False, len(endpoint.requests)
        resumed = resume(result.output_dir).run()
        assert (resumed.status, resumed.turns) == ("completed", 4)
        assert (resumed.decisions, resumed.decisions_failed) == (12, 3)
        again = [one.body for one in endpoint.requests[asked:]]
    assert not [body for body in again if f"t is turn {turn}." in user(body)]
    assert replay(result.output_dir).step == ""


def test_run_that_is_paused_before_any_answer_was_of_use_is_interrupted(tmp_path):
    with village(lambda body: "no", tmp_path) as (_, scenario):
        result = run_of(scenario, max_turns=1, max_calls=5).run()
        assert (result.status, result.reason) == ("interrupted", "paused")
        resumed = resume(result.output_dir, max_calls=100).run()
    assert (resumed.status, resumed.decisions, resumed.decisions_failed) == ("failed", 3, 3)
    assert replay(result.output_dir).step == ""


def test_branch_and_checkpoint_keep_what_was_of_no_use(tmp_path):
    with Endpoint(of_no_use_to("ann")) as endpoint:
        whole = run_of(written(tmp_path, endpoint.base_url)).run()
        branched = branch(whole.output_dir, 2, set={"agent/cleo/money": 60}).run()
        paid = sum(not one.is_copied for one in read_outcomes(branched.output_dir).values())
        assert len(endpoint.requests) == 16 + paid
        assert branched.usage["by_agent"]["ann"]["unusable"] == 8
        longer = resume(whole.output_dir, max_turns=5).run()  # from turn 2 on
    assert (longer.decisions, longer.decisions_failed) == (15, 5)
    assert longer.usage["by_agent"]["ann"]["unusable"] == 10
    assert replay(longer.output_dir).step == ""


@pytest.mark.parametrize("answer", ["Let me think.", FAULTS["cut"], FAULTS["bad_request"]])
def test_run_that_failed_for_an_answer_tells_it_and_asks_anew(tmp_path, answer):
    is_broken = True

    def script(body):
        is_ben = "You are ben. It is turn 2" in user(body)
        return answer if is_broken and is_ben else generous(body)

    with village(script, tmp_path, policy="fail") as (_, scenario):
        result = run_of(scenario).run()
        assert (result.status, result.turns) == ("failed", 1)
        assert (result.decisions, result.decisions_failed) == (6, 1)
        events = events_of(result.output_dir)
        calls = [step for step in events if "2.llm-decide.ben" in step]
        assert calls
        assert {events[step].payload["status"] for step in calls} == {"failure"}
        assert events[calls[-1]].event_id in events["2.failed.-.0"].caused_by
        is_broken = False
        assert resume(result.output_dir).run().status == "completed"
    assert replay(result.output_dir).step == ""


@pytest.mark.parametrize("gaps", ["none", "all", "some"])
def test_cost_with_gaps_is_told_as_such_and_holds_a_limit_up(tmp_path, gaps):
    def script(body):
        has_gap = {"none": False, "all": True, "some": len(endpoint.requests) == 2}[gaps]
        answer = completion(generous(body))
        return Reply({**answer, "usage": None} if has_gap else answer)

    terms = {"retries: 2": "retries: 2, concurrency: 1"}
    with village(script, tmp_path, **terms) as (endpoint, scenario):
        free = run_of(scenario, max_turns=2).run()
        endpoint.requests.clear()
        bounded = run_of(scenario, max_turns=2, max_cost=1.0).run()
        asked = len(endpoint.requests)
        again = resume(bounded.output_dir).run() if bounded.status == "interrupted" else None
        assert len(endpoint.requests) == asked
        if again is not None:
            assert (again.status, again.turns) == ("interrupted", bounded.turns)
            assert resume(bounded.output_dir, max_cost=float("inf")).run().status == "completed"
    sums = free.usage["by_model"]["qwen"]
    assert (sums["calls"], free.status) == (6, "completed")
    count = {"none": 0, "all": 6, "some": 1}[gaps]
    assert (sums["without_tokens"], sums["without_cost"]) == (count, count)
    assert sums["cost"] == (None if gaps == "all" else pytest.approx(30e-6 * (6 - count)))
    assert bounded.status == ("completed" if gaps == "none" else "interrupted")
    if gaps != "none":
        assert "max_cost can't be kept" in bounded.error
        assert asked == {"all": 1, "some": 2}[gaps]
    assert replay(bounded.output_dir).step == ""


def test_dead_endpoint_pauses_the_run_which_goes_on_later(tmp_path):
    with village(generous, tmp_path) as (endpoint, scenario):
        whole = run_of(scenario).run()
        paused = run_of(scenario, run_id="paused", max_calls=7).run()
        assert (paused.status, paused.turns, paused.reason) == ("interrupted", 2, "paused")
        assert "max_calls is 7" in paused.error
        end = lines(paused.output_dir)[-1]
        assert end["description"].startswith("simulation_interrupted: paused: ")
        asked = len(endpoint.requests)
        result = resume(paused.output_dir, max_calls=100).run()
        assert len(endpoint.requests) == asked + 5
    assert result.final_state == whole.final_state
    assert replay(paused.output_dir).sha256 == replay(whole.output_dir).sha256


def test_key_that_is_not_set_pauses_the_run_and_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_KEY", raising=False)
    with Endpoint(generous) as endpoint:
        keyed = {"model: qwen": "model: qwen, key_env: LOCAL_KEY"}
        scenario = written(tmp_path, endpoint.base_url, **keyed)
        result = run_of(scenario).run()
        assert (result.status, result.turns) == ("interrupted", 0)
        assert "LOCAL_KEY is not set" in result.error
        monkeypatch.setenv("LOCAL_KEY", "sk-village-1")
        assert resume(result.output_dir).run().status == "completed"
        assert endpoint.requests[0].headers["authorization"] == "Bearer sk-village-1"
    for file in result.output_dir.rglob("*"):
        assert not file.is_file() or b"sk-village-1" not in file.read_bytes()


def test_cassette_plays_the_same_run_without_key_and_network(tmp_path):
    keyed = {"model: qwen": "model: qwen, key_env: UNSET_KEY"}
    whole, _ = run_with(generous, tmp_path)
    cassette = whole.output_dir / "outcomes.jsonl"
    scenario = written(tmp_path / "other", "http://127.0.0.1:9/v1", **keyed)
    played = run_of(scenario, cassette=cassette).run()
    assert played.status == "completed"
    assert replay(played.output_dir).sha256 == replay(whole.output_dir).sha256


def test_request_that_a_cassette_lacks_names_agent_and_turn(tmp_path):
    whole, _ = run_with(generous, tmp_path)
    cassette = tmp_path / "answers.jsonl"
    played = run_of(tmp_path / "village.yaml", cassette="answers.jsonl").run()
    assert (played.status, played.turns) == ("interrupted", 0)
    assert "could not read" in played.error
    lines = (whole.output_dir / "outcomes.jsonl").read_text().splitlines(keepends=True)
    cassette.write_text("".join(line for line in lines if '"3.decide.ben"' not in line))
    played = run_of(tmp_path / "village.yaml", cassette=cassette).run()
    assert (played.status, played.turns) == ("interrupted", 2)
    assert "for ben in turn 3" in played.error


def test_cassette_answers_each_step_as_it_was_answered_whatever_was_asked_before(tmp_path):
    """So that a run that is resumed, which asks for a part, goes on as a whole one."""
    request = ModelRequest(({"role": "user", "content": "How many?"},))

    async def play(steps, url, outcomes, cassette=None):
        local = EndpointSettings(base_url=url, model="qwen")
        settings = ModelSettings(endpoints={"local": local}, cassette=cassette)
        models = Models(settings, outcomes, seed=1)
        calls = [await models.ask(step, request, {}.keys()) for step in steps]
        await models.close()
        return [call.outcome.text() for call in calls]

    steps = [f"{turn}.decide.ann" for turn in (1, 2, 3)]
    with Endpoint(lambda body: str(len(endpoint.requests))) as endpoint:
        path = tmp_path / "outcomes.jsonl"
        outcomes = Outcomes(path)
        assert asyncio.run(play(steps, endpoint.base_url, outcomes)) == ["1", "2", "3"]
    played = [*steps[1:], "4.decide.ann", "1.decide.ben"]
    answers = asyncio.run(play(played, "http://127.0.0.1:9/v1", Outcomes(), str(path)))
    assert answers == ["2", "3", "1", "1"]


def test_run_that_is_interrupted_while_models_are_asked_leaves_no_call(tmp_path):
    left = []

    async def play(run):
        task = asyncio.create_task(run.run_async())
        await asyncio.to_thread(endpoint.wait_for, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left.extend(asyncio.all_tasks() - {asyncio.current_task()})

    with Endpoint(lambda body: act(), fault="never") as endpoint:
        scenario = written(tmp_path, endpoint.base_url)
        run = run_of(scenario)
        asyncio.run(play(run))
        assert left == []
        assert run.result.status == "interrupted"
        endpoint.is_well = True
        assert resume(run.output_dir).run().status == "completed"


def test_branch_has_paid_for_nothing_that_it_took_from_its_run(tmp_path):
    def script(body):
        is_refused = len(endpoint.requests) == 14
        return Reply({"error": "wrong key"}, 401) if is_refused else generous(body)

    with Endpoint(script) as endpoint:
        whole = run_of(written(tmp_path, endpoint.base_url)).run()
        assert len(endpoint.requests) == 12
        paused = branch(whole.output_dir, 2, set={"agent/cleo/money": 60}).run()
        assert paused.reason == "paused"
        before = len(endpoint.requests)
        taken = sum(one.is_copied for one in read_outcomes(paused.output_dir).values())
        paid = [one for one in read_outcomes(paused.output_dir).values() if not one.is_copied]
        own = 12 - taken
        assert resume(paused.output_dir, max_calls=own - 1).run().reason == "paused"
        assert resume(paused.output_dir, max_calls=own).run().status == "completed"
        assert len(endpoint.requests) == before + own - len(paid)
    assert replay(paused.output_dir).step == ""


def test_what_is_recalled_into_a_prompt_is_a_cause(tmp_path):
    def script(body):
        note = {"note": "n", "importance": 5}
        return json.dumps({**json.loads(act("give", to="cleo", amount=1)), **note})

    result, _ = run_with(script, tmp_path, {"keys": "memory: 3\n    sees: []"})
    events = events_of(result.output_dir)
    assert "3.llm-decide.ann.0" in causes(events, "3.decide.ann.0")
    for turn in (1, 2):
        assert f"{turn}.decide.ann.0" in behind(events, "3.llm-decide.ann.0")
    assert "2.decide.ben.0" not in behind(events, "3.llm-decide.ann.0")


@pytest.mark.rest
@pytest.mark.parametrize("fault", some(FAULTS, 4, "endpoint"))
@pytest.mark.whole
def test_no_fault_of_an_endpoint_hangs_a_run_or_is_told_twice(tmp_path, fault):
    terms = {"timeout_s: 5, retries: 2": "timeout_s: 0.5, retries: 1, concurrency: 3"}
    with Endpoint(generous, fault=fault) as endpoint:
        scenario = written(tmp_path, endpoint.base_url, **terms)
        result = run_of(scenario, max_turns=2).run()
        if result.status == "interrupted":
            assert result.reason == "paused"
            assert "endpoint local" in result.error or "could use an answer" in result.error
            assert not events_of(result.output_dir, "DECISION")
        else:
            failures = events_of(result.output_dir, "agent_failed")
            decisions = events_of(result.output_dir, "DECISION")
            assert len(failures) + len({step.split(".decide.")[1] for step in decisions}) >= 3
            assert (result.status, len(failures)) in (("completed", 0), ("failed", 6))
    assert result.dropped == result.failed == 0
    assert replay(result.output_dir).step == ""


def test_answer_may_be_huge_and_is_kept_whole(tmp_path):
    def script(body):
        return Reply(completion(generous(body) + " " * 200_000))

    result, _ = run_with(script, tmp_path, max_turns=1)
    calls = events_of(result.output_dir, "llm_call")
    assert {len(call.payload["answer"]) > 200_000 for call in calls.values()} == {True}
    assert (result.output_dir / "events.jsonl").stat().st_size < 20_000
    assert replay(result.output_dir).step == ""


def seeds_sent(scenario, seed):
    """Returns the seed of each request, by turn and agent, of a run with a seed."""
    sent = {}

    def answer(body):
        turn, name = re.search(r"turn (\d+)", user(body)), re.search(r"You are (\w+)", user(body))
        sent[turn[1], name[1]] = body.get("seed")
        return generous(body)

    with Endpoint(answer) as endpoint:
        key = "llm.endpoints.local.base_url"
        given = SimulationConfig.from_file(scenario, {key: endpoint.base_url})
        run_of(scenario, config=given, seed=seed).run()
    return sent


def test_endpoint_with_the_seed_of_the_run_gets_a_number_of_seed_agent_and_turn(tmp_path):
    scenario = written(tmp_path, "http://127.0.0.1:1", qwen="qwen, seed: run")
    first, again, other = (seeds_sent(scenario, seed) for seed in (1, 1, 2))
    assert first == again
    numbers = [*first.values(), *other.values()]
    assert len(set(numbers)) == len(numbers) == 2 * 12
    assert all(0 <= number < 2**31 for number in numbers)
