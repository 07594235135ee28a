"""Spans of others become begins and ends behind their causes, each once, whatever a file holds."""

import copy
import json
import random

import pytest
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tests.events import by_type
from tests.trace.otlp.collector import spans_of
from tests.trace.tracing import traced

import thence
from thence.core.new_event import HostEvent
from thence.log.open import new_id
from thence.otel import SpanProcessor
from thence.trace.otlp.decoding import Arrivals, SpanReader
from thence.trace.otlp.encoding import LOG_ID, LogSpans, trace_of

TRACE, SPAN = "ab" * 16, "cd" * 8


def taken(log, *documents):
    """Imports documents, a line each, as the command does; returns what was counted."""
    reader = SpanReader(log.log_id)
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in documents]
    spans = reader.spans(b"\n".join(lines))
    arrivals = Arrivals(spans, log.read())
    log.append_many(list(arrivals.events(new_id)))
    return reader, arrivals


def span(name="call", span_id=SPAN, **members):
    times = {"startTimeUnixNano": "1000000000", "endTimeUnixNano": "2000000000"}
    return {"traceId": TRACE, "spanId": span_id, "name": name, **times, **members}


def pairs(texts):
    return [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]


def trace(*spans):
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def exported(log):
    maker = LogSpans()
    spans = [*filter(None, [maker.take(event, True) for event in log.events()])]
    return trace_of([*spans, *maker.unfinished()], {LOG_ID: log.log_id}, "1")


def graph(log):
    """What caused, ended and concluded what, by the types and places of the events."""
    events = log.events()
    names = {event.event_id: event.event_type for event in events}
    assert len(set(names.values())) == len(events), "each type once"
    return {
        event.event_type: (
            {names[cause] for cause in event.caused_by},
            event.ends and names[event.ends],
            event.begins,
            [names[cause] for cause in event.header.inferred_causes],
            (event.subject, event.actor, event.stream),
            event.timestamp,
        )
        for event in events
    }


@pytest.mark.promise("A4e")
def test_log_that_left_as_spans_comes_back_with_the_same_causes(log, tmp_path):
    placed = log.append("placed", {"n": 1}, subject="order/1", actor="ada", stream="s")
    with thence.step("first", log=log) as first:
        log.append("inside")
        with thence.step("deep"):
            log.append("deepest", caused_by=placed)
    with pytest.raises(ValueError, match="no"), thence.step("pay", log=log, retry_of=first):
        raise ValueError("no")
    after = log.append("after", caused_by=[first.ended, placed])
    log.append_many([HostEvent("guess", inferred_causes=(after.event_id,))])
    log.append_many([HostEvent("night falls", caused_by=after, begins=True)])
    with thence.open(tmp_path / "other") as other:
        reader, arrivals = taken(other, exported(log))
        assert graph(other) == graph(log)
        assert (arrivals.unknown, arrivals.circular, reader.refused) == (0, 0, {})
        assert other.verify().findings == ()
        again = graph(log)
        assert taken(log, exported(log))[0].own_count == 9
        assert graph(log) == again


@pytest.mark.promise("A4e")
def test_many_causes_and_a_large_prompt_of_its_own_export_come_back(log, tmp_path):
    causes = log.append_many([{"event_type": f"n{number}"} for number in range(70)])
    prompt = "Please go on. " * 220_000
    (begun,) = log.append_many([HostEvent("chat.begun", {"prompt": prompt}, begins=True)])
    last = HostEvent("chat.ended", {"n": 1}, caused_by=(begun, *causes), ends=begun.event_id)
    log.append_many([last])
    log.append("all", caused_by=causes)
    with thence.open(tmp_path / "other") as other:
        reader, arrivals = taken(other, exported(log))
        assert (reader.refused, arrivals.unknown) == ({}, 0)
        again = by_type(other)
        assert again["chat.begun"].payload["attributes"]["prompt"] == prompt
        assert len(again["chat.begun"].line) < 2_000
        for name, count in (("chat.ended", 71), ("all", 70)):
            assert len(causes_of(other, name)) == count
        assert graph_of_spans(exported(other)) == graph_of_spans(exported(log))
        taken(other, exported(log))
        assert len(by_type(other)) == len(again)


def causes_of(log, name):
    """The causes of an event, those that a notice joins in its place."""
    events = {event.event_id: event for event in log.read()}
    (event,) = [one for one in events.values() if one.event_type == name]
    causes = []
    for cause in event.caused_by:
        is_notice = events[cause].event_type == "log.joined"
        causes += events[cause].caused_by if is_notice else [cause]
    return causes


def graph_of_spans(document):
    spans = spans_of(document)
    names = {span["spanId"]: span["name"] for span in spans}
    return {
        span["name"]: {names[one["spanId"]] for one in span["links"]}
        | {names.get(span.get("parentSpanId"))}
        for span in spans
    }


@pytest.mark.promise("A4e")
@pytest.mark.parametrize(
    "name", ["log.write", "log.", "a\nb", " x ", pytest.param("n" * 500, id="long")]
)
def test_name_of_a_span_comes_in_as_it_is_recorded_live(log, sdk, tmp_path, name):
    tracer, document = sdk
    for one in (tracer, traced(log)[0]):
        with one.start_as_current_span(name):
            pass
    with thence.open(tmp_path / "other") as other:
        taken(other, document())
        assert [*by_type(other)] == [*by_type(log)]


@pytest.mark.promise("A4e")
def test_attributes_of_links_are_kept_and_leave_again(log):
    def link(span_id, text):
        facts = pairs({"why": text}) if text else []
        return {"traceId": TRACE, "spanId": span_id, "attributes": facts}

    links = [link("12" * 8, "here"), link("ef" * 8, "elsewhere"), link("34" * 8, "")]
    taken(log, trace(span("asked", "12" * 8), span("call", links=links)))
    begun = by_type(log)["call.begun"]
    assert begun.caused_by == (by_type(log)["asked.begun"].event_id,)
    assert [one.get("attributes") for one in begun.payload["links"]] == [
        {"why": "here"},
        {"why": "elsewhere"},
        None,
    ]
    (again,) = [one for one in spans_of(exported(log)) if one["name"] == "call"]
    sent = [(one["spanId"], one.get("attributes", [])) for one in again["links"]]
    assert sorted(sent) == sorted((one["spanId"], one["attributes"]) for one in links)


@pytest.fixture
def sdk():
    """A tracer of the SDK, and the document that its own encoder makes of what it traced."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop", "zone": "b"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def document():
        return json.loads(encode_spans(exporter.get_finished_spans()).to_json())

    return provider.get_tracer("test"), document


@pytest.mark.promise("A4e")
def test_spans_of_the_sdk_are_steps_with_parents_links_times_and_errors(log, sdk):
    tracer, document = sdk
    with tracer.start_as_current_span("queued") as queued:
        pass
    attributes = {"gen_ai.request.model": "m", "n": 3, "ratio": 0.5, "on": True, "tags": ["a", "b"]}
    options = {
        "kind": SpanKind.CLIENT,
        "attributes": attributes,
        "links": [Link(queued.get_span_context())],
    }
    with (
        pytest.raises(ValueError, match="no stock"),
        tracer.start_as_current_span("agent"),
        tracer.start_as_current_span("chat", **options) as chat,
    ):
        raise ValueError("no stock")
    _, arrivals = taken(log, document())
    events = by_type(log)
    begun, failed = events["chat.begun"], events["chat.failed"]
    assert begun.caused_by == (events["agent.begun"].event_id, events["queued.begun"].event_id)
    assert (begun.payload["attributes"], begun.payload["kind"]) == (attributes, "client")
    assert begun.payload["start_time_unix_nano"] == chat.start_time
    assert begun.payload["resource"]["zone"] == "b"
    assert (begun.actor, begun.payload["scope"]) == ("shop", "test")
    assert failed.ends == begun.event_id
    assert failed.payload["end_time_unix_nano"] == chat.end_time
    assert (failed.payload["error_type"], failed.payload["error_message"]) == (
        "ValueError",
        "no stock",
    )
    assert failed.payload["events"][0]["name"] == "exception"
    order = [event.event_type for event in log.read()]
    assert order == [
        *("queued.begun", "queued.ended", "agent.begun", "chat.begun"),
        *("chat.failed", "agent.failed"),
    ]
    assert arrivals.unknown == 0
    times = [event.timestamp for event in log.read()]
    assert times == sorted(times)


@pytest.mark.promise("A4e")
def test_second_import_adds_what_is_new_alone(log):
    parent, child = span("a"), span("b", "ef" * 8, parentSpanId=SPAN)
    open_child = {key: value for key, value in child.items() if key != "endTimeUnixNano"}
    tokens = {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}}
    taken(log, trace(open_child | {"attributes": [tokens]}))
    (begun,) = log.read()
    assert (begun.event_type, begun.caused_by) == ("b.begun", ())
    assert begun.payload["parent_span_id"] == SPAN
    assert begun.payload["attributes"] == {"gen_ai.usage.input_tokens": 7}
    _, arrivals = taken(log, trace(parent), trace(child))
    events = by_type(log)
    assert [*events] == ["b.begun", "a.begun", "a.ended", "b.ended"]
    assert events["b.ended"].ends == begun.event_id
    before = log.current_file.read_bytes()
    _, arrivals = taken(log, trace(child, parent))
    assert (arrivals.already, log.current_file.read_bytes()) == (2, before)
    taken(log, trace(span("c", "12" * 8, parentSpanId="ef" * 8)))
    assert by_type(log)["c.begun"].caused_by == (begun.event_id,)


@pytest.mark.promise("A4e")
def test_service_that_got_a_token_is_caused_by_the_step_that_gave_it(log, sdk):
    tracer, document = sdk
    with thence.step("outer", log=log), thence.step("ask") as ask:
        context = TraceContextTextMapPropagator().extract(thence.carry())
        with tracer.start_as_current_span("serve", context=context):
            pass
    _, arrivals = taken(log, document())
    assert by_type(log)["serve.begun"].caused_by == (ask.event_id,)
    assert arrivals.unknown == 0


def test_span_that_was_recorded_as_it_ran_is_there_already(log, sdk):
    tracer, document = sdk
    tracer.span_processor.add_span_processor(SpanProcessor(log))
    with tracer.start_as_current_span("chat"):
        pass
    before = log.current_file.read_bytes()
    _, arrivals = taken(log, document())
    assert (arrivals.already, log.current_file.read_bytes()) == (1, before)


@pytest.mark.promise("A4e")
def test_parent_and_link_that_are_nowhere_stay_ids_and_are_no_causes(log):
    links = [{"traceId": TRACE, "spanId": "12" * 8}]
    _, arrivals = taken(log, trace(span(parentSpanId="ef" * 8, links=links)))
    begun = by_type(log)["call.begun"]
    assert begun.caused_by == begun.external_causes == ()
    assert begun.payload["parent_span_id"] == "ef" * 8
    assert begun.payload["links"] == [{"trace_id": TRACE, "span_id": "12" * 8}]
    assert arrivals.unknown == 1


def test_circle_is_cut_at_its_earliest_and_counted(log):
    ids = ["01" * 8, "02" * 8, "03" * 8]
    spans = [
        span(f"s{at}", one, parentSpanId=ids[at - 1], startTimeUnixNano=str(10**9 - at))
        for at, one in enumerate(ids)
    ]
    _, arrivals = taken(log, trace(*spans, span("own", parentSpanId=SPAN)))
    events = by_type(log)
    assert len(events) == 8
    assert events["s2.begun"].caused_by == ()
    assert events["s0.begun"].caused_by == (events["s2.begun"].event_id,)
    assert events["s1.begun"].caused_by == (events["s0.begun"].event_id,)
    assert arrivals.circular == 2


def test_numbers_may_be_text_and_enums_names_and_a_document_may_have_many_lines(log):
    one = span(
        kind="SPAN_KIND_SERVER",
        status={"code": "STATUS_CODE_ERROR", "message": "m"},
        startTimeUnixNano=5,
        attributes=[
            {"key": "n", "value": {"intValue": 7}},
            {"key": "x", "value": {"kvlistValue": {"values": [{"key": "y", "value": {}}]}}},
        ],
    )
    taken(log, json.dumps(trace(one), indent=1).encode())
    events = by_type(log)
    assert events["call.begun"].payload["kind"] == "server"
    assert events["call.begun"].payload["attributes"] == {"n": 7, "x": {"y": None}}
    assert events["call.failed"].payload["error_message"] == "m"


@pytest.mark.promise("A4e")
def test_each_bad_record_is_counted_by_its_reason(log):
    many = [{"key": f"x{n}", "value": {"stringValue": "x" * 900}} for n in range(1_000)]
    bad = (
        (7, "a span that is not a map"),
        (span(span_id="0" * 16), "a span without ids in hex"),
        (span(traceId="zz" * 16), "a span without ids in hex"),
        (span(startTimeUnixNano="soon"), "a span without a start"),
        (span(attributes=many), "a span of more than 900,000 bytes of small values"),
        (span("good", "12" * 8, links=[3]), "a link without ids in hex"),
        (span("good too", "13" * 8, attributes=[{}]), "an attribute without a name"),
        (span("good", "12" * 8), "a span that is in the file twice"),
    )
    reader, _ = taken(
        log,
        trace(*(one for one, _ in bad)),
        b"{",
        {"resourceLogs": []},
        {"resource_spans": []},
        {"resourceSpans": [1, {"scopeSpans": [None]}]},
    )
    expected = [reason for _, reason in bad]
    expected += ["a line that is not JSON", "a line without resourceSpans"]
    expected += ["a line with resource_spans, as protobuf names it: OTLP/JSON has resourceSpans"]
    expected += ["a group of spans that is not a map"] * 2
    assert reader.refused == {reason: expected.count(reason) for reason in expected}
    assert [*by_type(log)] == ["good.begun", "good too.begun", "good.ended", "good too.ended"]


ODD = (
    *(None, True, -1, 0, 2**70, 0.5, "", "x", "\ud800", "\x00\n", [], {}, [[]], [None], {"": {}}),
    *("ab" * 16, "AB" * 16, "cd" * 8, "log.recovered", "9" * 30, "x" * 500, {"values": [1]}),
    *({"stringValue": "\udcff"}, {"doubleValue": "NaN"}, {"intValue": "1e5"}, {"kvlistValue": 1}),
)


def spoilt(value, chance, draw):
    """A JSON value in which single parts were replaced by odd ones."""
    if draw.random() < chance:
        return draw.choice(ODD)
    if isinstance(value, dict):
        return {key: spoilt(one, chance, draw) for key, one in value.items()}
    return [spoilt(one, chance, draw) for one in value] if isinstance(value, list) else value


@pytest.mark.promise("A4e")
@pytest.mark.rest
def test_ten_thousand_hostile_records_raise_nothing_and_each_is_taken_or_counted(log):
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    model = span(
        attributes=pairs({"k": "v"}),
        links=[{"traceId": TRACE, "spanId": "12" * 8, "attributes": []}],
        events=[{"name": "exception", "timeUnixNano": "5", "attributes": []}],
        status={"code": 2, "message": "m"},
        parentSpanId="34" * 8,
        kind=3,
    )
    records = []
    for _ in range(10_000):
        one = copy.deepcopy(model) | {"spanId": f"{draw.randrange(1, 8_000):016x}"}
        one["parentSpanId"] = f"{draw.randrange(1, 8_000):016x}"
        one["links"][0]["spanId"] = f"{draw.randrange(1, 8_000):016x}"
        records.append(spoilt(one, draw.choice((0.0, 0.02, 0.3)), draw))
    documents = [trace(*records[at : at + 100]) for at in range(0, len(records), 100)]
    around = {"resource": {"attributes": model["attributes"]}}
    around["scopeSpans"] = [{"scope": {"name": "s"}, "spans": [model]}]
    documents += [spoilt({"resourceSpans": [around]}, 0.1, draw) for _ in range(500)]
    text = [json.dumps(one).encode() for one in documents]
    text += [line[: draw.randrange(len(line))] for line in text[:100]]
    text += [
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"resourceSpans":' + b"[" * 5_000,
        b"null",
        b'"\\ud800"',
    ]
    reader, _ = taken(log, *text)
    whole = ("a span", "a span without")
    refused = sum(count for reason, count in reader.refused.items() if reason.startswith(whole))
    begun = sum(event.header.source_id.count(":") == 1 for event in log.read())
    assert begun + refused >= 10_000
    assert begun > 3_000
    assert log.verify().findings == ()
    before = log.current_file.read_bytes()
    taken(log, *text)
    assert log.current_file.read_bytes() == before


@pytest.mark.promise("A4e")
def test_agent_conversation_and_message_come_in_as_they_are_recorded_live(log):
    texts = {"gen_ai.agent.name": "shop", "gen_ai.conversation.id": "c-1"}
    texts |= {"gen_ai.tool.name": "pay", "gen_ai.tool.call.arguments": '{"order":881}'}
    error = {"exception.type": "shop.Declined", "exception.message": "give an idempotency key"}
    exception = {"name": "exception", "timeUnixNano": "1500000000", "attributes": pairs(error)}
    facts = {"attributes": pairs(texts), "status": {"code": 2}, "events": [exception]}
    document = trace(span("execute_tool pay", **facts))
    document["resourceSpans"][0]["resource"] = {"attributes": pairs({"service.name": "till"})}
    taken(log, json.dumps([document]).encode())
    begun, failed = log.events()
    for event in (begun, failed):
        assert (event.actor, event.stream) == ("shop", "c-1")
    assert begun.payload["resource"] == {"service.name": "till"}
    error = (failed.payload["error_type"], failed.payload["error_message"])
    assert error == ("shop.Declined", "give an idempotency key")
    sentence = log.vocabulary.summary(failed)
    assert sentence == "pay(order 881) failed: give an idempotency key"


@pytest.mark.promise("A4d", "A4e")
def test_links_between_model_calls_and_tools_and_to_what_is_tried_again_say_so(
    log, tracer, tmp_path
):
    call = {"type": "tool_call", "name": "pay", "arguments": {"order": 881}}
    asked = [{"role": "assistant", "parts": [{**call, "id": "c1"}, {**call, "name": "mail"}]}]
    response = {"type": "tool_call_response", "id": "c1"}
    read = [*asked, {"role": "tool", "parts": [response]}]
    chat, tool = {"gen_ai.operation.name": "chat"}, {"gen_ai.operation.name": "execute_tool"}
    with tracer.start_as_current_span("agent"):
        with tracer.start_as_current_span("ask", attributes=chat) as span:
            span.set_attribute("gen_ai.output.messages", json.dumps(asked))
        with tracer.start_as_current_span("pay", attributes=tool | {"gen_ai.tool.call.id": "c1"}):
            pass
        with tracer.start_as_current_span("mail") as span:  # what it is comes with its end
            span.set_attributes(tool | {"gen_ai.tool.call.arguments": '{"order": 881}'})
        with tracer.start_as_current_span("read", attributes=chat) as span:
            span.set_attribute("gen_ai.input.messages", json.dumps(read))
    with thence.step("charge", log=log) as first:
        pass
    with thence.step("charge again", log=log, retry_of=first):
        pass
    found = spans_of(exported(log))
    names = {span["spanId"]: span["name"] for span in found}
    links = {
        (span["name"], names[link["spanId"]]): {
            pair["key"]: next(iter(pair["value"].values())) for pair in link["attributes"]
        }
        for span in found
        for link in span["links"]
    }
    by_end = {"thence.by_end": True}
    of_model, of_end = {"gen_ai.link.type": "caused_by_generation"}, {"thence.of_end": True}
    assert links == {
        ("pay", "ask"): of_model | by_end,
        ("mail", "ask"): of_model | of_end | by_end | {"thence.inferred": True},
        ("read", "pay"): {"gen_ai.link.type": "informed_by"} | of_end | by_end,
        ("charge again", "charge"): {"gen_ai.link.type": "retry_of"} | by_end,
    }
    with thence.open(tmp_path / "other") as other:
        taken(other, exported(log))
        assert graph(other) == graph(log)
