"""What two events and two logs have in common, where they part, held to plain, slow means."""

import json
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.twins import Told, all_words, causes_of, effects_of, log_of, reached, tolds, twins
from tests.events import drafted, event_of, json_values, line_of, new_id, payloads, stamped

from thence.core.codec import parse
from thence.core.diff import ALONE, Difference, aligned, as_json, contrast, is_same, side
from thence.core.diff import difference as of_sides
from thence.core.event import Event
from thence.core.vocabulary import SIM


def difference(a, b):
    return of_sides(side(a), side(b))


class Whole(NamedTuple):
    """A difference with its events in the place of places."""

    aligned: list[tuple[Event, Event]]
    changed: list[tuple[Event, Event]]
    only_a: list[Event]
    only_b: list[Event]


def whole(found: Difference) -> Whole:
    """Returns the events that a difference tells of."""
    a, b = found.a.events.__getitem__, found.b.events.__getitem__
    return Whole(
        [(a(x), b(y)) for x, y in found.aligned],
        [(a(x), b(y)) for x, y in found.changed],
        list(map(a, found.only_a)),
        list(map(b, found.only_b)),
    )


def said(event):
    return (*all_words(event)[:-1], event.begins)


def differing(a, b, partner):
    """Finds the ids of one log whose event has no partner that says the same."""
    known = {event.event_id: event for event in b}
    return {
        event.event_id
        for event in a
        if event.event_id not in partner or said(event) != said(known[partner[event.event_id]])
    }


def roots(log, odd, others_odd, partner, causes, others_causes):
    """Finds the events that nothing different led to, with how many same ones before."""
    same, found = 0, []
    for event in log:
        mine = event.event_id
        if mine not in odd:
            same += 1
            continue
        theirs = partner.get(mine)
        led = theirs is not None and not others_odd.isdisjoint(reached(theirs, others_causes))
        if not led and odd.isdisjoint(reached(mine, causes)):
            found.append((same, mine))
    return found


@given(twins(with_steps=True, with_begins=True))
def test_difference_is_that_of_plain_slow_means(logs):
    a, b = logs
    left, right = side(a), side(b)
    partners = aligned(left, right)
    of_a = {
        left.events[x].event_id: right.events[y].event_id
        for x, y in enumerate(partners)
        if y != ALONE
    }
    of_b = {y: x for x, y in of_a.items()}
    odd_a, odd_b = differing(a, b, of_a), differing(b, a, of_b)
    found = difference(a, b)
    told = whole(found)
    assert [(x.event_id, y.event_id) for x, y in told.aligned] == list(of_a.items())
    assert [x.event_id for x in told.only_a] == [e.event_id for e in a if e.event_id not in of_a]
    assert [y.event_id for y in told.only_b] == [e.event_id for e in b if e.event_id not in of_b]
    assert {x.event_id for x, _ in told.changed} == odd_a & of_a.keys()
    assert (found.first is None) == (not odd_a and not odd_b)
    if found.first is None:
        return
    causes_a, causes_b = causes_of(a), causes_of(b)
    in_a = roots(a, odd_a, odd_b, of_a, causes_a, causes_b)
    in_b = roots(b, odd_b, odd_a, of_b, causes_b, causes_a)
    first = found.first
    told_roots = [
        tuple(event and event.event_id for event in found.sides(*root)) for root in found.roots
    ]
    if in_a or in_b:
        assert {x for x, _ in told_roots} - {None} == {mine for _, mine in in_a}
        assert {y for _, y in told_roots} - {None} == {mine for _, mine in in_b}
        assert len(set(told_roots)) == len(told_roots)
        if in_a and (not in_b or in_a[0][0] <= in_b[0][0]):
            assert first.a.event_id == in_a[0][1]
        else:
            assert first.b.event_id == in_b[0][1]
    assert found.sides(*found.roots[0]) == (first.a, first.b)
    for event, log, follow in ((first.a, a, first.follow_a), (first.b, b, first.follow_b)):
        assert follow == (0 if event is None else len(reached(event.event_id, effects_of(log))))
    if first.a is not None and first.a.event_id in of_a:
        assert first.b.event_id == of_a[first.a.event_id]


@given(tolds(with_steps=True))
def test_log_differs_neither_from_itself_nor_from_a_copy(told):
    a = log_of(told)
    for b in (a, log_of(told)):
        found = difference(a, b)
        assert found.first is None
        assert whole(found) == (list(zip(a, b, strict=True)), [], [], [])


def test_empty_logs_say_the_same_and_an_empty_one_lacks_all():
    assert difference([], []).first is None
    told = log_of([Told("p", 0), Told("p", 1, (0,))])
    found = difference(iter(told), iter(()))
    assert (found.first.a, found.first.b) == (told[0], None)
    assert (found.first.follow_a, found.first.follow_b) == (1, 0)
    assert difference([], told).first.b == told[0]


def test_every_root_is_listed_the_one_with_the_fewest_same_events_before_it_first():
    told = [Told("p", n) for n in range(4)] + [Told("q", 9, (0,)), Told("r", 9, (1,))]
    other = [Told("p", 8), Told("p", 1), Told("p", 2), Told("p", 3), Told("q", 7, (0,))]
    a, b = log_of(told), log_of([*other, Told("r", 8, (1,)), Told("s", 1, (1,))])
    found = difference(a, b)
    assert [found.sides(*root) for root in found.roots] == [
        (a[0], b[0]),
        (a[5], b[5]),
        (None, b[6]),
    ]
    assert found.first.a == a[0]
    listed = json_of(found)
    assert listed["roots"] == 3
    assert [
        (root["a"] and root["a"]["seq"], root["b"]["seq"]) for root in listed["root_events"]
    ] == [
        (1, 1),
        (6, 6),
        (None, 7),
    ]
    assert listed["root_events"][1]["differs"] == [{"path": "payload.n", "a": 9, "b": 8}]
    assert len(json_of(found, limit=1)["root_events"]) == 1


def test_differences_that_follow_from_each_other_across_the_logs_still_have_a_first():
    one, two = "1.a.-.0", "1.b.-.0"
    a = log_of([Told("p", 0, step=one), Told("p", 0, (0,), step=two)])
    b = log_of([Told("p", 1, step=two), Told("p", 1, (0,), step=one)])
    first = difference(a, b).first
    assert (first.a, first.b) == (a[0], b[1])


def sim_line(number, step, details, causes=(), event_type="STATE"):
    members = {"simulation_id": f"run-{number}", "turn_number": 1, "step": step}
    made = drafted(new_id(), event_type, {**members, "details": details}, causes)
    return parse(stamped(made, number, number)[:-1], SIM)


def test_latency_and_cost_of_details_are_no_difference_and_those_of_payloads_are():
    a = [sim_line(1, "1.a.-.0", {"text": "yes", "latency_ms": 3, "cost": 1})]
    b = [sim_line(2, "1.a.-.0", {"text": "yes", "latency_ms": 4, "cost_usd": 2})]
    assert difference(a, b).first is None
    inside = [sim_line(2, "1.a.-.0", {"text": "yes", "order": {"cost": 2}})]
    assert [each.path for each in difference(a, inside).first.differs] == ["details.order"]
    plain = [event_of(line_of({"cost": n})) for n in (1, 2)]
    assert [each.path for each in difference(plain[:1], plain[1:]).first.differs] == [
        "payload.cost"
    ]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"trace_id": "a", "span_id": "b"}, {"trace_id": "c", "span_id": "d"}),
        ({"parent_span_id": "a", "links": [{"span_id": "1"}]}, {"links": [{"span_id": "2"}]}),
        (
            {"attributes": {"gen_ai.tool.call.id": "1"}},
            {"attributes": {"gen_ai.tool.call.id": "2"}},
        ),
        ({"attributes": {"gen_ai.conversation.id": "1"}}, {"attributes": {}}),
        ({"attributes": {"session.id": "1", "gen_ai.response.id": "2"}}, {"attributes": {}}),
        ({"attributes": {"message.tool_calls.0.tool_call.id": "1"}}, {"attributes": {}}),
        ({"duration_s": 0.1, "retry_of": "01A"}, {"duration_s": 0.2, "retry_of": "01B"}),
        ({"events": [{"name": "x", "time_unix_nano": 1}]}, {"events": [{"name": "x"}]}),
        (
            {"span_id": "1", "messages": '[{"type":"tool_call","id":"a","name":"pay"}]'},
            {"span_id": "2", "messages": '[{"type":"tool_call", "id":"b", "name":"pay"}]'},
        ),
        (
            {"span_id": "1", "messages": [{"tool_call_id": "a", "content": "paid"}]},
            {"span_id": "2", "messages": [{"tool_call_id": "b", "content": "paid"}]},
        ),
    ],
)
def test_ids_and_times_of_tracers_are_no_difference(a, b):
    assert is_same(foreign(a), foreign(b))
    assert contrast(foreign(a), foreign(b)) == ()


UUIDS = "5cb8f779-ff2b-4a13-8a24-8dc59e2b1b66", "e9cb9163-75ba-436d-98c6-d895eebe4794"


# «» stands for a UUID, ‹› for 16 hex digits, # for a digit: others in each run
OF_A_RUN = (
    ("resource", "service.instance.id", "«»"),
    ("resource", "process.pid", "#"),
    ("resource", "host.name", "#"),
    ("resource", "k8s.pod.name", "shop-#"),
    ("resource", "container.id", "#"),
    ("attributes", "thread.id", "#"),
    ("attributes", "celery.hostname", "gen#@vm"),
    ("attributes", "celery.reply_to", "«»"),
    ("attributes", "messaging.message.id", "«»"),
    ("attributes", "langgraph_checkpoint_ns", "draft:«»"),
    ("attributes", "metadata", '{"checkpoint_ns": "draft:«»"}'),
    ("attributes", "output.value", '{"kwargs": {"content": "yes", "id": "lc_run--«»-0"}}'),
    ("attributes", "llm.invocation_parameters", '{"base_url": "http://127.0.0.1:#/v1/"}'),
    ("attributes", "url.full", "http://localhost:#/a"),
    ("attributes", "messaging.destination", "Team_«»-A"),
    ("attributes", "to", "a_«»/«»"),
    ("attributes", "message", '{"created_at": "#"}'),
    ("attributes", "event_loop.parent_cycle_id", "«»"),
    ("attributes", "gcp.vertex.agent.event_id", "«»"),
    ("attributes", "gcp.vertex.agent.invocation_id", "e-«»"),
    ("attributes", "crew_id", "«»"),
    ("attributes", "graph.node.id", "‹›"),
    ("attributes", "gen_ai.server.time_to_first_token", "67#"),
    ("attributes", "step", "S(start_time=17.#, duration=None)"),
    ("attributes", "exception.stacktrace", "File #"),
    ("attributes", "exception.message", "I(id='‹›‹›')"),
    ("attributes", "output.value", "<T at 0x‹›>"),
)


@pytest.mark.parametrize(("place", "name", "form"), OF_A_RUN)
def test_what_names_a_process_machine_session_or_call_is_no_difference_in_a_span(place, name, form):
    first, second = (
        form.replace("«»", uuid).replace("‹›", uuid[:8] * 2).replace("#", str(n))
        for n, uuid in enumerate(UUIDS)
    )
    assert first != second
    spans = [foreign({"span_id": v, place: {"x": 1, name: v}}) for v in (first, second)]
    assert is_same(*spans)
    assert contrast(*spans) == ()


def test_port_of_a_loopback_address_is_no_difference_and_another_one_is():
    first, second, far, far_too = (
        foreign({"span_id": "1", "attributes": {"server.address": host, "server.port": port}})
        for host, port in (("127.0.0.1", 1), ("127.0.0.1", 2), ("shop", 1), ("shop", 2))
    )
    assert contrast(first, second) == ()
    assert paths(far, far_too) == ["payload.attributes.server.port"]


def test_id_in_the_name_of_a_span_is_no_difference():
    a, b = (
        event_of(line_of({"span_id": "1"}, event_type=f"send Team_{uuid}.({uuid})-A.begun"))
        for uuid in UUIDS
    )
    assert is_same(a, b)
    assert difference([a], [b]).first is None


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"gen_ai.operation.name": "execute_tool"}, "gen_ai.tool.call.arguments"),
        ({"openinference.span.kind": "TOOL"}, "input.value"),
        ({}, "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments"),
        ({}, "gen_ai.output.messages"),
    ],
)
def test_arguments_of_a_tool_differ_by_any_id(attributes, name):
    arguments = [f'{{"session_id":"{uuid}","url":"http://127.0.0.1:1"}}' for uuid in UUIDS]
    if name == "gen_ai.output.messages":
        call = '[{{"parts":[{{"type":"tool_call","id":"1","name":"pay","arguments":{}}}]}}]'
        arguments = [call.format(text) for text in arguments]
    first, second = (
        foreign({"span_id": "1", "attributes": {**attributes, name: text}}) for text in arguments
    )
    assert not is_same(first, second)


def test_id_that_a_program_gives_to_its_own_attribute_is_a_difference():
    first, second = (
        foreign({"span_id": "1", "attributes": {"order": uuid, "text": f"pay {uuid}"}})
        for uuid in UUIDS
    )
    assert paths(first, second) == ["payload.attributes.order", "payload.attributes.text"]


@pytest.mark.parametrize(
    ("a", "b", "place"),
    [
        ({"order_id": 1}, {"order_id": 2}, "order_id"),
        ({"id": 1, "span_id": "a"}, {"id": 2, "span_id": "b"}, "id"),
        ({"type": ["order"], "id": 1, "span_id": "a"}, {"type": ["order"], "id": 2}, "id"),
        ({"recall_id": 1}, {"recall_id": 2}, "recall_id"),
        (
            {"span_id": "1", "messages": '[{"type":"tool_call","id":"a","name":"pay"}]'},
            {"span_id": "2", "messages": '[{"type":"tool_call","id":"b","name":"ship"}]'},
            "messages.0.name",
        ),
        ({"span_id": "1", "text": "[no JSON"}, {"span_id": "2", "text": "[none"}, "text"),
    ],
)
def test_other_ids_and_what_a_tool_was_called_with_are_a_difference(a, b, place):
    assert paths(foreign(a), foreign(b)) == [f"payload.{place}"]
    assert not is_same(foreign(a), foreign(b))


def test_notices_are_counted_and_their_causes_stand_for_them():
    root = sim_line(1, "1.a.-.0", {"n": 0})
    joined = sim_line(
        2, None, {"error_type": "causes_joined", "status": "warning"}, [root.event_id], "SYSTEM"
    )
    effect = sim_line(3, "1.b.-.0", {"n": 1}, [joined.event_id])
    failed = sim_line(4, "1.failed.-.0", {"error_type": "run_failed"}, [effect.event_id], "SYSTEM")
    found = difference([root, joined, effect], [sim_line(1, "1.a.-.0", {"n": 5})])
    assert (found.a.notices, found.b.notices) == (1, 0)
    assert (found.first.a, found.first.follow_a) == (root, 1)
    assert difference([root, joined], [root]).first is None
    assert difference([root, effect, failed], [root, effect]).first.a == failed


def json_of(found: Difference, **limit: int):
    return json.loads(msgspec.json.encode(as_json(found, **limit)))


def stored(events: list[Event]):
    return [json.loads(event.line) for event in events]


def test_json_holds_the_stored_lines_and_no_more_than_its_limit():
    a = log_of([Told("p", n) for n in range(5)])
    b = log_of([Told("p", 0, actor="ada"), Told("q", 1)])
    found = difference(a, b)
    changed = {
        "a": stored(a)[0],
        "b": stored(b)[0],
        "differs": [{"path": "actor", "b": "ada"}],
    }
    whole = {
        "same": 0,
        "changed": 1,
        "only_a": 4,
        "only_b": 1,
        "notices_a": 0,
        "notices_b": 0,
        "roots": 6,
        "first": {
            **changed,
            "follow_a": 0,
            "follow_b": 0,
        },
        "root_events": [
            changed,
            *({"a": event, "b": None, "differs": []} for event in stored(a)[1:]),
            {"a": None, "b": stored(b)[1], "differs": []},
        ],
        "changed_events": [changed],
        "only_a_events": stored(a[1:]),
        "only_b_events": stored(b[1:]),
        "truncated": False,
    }
    assert json_of(found) == json_of(found, limit=6) == whole
    assert json_of(found, limit=2) == {
        **whole,
        "root_events": whole["root_events"][:2],
        "only_a_events": stored(a[1:3]),
        "truncated": True,
    }
    assert json_of(difference([], []))["first"] is None


def foreign(payload, **members):
    line = {"event_id": new_id(), "event_type": "note", "payload": payload, **members}
    return event_of(json.dumps(line).encode())


def paths(a, b):
    return [each.path for each in contrast(a, b)]


@given(payloads, payloads)
def test_two_events_are_the_same_where_nothing_in_them_is_in_contrast(a, b):
    one, two = ((event_of(line_of(payload))) for payload in (a, b))
    is_equal = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert is_same(one, two) == is_equal
    assert bool(contrast(one, two)) == (not is_equal)


@given(payloads)
def test_order_of_keys_and_spaces_are_no_difference(payload):
    ours = event_of(line_of(payload, event_type="note"))
    turned = dict(reversed(payload.items()))
    line = json.dumps({"payload": turned, "event_type": "note", "event_id": "abcdef"}, indent=1)
    theirs = event_of(line.replace("\n", " ").encode())
    if all(not isinstance(value, float) or value == value for value in payload.values()):
        assert is_same(ours, theirs)
        assert paths(ours, theirs) == []


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"n": 1}, {"n": 1.0}, ["payload.n"]),
        ({"n": 1}, {"n": True}, ["payload.n"]),
        ({"n": 0}, {"n": None}, ["payload.n"]),
        ({"n": None}, {}, ["payload.n"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, ["payload.a.b.1", "payload.a.b.2"]),
        ({"a": [1]}, {"a": {"0": 1}}, ["payload.a"]),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, ["payload.a", "payload.b", "payload.c"]),
    ],
)
def test_paths_lead_to_the_deepest_places_that_differ(a, b, expected):
    one, two = foreign(a), foreign(b)
    assert paths(one, two) == expected
    assert paths(two, one) == expected or set(paths(two, one)) == set(expected)
    assert not is_same(one, two)


def test_absent_and_empty_payload_say_the_same():
    absent = event_of(b'{"event_id":"abcdef","event_type":"note"}')
    assert is_same(absent, foreign({}))
    assert paths(absent, foreign({"n": 1})) == ["payload.n"]


def test_members_are_compared_and_names_times_and_unknown_ones_are_not():
    one = foreign({}, actor="ada", stream="monday", timestamp="x", host="here", seq_no=1)
    two = foreign({}, actor="ben", stream="friday", timestamp="y", host="there", seq_no=2)
    assert paths(one, two) == ["actor"]
    assert [(each.a, each.b) for each in contrast(one, two)] == [("ada", "ben")]


def test_members_that_are_not_of_their_type_count_as_absent():
    odd = foreign({"n": 1}, actor=7, turn_number="three", description=["x"])
    assert is_same(odd, foreign({"n": 1}))


def test_payload_with_what_no_number_holds_is_compared_by_its_text():
    lines = [
        b'{"event_id":"aaaaaa","event_type":"note","payload":{"n":%s}}' % n
        for n in (b"1e400", b"1e400", b"2e400", b"1" * 400)
    ]
    one, same, other, long = ((event_of(line)) for line in lines)
    assert is_same(one, same)
    assert paths(one, other) == ["payload.n"]
    assert paths(one, long) == ["payload.n"]


@given(st.lists(json_values, max_size=3), st.lists(json_values, max_size=3))
def test_payload_that_is_no_map_is_compared_whole(a, b):
    is_equal = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert is_same(foreign(a), foreign(b)) == is_equal


def test_integer_of_any_length_is_shown_and_told_as_json():
    one, two = (foreign({"n": 10**n, "list": [10**n]}) for n in (30, 40))
    found = difference([one], [two])
    assert [each.path for each in found.first.differs] == ["payload.n", "payload.list.0"]
    assert json_of(found)["first"]["differs"][0]["path"] == "payload.n"
