"""How a client asks for an answer's form, and what else an endpoint is sent by its options."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest
from tests.sim.models.endpoint import Endpoint, Reply, Script
from tests.sim.models.test_client import FORMED, QUESTION, SCHEMA, TIME_S, ask, failed

from thence.sim.models.client import Budget, ModelAnswer, ModelClient
from thence.sim.models.settings import EndpointSettings

pytestmark = pytest.mark.promise("O12a")


def test_request_that_is_bad_without_a_schema_too_does_not_unlearn_schemas():
    def script(body: dict[str, Any]) -> str | Reply:
        return Reply({}, 400) if len(endpoint.requests) <= 2 else "{}"

    with Endpoint(script) as endpoint:
        first, *others = ask(endpoint, FORMED, asks=3)
    assert len(failed(first).attempts) == 2
    assert all(isinstance(answer, ModelAnswer) for answer in others)
    assert all("response_format" in request.body for request in endpoint.requests[2:])


def modes(answers: list[Any]) -> list[str]:
    return [answer.schema_mode for answer in answers]


def without_schemas(refusal: Reply) -> Script:
    """Returns a model that refuses each request with a schema."""
    return lambda body: refusal if "response_format" in body else '{"a": 1}'


def test_refused_schema_goes_in_words_from_then_on_and_is_warned_of_once(caplog):
    unsupported = Reply({"error": {"message": "json_schema is not supported"}}, 400)
    with Endpoint(without_schemas(unsupported)) as endpoint:
        answers = ask(endpoint, FORMED, asks=20)
        first, *others = (request.body for request in endpoint.requests)
    assert first["response_format"]["json_schema"]["schema"] == SCHEMA
    words = json.dumps(SCHEMA, separators=(",", ":"))
    assert [words in body["messages"][-1]["content"] for body in others] == [True] * 20
    assert modes(answers) == ["in words"] * 20
    assert [number for number, answer in enumerate(answers) if answer.attempts] == [0]
    assert answers[0].attempts[0].schema_mode == "enforced"
    assert caplog.text.count("schema_refused") == 1


def test_many_calls_at_once_learn_once_that_a_schema_is_refused():

    async def run(url: str) -> list[ModelAnswer]:
        settings = EndpointSettings(base_url=url, model="qwen", concurrency=50)
        client = ModelClient("local", settings, Budget())
        answers = []
        for _ in range(3):
            answers += await asyncio.gather(*[client.ask(FORMED) for _ in range(15)])
        await client.close()
        return answers

    unknown = Reply({"error": "unknown field response_format"}, 422)
    with Endpoint(without_schemas(unknown)) as endpoint:
        answers = asyncio.run(run(endpoint.base_url))
    assert modes(answers) == ["in words"] * 45
    # those that were sent at once
    assert sum("response_format" in request.body for request in endpoint.requests) == 15


# of Groq, a 400 without words, one that is too long: what another request would not meet
@pytest.mark.parametrize(
    ("error", "mode"),
    [
        ({"message": "Generated JSON fits no schema", "code": "json_validate_failed"}, "enforced"),
        ({"message": "Failed", "failed_generation": "{"}, "enforced"),
        ({}, "in words"),
        ({"message": "context_length_exceeded"}, "in words"),
    ],
)
def test_chance_refusal_of_one_request_is_none_of_schemas(caplog, error, mode):
    def script(body: dict[str, Any]) -> str | Reply:
        return Reply({"error": error}, 400) if len(endpoint.requests) in (3, 6) else '{"a": 1}'

    with Endpoint(script) as endpoint:
        answers = ask(endpoint, FORMED, asks=5)
    assert modes(answers) == ["enforced", "enforced", mode, "enforced", mode]
    assert "schema_refused" not in caplog.text


def test_model_that_loads_is_waited_for_beside_the_retries():
    """Within the seconds of a request, and no longer."""
    start_s = monotonic()

    def script(body: dict[str, Any]) -> str | Reply:
        is_loading = monotonic() - start_s < 2
        return Reply({"error": "Loading model"}, 503) if is_loading else "yes"

    with Endpoint(script) as endpoint:
        (answer,) = ask(endpoint, retries=0, timeout_s=TIME_S)
    assert isinstance(answer, ModelAnswer), answer
    assert {attempt.status for attempt in answer.attempts} == {503}
    assert monotonic() - start_s >= 2
    with Endpoint(lambda body: Reply({"error": "Loading model"}, 503)) as endpoint:
        (answer,) = ask(endpoint, retries=0, timeout_s=0.5)
    assert "Loading model" in str(answer)


def test_options_of_an_endpoint_are_sent(monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "Bearer sk-other-0123456789")
    body = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}
    headers = {"X-Title": "village", "Authorization": {"env": "OTHER_KEY"}}
    terms = {"temperature": 0.0, "seed": 7, "max_tokens": 60}
    refusal = Reply(
        {"error": {"message": "no, Bearer sk-other-0123456789, sk-other-0123456789"}}, 400
    )
    with Endpoint(lambda _: refusal) as endpoint:
        (answer,) = ask(endpoint, body=body, headers=headers, **terms)
    (request,) = endpoint.requests
    assert request.body == {**body, **terms, "model": "qwen", "messages": [*QUESTION.messages]}
    assert request.headers["x-title"] == "village"
    assert request.headers["authorization"] == "Bearer sk-other-0123456789"
    assert "no, …, …" in str(answer)
    assert "0123456789" not in str(answer) + repr(failed(answer).attempts)


def test_format_of_the_user_s_own_has_the_schema_in_words():
    own = {"response_format": {"type": "json_object"}}
    with Endpoint(lambda body: '{"a": 1}') as endpoint:
        (answer,) = ask(endpoint, FORMED, body=own)
    (request,) = endpoint.requests
    assert modes([answer]) == ["in words"]
    assert request.body.keys() == {"model", "messages", "response_format"}
    assert request.body["response_format"] == own["response_format"]
    assert "fits this JSON Schema" in request.body["messages"][-1]["content"]
