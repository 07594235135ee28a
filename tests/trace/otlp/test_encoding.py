"""Steps and events become spans that the reference implementation reads, with the token's ids."""

import json
import re

import pytest
from opentelemetry.proto_json.trace.v1.trace import TracesData
from opentelemetry.trace import Link, SpanContext, SpanKind
from tests.trace.otlp.collector import spans_of

import thence
from thence.core.clock import microseconds
from thence.core.new_event import HostEvent
from thence.trace.otlp import encoding
from thence.trace.otlp.encoding import LogSpans, trace_of


def spans(log, is_chosen=lambda event: True):
    """The spans of a log by name, as the reference implementation reads and writes them."""
    log.flush()
    maker = LogSpans()
    taken = [maker.take(event, is_chosen(event)) for event in log.events()]
    batch = [*filter(None, taken), *maker.unfinished()]
    encoded = json.dumps(trace_of(batch, {"service.name": "test"}, "1"))
    read = spans_of(json.loads(TracesData.from_json(encoded).to_json()))
    mine = spans_of(json.loads(encoded))
    assert [without_zero(span) for span in read] == [without_zero(span) for span in mine]
    assert len({span["spanId"] for span in read}) == len(read)
    return {span["name"]: span for span in read}


def without_zero(value):
    """What stays of JSON when members that hold nothing are left out, as protobuf does."""
    if isinstance(value, dict):
        kept = {key: without_zero(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in ({}, [], "", None)}
    return [without_zero(one) for one in value] if isinstance(value, list) else value


def attributes(pairs=()):
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in pairs}


def parent_of(span):
    return (span["traceId"], span["parentSpanId"])


def ids(span):
    return (span["traceId"], span["spanId"])


def token_ids(token):
    return tuple(token["traceparent"].split("-")[1:3])


def test_length_of_a_span_is_that_of_the_body_and_the_writing_of_its_begin_is_named(log):
    with thence.step("pay", log=log) as pay, thence.step("ask") as ask:
        pass
    found = spans(log)
    for name, begin in (("pay", pay), ("ask", ask)):
        (end,) = [event for event in log.events() if event.ends == begin.event_id]
        span, said = found[name], attributes(found[name]["attributes"])
        begin_ns, start_ns, end_ns = (
            microseconds(begin.timestamp) * 1_000,
            int(span["startTimeUnixNano"]),
            int(span["endTimeUnixNano"]),
        )
        assert end_ns == microseconds(end.timestamp) * 1_000
        assert said["thence.writing_s"] > 0
        # a step inside it may have begun some microseconds before that, which counts
        too_long_s = (end_ns - start_ns) / 1e9 - end.payload["duration_s"]
        assert too_long_s == pytest.approx(0, abs=1e-6) if name == "ask" else too_long_s >= 0
        assert said["thence.writing_s"] == pytest.approx((start_ns - begin_ns) / 1e9)
    assert int(found["pay"]["startTimeUnixNano"]) <= int(found["ask"]["startTimeUnixNano"])


@pytest.mark.promise("A4d")
def test_step_is_a_span_with_the_ids_of_the_token_inside_its_parent(log):
    with thence.step("task", log=log, subject="order/1", actor="ada"):
        outer = thence.carry()
        with thence.step("call"):
            inner = thence.carry()
            log.append("seen", {"n": 1}, stream="s")
    found = spans(log)
    task, call, seen = found["task"], found["call"], found["seen"]
    assert (ids(task), ids(call)) == (token_ids(outer), token_ids(inner))
    assert (parent_of(call), parent_of(seen)) == (ids(task), ids(call))
    assert "parentSpanId" not in task
    assert seen["startTimeUnixNano"] == seen["endTimeUnixNano"]
    assert int(task["startTimeUnixNano"]) <= int(call["startTimeUnixNano"])
    assert int(call["endTimeUnixNano"]) <= int(task["endTimeUnixNano"])
    said = attributes(task["attributes"])
    assert (said["thence.subject"], said["thence.actor"]) == ("order/1", "ada")
    assert (said["thence.begun"], said["thence.ended"]) == ("task.begun", "task.ended")
    assert attributes(seen["attributes"])["thence.stream"] == "s"


@pytest.mark.promise("A4d")
def test_trace_that_came_in_is_that_of_the_step_in_its_log(log):
    with thence.step("ask", log=log):
        token = thence.carry()
    with thence.carried(token), thence.step("serve", log=log):
        onward = thence.carry()
    found = spans(log)
    assert ids(found["serve"]) == token_ids(onward)
    # the step that asked has ended in this log: it encloses nothing, and is the link
    with thence.step("ask again", log=log):
        token = thence.carry()
        with thence.carried(token), thence.step("serve again", log=log):
            onward = thence.carry()
    found = spans(log)
    assert ids(found["serve again"]) == token_ids(onward)
    assert parent_of(found["serve again"]) == ids(found["ask again"])


@pytest.mark.promise("A4d")
def test_further_causes_are_links_that_tell_begin_from_end(log):
    placed = log.append("placed")
    with thence.step("first", log=log) as first:
        pass
    with thence.step("second", log=log) as second:
        log.append("both", caused_by=[placed, first.ended])
    log.append("after", caused_by=[second, placed])
    found = spans(log)
    links = [(ids(link), attributes(link.get("attributes", ()))) for link in found["both"]["links"]]
    assert links == [(ids(found["placed"]), {}), (ids(found["first"]), {"thence.by_end": True})]
    assert parent_of(found["both"]) == ids(found["second"])
    assert parent_of(found["after"]) == ids(found["second"])
    (link,) = found["after"]["links"]
    assert ids(link) == ids(found["placed"])


@pytest.mark.promise("A4d")
def test_failure_is_a_status_with_an_exception_and_a_cancelled_step_has_none(log):
    with pytest.raises(ValueError, match="no stock"), thence.step("pay", log=log):
        raise ValueError("no stock")

    @thence.step("listing", log=log)
    def listing():
        yield 1

    closed = listing()
    next(closed)
    closed.close()
    log.append("order.failed", {"reason": "x"})
    found = spans(log)
    assert found["pay"]["status"] == {"code": 2, "message": "no stock"}
    (event,) = found["pay"]["events"]
    assert (event["name"], event["timeUnixNano"]) == ("exception", found["pay"]["endTimeUnixNano"])
    facts = attributes(event["attributes"])
    assert facts == {"exception.type": "ValueError", "exception.message": "no stock"}
    assert "status" not in found["listing"]
    assert found["order.failed"]["status"]["code"] == 2


@pytest.mark.promise("A4d")
def test_step_that_is_open_at_the_end_lasts_to_the_last_time_and_says_so(log):
    log.append_many([HostEvent("call.begun", {"n": 1}, begins=True)])
    last = log.append("later")
    call = spans(log)["call"]
    assert attributes(call["attributes"])["thence.unfinished"] is True
    assert call["endTimeUnixNano"] == spans(log)["later"]["endTimeUnixNano"]
    assert "thence.ended" not in attributes(call["attributes"])
    assert last.timestamp


def test_payload_is_flat_and_keeps_the_names_of_a_tracer(log):
    payload = {
        "a": {"b": 1, "c": {"d": None}},
        "a.b": True,
        "gen_ai.request.model": "m",
        "list": ["x", 2, 0.5],
        "mixed": [{"deep": [1]}, None],
        "large": 2**63,
        "empty": {},
    }
    log.append("all", payload)
    said = attributes(spans(log)["all"]["attributes"])
    del said["thence.event_id"]
    assert said.pop("list") == {
        "values": [{"stringValue": "x"}, {"intValue": "2"}, {"doubleValue": 0.5}]
    }
    assert said == {
        "a.b": "1",
        "a.c.d": None,
        "a.b_": True,
        "gen_ai.request.model": "m",
        "mixed": '[{"deep":[1]},null]',
        "large": "9223372036854775808",
        "empty": "{}",
    }


@pytest.mark.promise("A4d")
def test_span_of_a_tracer_leaves_with_its_ids_attributes_and_events(log, tracer):
    elsewhere = tracer.start_span("gone").get_span_context()
    outside = SpanContext(1, 2, is_remote=True)
    options = {
        "kind": SpanKind.CLIENT,
        "attributes": {"gen_ai.request.model": "m", "tags": ("a", "b")},
        "links": [Link(elsewhere), Link(outside)],
    }
    with (
        tracer.start_as_current_span("agent") as agent,
        tracer.start_as_current_span("chat", **options) as chat,
    ):
        chat.set_attribute("gen_ai.usage.output_tokens", 5)
        chat.add_event("token", {"n": 1})
    found = spans(log)
    context = chat.get_span_context()
    assert ids(found["chat"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert parent_of(found["chat"]) == ids(found["agent"])
    assert ids(found["agent"])[0] == f"{agent.get_span_context().trace_id:032x}"
    assert found["chat"]["kind"] == 3
    said = attributes(found["chat"]["attributes"])
    assert said["gen_ai.request.model"] == "m"
    assert said["gen_ai.usage.output_tokens"] == "5"
    assert [one["stringValue"] for one in said["tags"]["values"]] == ["a", "b"]
    (event,) = found["chat"]["events"]
    assert event["name"] == "token"
    assert int(event["timeUnixNano"]) == chat.events[0].timestamp
    assert [ids(link) for link in found["chat"]["links"]] == [
        (f"{elsewhere.trace_id:032x}", f"{elsewhere.span_id:016x}"),
        ("0" * 31 + "1", "0" * 15 + "2"),
    ]


def test_cause_in_another_log_is_the_parent_by_its_own_id(log, tmp_path):
    with thence.open(tmp_path / "other") as other, thence.step("ask", log=other):
        token = thence.carry()
        with thence.carried(token), thence.step("serve", log=log):
            assert thence.carry()["traceparent"].split("-")[1] == token_ids(token)[0]
    assert parent_of(spans(log)["serve"]) == token_ids(token)


def test_step_is_asked_for_by_its_begin_or_its_end(log):
    for name in ("a", "b"):
        with thence.step(name, log=log):
            log.append(f"inside {name}")
    assert spans(log, lambda event: event.event_type == "a.begun").keys() == {"a"}
    assert spans(log, lambda event: event.event_type == "b.ended").keys() == {"b"}


def test_cause_that_is_too_far_back_is_counted_and_no_link(log, monkeypatch):
    monkeypatch.setattr(encoding, "HELD_EVENTS_MAX", 4)
    old = log.append("old")
    with thence.step("open", log=log) as step:
        for number in range(6):
            log.append(f"n{number}")
        log.append("late", caused_by=[old, step])
    maker = LogSpans()
    taken = [maker.take(event, True) for event in log.events()]
    late = next(span for span in taken if span and span["name"] == "late")
    assert (late["links"], maker.unlinked) == ([], 1)
    assert re.fullmatch("[0-9a-f]{16}", late["parentSpanId"])


@pytest.mark.promise("A4d")
def test_more_causes_than_a_line_takes_are_links_of_the_span_itself(log):
    causes = log.append_many([{"event_type": f"n{number}"} for number in range(1_100)])
    with thence.because(*causes), thence.step("all", log=log):
        pass
    log.append("after", caused_by=causes[:40])
    found = spans(log)
    assert len(found) == 1_102
    for name, count in (("all", 1_100), ("after", 40)):
        linked = {parent_of(found[name]), *map(ids, found[name]["links"])}
        assert linked == {ids(found[f"n{number}"]) for number in range(count)}


def ended_spans(log, first, last, **payload):
    """The span of a step that began and ended by events of these types."""
    (begun,) = log.append_many(
        [HostEvent(first, {"span_id": "ab" * 8, "trace_id": "cd" * 16}, begins=True)]
    )
    log.append_many([HostEvent(last, payload, caused_by=begun, ends=begun.event_id)])
    (span,) = spans(log).values()
    return span


@pytest.mark.promise("A4d")
@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ("GET.begun", "GET /orders/{id}.ended", "GET /orders/{id}"),
        ("handoff.begun", "handoff to billing.failed", "handoff to billing"),
        ("night falls", "day breaks", "night falls"),
        ("order.placed", "order.failed", "order.placed"),
    ],
)
def test_name_of_a_span_is_the_last_one_that_it_had(log, first, last, name):
    span = ended_spans(log, first, last)
    assert span["name"] == name
    assert attributes(span["attributes"])["thence.begun"] == first


@pytest.mark.promise("A4d")
def test_events_error_and_duration_of_an_end_are_no_attributes(log):
    event = {"name": "exception", "attributes": {"exception.type": "E"}, "time_unix_nano": 5}
    error = {"error_type": "E", "error_message": "no", "duration_s": 0.5}
    span = ended_spans(log, "a.begun", "a.failed", events=[event], **error)
    assert {name for name in attributes(span["attributes"]) if not name.startswith("thence.")} <= {
        "trace_id",
        "span_id",
    }
    assert (span["status"]["message"], len(span["events"])) == ("no", 1)
