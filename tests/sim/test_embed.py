"""Memory by likeness: what is recalled is like what an agent sees; each text is embedded once."""

import json
import re

import pytest
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint, Reply

from thence.errors import ScenarioError
from thence.sim import SimulationConfig, SimulationOrchestrator, replay, resume, survey
from thence.sim.models.vectors import likeness, packed, unpacked
from thence.sim.run.costs import forecast
from thence.sim.run.simulation import make_components

ENGINE = """\
from thence.sim import BaseEngine

TOPICS = ("fish", "bread", "wine")


class Talk(BaseEngine):
    def apply_engine_rules(self, view):
        with view.rule("topic"):
            view.world["topic"] = TOPICS[view.turn % 3]
"""
SCENARIO = """\
simulation: {name: talk, max_turns: 7, seed: 1, checkpoint_interval: 2, on_agent_error: skip}
llm:
  endpoints:
    local: {base_url: "%(url)s", model: qwen, price_in: 1, price_out: 2, retries: 1}
    near: {base_url: "%(url)s", model: nomic, price_in: 0.5, price_out: 0, body: {dimensions: 3}}
  default: local
state_variables: {global_vars: [{name: topic, type: str, default: fish}]}
engine: {type: "./talk.py:Talk"}
validator: {type: declared}
agents:
  - name: ann
    type: llm_agent
    prompt: "You talk."
    sees: [global/topic]
    memory: {tokens: 18, embed: %(embed)s}
    actions: [{name: nod}]
"""
TOPICS = ("fish", "bread", "wine")
OWN = """\
from pathlib import Path


def embed(text):
    with (Path(__file__).parent / "calls").open("a") as file:
        file.write(f"{len(text)}\\n")
    return [text.count(topic) for topic in ("fish", "bread", "wine")]
"""


def vector(text):
    return [3 * text.count(topic) for topic in TOPICS]


def model(body):
    """Notes what is talked about; embeds a text by what it is about."""
    if "input" in body:
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        data = [{"object": "embedding", "index": 0, "embedding": vector(body["input"])}]
        return Reply({"object": "list", "data": data, "model": "nomic", "usage": usage})
    text = body["messages"][-1]["content"]
    if "What matters?" in text:
        return json.dumps({"answer": remembered(text)})
    topic = re.search(r'global/topic = "(\w+)"', text)[1]
    return json.dumps({"action": {"do": "nod"}, "note": f"all speak of {topic}", "importance": 5})


def remembered(text):
    """Returns the topic of the only record that a prompt recalls."""
    return (re.findall(r"turn \d: \"all speak of (\w+)", text) or ["-"])[-1]


def written(folder, url, embed="near"):
    folder.mkdir(exist_ok=True)
    (folder / "talk.py").write_text(ENGINE)
    (folder / "own.py").write_text(OWN)
    (folder / "talk.yaml").write_text(SCENARIO % {"url": url, "embed": embed})
    return folder / "talk.yaml"


def run_at(endpoint, folder, embed="near", **settings):
    """Plays the scenario with an endpoint; returns the result."""
    scenario = written(folder, endpoint.base_url, embed)
    return SimulationOrchestrator(scenario, output_root=folder, run_id="a", **settings).run()


def texts(endpoint):
    return [one.body["input"] for one in endpoint.requests if one.path.endswith("/embeddings")]


def recalled(endpoint):
    """Returns of each prompt the topic that it sees, and the one that it recalls."""
    prompts = [
        one.body["messages"][-1]["content"] for one in endpoint.requests if "messages" in one.body
    ]
    return [(re.search(r'topic = "(\w+)"', one)[1], remembered(one)) for one in prompts]


@pytest.mark.promise("O12")
def test_what_is_like_the_situation_is_recalled_and_each_text_is_paid_once(tmp_path):
    with Endpoint(model) as endpoint:
        assert run_at(endpoint, tmp_path, max_turns=5).status == "completed"
        result = resume(tmp_path / "a", max_turns=7).run()
        topics, asked = recalled(endpoint), texts(endpoint)
        (row,) = survey(tmp_path / "a", 7, "What matters?")
        assert row == {"agent": "ann", "answer": topics[6][1]}
        assert texts(endpoint) == asked, "the run has embedded what it saw then"
        bodies = [one.body for one in endpoint.requests if "input" in one.body]
    for body in bodies:
        assert body == {"model": "nomic", "dimensions": 3, "input": body["input"]}
    # from turn 4 on there is a record of each topic, and the one of three turns before is like it
    assert [seen == recalled for seen, recalled in topics[3:]] == [True] * 4
    assert len({*asked}) == len(asked) > 8
    usage = result.usage
    assert usage["by_agent"]["embed"]["calls"] == usage["by_model"]["nomic"]["calls"] == len(asked)
    assert usage["by_model"]["nomic"]["cost"] == pytest.approx(len(asked) * 7 * 0.5 / 1e6)
    assert replay(tmp_path / "a").difference == ""
    config = SimulationConfig.from_file(tmp_path / "talk.yaml")
    least, most = forecast(config, make_components(config))["calls"]
    assert least == 7 <= 7 + len(asked) <= most == 7 + 12


def test_survey_behind_the_last_turn_embeds_what_the_run_has_not(tmp_path):
    with Endpoint(model) as endpoint:
        run_at(endpoint, tmp_path)
        count = len(texts(endpoint))
        answers = [[*survey(tmp_path / "a", 8, "What matters?")] for _ in range(2)]
        new = texts(endpoint)[count:]
    assert answers[0] == answers[1] == [{"agent": "ann", "answer": "bread"}]
    assert len(new) == 1, "what it sees in turn 8; a record like that of turn 7 was there before"


def test_function_of_ones_own_embeds_and_is_called_once_for_a_text(tmp_path):
    with Endpoint(model) as endpoint:
        result = run_at(endpoint, tmp_path, "./own.py:embed")
        assert [seen == recalled for seen, recalled in recalled(endpoint)[3:]] == [True] * 4
        assert texts(endpoint) == []
    calls = (tmp_path / "calls").read_text()
    assert calls.count("\n") == 6 + len(TOPICS), "of what it sees from turn 2 on, and its records"
    assert "embed" not in result.usage["by_agent"]
    assert replay(tmp_path / "a").difference == ""
    assert (tmp_path / "calls").read_text() == calls


def test_cassette_holds_the_embeddings_too(tmp_path):
    with Endpoint(model) as endpoint:
        run_at(endpoint, tmp_path)
        expected = recalled(endpoint)
    words = ("talk.yaml", "--cassette", "a/outcomes.jsonl", "--run-id", "b", "--quiet")
    assert warm("sim", "run", *words, cwd=tmp_path).code == 0
    prompts = (tmp_path / "output" / "b" / "events.jsonl").read_text()
    assert prompts.count("all speak of") >= len(expected)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"data": []}, "the answer is not an embedding"),
        ({"data": [{"embedding": [0, 0]}]}, "it has no length"),
        ({"data": [{"embedding": ["a"]}]}, "the answer is not an embedding"),
        ({"error": {"message": "no such model", "code": 400}}, "no such model"),
    ],
)
def test_embedding_that_is_none_fails_its_agent_and_is_asked_again_in_the_next_turn(
    tmp_path, answer, reason
):
    def script(body):
        return Reply(answer) if "turn 2." in body.get("input", "") else model(body)

    with Endpoint(script) as endpoint:
        result = run_at(endpoint, tmp_path)
    assert result.status == "completed"
    lines = (tmp_path / "a" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    failed = [e for e in events if e["details"].get("error_type") == "agent_failed"]
    assert failed
    assert reason in failed[0]["details"]["error"]
    assert {event["turn_number"] for event in failed} == {2}
    assert replay(tmp_path / "a").difference == ""


def test_endpoint_that_is_none_is_a_problem_of_the_scenario(tmp_path):
    scenario = written(tmp_path, "http://127.0.0.1:9/v1", "far")
    with pytest.raises(ScenarioError, match="memory: embed: there is no endpoint 'far'"):
        make_components(SimulationConfig.from_file(scenario))


def test_likeness_is_the_cosine_of_vectors_kept_in_two_bytes_a_number():
    assert len(packed([0.1] * 1536)) == 4096
    a, b, c = (unpacked(packed(numbers)) for numbers in ([5, 0], [1e5, 1e5], [0, -2]))
    assert (likeness(a, a), likeness(a, c)) == (1.0, 0.0)
    assert likeness(a, b) == pytest.approx(0.7071, abs=1e-3)
    assert likeness(b, c) == 0.0
    for numbers in ([], [0.0], [float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="not a vector"):
            packed(numbers)
    with pytest.raises(ValueError, match="argument 2"):
        likeness(a, (1.0,))
