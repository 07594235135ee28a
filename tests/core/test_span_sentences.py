"""Spans in the words of the field: who asked which model, what a tool was called with."""

import json

import pytest
from tests.events import WHEN, drafted

from thence.core.codec import unnumbered
from thence.core.vocabulary import PLAIN

pytestmark = pytest.mark.promise("A4b")


def said(event_type, attributes=None, actor="shop", **payload):
    payload |= {"span_id": "ab" * 8, **({"attributes": attributes} if attributes else {})}
    item = drafted("-", event_type, {"payload": payload, "actor": actor}, (), WHEN)
    return PLAIN.summary(unnumbered(item, PLAIN))


def asks(*tools):
    parts = [{"type": "tool_call", "id": "c", "name": tool, "arguments": {}} for tool in tools]
    return json.dumps([{"role": "assistant", "parts": parts}])


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o"}
USED = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 30}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay"}
# as pydantic-ai 2.68, its version 1 and OpenInference 0.1 write them
CASES = {
    "shop asks gpt-4o": ("chat gpt-4o.begun", {"gen_ai.operation.name": "chat"}),
    "shop asked gpt-4o: 100 in, 30 out, $0.00055, wants stock, pay, mail": (
        "chat gpt-4o.ended",
        CHAT
        | USED
        | {"operation.cost": 0.00055, "gen_ai.output.messages": asks("stock", "pay", "mail")},
    ),
    "shop asked gpt-4: 7 in, 2 out, wants stock": (
        "ChatCompletion.ended",
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4",
            "llm.token_count.prompt": 7,
            "llm.token_count.completion": 2,
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "stock",
        },
    ),
    'shop asked gpt-4o: 100 in, 30 out, "done"': (
        "chat gpt-4o.ended",
        CHAT
        | USED
        | {
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]
            )
        },
    ),
    "pay(order 881, key k1) began": (
        "execute_tool pay.begun",
        TOOL | {"gen_ai.tool.call.arguments": '{"order":881,"key":"k1"}'},
    ),
    "pay began": ("pay.begun", {"openinference.span.kind": "TOOL"}),
    "slow_tool_v2 was cancelled after 48.7 ms": (
        "execute_tool slow_tool_v2.cancelled",
        {"gen_ai.operation.name": "execute_tool"},
    ),
    "LangGraph began": ("LangGraph.begun", {"openinference.span.kind": "CHAIN"}),
    'shop ended after 48.7 ms: "done"': (
        "invoke_agent shop.ended",
        {"gen_ai.operation.name": "invoke_agent", "final_result": "done"},
    ),
    "train epoch ended after 48.7 ms: loss 0.5, score NaN": (
        "train epoch.ended",
        {"loss": 0.5, "score": "NaN"},
    ),
}


@pytest.mark.parametrize("sentence", CASES)
def test_span_is_said_in_the_words_of_the_field(sentence):
    event_type, attributes = CASES[sentence]
    duration = {} if event_type.endswith(".begun") else {"duration_s": 0.0487}
    assert said(event_type, attributes, **duration) == sentence


def test_failed_tool_gives_its_message_alone():
    attributes = TOOL | {"gen_ai.tool.call.arguments": '{"order":881}'}
    error = {"error_type": "pydantic_ai.exceptions.ToolRetryError"}
    text = said(
        "execute_tool pay.failed",
        attributes,
        **error,
        error_message="give an idempotency key",
        events=[{"name": "exception", "attributes": {"exception.stacktrace": "x" * 900}}],
        duration_s=0.02,
    )
    assert text == "pay(order 881) failed: give an idempotency key"
    assert said("pay.failed", TOOL, **error, error_message="") == "pay failed: ToolRetryError"
    model = said("chat gpt-4o.failed", CHAT, error_type="APIError", error_message="429 slow down")
    assert model == "shop asked gpt-4o, which failed: 429 slow down"


@pytest.mark.parametrize("value", [None, 3, "x", [], {"a": {"b": []}}, True, float("inf")])
@pytest.mark.parametrize(
    "name",
    [
        *("gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.call.arguments"),
        *("gen_ai.output.messages", "operation.cost", "gen_ai.usage.input_tokens"),
        *("gen_ai.response.model", "openinference.span.kind", "final_result"),
    ],
)
def test_attributes_of_any_form_make_a_sentence(name, value):
    for base in (CHAT, TOOL, {}):
        for outcome in ("begun", "ended", "failed", "cancelled"):
            attributes = {**base, name: value if value != float("inf") else "Infinity"}
            assert said(f"a span.{outcome}", attributes)
            assert said(f"a span.{outcome}", attributes, actor=None)


def test_event_that_is_of_no_span_has_its_usual_sentence():
    item = drafted("-", "order.placed", {"payload": {"n": 1}, "actor": "ada"}, (), WHEN)
    assert PLAIN.summary(unnumbered(item, PLAIN)) == "ada: order placed: n 1"
