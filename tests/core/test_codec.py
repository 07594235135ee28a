"""An event's line: what is encoded is what is decoded, and no changed byte goes unseen."""

import json
from types import MappingProxyType
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import (
    NODE,
    WHEN,
    drafted,
    json_values,
    line_of,
    new_id,
    payloads,
    stamped,
    texts,
    ulids,
)

from thence.core.event import Event
from thence.core.ids import LENGTH
from thence.core.values import codec
from thence.core.values.codec import BadLine, parse
from thence.core.values.digests import digests
from thence.core.values.vocabulary import PLAIN, SIM
from thence.errors import EventTooLarge, InvalidEvent

HEAD = (
    b'{"event_id":"01J00000000000000000000000","event_type":"x","event_version":1,'
    b'"timestamp":"2026-11-20T07:13:00.123456Z","node_id":"0123456789ab"'
)


def sealed(body: bytes) -> bytes:
    """Close a line with its checksum, whatever it holds."""
    return b'%b,"crc":"%08x"}' % (body, crc32(body))


@given(
    payload=payloads,
    event_type=texts.filter(bool),
    causes=st.lists(ulids | texts.filter(bool), max_size=32, unique=True),
    seq=st.integers(1, 2**53),
    clock=st.integers(1, 2**53 - 1),
)
def test_any_event_comes_back_as_it_was_encoded(payload, event_type, causes, seq, clock):
    event_id = new_id()
    members = {"stream": "s", "subject": "a/b", "payload": payload}
    line = stamped(drafted(event_id, event_type, members, causes), seq, clock)
    assert line.endswith(b'"}\n')
    assert line.count(b"\n") == 1
    assert codec.has_valid_crc(line[:-1])
    event = parse(line[:-1], PLAIN)
    assert isinstance(event, Event)
    assert (event.event_id, event.event_type, event.timestamp) == (event_id, event_type, WHEN)
    assert (event.node_id, event.seq, event.lamport_clock) == (NODE, seq, clock)
    assert event.caused_by == tuple(causes)
    assert (event.stream, event.subject, event.actor) == ("s", "a/b", None)
    assert event.payload == payload
    assert list(event.payload) == list(payload)
    # and any other reader of JSON sees the same
    read = json.loads(line)
    assert read.get("payload", {}) == payload
    assert read.get("caused_by", []) == causes


@given(payload=payloads, causes=st.lists(ulids, max_size=3))
def test_numbers_id_and_essence_are_read_off_the_bytes(payload, causes):
    event_id = new_id()
    made = drafted(event_id, 'a"\\b', {"payload": payload}, causes)
    first, second = stamped(made, 1, 2), stamped(made, 77, 888)
    assert codec.numbers(second) == (NODE, 77, 888)
    assert codec.is_framed(first[:-1])
    assert first[13:39] == event_id.encode()
    assert digests(first[:-1]).content == digests(second[:-1]).content
    assert digests(first[:-1]).content != digests(line_of(payload)[:-1]).content


@pytest.mark.promise("W12")
@given(payload=payloads, data=st.data())
def test_one_changed_byte_is_always_noticed(payload, data):
    line = line_of(payload)[:-1]
    position = data.draw(st.integers(0, len(line) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(line)
    changed[position] ^= change
    assert isinstance(parse(bytes(changed), PLAIN), BadLine)


@given(payload=payloads, data=st.data())
def test_part_of_a_line_is_never_an_event(payload, data):
    line = line_of(payload)[:-1]
    cut = data.draw(st.integers(0, len(line) - 1))
    assert isinstance(parse(line[:cut], PLAIN), BadLine)
    assert isinstance(parse(line[cut + 1 :], PLAIN), BadLine)


@given(st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()))
def test_reading_any_bytes_raises_nothing(data):
    found = parse(data, PLAIN)
    assert isinstance(found, (Event, BadLine))
    assert isinstance(parse(sealed(data), SIM), (Event, BadLine))


@given(json_values)
def test_foreign_line_is_read_whatever_its_members_are(value):
    members = dict.fromkeys(("event_type", "timestamp", "caused_by", "turn_number", "ends"), value)
    event = parse(json.dumps({"event_id": "x", **members}).encode(), PLAIN)
    assert isinstance(event, Event)
    assert event.is_foreign
    assert (event.seq, event.lamport_clock, event.node_id) == (0, 0, "")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"event_id":"x","seq":1}', "bad_checksum"),
        (b'{"event_id":"x","crc":"00000000"}', "bad_checksum"),
        (b'{"event_id":"x","seq":1,"pay', "bad_checksum"),
        (b'{"event_id":7}', "not_an_event"),
        (b'{"message":"hello"}', "not_an_event"),
        (b"[1,2]", "not_an_event"),
        (b"\x00" * 4096, "not_json"),
        (b'{"event_id":"x","a":"\xff"}', "not_json"),
        (b'{"event_id":"x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
        (sealed(b'{"event_id":"x"'), "not_an_event"),
        (sealed(b'{"event_id":"x","event_type":"t"'), "not_an_event"),
        (sealed(HEAD + b',"seq":0,"lamport_clock":1'), "not_an_event"),
        (sealed(HEAD + b',"seq":1,"lamport_clock":0'), "not_an_event"),
        (sealed(HEAD + b',"seq":1,"lamport_clock":9007199254740992'), "not_an_event"),
        (sealed(HEAD + b',"seq":"1","lamport_clock":1'), "not_an_event"),
        (sealed(HEAD + b',"seq":1,"lamport_clock":1,"payload":{'), "not_an_event"),
        (sealed(HEAD + b',"seq":1,"lamport_clock":1,"p":' + b"[" * 99_999), "not_an_event"),
    ],
)
def test_bad_line_is_told_by_its_code(line, code):
    found = parse(line, PLAIN)
    assert isinstance(found, BadLine)
    assert found.code == code


def test_members_stand_in_the_order_of_the_format():
    members = {"stream": "n", "subject": "o/1", "actor": "w", "payload": {"z": 1, "a": 2}}
    line = stamped(drafted(new_id(), "t", members, [new_id()]), 3, 4)
    assert " ".join(json.loads(line)) == (
        "event_id event_type event_version timestamp node_id seq lamport_clock caused_by "
        "stream subject actor payload crc"
    )


def test_absent_members_are_left_out_and_zero_is_kept():
    members = {"agent_id": None, "repairs": (), "turn_number": 0, "begins": False}
    read = json.loads(stamped(drafted(new_id(), "t", members), 1, 1))
    assert not read.keys() & {"agent_id", "repairs", "caused_by", "begins"}
    assert read["turn_number"] == 0


@pytest.mark.parametrize("cause", ['a"b', 'x","seq":5,"y":"', "\n", "\\", "é"])
def test_cause_can_not_break_out_of_its_quotes(cause):
    event = parse(line_of(causes=[cause])[:-1], PLAIN)
    assert isinstance(event, Event)
    assert event.caused_by == (cause,)


@pytest.mark.parametrize(
    ("event_id", "timestamp", "causes"),
    [
        ('01J"', WHEN, ()),
        ("", WHEN, ()),
        ("a b", WHEN, ()),
        ("0" * 25 + "\n", WHEN, ()),
        ("0" * LENGTH, "2026-11-20", ()),
        ("0" * LENGTH, WHEN + '"', ()),
        ("0" * LENGTH, WHEN, ("\ud800",)),
    ],
)
def test_what_would_spoil_the_line_is_refused(event_id, timestamp, causes):
    with pytest.raises(InvalidEvent):
        drafted(event_id, "t", {}, causes, timestamp)


def test_kinds_of_text_numbers_and_maps_are_stored_as_what_they_are():
    class Text(str):
        __slots__ = ()

    class Ratio(float):
        pass

    payload = {"t": Text("é"), "r": Ratio(0.5), "m": MappingProxyType({"a": MappingProxyType({})})}
    event = parse(line_of(payload)[:-1], PLAIN)
    assert event.payload == {"t": "é", "r": 0.5, "m": {"a": {}}}


@pytest.mark.parametrize("value", [object(), "\ud800", {None: 1, (): 2}])
def test_what_the_encoder_can_not_write_is_refused(value):
    with pytest.raises(InvalidEvent, match="could not encode"):
        drafted(new_id(), "t", {"payload": {"a": value}})


def test_line_over_one_mebibyte_is_refused_and_the_longest_one_fits():
    def of_length(length):
        return drafted(new_id(), "t", {"payload": {"a": "x" * length}})

    with pytest.raises(EventTooLarge, match="1048576"):
        of_length(codec.LINE_BYTES_MAX)
    longest = codec.LINE_BYTES_MAX - len(stamped(of_length(0), 10**15, 10**15))
    line = stamped(of_length(longest), 10**15, 2**53 - 1)
    assert len(line) == codec.LINE_BYTES_MAX
    with pytest.raises(EventTooLarge):
        of_length(longest + 1)


def test_no_member_stands_empty_in_a_line():
    line = line_of({"kept": [], "also": {}, "and": None})
    assert json.loads(line)["payload"] == {"kept": [], "also": {}, "and": None}
    assert not json.loads(line).keys() & {"caused_by", "repairs", "begins", "ends"}
