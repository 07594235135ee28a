"""Spans of tracers as sentences: which agent asked which model, what a tool was called with.

A log keeps the attributes of a span under the names that the tracer gave them. Here is the one
table of these names, of OpenTelemetry's conventions for generative AI, old and new, and of
OpenInference. It is used when something is told: a name that it lacks makes a sentence shorter,
not wrong.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.json_values import text_of
from thence.core.sentences.events import (
    clipped,
    duration,
    duration_s_of,
    fields,
    line,
    shown,
    spoken,
)

# the bytes without which a line is of no span
SPAN_SIGN = b'"span_id"'
OPERATION = ("gen_ai.operation.name", "openinference.span.kind")
AGENT = ("gen_ai.agent.name", "agent.name")
STREAM = ("gen_ai.conversation.id", "session.id")
MODEL = (
    *("gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
    "embedding.model_name",
)
TOOL = ("gen_ai.tool.name", "tool.name", "tool_call.function.name")
TOKENS_IN = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "llm.token_count.prompt",
)
TOKENS_OUT = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "llm.token_count.completion",
)
COST = ("operation.cost", "gen_ai.usage.cost", "llm.cost.total")
_ARGUMENTS = ("gen_ai.tool.call.arguments", "tool_arguments", "input.value")
_RESULT = ("gen_ai.tool.call.result", "tool_response", "output.value")
_CALLS = "llm.output_messages."
_CALLED = ".tool_call.function.name"
_SAID_AGAIN = (*OPERATION, *TOOL, *MODEL, *_ARGUMENTS[:2])
_SAID_AGAIN_CHARACTERS_MAX = 500
# what a span can't have when it begins
OF_END_ALONE = frozenset(
    (*TOKENS_IN, *TOKENS_OUT, *COST, *_RESULT, "gen_ai.output.messages", "final_result")
)

_MODEL_CALLS = ("chat", "text_completion", "generate_content", "completion", "LLM")
_AGENTS = ("invoke_agent", "create_agent", "AGENT")
_TOOLS = ("execute_tool", "TOOL")
_INNER = frozenset((*_AGENTS, "CHAIN", "invoke_workflow"))
_OUTCOMES = ("begun", "ended", "failed", "cancelled")
_NAME_CHARACTERS_MAX = 150
_QUOTED_MAX = 80
_ARGUMENTS_MAX = 60
Json = Mapping[str, Any]


def span_sentence(event: Event) -> Callable[[Event], str] | None:
    """Returns the function that writes an event of a tracer's span; None for any other event."""
    name, _, outcome = event.event_type.rpartition(".")
    if not name or outcome not in _OUTCOMES or "span_id" not in event.cut_payload:
        return None
    return _write


def said_again(attributes: Json) -> dict[str, Any]:
    """Returns what the end of a span says again of its begin: a sentence has one event alone."""
    return {
        name: value
        for name in _SAID_AGAIN
        if (value := attributes.get(name)) is not None
        and not (isinstance(value, str) and len(value) > _SAID_AGAIN_CHARACTERS_MAX)
    }


def sums_up(attributes: Json) -> bool:
    """Reports whether a span has the tokens of model calls below it, which count there."""
    return any(attributes.get(name) in _INNER for name in OPERATION)


def first(attributes: Json, names: tuple[str, ...]) -> Any:
    """Returns the first value that a span has under one of some names, None without one."""
    return next((value for name in names if (value := attributes.get(name)) is not None), None)


def first_text(attributes: Json, names: tuple[str, ...]) -> str | None:
    """Returns the first text that is not empty among these, at most 150 characters of it."""
    texts = (text for text in map(attributes.get, names) if text and isinstance(text, str))
    return next((text_of(text)[:_NAME_CHARACTERS_MAX] for text in texts), None)


def _write(event: Event) -> str:
    payload = event.readable_payload[0]
    attributes: Json = payload.get("attributes") or {}
    attributes = attributes if isinstance(attributes, Mapping) else {}
    name, _, outcome = event.event_type.rpartition(".")
    kinds = [attributes.get(of) for of in OPERATION]
    is_agent = any(kind in _AGENTS for kind in kinds)
    who = line(event.actor) if event.actor else ""
    seconds = duration_s_of(payload)
    took = "" if seconds is None or outcome == "begun" else f" after {duration(seconds)}"
    past = {"begun": "began", "cancelled": "was cancelled"}.get(outcome, outcome)
    if any(kind in _MODEL_CALLS for kind in kinds) and who:
        what, rest = _model_call(name, outcome, attributes, who)
    elif any(kind in _TOOLS for kind in kinds) or first(attributes, TOOL):
        # pay(order 881); only its name where no arguments are known
        what = line(str(first(attributes, TOOL) or name.removeprefix("execute_tool ")))
        arguments = _json(first(attributes, _ARGUMENTS))
        if isinstance(arguments, Mapping):
            text = ", ".join(f"{key} {shown(item)}" for key, item in arguments.items())
            what += f"({clipped(line(text), _ARGUMENTS_MAX)})"
        what += f" {past}" + ("" if outcome == "failed" else took)
        rest = _quoted(first(attributes, _RESULT))
    else:
        what = f"{who if is_agent and who and who in name else line(name)} {past}{took}"
        rest = _answer(attributes) if is_agent else fields(attributes, OPERATION, ())
    if outcome == "failed":
        message, kind = payload.get("error_message"), line(str(payload.get("error_type") or ""))
        rest = kind.rpartition(".")[2] or spoken(payload).text
        if isinstance(message, str) and message.strip():
            rest = line(message)
    elif outcome == "cancelled":
        rest = line(str(payload.get("reason") or ""))
    elif outcome == "begun" and is_agent:
        rest = ""
    return f"{what}: {rest}" if rest else what


def _model_call(name: str, outcome: str, attributes: Json, who: str) -> tuple[str, str]:
    """Returns the sentence of a model call, and what it took and gave."""
    model = line(str(first(attributes, MODEL) or name.partition(" ")[2] or name))
    if outcome == "begun":
        return f"{who} asks {model}", ""
    what = f"{who} asked {model}"
    if outcome != "ended":
        return f"{what}, which {'failed' if outcome == 'failed' else 'was cancelled'}", ""
    parts = [
        f"{tokens:,} {way}"
        for names, way in ((TOKENS_IN, "in"), (TOKENS_OUT, "out"))
        if isinstance(tokens := first(attributes, names), int)
    ]
    cost = first(attributes, COST)
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        parts.append(f"${cost:.6g}")
    wanted_tools = [
        line(str(part["name"]))
        for part in _messages(attributes)
        if part.get("type") == "tool_call" and part.get("name")
    ]
    wanted_tools += [
        line(str(value))
        for key, value in attributes.items()
        if key.startswith(_CALLS) and key.endswith(_CALLED)
    ]
    if wanted_tools:
        parts.append(f"wants {', '.join(wanted_tools)}")
    elif answer := _answer(attributes):
        parts.append(answer)
    return what, ", ".join(parts)


def _quoted(value: Any) -> str:
    return clipped(line(value), _QUOTED_MAX) if isinstance(value, str) else ""


def _messages(attributes: Json) -> Iterator[Json]:
    """Yields the parts of a model's answer."""
    messages = _json(attributes.get("gen_ai.output.messages"))
    for message in messages if isinstance(messages, list) else ():
        parts = message.get("parts") if isinstance(message, Mapping) else None
        yield from (part for part in parts or () if isinstance(part, Mapping))


def _answer(attributes: Json) -> str:
    """Returns the beginning of what a model or an agent answered."""
    for part in _messages(attributes):
        if part.get("type") == "text" and isinstance(part.get("content"), str):
            return f'"{_quoted(part["content"])}"'
    value = first(attributes, ("final_result", "llm.output_messages.0.message.content"))
    return f'"{_quoted(value)}"' if isinstance(value, str) and value else ""


def _json(value: Any) -> Any:
    """Returns what a text holds as JSON, else the value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):
            return msgspec.json.decode(value)
    return value
