"""Components in Python that ask models, and agents that follow a script."""

from contextlib import suppress

import pytest
from tests.sim.models.endpoint import FAULTS, Endpoint
from tests.sim.models.village import act, generous, user, village, written
from tests.sim.test_thinking import behind, causes, events_of, run_of, run_with

from thence.errors import ScenarioError
from thence.sim import (
    Action,
    BaseValidator,
    LLMAgent,
    LLMEngine,
    LLMValidator,
    Verdict,
    replay,
    resume,
)
from thence.sim.models.client import ModelCallFailed
from thence.sim.run.thinking import ask

pytestmark = pytest.mark.promise("O12")


class Inspector(LLMValidator):
    def messages(self, action, state):
        money = state.agent(action.agent_id)["money"]
        return [{"role": "user", "content": f"judge: {action.agent_id} has {money}"}]

    def verdict(self, answer, action, state):
        return {"yes": Verdict.accept, "no": lambda: Verdict.reject("it said no")}[answer]()


class Weather(LLMEngine):
    def messages(self, view):
        return [{"role": "user", "content": f"weather: {view.agent('ann')['money']}"}]

    def change(self, answer, view):
        view.agent("cleo")["money"] = int(answer)


class Giver(LLMAgent):
    def __init__(self, name):
        super().__init__(name)
        self.remembers = False

    def messages(self, observation):
        return [{"role": "user", "content": f"giver: {observation['money']}"}]

    def action(self, answer, observation):
        return Action("give", {"to": "ben", "amount": int(answer)})


def givers():
    return [Giver(name) for name in ("ann", "ben", "cleo")]


def script(body):
    text = body["messages"][0]["content"]
    if text.startswith("giver"):
        return "1"
    if text.startswith("weather"):
        return "42" if len(body["messages"]) > 1 else "sunny"
    if text.startswith("judge"):
        return "no" if "ben" in text else "yes"
    return generous(body)


def test_validator_and_engine_ask_models_with_true_causes(tmp_path):
    parts = {"validator": Inspector(), "engine": Weather()}
    result, _ = run_with(script, tmp_path, max_turns=2, agents=givers(), **parts)
    assert result.status == "completed"
    events = events_of(result.output_dir)
    assert causes(events, "1.llm-look.ben.0") >= {"1.decide.ben.0"}
    assert "1.llm-look.ben.0" in causes(events, "1.reject.ben.0")
    assert events["1.reject.ben.0"].payload["reason"] == "it said no"
    assert "1.llm-look.ann.0" in causes(events, "1.act.ann.0")
    rule = "1.rules.-.agent/cleo/money"
    assert causes(events, rule) >= {"1.llm-rules.-.0", "1.llm-rules.-.1"}
    assert events["1.llm-rules.-.1"].payload["answer"] == "42"
    assert "1.llm-rules.-.1" in behind(events, "2.llm-decide.cleo.0")
    assert result.usage["by_agent"]["rules"]["calls"] == 4
    parts = {"validator": Inspector(), "engine": Weather()}
    assert replay(result.output_dir, agents=givers(), **parts).step == ""


class Storm(LLMEngine):
    """Takes lines such as `ann 3`."""

    def messages(self, view):
        return [{"role": "user", "content": "storm"}]

    def change(self, answer, view):
        for line in answer.splitlines():
            name, money = line.split()
            view.agent(name)["money"] = int(money)


def run_by_engine(answer, folder, engine, turns=1):
    """Plays the village where an engine alone asks the model; returns result and endpoint."""
    with Endpoint(answer) as endpoint:
        scenario = scripted(folder, "script: []", endpoint.base_url)
        return run_of(scenario, max_turns=turns, engine=engine).run(), endpoint


def once_wrong(wrong):
    """Returns a model whose first answer of a turn is of no use."""
    return lambda body: "ann 7" if len(body["messages"]) > 1 else wrong


@pytest.mark.parametrize("wrong", ["ben 3\nann three", "ben 3\nann 1000"])
def test_engine_takes_nothing_of_an_answer_of_no_use(tmp_path, wrong):
    result, endpoint = run_by_engine(once_wrong(wrong), tmp_path, Storm())
    assert (result.status, len(endpoint.requests)) == ("completed", 2)
    money = {name: result.final_state[f"agent/{name}"]["money"] for name in ("ann", "ben")}
    assert money == {"ann": 7, "ben": 10}


def test_budget_that_ends_between_an_answer_and_its_repair_pauses(tmp_path):
    """For the resumed run the first answer is the recorded one, whoever asked."""

    def answer(body):
        return "7" if len(body["messages"]) > 1 else "sunny"

    with village(answer, tmp_path, policy="fail") as (endpoint, scenario):

        def parts():
            agents = [Giver("ann"), Giver("cleo")]
            return {"agents": agents, "engine": Weather(), "validator": BaseValidator()}

        for calls in range(1, 6):
            run = run_of(scenario, max_turns=1, run_id=f"r{calls}", max_calls=calls, **parts())
            paused = run.run()
            assert (paused.reason, len(endpoint.requests)) == ("paused", calls)
            result = resume(paused.output_dir, max_calls=100, **parts()).run()
            assert (result.status, len(endpoint.requests)) == ("completed", 6)
            endpoint.requests.clear()
            assert replay(result.output_dir, **parts()).step == ""


def test_model_that_is_asked_at_no_endpoint_is_told(tmp_path):
    agents = givers()
    for agent in agents:
        agent.endpoint = "elsewhere"
    scenario = written(tmp_path, "http://127.0.0.1:9/v1")
    result = run_of(scenario, agents=agents).run()
    assert result.status == "completed"
    failure = events_of(result.output_dir)["1.failed.ann.0"].payload["error"]
    assert "there is no endpoint elsewhere" in failure


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "not iterable"),
        ("hi", "got `str`"),
        ([], "length >= 1"),
        ([{"role": "user", "content": 3}], "Expected `str`"),
    ],
)
def test_messages_that_are_none_are_told_and_sent_nowhere(tmp_path, messages, reason):
    agents = givers()
    for agent in agents:
        agent.messages = lambda observation: messages
    with village(lambda body: "1", tmp_path, policy="fail") as (endpoint, scenario):
        result = run_of(scenario, agents=agents).run()
        assert endpoint.requests == []
    begin = "agent ann failed: could not ask a model for ann in turn 1: messages returned"
    assert result.error.startswith(begin)
    assert reason in result.error
    assert result.error.endswith('return [{"role": "user", "content": text}]')


def test_engine_whose_change_is_async_is_told_rather_than_not_awaited(tmp_path):
    class Late(Storm):
        async def change(self, answer, view):
            """Would change nothing."""

    scenario = scripted(tmp_path, "script: []")
    result = run_of(scenario, max_turns=1, engine=Late()).run()
    assert "Late.change must not be async" in result.error


def test_answers_of_no_use_to_an_engine_are_told_as_the_engines(tmp_path):
    result, _ = run_by_engine(lambda body: "ann three", tmp_path, Storm())
    assert "could not use the model's answers for the engine in turn 1" in result.error


def scripted(tmp_path, keys, url="http://127.0.0.1:9/v1"):
    """Writes the village with ben, who follows a script, and two others who do nothing."""
    scenario = written(tmp_path, url)
    text = scenario.read_text()
    agents = "".join(f"  - {{name: {name}, type: scripted}}\n" for name in ("ann", "cleo"))
    agents += f"  - {{name: ben, type: scripted, {keys}}}\n"
    scenario.write_text(text[: text.index("  - &agent")] + agents)
    return scenario


def test_script_has_an_action_a_turn_and_nothing_behind_its_end(tmp_path):
    entries = "[{do: give, to: ann, amount: 2}, null, {do: give, to: ann, amount: 9}]"
    result = run_of(scripted(tmp_path, f"script: {entries}")).run()
    events = events_of(result.output_dir, "DECISION")
    actions = {step: event.payload["new_value"] for step, event in events.items()}
    assert actions == {
        "1.decide.ben.0": {"to": "ann", "amount": 2},
        "3.decide.ben.0": {"to": "ann", "amount": 9},
    }


def test_script_may_be_a_function_beside_the_scenario(tmp_path):
    scenario = scripted(tmp_path, 'function: "./ben.py:decide"')
    (tmp_path / "ben.py").write_text(
        "from thence.sim import Action\n\n\ndef decide(observation):\n"
        "    return Action('give', {'to': 'ann', 'amount': observation['money'] - 7})\n"
    )
    result = run_of(scenario, max_turns=2).run()
    events = events_of(result.output_dir)
    assert events["1.decide.ben.0"].payload["new_value"] == {"to": "ann", "amount": 3}
    assert "1.apply0.ben.agent/ben/money" in causes(events, "2.decide.ben.0")


@pytest.mark.parametrize("verbosity", ["MILESTONE", "STATE"])
@pytest.mark.parametrize("function", [False, True])
def test_word_to_nobody_is_a_told_failure_of_its_decision(tmp_path, function, verbosity):
    keys = 'talk: true, script: [{do: say, to: anne, text: "Hi."}, {do: say, to: all, text: "Hi."}]'
    if function:
        keys = 'talk: true, function: "./ben.py:decide"'
        (tmp_path / "ben.py").write_text(
            "from thence.sim import Action\n\n\ndef decide(observation):\n"
            "    to = {1: 'anne', 2: 'all'}.get(observation.turn)\n"
            "    return [Action('say', {'to': to, 'text': 'Hi.'})] if to else None\n"
        )
    scenario = scripted(tmp_path, keys)
    text = scenario.read_text().replace('type: "./gifts.py:Gifts"', "type: base")
    scenario.write_text(
        text.replace("{name: ann, type: scripted", "{name: ann, talk: true, type: scripted")
    )
    result = run_of(scenario, on_agent_error="skip", max_turns=2, verbosity=verbosity).run()
    (failure,) = events_of(result.output_dir, "agent_failed").values()
    assert (failure.turn_number, failure.payload["kind"]) == (1, "nonsense")
    assert (
        "agent ben: it speaks to 'anne', which is not an agent's name" in failure.payload["error"]
    )
    assert result.final_state["agent/ann"]["heard"] == [[2, "ben", "Hi."]], "it waits"
    assert result.final_state["agent/ben"]["heard"] == []
    assert replay(result.output_dir).step == ""
    failed = run_of(scenario, on_agent_error="fail", verbosity=verbosity).run()
    assert (failed.status, failed.turns) == ("failed", 0)
    assert "to is the name of an agent, or 'all'" in failed.error


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('function: "./none.py:decide"', "there is no file"),
        ('function: "./gifts.py:decide"', "there is no function ./gifts.py:decide"),
        ("function: decide", r"line 14: agents\[2\].function: .* written as ./FILE.py:NAME"),
        ("script: 3", "should be a list"),
        ("script: [{to: ann}]", r"line 14: agents\[2\].script: .* an entry without do"),
    ],
)
def test_script_that_is_none_is_refused(tmp_path, keys, reason):
    with pytest.raises(ScenarioError, match=reason):
        run_of(scripted(tmp_path, keys))


def test_prompt_comes_from_a_file_and_the_eye_sees_what_it_is_told_to(tmp_path):
    (tmp_path / "prompt.md").write_text("Be kind. Äpfel.\n")
    keys = "prompt_file: prompt.md\n    sees: [money, agent/b*/money]"
    result, endpoint = run_with(lambda body: act(), tmp_path, {"keys": keys}, max_turns=1)
    body = next(one.body for one in endpoint.requests if "You are ann" in user(one.body))
    assert body["messages"][0]["content"].startswith("Be kind. Äpfel.\n\nIn each turn")
    seen = user(body).partition("You see:\n")[2]
    assert seen == "money = 10\nagent/ben/money = 10"
    assert result.status == "completed"
    (tmp_path / "prompt.md").unlink()
    with pytest.raises(ScenarioError, match="prompt_file can't be read") as error:
        run_of(tmp_path / "village.yaml")
    assert error.value.problems[0]["line"] > 1


def test_run_goes_on_with_the_prompt_that_it_began_with(tmp_path):
    (tmp_path / "prompt.md").write_text("Be kind.")
    with village(generous, tmp_path, keys="prompt_file: prompt.md") as (endpoint, scenario):
        paused = run_of(scenario, max_calls=8).run()
        (tmp_path / "prompt.md").write_text("Be cruel.")
        result = resume(paused.output_dir, max_calls=100).run()
        assert (result.status, len(endpoint.requests)) == ("completed", 12)
        systems = {one.body["messages"][0]["content"][:8] for one in endpoint.requests}
    assert systems == {"Be kind."}
    assert replay(result.output_dir).step == ""


def test_what_an_agent_can_not_see_is_in_no_prompt_and_no_cause(tmp_path):
    keys = 'sees: [money, "agent/*/money"]'
    changes = {"default: 10}": "default: 10, sight: internal}", "keys": keys}
    result, endpoint = run_with(generous, tmp_path, changes, max_turns=2)
    seen = [user(one.body).partition("You see:\n")[2] for one in endpoint.requests]
    first = {f"money = 10\nagent/{name}/money = 10" for name in ("ann", "ben", "cleo")}
    assert {*seen[:3]} == first  # in whatever order they came
    events = events_of(result.output_dir)
    read = {"2.turn_start.-.0", "1.apply0.cleo.agent/ann/money"}
    assert causes(events, "2.llm-decide.ann.0") == read


def test_talk_that_clashes_with_an_action_is_refused(tmp_path):
    changes = {"name: give": "name: say"}
    scenario = written(tmp_path, "http://127.0.0.1:9/v1", keys="talk: true", **changes)
    with pytest.raises(ScenarioError, match="which talk brings along"):
        run_of(scenario)


def statuses(folder):
    """Returns the status of each call of a model by its step."""
    calls = events_of(folder, "llm_call")
    return {step: call.payload["status"] for step, call in calls.items()}


class Ruled(Storm):
    """Changes by a rule of its own while it reads the answer."""

    def change(self, answer, view):
        name, money = answer.split()
        with view.rule("storm"):
            view.agent(name)["money"] = int(money)


def test_rule_within_the_reading_of_an_answer_names_its_call(tmp_path):
    result, _ = run_by_engine(once_wrong("ann x"), tmp_path, Ruled())
    events = events_of(result.output_dir)
    assert "1.llm-rules.-.1" in causes(events, "1.storm.-.agent/ann/money")
    came = statuses(result.output_dir)
    assert came == {"1.llm-rules.-.0": "failure", "1.llm-rules.-.1": "success"}
    assert replay(result.output_dir, engine=Ruled()).step == ""


@pytest.mark.parametrize("verbosity", ["MILESTONE", "STATE"])
@pytest.mark.parametrize("answer", ["ann three", FAULTS["bad_request"], FAULTS["cut"]])
@pytest.mark.parametrize("part", ["engine", "validator", "termination"])
@pytest.mark.whole(rows=9)
def test_run_that_ends_by_an_answer_of_no_use_is_resumed_and_asks_anew(
    tmp_path, part, answer, verbosity
):
    is_broken = False
    words = {"engine": "storm", "validator": "judge", "termination": "over"}[part]

    def model(body):
        text = body["messages"][0]["content"]
        is_first = text.startswith(words) and len(body["messages"]) == 1
        if is_broken and text.startswith(words):
            return answer
        return {"s": "ann 7", "j": "yes", "o": "no", "g": "1"}[text[0]] if not is_first else "??"

    class Ending(Storm):
        async def check_termination(self, state):
            def take(text):
                return {"no": None, "yes": "it is over"}[text] if text != "??" else int(text)

            messages = [{"role": "user", "content": f"over after {state.turn}?"}]
            return await ask(state, messages, take)

    class Judge(Inspector):
        def verdict(self, answer, action, state):
            if answer == "??":
                raise ValueError("yes or no")
            return super().verdict(answer, action, state)

    def parts():
        return {"agents": givers(), "engine": Ending(), "validator": Judge()}

    with village(model, tmp_path, **{"retries: 2": "retries: 0"}) as (endpoint, scenario):
        settings = {"max_turns": 3, "verbosity": verbosity}
        is_broken = False

        def on_turn(progress):
            nonlocal is_broken
            is_broken = True
            endpoint.requests.clear()

        result = run_of(scenario, **settings, **parts(), on_turn=on_turn).run()
        assert (result.status, result.turns) == ("failed", 1 + (part == "termination"))
        if verbosity == "STATE":
            (end,) = events_of(result.output_dir, "run_failed").values()
            (*_, last) = events_of(result.output_dir, "llm_call").values()
            assert last.payload["status"] == "failure"
            assert last.event_id in end.caused_by
        for is_broken in (True, False):
            resumed = resume(result.output_dir, **parts()).run()
            assert resumed.status == ("failed" if is_broken else "completed"), resumed.error
        assert replay(result.output_dir, **parts()).step == ""


def test_engine_that_goes_on_without_an_answer_is_played_again_the_same(tmp_path):
    class Calm(Storm):
        async def apply_engine_rules(self, view):
            for _ in range(2):
                with suppress(ModelCallFailed):
                    await super().apply_engine_rules(view)

    answers = iter(["calm", "calm"])
    result, _ = run_by_engine(lambda body: next(answers, "ann 7"), tmp_path, Calm(), turns=2)
    assert result.status == "completed"
    assert [*statuses(result.output_dir).values()].count("failure") == 2
    assert replay(result.output_dir, engine=Calm()).step == ""
