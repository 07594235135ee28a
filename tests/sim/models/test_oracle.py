"""The wire, judged by OpenAI's own client: it sends the same, and reads the same in the answer."""

import asyncio
from importlib import import_module
from typing import Any

import pytest
from tests.sim.models.endpoint import Endpoint, Reply, completion

from thence.sim.models.client import Budget, ModelAnswer, ModelCallFailed, ModelClient, ModelRequest
from thence.sim.models.settings import EndpointSettings

pytestmark = pytest.mark.rest
KEY = "sk-secret-0123456789"
MESSAGES = (
    {"role": "system", "content": "You are Ann, 7 years old – ✓."},
    {"role": "user", "content": 'Do you "give"?\n\\ \u2028'},
)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
SAMPLING = {"temperature": 0.5, "max_tokens": 100, "seed": 7}
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 16},
}


async def ours(url: str, schema: dict[str, Any] | None, sampling: dict[str, Any]) -> ModelAnswer:
    settings = EndpointSettings(base_url=url, model="qwen", key_env="LOCAL_KEY", **sampling)
    client = ModelClient("local", settings, Budget())
    try:
        return await client.ask(ModelRequest(MESSAGES, schema))
    finally:
        await client.close()


async def theirs(url: str, schema: dict[str, Any] | None, sampling: dict[str, Any]) -> Any:
    options = dict(sampling)
    if schema:
        named = {"name": "answer", "schema": schema, "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": named}
    openai = import_module("openai")  # here, for it takes a second
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        messages: Any = MESSAGES
        return await client.chat.completions.create(model="qwen", messages=messages, **options)


@pytest.mark.parametrize("schema", [None, SCHEMA])
@pytest.mark.parametrize("sampling", [{}, SAMPLING])
@pytest.mark.parametrize("slash", ["", "/"])
def test_same_is_sent_and_read(monkeypatch, schema, sampling, slash):
    monkeypatch.setenv("LOCAL_KEY", KEY)
    body = {**completion('{"a": "ü ✓ \u2028"}'), "model": "qwen-2026-11-01", "usage": USAGE}
    with Endpoint(lambda _: Reply(body)) as endpoint:
        answer = asyncio.run(ours(endpoint.base_url + slash, schema, sampling))
        expected = asyncio.run(theirs(endpoint.base_url + slash, schema, sampling))
    sent, oracle = endpoint.requests
    assert sent.body == oracle.body
    assert sent.path == oracle.path
    for name in ("authorization", "content-type", "host"):
        assert sent.headers[name] == oracle.headers[name]
    assert answer.text == expected.choices[0].message.content
    assert answer.model == expected.model
    usage = expected.usage
    assert (answer.tokens_in, answer.tokens_out) == (usage.prompt_tokens, usage.completion_tokens)
    assert answer.tokens_cached == usage.prompt_tokens_details.cached_tokens


def test_same_words_of_an_error_are_read(monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", KEY)
    with Endpoint(fault="bad_request") as endpoint:
        with pytest.raises(ModelCallFailed) as error:
            asyncio.run(ours(endpoint.base_url, None, {}))
        with pytest.raises(import_module("openai").BadRequestError) as expected:
            asyncio.run(theirs(endpoint.base_url, None, {}))
    assert isinstance(expected.value.body, dict)
    assert str(expected.value.body["message"]) in str(error.value)
