"""What a span says of itself: who did it, who asked for it, how it ended."""

import asyncio
import json

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import StatusCode
from tests.trace.tracing import causes, traced

import thence

pytestmark = pytest.mark.promise("A4b")
AGENT = {"gen_ai.agent.name": "shop", "gen_ai.conversation.id": "c-1"}


@pytest.fixture
def tracer(log):
    return traced(log, resource=Resource.create({"service.name": "till", "zone": "b"}))[0]


def wants(*calls):
    """Returns an answer that asks for tools."""
    parts = [{"type": "tool_call", "id": call, "name": "pay", "arguments": {}} for call in calls]
    return [{"role": "assistant", "parts": parts}]


def chat(tracer, request, answer, name="chat"):
    with tracer.start_as_current_span(name) as span:
        span.set_attribute("gen_ai.input.messages", json.dumps(request))
        span.set_attribute("gen_ai.output.messages", json.dumps(answer))


def tool(tracer, name, call):
    with tracer.start_as_current_span(name, attributes={"gen_ai.tool.call.id": call}):
        pass


def test_ids_that_repeat_name_the_newest_call_of_the_same_agent_and_trace(log, tracer):
    with tracer.start_as_current_span("run"):
        for agent in ("a", "b"):
            with tracer.start_as_current_span(f"agent {agent}"):
                chat(tracer, [], wants("c1"), f"chat {agent} 1")
                chat(tracer, [], wants("c1"), f"chat {agent} 2")
        with tracer.start_as_current_span("agent c"):
            tool(tracer, "of c", "c1")
        with tracer.start_as_current_span("agent a again"):
            chat(tracer, [], wants("c1"), "chat a 3")
            with tracer.start_as_current_span("tools"):
                tool(tracer, "below", "c1")
    tool(tracer, "of another trace", "c1")
    named = causes(log)
    assert named["of c.begun"] == ["agent c.begun"]
    assert named["below.begun"] == ["tools.begun", "chat a 3.ended"]
    assert named["of another trace.begun"] == []


def test_agent_to_which_was_handed_over_names_the_one_that_did(log, tracer):
    with tracer.start_as_current_span("workflow"):
        for name, by in (("triage", None), ("billing", "triage"), ("billing", "billing")):
            kind = {"openinference.span.kind": "AGENT"}
            with tracer.start_as_current_span(name, attributes=kind) as span:
                if by:
                    span.set_attribute("graph.node.parent_id", by)
    ends = [event for event in log.events() if event.event_type == "billing.ended"]
    types = {event.event_id: event.event_type for event in log.events()}
    causes = [[types[cause] for cause in end.caused_by] for end in ends]
    assert causes == [["billing.begun", "triage.ended"], ["billing.begun", "billing.ended"]]
    assert ends[0].event_id in ends[1].caused_by


def test_live_spans_have_who_did_it_what_it_is_part_of_and_where_they_are_from(log, tracer):
    with thence.step("order", log=log, subject="order/1", actor="ada"):
        with tracer.start_as_current_span("agent", attributes=AGENT):
            tool(tracer, "pay", "c1")
        with tracer.start_as_current_span("plain"):
            pass
    with tracer.start_as_current_span("alone", attributes={"session.id": "s-1"}):
        pass
    events = {event.event_type: event for event in log.events()}
    for name in ("agent.begun", "agent.ended", "pay.begun", "pay.ended"):
        event = events[name]
        assert (event.actor, event.stream, event.subject) == ("shop", "c-1", "order/1")
    plain, alone = events["plain.begun"], events["alone.ended"]
    assert (plain.actor, plain.subject) == ("ada", "order/1")
    assert (alone.actor, alone.stream, alone.subject) == ("till", "s-1", None)
    resource = plain.payload["resource"]
    assert (resource["service.name"], resource["zone"]) == ("till", "b")
    assert not any(name.startswith("telemetry.") for name in resource)
    assert plain.payload["scope"] == "test"


def test_what_is_appended_in_a_span_has_its_actor_unless_it_names_one(log, tracer, logger):
    with (
        tracer.start_as_current_span("agent", attributes=AGENT),
        tracer.start_as_current_span("pay"),
    ):
        log.append("a")
        log.append_many([{"event_type": "b"}, {"event_type": "c", "actor": "ada"}])
        log.emit("d")
        logger.warning("low")
        with thence.step("s", log=log):
            log.append("in step")
    log.append("behind")
    log.flush()
    actors = {event.event_type: event.actor for event in log.events()}
    for name in ("a", "b", "d", "record.warning", "s.begun", "s.ended"):
        assert actors[name] == "shop", name
    assert (actors["c"], actors["in step"], actors["behind"]) == ("ada", None, None)


def ends(log):
    return {
        event.event_type: {
            key: value
            for key, value in event.payload.items()
            if key not in ("events", "duration_s", "attributes", "span_id")
        }
        for event in log.events()
        if event.ends
    }


def test_span_that_was_cancelled_or_timed_out_says_so(log, tracer):
    async def main():
        with tracer.start_as_current_span("around"):
            try:
                async with asyncio.timeout(0.01):
                    with tracer.start_as_current_span("slow"):
                        await asyncio.sleep(5)
            except TimeoutError:
                with tracer.start_as_current_span("fallback"):
                    await asyncio.sleep(0)
        quiet = {"record_exception": False, "set_status_on_exception": False}
        try:
            with tracer.start_as_current_span("waits", **quiet):
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(5)
        except TimeoutError:
            pass
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel("not needed")
        await asyncio.gather(task, return_exceptions=True)

    async def work():
        with tracer.start_as_current_span("task"):
            await asyncio.sleep(5)

    asyncio.run(main())
    assert ends(log) == {
        "slow.cancelled": {},
        "fallback.ended": {},
        "around.ended": {},
        "waits.failed": {"error_type": "TimeoutError", "error_message": ""},
        "task.cancelled": {"reason": "not needed"},
    }


def test_end_of_what_a_span_reads_is_no_failure(log, tracer):
    span, items = tracer.start_span("stream"), iter(())
    try:
        next(items)
    except StopIteration:
        span.end()
    assert ends(log) == {"stream.ended": {}}


# OpenInference writes the error and its traceback as the description of the status
TRACEBACK = "ValueError('no key')Traceback (most recent call last):\n  File"


@pytest.mark.parametrize(
    ("error", "description", "message"),
    [
        (ValueError("no key"), None, "no key"),
        (ValueError("no key"), "ValueError: no key", "no key"),
        (ValueError("no key"), TRACEBACK, "no key"),
        (None, TRACEBACK, "ValueError('no key')"),
    ],
)
def test_message_is_that_of_the_exception_unless_the_status_alone_has_one(
    log, tracer, error, description, message
):
    with tracer.start_as_current_span("pay") as span:
        if error is not None:
            span.record_exception(error)
        span.set_status(StatusCode.ERROR, description)
    kind = "error" if error is None else "ValueError"
    assert ends(log) == {"pay.failed": {"error_type": kind, "error_message": message}}


@pytest.mark.parametrize(
    "name",
    ["gen_ai.tool.call.arguments", "input.value", "traceloop.entity.input", "tool_arguments"],
)
def test_end_of_a_tool_keeps_the_arguments_of_its_begin(log, tracer, name):
    attributes = {"openinference.span.kind": "TOOL", name: '{"order": 881}'}
    with tracer.start_as_current_span("pay", attributes=attributes):
        pass
    with tracer.start_as_current_span("chat", attributes={"input.value": "long"}):
        pass
    pay, chat = (event for event in log.events() if event.ends)
    assert pay.payload["attributes"] == attributes
    assert log.vocabulary.summary(pay).startswith("pay(order 881) ended")
    assert "attributes" not in chat.payload


@pytest.mark.parametrize(
    ("attributes", "actor"),
    [
        ({"openinference.span.kind": "AGENT", "graph.node.id": "shop"}, "shop"),
        ({"openinference.span.kind": "AGENT"}, "shop.run"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "shop"}, "shop"),
        ({"langfuse.observation.type": "agent"}, "shop.run"),
        ({"openinference.span.kind": "CHAIN", "graph.node.id": "tools"}, "till"),
    ],
)
def test_agent_is_named_by_its_node_before_the_name_of_its_span(log, tracer, attributes, actor):
    with tracer.start_as_current_span("shop.run", attributes=attributes):
        pass
    assert {event.actor for event in log.events()} == {actor}


def test_renamed_span_ends_under_its_new_name(log, tracer):
    with tracer.start_as_current_span("GET") as span:
        span.update_name("GET /orders/{id}")
    assert [event.event_type for event in log.events()] == ["GET.begun", "GET /orders/{id}.ended"]
