"""What an event says is the same whatever ids, times, numbers and spacing it stands with."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import (
    NODE,
    drafted,
    event_of,
    json_values,
    line_of,
    new_id,
    payloads,
    stamped,
)

from thence.core.diff import as_json, contrast, difference, is_same, side


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
        ({"a": {}}, {}, ["payload.a"]),
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


sim_members = st.fixed_dictionaries(
    {"simulation_id": st.sampled_from(["one", "another"]), "turn_number": st.integers(0, 1)},
    optional={
        "agent_id": st.sampled_from(["ada", "ben"]),
        "description": st.sampled_from(["it went on", ',"turn_number":0', '\\",\\"crc'])
        | st.none(),
        "begins": st.booleans(),
        "details": st.dictionaries(
            st.sampled_from(["latency_ms", "cost", "turn_number", "n"]), st.integers(0, 1)
        ),
    },
)


@given(sim_members, sim_members, st.integers(1, 2), st.integers(1, 2))
def test_lines_of_simulations_are_the_same_where_all_that_is_compared_is(a, b, seq_a, seq_b):
    one, two = (
        event_of(stamped(drafted(new_id(), "STATE", given), seq, seq, NODE))
        for given, seq in ((a, seq_a), (b, seq_b))
    )

    def compared(members):
        details = members.get("details", {})
        told = {name: details[name] for name in details if name in ("turn_number", "n")}
        whole = {"begins": False, "description": None} | members | {"details": told}
        return {name: value for name, value in whole.items() if name != "simulation_id"}

    assert is_same(one, two) == (compared(a) == compared(b))
    assert is_same(one, two) == (contrast(one, two) == ())


def test_integer_of_any_length_is_shown_and_told_as_json():
    one, two = (foreign({"n": 10**n, "list": [10**n]}) for n in (30, 40))
    found = difference(side([one]), side([two]))
    assert [each.path for each in found.first.differs] == ["payload.n", "payload.list.0"]
    told = json.loads(msgspec.json.encode(as_json(found)))
    assert told["first"]["differs"][0]["path"] == "payload.n"
