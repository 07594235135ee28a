"""An event's line: encoded, decoded, no changed byte unseen; whole events beside damage."""

import json
from types import MappingProxyType

import msgspec
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
    sealed,
    stamped,
    texts,
    ulids,
)

from thence.core import codec
from thence.core.clock import CLOCK_MAX
from thence.core.codec import BadLine, draft, parse, parsed, pieces, unnumbered
from thence.core.event import LINE_DEPTH_MAX, Event, EventFields
from thence.core.ids import LENGTH
from thence.core.redaction import digests
from thence.core.vocabulary import PLAIN, SIM
from thence.errors import EventTooLarge, InvalidEvent

HEAD = (
    b'{"event_id":"01J00000000000000000000000","event_type":"x","event_version":1,'
    b'"timestamp":"2026-11-20T07:13:00.123456Z","node_id":"0123456789ab"'
)


@given(
    payload=payloads,
    event_type=texts.filter(bool),
    causes=st.lists(ulids | texts.filter(bool), max_size=32, unique=True),
    seq=st.integers(1, CLOCK_MAX),
    clock=st.integers(1, CLOCK_MAX),
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


CHANGED = "the bytes don't match the line's checksum"
NO_JSON = "the line is not JSON: it was cut, changed, or not written by a log"
NAMELESS = "the line is JSON without an event_id"
LONG = "the line is longer than 1048576 bytes"
UNFIT = "the checksum fits, seq or lamport_clock doesn't"


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (b'{"event_id":"x","seq":1}', "bad_line", CHANGED),
        (b'{"event_id":"x","crc":"00000000"}', "bad_line", CHANGED),
        (b'{"event_id":"x","seq":1,"pay', "bad_line", NO_JSON),
        (b'{"event_id":7}', "bad_line", NAMELESS),
        (b"[1,2]", "bad_line", ""),
        (b"x", "bad_line", NO_JSON),
        (b'{"event_id":"x","a":"\xff"}', "bad_line", ""),
        (b'{"event_id":"x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad_line", ""),
        (b"x" * codec.LINE_BYTES_MAX, "bad_line", LONG),
        (sealed(b'{"event_id":"x"'), "bad_line", ""),
        (sealed(HEAD + b',"seq":0,"lamport_clock":1'), "bad_line", UNFIT),
        (sealed(HEAD + b',"seq":1,"lamport_clock":0'), "bad_line", UNFIT),
        (sealed(HEAD + b',"seq":1,"lamport_clock":9007199254740992'), "bad_line", UNFIT),
        (sealed(HEAD + b',"seq":1,"lamport_clock":1,"payload":{'), "bad_line", ""),
        (sealed(HEAD + b',"seq":1,"lamport_clock":1,"payload":{"\xed\xa0\x80":1}'), "bad_line", ""),
        (sealed(HEAD + b',"seq":1,"lamport_clock":1,"p":' + b"[" * 99_999), "bad_line", ""),
    ],
)
def test_bad_line_is_told_by_its_code_and_a_reason(line, code, reason):
    bad = parse(line, PLAIN)
    assert isinstance(bad, BadLine)
    assert bad.code == code
    assert bad.reason == (reason or bad.reason) != ""


def test_members_of_a_wrong_type_are_told_where_the_checksum_fits():
    bad = parse(sealed(HEAD + b',"seq":"1","lamport_clock":1'), PLAIN)
    assert isinstance(bad, BadLine)
    assert bad.code == "bad_line"
    assert bad.reason.startswith("the checksum fits, the members don't: ")
    assert "seq" in bad.reason


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
    assert not read.keys() & {"agent_id", "repairs", "caused_by", "begins", "ends"}
    assert read["turn_number"] == 0
    payload = {"kept": [], "also": {}, "and": None}
    assert json.loads(line_of(payload))["payload"] == payload


@pytest.mark.parametrize(
    ("event_id", "timestamp", "causes"),
    [
        ('01J"', WHEN, ()),
        ("", WHEN, ()),
        ("0" * 25 + "\n", WHEN, ()),
        ("x" * 129, WHEN, ()),
        ("é" * 26, WHEN, ()),
        (7, WHEN, ()),
        (None, WHEN, ()),
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


FOREIGN = b'{"event_id":"theirs","note":1}'
NUMBERED = HEAD + b',"seq":1,"lamport_clock":1'


def nested(levels):
    """Make a line with a fitting checksum in which lists lie within lists, the event a level."""
    return sealed(NUMBERED + b',"payload":{"a":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}")


def headers(lines):
    """Read many lines at once; return their headers, or None where each is to be read alone."""
    events = parsed(b"\n".join(lines), lines, PLAIN)
    return None if events is None else [event.header for event in events]


@given(st.lists(payloads, min_size=1, max_size=5))
def test_many_lines_are_read_as_each_alone(several):
    lines = [line_of(payload, seq=n, lamport_clock=n)[:-1] for n, payload in enumerate(several, 1)]
    events = [parse(line, PLAIN) for line in lines]
    assert parsed(b"\n".join(lines), lines, PLAIN) == events
    assert headers(lines) == [event.header for event in events]
    assert codec.have_valid_crcs(lines)


@pytest.mark.parametrize(
    "bad",
    [
        FOREIGN,
        sealed(HEAD + b',"seq":0,"lamport_clock":1'),
        sealed(HEAD + b',"seq":1,"lamport_clock":0'),
        sealed(HEAD + b',"seq":1,"lamport_clock":%d' % (CLOCK_MAX + 1)),
        sealed(NUMBERED + b',"turn_number":"x"'),
        sealed(NUMBERED + b',"payload":{"a":"\xff"}'),
        sealed(NUMBERED + b',"payload":{'),
        sealed(NUMBERED + b',"caused_by":[1]'),
        b"[" * 5_000,
        nested(LINE_DEPTH_MAX + 1),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_many_lines_are_left_to_be_read_one_by_one_if_one_needs_it(bad, place):
    lines = [line_of()[:-1], bad] if place else [bad, line_of()[:-1]]
    found = parsed(b"\n".join(lines), lines, PLAIN)
    foreign = bad == FOREIGN
    assert (found is None) or (foreign and found == [])


@pytest.mark.parametrize("clock", [1, CLOCK_MAX])
def test_first_and_last_clock_are_read(clock):
    line = stamped(drafted(new_id(), "t", {}), 1, clock)[:-1]
    (alone,) = parsed(line, [line], PLAIN) or []
    assert alone == parse(line, PLAIN)
    assert alone.lamport_clock == clock


def test_line_may_be_nested_as_deep_as_told_and_no_deeper():
    assert isinstance(parse(nested(LINE_DEPTH_MAX), PLAIN), Event)
    too_deep = "it is nested deeper than 200 levels"
    assert parse(nested(LINE_DEPTH_MAX + 1), PLAIN) == BadLine("bad_line", too_deep)
    flat = sealed(NUMBERED + b',"payload":{"a":[' + b",".join([b"[]"] * 500) + b"]}")
    assert headers([flat]) == [parse(flat, PLAIN).header]
    foreign = b'{"event_id":"x","a":' + b"[" * 200 + b"]" * 200 + b"}"
    assert parse(foreign, PLAIN) == BadLine("bad_line", too_deep)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (FOREIGN, b"theirs"),
        (b'{"note":1,"event_id":"late"}', b"late"),
        (b'{"event_id":"\\u0061\\u0062"}', b"ab"),
        (b'{"event_id":"","note":"x"}', b""),
        (b'{"note":1}', b'{"note":1}'),
        (b'{"note":"\xff"', b'{"note":"\xff"'),
        (b"no json", b"no json"),
    ],
)
def test_id_of_a_line_is_read_wherever_it_stands(line, expected):
    assert codec.event_id_of(line) == expected


def test_what_a_log_wrote_is_known_by_what_is_left_of_it():
    line = line_of({"a": 1})[:-1]
    for left in (line, line[:-30], line[30:], b"x" + line, line[:20] + b"\0" * 9):
        assert codec.is_ours(left), left
    for other in (FOREIGN, b"", b"garbage", line[30:-30], b',"crc":"', b'x"}', line[30:-1]):
        assert not codec.is_ours(other), other


def test_draft_reads_as_the_event_that_it_will_be_without_numbers():
    made = drafted(new_id(), "t", {"agent_id": "ada", "details": {"a": 1}}, ["c"])
    event = unnumbered(made, SIM)
    assert (event.event_id, event.event_type, event.caused_by) == (made.event_id, "t", ("c",))
    assert (event.actor, event.payload, event.seq) == ("ada", {"a": 1}, 0)


def test_line_of_another_tool_may_be_a_byte_short_of_the_limit():
    start = b'{"event_id":"x","a":"'
    line = start + b"x" * (codec.LINE_BYTES_MAX - len(start) - 3) + b'"}'
    assert isinstance(parse(line, PLAIN), Event)
    longer = line[:-2] + b'x"}'
    found = parse(longer, PLAIN)
    assert isinstance(found, BadLine)
    assert found.code == "bad_line"


def test_host_member_of_a_wrong_type_counts_as_absent_and_the_event_is_kept():
    line = sealed(NUMBERED + b',"turn_number":"x","actor":"ada","caused_by":["c"]')
    event = parse(line, PLAIN)
    assert isinstance(event, Event)
    assert (event.turn_number, event.actor, event.caused_by) == (None, "ada", ("c",))
    assert (event.seq, event.lamport_clock, event.node_id) == (1, 1, NODE_OF_HEAD)
    assert event.timestamp == "2026-11-20T07:13:00.123456Z"


NODE_OF_HEAD = json.loads(HEAD + b"}")["node_id"]


def test_foreign_members_of_a_fitting_type_are_kept():
    members = {"event_id": "x", "timestamp": "t", "actor": 7, "stream": "s", "caused_by": ["c"]}
    members["description"] = "d"
    event = parse(json.dumps(members).encode(), PLAIN)
    assert isinstance(event, Event)
    assert (event.event_type, event.timestamp, event.stream) == ("unknown", "t", "s")
    assert (event.actor, event.caused_by, event.description) == (None, ("c",), "d")
    typed = parse(b'{"event_id":"x","event_type":"t","node_id":"n","lamport_clock":9}', PLAIN)
    assert isinstance(typed, Event)
    assert (typed.event_type, typed.node_id, typed.lamport_clock) == ("t", "n", 9)


def refusal(kind, **members):
    """Draft an event that can't be; return what is told and what to do."""
    fields = {"event_id": "0" * 26, "event_type": "t", "event_version": 1, "timestamp": WHEN}
    with pytest.raises(kind) as caught:
        draft(EventFields(**(fields | members)))
    return str(caught.value), caught.value.hint


SPOILT = "is not in the form of the line"


def test_refusal_of_a_draft_says_what_was_refused_and_what_to_do():
    leave = "leave it out: it is filled in"
    field = "could not encode the event field"
    assert refusal(InvalidEvent, event_id="a b") == (f"{field} event_id: 'a b' {SPOILT}", leave)
    assert refusal(InvalidEvent, timestamp="x") == (f"{field} timestamp: 'x' {SPOILT}", leave)
    long = refusal(InvalidEvent, event_id="é" * 200)
    assert long == (f"{field} event_id: {repr('é' * 200)[:80]} {SPOILT}", leave)
    told, hint = refusal(InvalidEvent, payload={"a": object()})
    expected = f"could not encode the event {'0' * 26}: JSON has no form for the type object"
    assert told == expected
    assert hint == "pass text, finite numbers, booleans, None, lists and maps"


def test_refusal_of_a_long_event_says_how_long_it_is_and_where_to_put_it():
    told, hint = refusal(EventTooLarge, payload={"a": "x" * codec.LINE_BYTES_MAX})
    size = codec.LINE_BYTES_MAX + len(json.dumps({"a": ""}, separators=(",", ":")))
    assert told.startswith(f"could not store the event {'0' * 26}: its 10")
    assert told.endswith(f"bytes pass the limit of {codec.LINE_BYTES_MAX} for a line")
    assert int(told.split("its ")[1].split()[0]) > size
    assert hint == "store the bulk in a file and its path in the event"


def test_bytes_that_are_no_text_spoil_a_line_wherever_they_stand():
    for member in (b',"payload":{"a":"\xff"}', b',"actor":"\xff"'):
        assert isinstance(parse(sealed(NUMBERED + member), PLAIN), BadLine)


A, B, C = (line_of({"n": n, "text": "é ü"}, seq=n, lamport_clock=n)[:-1] for n in (1, 2, 3))
# what looks like its end stands inside of it
CLOSED = line_of({"n": 1, "crc": "00000000"})[:-1]
MARK = b"\xef\xbb\xbf"


def parts_of(line):
    """Return the events' bytes and the codes of what stands between, in order."""
    parts = pieces(line, PLAIN)
    assert b"".join(part.data for part in parts) == line
    for part in parts:
        assert line[part.offset : part.offset + len(part.data)] == part.data
    return [part.data if isinstance(part.content, Event) else part.content.code for part in parts]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (A, [A]),
        (FOREIGN, [FOREIGN]),
        (A + b"\r", [A, "stray_bytes"]),
        (MARK + A, ["stray_bytes", A]),
        (b"\0" * 9 + A, ["stray_bytes", A]),
        (A + b"\0" * 9, [A, "stray_bytes"]),
        (b"  " + A + b" \r", ["stray_bytes", A, "stray_bytes"]),
        (A + B, [A, "stray_bytes", B]),
        (A + b"X" + B, [A, "stray_bytes", B]),
        (A + b"\r" + B + b"\r", [A, "stray_bytes", B, "stray_bytes"]),
        (A + b"\0\0\0" + B, [A, "stray_bytes", B]),
        (A + B + C, [A, "stray_bytes", B, "stray_bytes", C]),
        (A + FOREIGN, [A, FOREIGN]),
        (FOREIGN + A, [FOREIGN, "stray_bytes", A]),
        (A + B[:-9], [A, "bad_line"]),
        (A + b"garbage", [A, "bad_line"]),
        (A + B + b"garbage", [A, "stray_bytes", B, "bad_line"]),
        (CLOSED + b"garbage", [CLOSED, "bad_line"]),
        (MARK + CLOSED + b"garbage", ["stray_bytes", CLOSED, "bad_line"]),
        (b"X" + A, ["stray_bytes", A]),
        (A + b"XX" + B, [A, "bad_line"]),
    ],
    ids=range(21),
)
def test_events_are_found_beside_what_an_editor_or_a_crash_put_there(line, expected):
    assert parts_of(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        MARK,
        A[:50],
        A[:50] + B,
        b"garbage" + A,
        A[1:],
        MARK + FOREIGN,
    ],
)
def test_line_that_begins_with_no_event_is_bad_as_a_whole(line):
    (part,) = pieces(line, PLAIN)
    assert (part.offset, part.data) == (0, line)
    assert isinstance(part.content, BadLine)


@given(payloads, st.integers(0, 400))
def test_event_inside_of_a_cut_event_is_never_served(payload, place):
    inner = line_of(payload, seq=7)[:-1]
    outer = line_of({"was": msgspec.json.decode(inner), "crc": "00000000"}, seq=8)[:-1]
    cut = outer[: outer.index(b"}", outer.index(b',"crc"')) + 1]
    assert cut.endswith(inner)
    if not cut.startswith(inner, place):
        assert inner not in parts_of(cut[place:])
    for line in (cut, outer[:-1] + b"x", cut + A):
        assert inner not in parts_of(line)


def test_checksum_of_a_part_is_no_event():
    start = b'{"event_id":"x","event_type":"t","seq":1,"lamport_clock":1,"payload":{"a":1'
    line = sealed(start) + b"}"
    (part,) = pieces(line, PLAIN)
    assert isinstance(part.content, BadLine)


@pytest.mark.parametrize("before", [b":", b",", b"["])
def test_event_behind_what_stands_before_a_part_is_taken_for_a_part(before):
    assert parts_of(A + before + B)[0] == A
    assert B not in parts_of(A + before + B)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda line: line,
        lambda line: line + b"\r",
        lambda line: A + line,
        lambda line: line + A,
        lambda line: b"\0" + line + B,
    ],
)
def test_event_found_is_read_by_the_words_of_its_host(wrap):
    made = drafted("0" * 26, "STATE", {"agent_id": "ada", "details": {"n": 1}})
    line = stamped(made, 1, 1)[:-1]
    read = [p.content for p in pieces(wrap(line), SIM) if p.data.strip(b"\r") == line]
    assert [event.actor for event in read if isinstance(event, Event)] == ["ada"]
    assert [dict(event.payload) for event in read if isinstance(event, Event)] == [{"n": 1}]


def test_event_that_holds_what_looks_like_a_checksum_is_found_whole():
    held = line_of({"was": [{"n": n, "crc": f"0000000{n}"} for n in range(3)]}, seq=4)[:-1]
    assert parts_of(held + A) == [held, "stray_bytes", A]
    assert parts_of(A + held + B) == [A, "stray_bytes", held, "stray_bytes", B]
