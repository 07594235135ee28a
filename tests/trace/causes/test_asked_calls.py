"""The model call that asked for a tool, in each dialect: live, and imported from a file."""

import json

import pytest
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.cli.installed import thence as command

import thence
from thence.log.files.process_state import new_id
from thence.otel import SpanProcessor
from thence.trace.otlp.decoding import Arrivals, SpanReader

pytestmark = pytest.mark.promise("A4b")
ARGUMENTS = {"order": 881}
LLM, TOOL = {"openinference.span.kind": "LLM"}, {"openinference.span.kind": "TOOL"}


def openinference(call_id, arguments):
    """Returns the attributes of a model call of OpenInference that wants `pay`."""
    call = "llm.output_messages.0.message.tool_calls.0.tool_call"
    name = {f"{call}.function.name": "pay", f"{call}.function.arguments": json.dumps(arguments)}
    return LLM | name | ({f"{call}.id": call_id} if call_id else {})


def conventions(call_id, arguments):
    part = {"type": "tool_call", "id": call_id, "name": "pay", "arguments": arguments}
    messages = json.dumps([{"role": "assistant", "parts": [part]}])
    return {"gen_ai.operation.name": "chat", "gen_ai.output.messages": messages}


def traceloop(call_id, arguments):
    call = "gen_ai.completion.0.tool_calls.0"
    return {
        "llm.request.type": "chat",
        f"{call}.id": call_id,
        f"{call}.name": "pay",
        f"{call}.arguments": json.dumps(arguments),
    }


def strands(call_id, arguments):
    """Returns a span event, as strands-agents adds it."""
    use = {"toolUse": {"toolUseId": call_id, "name": "pay", "input": arguments}}
    return "gen_ai.choice", {"finish_reason": "tool_use", "message": json.dumps([use])}


def details(call_id, arguments):
    """Returns the span event of the newest conventions."""
    messages = conventions(call_id, arguments)["gen_ai.output.messages"]
    return "gen_ai.client.inference.operation.details", {"gen_ai.output.messages": messages}


FORMS = [openinference, conventions, traceloop, strands, details]


class Program:
    """A program that is traced, and what a log has of it: live, or by an export."""

    def __init__(self, way, folder):
        self.way, self.log = way, thence.open(folder)
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(
            SpanProcessor(self.log) if way == "live" else SimpleSpanProcessor(self.exporter)
        )
        self.tracer = provider.get_tracer("test")

    def span(self, name, at_start=None):
        return self.tracer.start_as_current_span(name, attributes=at_start)

    def model(self, name, said):
        """Calls a model, whose span says something as attributes or as a span event."""
        with self.span(name, {"gen_ai.operation.name": "chat"}) as span:
            if isinstance(said, dict):
                span.set_attributes(said)
            else:
                span.add_event(*said)

    def tool(self, name, at_start=None, at_end=None):
        with self.span(name, {**TOOL, **(at_start or {})}) as span:
            span.set_attributes(at_end or {})

    def events(self):
        if self.way == "imported":
            data = json.dumps(encode_spans(self.exporter.get_finished_spans()).to_dict())
            spans = SpanReader(self.log.log_id).spans(data.encode())
            self.log._host_append([*Arrivals(spans, self.log.read()).events(new_id)])
        self.log.flush()
        events = list(self.log.read())
        names = {event.event_id: event.event_type for event in events}
        return {
            event.event_type: (
                [names[cause] for cause in event.caused_by],
                [names[cause] for cause in event.header.inferred_causes],
            )
            for event in events
        }


@pytest.fixture(params=["live", "imported"])
def program(request, tmp_path):
    one = Program(request.param, tmp_path / "log")
    yield one
    one.log.close()


@pytest.mark.parametrize("form", FORMS)
def test_id_that_a_tool_has_from_its_start_names_the_call_at_its_begin(program, form):
    with program.span("agent"):
        program.model("chat", form("c1", ARGUMENTS))
        program.tool("pay", {"gen_ai.tool.call.id": "c1"})
    found = program.events()
    assert found["pay.begun"] == (["agent.begun", "chat.ended"], [])
    assert found["pay.ended"] == (["pay.begun"], [])


def test_id_that_comes_with_the_end_names_the_call_at_the_end(tmp_path):
    program = Program("live", tmp_path / "log")
    result = '{"type":"tool","data":{"content":"paid","tool_call_id":"c2"}}'
    with program.span("agent"):
        program.model("chat", strands("c1", ARGUMENTS))
        program.tool("pay", at_end={"gen_ai.tool.call.id": "c1"})
        program.model("again", openinference("c2", ARGUMENTS))
        program.tool("pay too", at_end={"output.value": result})
        program.tool("unasked", at_end={"gen_ai.tool.call.id": "c9"})
        # ADK writes this where the tool failed
        program.model("once more", conventions("c3", {"order": 882}))
        failed = {"gen_ai.tool.call.id": "<not specified>", "gen_ai.tool.name": "pay"}
        program.tool("failed", at_end={**failed, "gen_ai.tool.call.arguments": '{"order": 882}'})
    found = program.events()
    assert found["pay.begun"] == (["agent.begun"], [])
    assert found["pay.ended"] == (["pay.begun", "chat.ended"], [])
    assert found["pay too.ended"] == (["pay too.begun", "again.ended"], [])
    assert found["unasked.ended"] == (["unasked.begun"], [])
    assert found["failed.ended"] == (["failed.begun"], ["once more.ended"])
    program.log.close()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "arguments",
    [
        '{"order": 881}',
        "{'order': 881}",
        '{"args": [], "sanitize_inputs_outputs": true, "kwargs": {"order": 881}}',
    ],
)
def test_tool_without_an_id_is_of_the_only_call_that_fits_as_a_conclusion(program, form, arguments):
    with program.span("agent"):
        program.model("chat", form("c1", ARGUMENTS))
        program.model("other", form("c2", {"order": 882}))
        program.tool("pay", {"tool.name": "pay", "input.value": arguments})
    assert program.events()["pay.begun"] == (["agent.begun"], ["chat.ended"])


def test_open_calls_of_two_model_calls_tell_nothing_until_one_is_taken(program):
    tool = {"tool.name": "pay", "input.value": json.dumps(ARGUMENTS)}
    with program.span("agent"):
        program.model("one", openinference("", ARGUMENTS))
        program.model("two", openinference("", ARGUMENTS))
        program.tool("unknown", tool)
    with program.span("another trace"):
        program.tool("elsewhere", tool)
    with program.span("retrying"):
        program.model("first", openinference("", ARGUMENTS))
        program.tool("failed", tool)
        program.model("second", openinference("", ARGUMENTS))
        program.tool("tried again", tool)
        program.tool("unasked", tool)
    found = program.events()
    assert found["unknown.begun"][1] == found["elsewhere.begun"][1] == []
    assert found["failed.begun"][1] == ["first.ended"]
    assert found["tried again.begun"][1] == ["second.ended"]
    assert found["unasked.begun"][1] == []


def test_next_call_names_the_tools_that_it_read_in_each_form(program):
    answers = {
        "conventions": {
            "gen_ai.input.messages": json.dumps(
                [{"role": "user", "parts": [{"type": "tool_call_response", "id": "c1"}]}]
            )
        },
        "openinference": LLM
        | {
            "llm.input_messages.0.message.role": "assistant",
            "llm.input_messages.0.message.tool_call_id": "c0",
            "llm.input_messages.1.message.role": "tool",
            "llm.input_messages.1.message.tool_call_id": "c1",
        },
        "strands": (
            "gen_ai.tool.message",
            {"content": json.dumps([{"toolResult": {"toolUseId": "c1"}}])},
        ),
    }
    for name, said in answers.items():
        with program.span(name):
            for call in ("c0", "c1"):
                program.tool(f"{call} {name}", {"gen_ai.tool.call.id": call})
            program.model(f"chat {name}", said)
    found = program.events()
    for name in answers:
        assert found[f"chat {name}.ended"] == ([f"chat {name}.begun", f"c1 {name}.ended"], [])


def test_model_and_tool_in_nodes_of_one_graph_are_tied_by_an_id_that_is_used_once(program):
    with program.span("graph"):
        with program.span("agent"):
            program.model("chat", openinference("c1", ARGUMENTS))
        with program.span("tools"):
            program.tool("pay", {"tool_call.id": "c1"})
    assert program.events()["pay.begun"] == (["tools.begun", "chat.ended"], [])


def test_agent_and_session_that_a_span_gets_once_it_has_begun_are_those_of_what_is_inside(tmp_path):
    program = Program("live", tmp_path / "log")
    with program.span("agent") as agent:
        agent.set_attributes({"gen_ai.agent.name": "shop", "session.id": "s-1"})
        with program.span("cycle"):
            program.tool("pay")
            program.log.append("money.sent")
    program.events()
    events = {event.event_type: event for event in program.log.read()}
    for name in ("cycle.begun", "cycle.ended", "pay.begun", "pay.ended", "agent.ended"):
        assert (events[name].actor, events[name].stream) == ("shop", "s-1"), name
    assert events["money.sent"].actor == "shop"
    program.log.close()


def test_why_tells_who_asked_for_a_tool_whose_end_alone_says_so(tmp_path):
    program = Program("live", tmp_path / "log")
    with program.span("agent"):
        program.model("chat gpt-4o", strands("c1", ARGUMENTS))
        with program.span("pay", {"tool.name": "pay"}) as pay:
            program.log.append("money.sent")
            pay.set_attribute("gen_ai.tool.call.id", "c1")
        program.model("chat m", strands("c2", ARGUMENTS))
        arguments = {"tool.name": "pay", "input.value": json.dumps(ARGUMENTS)}
        with program.span("pay again", TOOL | arguments):
            program.log.append("money.sent.again")
        with program.span("killed", {"tool.name": "pay"}):
            program.log.append("money.not.sent")
    program.log.close()

    def why(event, *words):
        return command("why", event, "--log", "log", *words, cwd=tmp_path)

    told = why("money.sent").out
    assert "asked by: gpt-4o was asked" in told
    assert [len(why("money.sent", "--json").json[name]) for name in ("chain", "asked_by")] == [3, 1]
    assert "the only call that asked for pay(order 881): m was asked" in why("money.sent.again").out
    (call,) = why("money.sent.again", "--json").json["asked_by"]
    assert call["inferred"]
    assert "asked" not in why("money.not.sent").out
    assert "asked by: gpt-4o was asked" in why("pay.ended").out
