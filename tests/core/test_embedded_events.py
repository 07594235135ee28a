"""Events found beside damage: whole ones only, byte for byte, and none inside of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import drafted, line_of, payloads, stamped

from thence.core.event import Event
from thence.core.values.codec import BadLine, pieces
from thence.core.values.vocabulary import PLAIN, SIM

A, B, C = (line_of({"n": n, "text": "é ü"}, seq=n, lamport_clock=n)[:-1] for n in (1, 2, 3))
# what looks like its end stands inside of it
CLOSED = line_of({"n": 1, "crc": "00000000"})[:-1]
FOREIGN = b'{"event_id":"theirs","note":1}'
MARK = b"\xef\xbb\xbf"


def found(line):
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
        (A + b"\r", [A, "line_ending"]),
        (MARK + A, ["byte_order_mark", A]),
        (MARK + FOREIGN, ["byte_order_mark", FOREIGN]),
        (b"\0" * 9 + A, ["stray_bytes", A]),
        (A + b"\0" * 9, [A, "stray_bytes"]),
        (b"  " + A + b" \r", ["stray_bytes", A, "stray_bytes"]),
        (A + B, [A, "lines_joined", B]),
        (A + b"X" + B, [A, "lines_joined", B]),
        (A + b"\r" + B + b"\r", [A, "lines_joined", B, "line_ending"]),
        (A + b"\0\0\0" + B, [A, "lines_joined", B]),
        (A + B + C, [A, "lines_joined", B, "lines_joined", C]),
        (A + FOREIGN, [A, "lines_joined", FOREIGN]),
        (FOREIGN + A, [FOREIGN, "lines_joined", A]),
        (A + B[:-9], [A, "bad_checksum"]),
        (A + b"garbage", [A, "not_json"]),
        (A + B + b"garbage", [A, "lines_joined", B, "not_json"]),
        (CLOSED + b"garbage", [CLOSED, "not_json"]),
        (MARK + CLOSED + b"garbage", ["byte_order_mark", CLOSED, "not_json"]),
        (b"X" + A, ["stray_bytes", A]),
        (A + b"XX" + B, [A, "bad_checksum"]),
    ],
    ids=range(22),
)
def test_events_are_found_beside_what_an_editor_or_a_crash_put_there(line, expected):
    assert found(line) == expected


@pytest.mark.parametrize(
    "line", [b"", b"\0" * 99, MARK, A[:50], A[:50] + B, b"garbage" + A, A[1:], b"{}" + A, b"\r"]
)
def test_line_that_begins_with_no_event_is_bad_as_a_whole(line):
    (part,) = pieces(line, PLAIN)
    assert (part.offset, part.data) == (0, line)
    assert isinstance(part.content, BadLine)


@given(payloads, st.integers(0, 400))
def test_event_inside_of_a_cut_event_is_never_served(payload, place):
    import msgspec

    inner = line_of(payload, seq=7)[:-1]
    outer = line_of({"was": msgspec.json.decode(inner), "crc": "00000000"}, seq=8)[:-1]
    cut = outer[: outer.index(b"}", outer.index(b',"crc"')) + 1]
    assert cut.endswith(inner)
    if not cut.startswith(inner, place):
        assert inner not in found(cut[place:])
    for line in (cut, outer[:-1] + b"x", cut + A):
        assert inner not in found(line)


def test_checksum_of_a_part_is_no_event():
    from zlib import crc32

    start = b'{"event_id":"x","event_type":"t","seq":1,"lamport_clock":1,"payload":{"a":1'
    line = start + b',"crc":"%08x"}' % crc32(start) + b"}"
    (part,) = pieces(line, PLAIN)
    assert isinstance(part.content, BadLine)


def test_many_joined_events_are_all_found_in_reasonable_time():
    lines = [line_of({"n": n})[:-1] for n in range(3000)]
    assert [part.data for part in pieces(b"".join(lines), PLAIN)][::2] == lines


def test_reason_for_each_part_is_told():
    def reasons(line):
        return [p.content.reason for p in pieces(line, PLAIN) if isinstance(p.content, BadLine)]

    assert reasons(A + B) == ["the newline between two events is gone; both are whole"]
    assert reasons(A + b"\r") == ["a carriage return stands before the line's newline"]
    assert reasons(MARK + A) == ["a byte order mark stands before the event"]
    assert reasons(b"\0" + A) == ["bytes of no event stand beside one that is whole"]


@pytest.mark.parametrize("before", [b":", b",", b"["])
def test_event_behind_what_stands_before_a_part_is_taken_for_a_part(before):
    assert found(A + before + B)[0] == A
    assert B not in found(A + before + B)


def test_events_of_other_tools_that_lack_their_newlines_are_served():
    assert found(FOREIGN + FOREIGN + A) == [FOREIGN, "lines_joined", FOREIGN, "lines_joined", A]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda line: line,
        lambda line: line + b"\r",
        lambda line: MARK + line,
        lambda line: A + line,
        lambda line: A + b"X" + line,
        lambda line: line + A,
        lambda line: b"\0" + line + B,
    ],
)
@pytest.mark.parametrize("is_ours", [True, False])
def test_event_found_is_read_by_the_words_of_its_host(wrap, is_ours):
    made = drafted("0" * 26, "STATE", {"agent_id": "ada", "details": {"n": 1}})
    theirs = b'{"event_id":"theirs","agent_id":"ada","details":{"n":1}}'
    line = stamped(made, 1, 1)[:-1] if is_ours else theirs
    read = [p.content for p in pieces(wrap(line), SIM) if p.data.strip(b"\r") == line]
    assert [event.actor for event in read if isinstance(event, Event)] == ["ada"]
    assert [dict(event.payload) for event in read if isinstance(event, Event)] == [{"n": 1}]


def test_event_that_holds_what_looks_like_a_checksum_is_found_whole():
    held = line_of({"was": [{"n": n, "crc": f"0000000{n}"} for n in range(3)]}, seq=4)[:-1]
    assert found(held + A) == [held, "lines_joined", A]
    assert found(A + held + B) == [A, "lines_joined", held, "lines_joined", B]


def test_zeros_behind_an_event_of_another_tool_are_no_part_of_it():
    assert found(FOREIGN + b"\0\0") == [FOREIGN, "stray_bytes"]
    assert found(A + FOREIGN + b"\0 \r") == [A, "lines_joined", FOREIGN, "stray_bytes"]
