"""What tracers of agent frameworks sent, played again: each span is there, with its causes.

`make frameworks` records the files, with the frameworks; here the SDK alone is needed.
"""

import itertools
import json
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

import thence
from thence.otel import SpanProcessor

FOLDER = Path(__file__).with_name("spans")
FILES = sorted(FOLDER.glob("*.json"))
# of each replay in a process: a span is known by its ids, whatever log it is in
REPLAYS = itertools.count(1)


class FixedIds(IdGenerator):
    """Gives the ids that are set, from a base that no other replay has."""

    trace = span = 0

    def __init__(self):
        self.base = next(REPLAYS) << 16

    def generate_trace_id(self):
        return self.base + self.trace

    def generate_span_id(self):
        return self.base + self.span


class Replayed:
    """A file's spans, started and ended in the recorded order; each process has its own log."""

    def __init__(self, data, folder):
        self.spans = dict(enumerate(data["spans"], 1))
        ids = self.ids = FixedIds()
        logs, tracers, started = {}, {}, {}
        for number in data["order"]:
            entry = self.spans[abs(number)]
            if number < 0:
                self._end(started[-number], entry["end"])
                continue
            process = entry["process"]
            if process not in logs:
                logs[process] = thence.open(folder)
                resource = Resource({"service.name": entry["service"]})
                provider = TracerProvider(id_generator=ids, resource=resource)
                self.processor = SpanProcessor(logs[process])
                provider.add_span_processor(self.processor)
                tracers[process] = provider
            ids.trace, ids.span = entry["trace"], number
            parent = entry.get("parent")
            context = set_span_in_context(
                NonRecordingSpan(self._context(parent)) if parent else None
            )
            started[number] = (
                tracers[process]
                .get_tracer(entry["scope"])
                .start_span(
                    entry["name"],
                    context=context,
                    kind=SpanKind[entry["kind"]],
                    attributes=entry.get("attributes"),
                    links=[Link(self._context(link)) for link in entry.get("links", ())],
                )
            )
            assert self.processor.dropped == 0
        self.events = list(logs[1].read())
        self.findings = logs[1].verify().findings
        for log in logs.values():
            log.close()
        self.begins = {
            int(event.payload["span_id"], 16) - ids.base: event
            for event in self.events
            if event.begins
        }
        self.ends = {event.ends: event for event in self.events if event.ends}
        self.names = {event.event_id: event.event_type for event in self.events}

    def _context(self, reference):
        span = reference["span"]
        return SpanContext(
            self.ids.base + self.spans[span]["trace"],
            self.ids.base + span,
            is_remote=reference.get("is_remote", False),
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
            trace_state=TraceState.from_header([reference.get("trace_state", "")]),
        )

    @staticmethod
    def _end(span, end):
        span.update_name(end["name"])
        span.set_attributes(end["attributes"])
        for event in end["events"]:
            span.add_event(event["name"], event["attributes"])
        span.set_status(StatusCode[end["status"][0]], end["status"][1])
        span.end()

    def end(self, number):
        return self.ends[self.begins[number].event_id]

    def numbers(self, name):
        return [number for number, span in self.spans.items() if span["name"] == name]

    def named(self, ids):
        return [self.names[one] for one in ids]


@pytest.fixture
def replayed(tmp_path):
    def replay(package):
        (file,) = FOLDER.glob(f"{package}-[0-9]*.json")
        return Replayed(json.loads(file.read_text()), tmp_path / package)

    return replay


def test_every_framework_of_the_guide_is_here():
    packages = {json.loads(file.read_text())["package"] for file in FILES}
    agents = {"pydantic-ai-slim", "openai-agents", "langgraph", "autogen-agentchat"}
    others = {"google-adk", "crewai", "llama-index-core"}
    assert packages == agents | others | {"openai", "celery"}


@pytest.mark.promise("A4b")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_span_has_its_begin_its_end_and_its_parent(file, tmp_path):
    play = Replayed(json.loads(file.read_text()), tmp_path / "log")
    assert play.begins.keys() == play.spans.keys()
    assert len(play.events) == 2 * len(play.spans)
    for number, span in play.spans.items():
        begin, end = play.begins[number], play.end(number)
        is_failed = span["end"]["status"][0] == "ERROR"
        assert end.event_type.endswith(".failed" if is_failed else ".ended")
        if parent := span.get("parent"):
            assert play.begins[parent["span"]].event_id in begin.caused_by, span["name"]
        assert begin.payload.get("attributes", {}) == span.get("attributes", {})
        # some are said again, for the sentence of the end
        own, before = end.payload.get("attributes", {}), span.get("attributes", {})
        assert {**before, **own} == {**before, **span["end"]["attributes"]}
    assert not play.findings


def ends_in(play, ids):
    return [one for one in ids if one not in {begin.event_id for begin in play.begins.values()}]


@pytest.mark.promise("A4b")
def test_tool_is_caused_by_the_model_call_that_asked_for_it(replayed):
    play = replayed("pydantic-ai-slim")
    asked, retried, _ = play.numbers("chat gpt-4o")
    tools = ["execute_tool stock", "execute_tool mail", "execute_tool pay"]
    stock, mail, pay, pay_again = (number for name in tools for number in play.numbers(name))
    for number in (stock, mail, pay):
        assert ends_in(play, play.begins[number].caused_by) == [play.end(asked).event_id]
    assert ends_in(play, play.begins[pay_again].caused_by) == [play.end(retried).event_id]


@pytest.mark.promise("A4b")
def test_model_call_that_read_results_is_caused_by_the_tools_ends(replayed):
    play = replayed("pydantic-ai-slim")
    asked, retried, last = play.numbers("chat gpt-4o")
    assert play.end(asked).caused_by == (play.begins[asked].event_id,)
    assert sorted(play.named(play.end(retried).caused_by)) == [
        "chat gpt-4o.begun",
        "execute_tool mail.ended",
        "execute_tool pay.failed",
        "execute_tool stock.ended",
    ]
    assert play.named(play.end(last).caused_by) == ["chat gpt-4o.begun", "execute_tool pay.ended"]


def twice(data):
    """Returns the spans of two runs side by side in one trace."""
    spans, order, count = data["spans"], data["order"], len(data["spans"])
    second = [
        {**span, "parent": {"span": span["parent"]["span"] + count}} if "parent" in span else span
        for span in spans
    ]
    both = [number for one in order for number in (one, one + count if one > 0 else one - count)]
    return {"spans": [*spans, *second], "order": both}


@pytest.mark.promise("A4b")
def test_hand_over_of_one_run_names_no_agent_of_another_in_the_same_trace(tmp_path):
    (file,) = FOLDER.glob("openai-agents-*.json")
    play = Replayed(twice(json.loads(file.read_text())), tmp_path / "log")
    triages, billings = play.numbers("triage"), play.numbers("billing")
    assert len(triages) == len(billings) == 2
    for triage, billing in zip(triages, billings, strict=True):
        expected = (play.begins[billing].event_id, play.end(triage).event_id)
        assert sorted(play.end(billing).caused_by) == sorted(expected)


@pytest.mark.promise("A4b")
@pytest.mark.parametrize("package", ["openai-agents", "langgraph", "autogen-agentchat"])
def test_tool_without_a_call_id_is_caused_by_its_parent_and_links_alone(package, replayed):
    play = replayed(package)
    for number, begin in play.begins.items():
        span = play.spans[number]
        references = [one for one in (span.get("parent"), *span.get("links", ())) if one]
        expected = [play.begins[one["span"]].event_id for one in references]
        assert sorted(begin.caused_by) == sorted({*expected})


@pytest.mark.promise("A4b")
@pytest.mark.parametrize(
    ("package", "tool", "model"),
    [
        ("google-adk", "execute_tool pay", "generate_content openai/gpt-4o"),
        ("crewai", "pay.run", "ChatCompletion"),
        ("llama-index-core", "FunctionTool.acall", "OpenAILike.astream_chat"),
    ],
)
def test_tool_that_failed_is_of_the_only_call_that_asked_for_it(package, tool, model, replayed):
    play = replayed(package)
    failed = play.end(play.numbers(tool)[0])
    (asked,) = failed.header.inferred_causes
    (asking,) = [number for number in play.numbers(model) if play.end(number).event_id == asked]
    assert failed.event_type == f"{tool}.failed"
    assert failed.payload["error_message"] == "give an idempotency key"
    assert "pay" in json.dumps(play.end(asking).payload)


@pytest.mark.promise("A4b")
def test_tool_whose_id_comes_late_is_tied_at_its_end_and_read_by_the_next_call(replayed):
    play = replayed("google-adk")
    first, second = (play.end(number) for number in play.numbers("generate_content openai/gpt-4o"))
    stock = play.end(play.numbers("execute_tool stock")[0])
    assert stock.caused_by == (stock.ends, first.event_id)
    assert second.caused_by == (second.ends, stock.event_id)
    assert (stock.actor, stock.stream) == ("shop", "order-881")


@pytest.mark.promise("A4b")
def test_actor_is_the_agent_or_the_service_and_the_stream_the_conversation(replayed):
    play = replayed("pydantic-ai-slim")
    conversation = play.spans[1]["attributes"]["gen_ai.conversation.id"]
    assert {(one.actor, one.stream) for one in play.begins.values()} == {("shop", conversation)}
    assert {one.stream for one in replayed("langgraph").begins.values()} == {"order-881"}
    assert {one.actor for one in replayed("celery").begins.values()} == {"till"}
