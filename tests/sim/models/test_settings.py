"""What the section `llm` takes, and what it refuses without showing it."""

from typing import Any

import msgspec
import pytest

from thence.errors import ThenceError
from thence.sim.models.client import Budget, ModelClient
from thence.sim.models.settings import EndpointSettings, ModelSettings

LOCAL: dict[str, Any] = {"base_url": "http://127.0.0.1:8000/v1", "model": "qwen"}


def section(**changes: Any) -> ModelSettings:
    return msgspec.convert(
        {"endpoints": {"local": LOCAL | changes}, "default": "local"}, ModelSettings
    )


def test_address_and_model_are_enough():
    endpoint = section().endpoints["local"]
    assert (endpoint.concurrency, endpoint.timeout_s, endpoint.retries) == (8, 60, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": "sk-secret"},
        {"key_env": "sk-secret"},
        {"base_url": "https://secret@host/v1"},
        {"base_url": "https://user:secret@host/v1"},
        {"base_url": "https://host/v1?key=secret"},
        {"headers": {"Authorization": "secret"}},
        {"headers": {"X-Trace": {"env": "gsk_secret"}}},
    ],
)
def test_key_in_a_scenario_is_refused_and_not_shown(changes):
    with pytest.raises(msgspec.ValidationError, match=r"endpoints|api_key") as error:
        section(**changes)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "127.0.0.1:8000/v1"},
        {"base_url": "ftp://host"},
        {"base_url": "http://a b/v1"},
        {"model": ""},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"requests_per_minute": 0},
        {"price_in": -1},
        {"body": {"messages": []}},
        {"body": {"max_tokens": 5}},
        {"headers": {"Content-Length": "5"}},
        {"headers": {"a b": "c"}},
        {"headers": {"X-Title": "a\nb: c"}},
        {"headers": {"X-Title": {"env": "TITLE", "default": "a"}}},
    ],
)
def test_what_no_endpoint_can_have_is_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        section(**changes)


@pytest.mark.parametrize(
    "address", ["http://host:99999/v1", "http://host:port/v1", "http://a\n/v1"]
)
def test_address_that_cannot_be_asked_is_told_when_a_run_begins(address):
    client = ModelClient("local", EndpointSettings(base_url=address, model="qwen"), Budget())
    with pytest.raises(ThenceError, match=r"endpoint local.*base_url"):
        client.check()
