"""Spans of tracers as sentences: which agent asked which model, what a tool was called with.

A log keeps the attributes of a span under the names that the tracer gave them. Here is the one
table of these names: OpenTelemetry's conventions for generative AI, old and new, OpenInference,
Langfuse and Traceloop. It is used when something is told: a name that it lacks makes a sentence
shorter, not wrong.
"""

import re
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
OPERATION = (
    *("gen_ai.operation.name", "openinference.span.kind"),
    *("langfuse.observation.type", "traceloop.span.kind", "llm.request.type"),
)
AGENT = ("gen_ai.agent.name", "agent.name")
# of spans that are an agent's
_AGENTS_NODE = ("graph.node.name", "graph.node.id", "traceloop.entity.name")
STREAM = (
    *("gen_ai.conversation.id", "session.id"),
    "traceloop.association.properties.session_id",
)
MODEL = (
    *("gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
    *("embedding.model_name", "langfuse.observation.model.name"),
)
TOOL = ("gen_ai.tool.name", "tool.name", "tool_call.function.name")
TOKENS_IN = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    *("llm.token_count.prompt", "llm.usage.prompt_tokens"),
)
TOKENS_OUT = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    *("llm.token_count.completion", "llm.usage.completion_tokens"),
)
COST = ("operation.cost", "gen_ai.usage.cost", "llm.cost.total")
# Langfuse writes these as JSON: its member, and the name by which it is told
_USAGE = (
    ("langfuse.observation.usage_details", ("input", "prompt_tokens"), TOKENS_IN[0]),
    ("langfuse.observation.usage_details", ("output", "completion_tokens"), TOKENS_OUT[0]),
    ("langfuse.observation.cost_details", ("total",), COST[0]),
)
ARGUMENTS = (
    *("gen_ai.tool.call.arguments", "tool_arguments", "input.value"),
    *("langfuse.observation.input", "traceloop.entity.input"),
)
_RESULT = (
    *("gen_ai.tool.call.result", "tool_response", "output.value"),
    *("langfuse.observation.output", "traceloop.entity.output"),
)
# by which a model's answer names the call that a tool answers
CALL_ID = ("gen_ai.tool.call.id", "tool_call.id", "tool.id", "tool_call_id")
REQUEST, ANSWER = "gen_ai.input.messages", "gen_ai.output.messages"
_CALLED = re.compile(
    r"llm\.output_messages\.\d+\.message\.tool_calls\.\d+\.tool_call\.function\.name"
    r"|gen_ai\.completion\.\d+\.tool_calls\.\d+\.name"
)
_SAID = (
    *("final_result", "llm.output_messages.0.message.content"),
    *("llm.output_messages.0.message.contents.0.message_content.text",),
    *("gen_ai.completion.0.content", "langfuse.observation.output"),
)
# a span's name with its values filled in
_MESSAGE = "logfire.msg"
_SAID_AGAIN = frozenset((*OPERATION, *TOOL, *MODEL, _MESSAGE))
_SAID_AGAIN_OF_TOOL = _SAID_AGAIN.union(ARGUMENTS)
# which spans of tools alone have
_TOOLS_OWN = frozenset((*TOOL, *CALL_ID))
_SAID_AGAIN_CHARACTERS_MAX = 500
# what a span can't have when it begins
OF_END_ALONE = frozenset(
    (
        *(*TOKENS_IN, *TOKENS_OUT, *COST, *_RESULT, ANSWER, "final_result"),
        *(name for name, _, _ in _USAGE),
    )
)
# attributes of which a sentence says nothing: they say how something is written, or where it ran
_UNTOLD = re.compile(
    r"mime_type$|\.role$|cycle_id$|^(?:metadata|user\.id|user_id)$|_time$"
    r"|^(?:code|thread|server|telemetry|graph|process|host|logfire"
    r"|langfuse\.(?:trace|environment|release)"
    r"|traceloop\.(?:workflow|association))\b|^gen_ai\.(?:system|provider\.name|tool\.definitions)$"
)
_RANDOM_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# values of any length and form, told where nothing else is
_RAW = re.compile(r"(?:^|[._])(?:value|messages|input|output)$|^llm\.(?:input|output)_messages\.")

_MODEL_CALLS = (
    *("chat", "text_completion", "generate_content", "completion", "LLM"),
    "generation",
)
_AGENTS = ("invoke_agent", "create_agent", "AGENT", "agent")
_TOOLS = ("execute_tool", "TOOL", "tool")
# as the conventions begin the names of spans
_OPERATIONS = frozenset(("execute_tool", "generate_content", "invoke_agent", "text_completion"))
_INNER = frozenset((*_AGENTS, "CHAIN", "invoke_workflow", "chain", "workflow", "task"))
_MESSAGE_DEPTH_MAX = 12
_TRACEBACK = "Traceback (most recent call last)"
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
    names = _SAID_AGAIN_OF_TOOL if is_of_tool(attributes) else _SAID_AGAIN
    return {
        name: value
        for name, value in attributes.items()
        if name in names
        and not (isinstance(value, str) and len(value) > _SAID_AGAIN_CHARACTERS_MAX)
    }


def sums_up(attributes: Json) -> bool:
    """Reports whether a span has the tokens of model calls below it, which count there."""
    return any(attributes.get(name) in _INNER for name in OPERATION)


def is_of_tool(attributes: Json) -> bool:
    """Reports whether a span is that of a tool."""
    return not _TOOLS_OWN.isdisjoint(attributes) or _is_of_kind(attributes, _TOOLS)


def is_of_model_call(attributes: Json) -> bool:
    """Reports whether a span is that of a model call; one of no kind is by its messages."""
    kind = attributes.get(OPERATION[0])
    if kind is not None:
        return kind in _MODEL_CALLS
    if first(attributes, OPERATION) is not None:
        return _is_of_kind(attributes, _MODEL_CALLS)
    return ANSWER in attributes or REQUEST in attributes


def _is_of_kind(attributes: Json, kinds: tuple[str, ...]) -> bool:
    return any(map(kinds.__contains__, map(attributes.get, OPERATION)))


def tool_of(attributes: Json, name: str) -> str:
    """Returns the name of the tool whose span has these attributes and this name."""
    tool = first(attributes, (*TOOL, "traceloop.entity.name"))
    return str(tool or name.removeprefix("execute_tool ").removesuffix(".__call__"))


def called(attributes: Json, name: str) -> str:
    """Returns the call of a tool, `pay(order 881)`; its name where no arguments are known."""
    tool, arguments = line(tool_of(attributes, name)), from_json(first(attributes, ARGUMENTS))
    if not isinstance(arguments, Mapping):
        return tool
    by_place, by_name = arguments_of(arguments)
    texts = [*map(shown, by_place), *(f"{key} {shown(item)}" for key, item in by_name.items())]
    return f"{tool}({clipped(line(', '.join(texts)), _ARGUMENTS_MAX)})"


def called_in(event: Event) -> str:
    """Returns the call of the tool whose span an event began or ended."""
    return called(_attributes_of(event), event.event_type.rpartition(".")[0])


def is_model_answer(event: Event) -> bool:
    """Reports whether an event ended the span of a model call."""
    return event.ends is not None and is_of_model_call(_attributes_of(event))


def _attributes_of(event: Event) -> Json:
    attributes = event.readable_payload[0].get("attributes")
    return attributes if isinstance(attributes, Mapping) else {}


def arguments_of(arguments: Json) -> tuple[list[Any], Json]:
    """Returns the arguments of a call by place and by name; some tracers name the parts."""
    inner = arguments.get("inputs")
    arguments = inner if isinstance(inner, Mapping) and inner else arguments
    by_name = arguments.get("kwargs")
    if not isinstance(by_name, Mapping):
        return [], arguments
    by_place = arguments.get("args")
    return by_place if isinstance(by_place, list) else [], by_name


def first(attributes: Json, names: tuple[str, ...]) -> Any:
    """Returns the first value that a span has under one of some names, None without one."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def first_text(attributes: Json, names: tuple[str, ...]) -> str | None:
    """Returns the first text that is not empty among these, at most 150 characters of it."""
    for name in names:
        value = attributes.get(name)
        if value and isinstance(value, str):
            return (value if value.isascii() else text_of(value))[:_NAME_CHARACTERS_MAX]
    return None


def agent_of(attributes: Json, name: object) -> str | None:
    """Returns the name of the agent whose span this is, or that a span says it is of."""
    agent = first_text(attributes, AGENT)
    if agent is None and _is_of_kind(attributes, _AGENTS[2:]):
        agent = first_text(attributes, _AGENTS_NODE) or (name if isinstance(name, str) else None)
    return agent


def with_usage(attributes: Json) -> Json:
    """Returns attributes with the tokens and the cost that one of them holds as JSON."""
    if _USAGE[0][0] not in attributes and _USAGE[-1][0] not in attributes:
        return attributes
    spelled = dict(attributes)
    for name, members, told in _USAGE:
        details = from_json(attributes.get(name))
        if isinstance(details, Mapping) and (value := first(details, members)) is not None:
            spelled.setdefault(told, value)
    return spelled


def message_of(description: str, exception: Json, kind: str) -> str:
    """Returns the message of a failure, from a span's status and its last event `exception`.

    Some tracers write a traceback as the description: then the event's message is the one.
    """
    message = exception.get("exception.message")
    message = message if isinstance(message, str) else ""
    if description and not (message and _TRACEBACK in description):
        message = description.partition(_TRACEBACK)[0].rstrip() or description
    return message.removeprefix(f"{kind.rpartition('.')[2]}: ")


def _write(event: Event) -> str:
    payload, attributes = event.readable_payload[0], with_usage(_attributes_of(event))
    name, _, outcome = event.event_type.rpartition(".")
    operation, _, of_what = name.partition(" ")
    if of_what and operation in _OPERATIONS and first(attributes, OPERATION) is None:
        attributes = {**attributes, OPERATION[0]: operation}  # many tracers set it later
    is_agent = _is_of_kind(attributes, _AGENTS)
    who = line(event.actor) if event.actor else ""
    seconds = duration_s_of(payload)
    took = "" if seconds is None or outcome == "begun" else f" after {duration(seconds)}"
    past = {"begun": "began", "cancelled": "was cancelled"}.get(outcome, outcome)
    if _is_of_kind(attributes, _MODEL_CALLS):
        events = payload.get("events")
        events = events if isinstance(events, list) else []
        of_events = [one.get("attributes") for one in events if isinstance(one, Mapping)]
        said = [attributes, *(one for one in of_events if isinstance(one, Mapping))]
        what, rest = _model_call(name, outcome, said, who)
    elif is_of_tool(attributes):
        what = f"{called(attributes, name)} {past}{'' if outcome == 'failed' else took}"
        rest = _quoted(first(attributes, _RESULT))
    else:
        title = line(str(attributes.get(_MESSAGE) or name))
        what = f"{who if is_agent and who and who in name else title} {past}{took}"
        told = {
            key: value
            for key, value in attributes.items()
            if not (_UNTOLD.search(key) or _RANDOM_ID.fullmatch(str(value)))
        }
        if any(not _RAW.search(key) for key in told.keys() - {*OPERATION}):
            told = {key: value for key, value in told.items() if not _RAW.search(key)}
        rest = _answer(attributes) if is_agent else fields(told, (*OPERATION, *STREAM, *AGENT), ())
    if outcome == "failed":
        message, kind = payload.get("error_message"), line(str(payload.get("error_type") or ""))
        rest = kind.rpartition(".")[2] or spoken(payload)[0]
        if isinstance(message, str) and message.strip():
            rest = line(message)
    elif outcome == "cancelled":
        rest = line(str(payload.get("reason") or ""))
    elif outcome == "begun" and is_agent:
        rest = ""
    return f"{what}: {rest}" if rest else what


def _model_call(name: str, outcome: str, said: list[Json], who: str) -> tuple[str, str]:
    """Returns the sentence of a model call, and what it took and gave.

    `said` are the attributes of the span and of its span events.
    """
    attributes = said[0]
    operation, _, named = name.partition(" ")
    model = first(attributes, MODEL) or (named if operation in _MODEL_CALLS else "")
    model = line(str(model)) or "a model"
    if outcome == "begun":
        return f"{who} asks {model}" if who else f"{model} is asked", ""
    what = f"{who} asked {model}" if who else f"{model} was asked"
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
    messages = [from_json(one.get(ANSWER)) for one in said]
    messages += [from_json(one.get("message")) for one in said[1:]]
    wanted_tools = [
        str(call["name"]) for message in messages for call in calls_in(message) if call.get("name")
    ]
    wanted_tools += [str(value) for key, value in attributes.items() if _CALLED.fullmatch(key)]
    if wanted_tools:
        parts.append(f"wants {', '.join(map(line, wanted_tools))}")
    elif answer := _answer(attributes):
        parts.append(answer)
    else:  # the first text in a span event
        texts = [part.get("text") for message in messages for part in maps_in(message)]
        parts += [f'"{_quoted(text)}"' for text in texts if isinstance(text, str) and text][:1]
    return what, ", ".join(parts)


def calls_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yields the calls of tools in messages: `id`, `name`, `arguments`, whatever their provider."""
    for part in maps_in(value):
        bedrock, function = part.get("toolUse"), part.get("function")
        if isinstance(bedrock, Mapping):
            yield {**bedrock, "id": bedrock.get("toolUseId"), "arguments": bedrock.get("input")}
        elif isinstance(function, Mapping):
            yield {**function, "id": part.get("id")}
        elif part.get("type") in ("tool_call", "tool_use"):
            yield {**part, "arguments": first(part, ("arguments", "args", "input"))}


def maps_in(value: Any, depth: int = 0) -> Iterator[Json]:
    """Yields the maps in a JSON value, to a depth of 12."""
    if isinstance(value, Mapping):
        yield value
        value = [*value.values()]
    if isinstance(value, list) and depth < _MESSAGE_DEPTH_MAX:
        for item in value:
            yield from maps_in(item, depth + 1)


def _quoted(value: Any) -> str:
    return clipped(line(value), _QUOTED_MAX) if isinstance(value, str) else ""


def _answer(attributes: Json) -> str:
    """Returns the beginning of what a model or an agent answered."""
    for part in maps_in(from_json(attributes.get(ANSWER))):
        if part.get("type") == "text" and isinstance(part.get("content"), str):
            return f'"{_quoted(part["content"])}"'
    value = first(attributes, _SAID)
    text = _quoted(value.strip('"')) if isinstance(value, str) else ""  # it may be JSON
    return f'"{text}"' if text else ""


def from_json(value: Any) -> Any:
    """Returns what a text holds as JSON, else the value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):
            return msgspec.json.decode(value)
    return value
