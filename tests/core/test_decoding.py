"""Lines are decoded at once where each of them is an event of ours, else left to the parser."""

import json
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import causal_graphs, line_of, payloads

from thence.core.clock import CLOCK_MAX
from thence.core.event import LINE_DEPTH_MAX, Event, decode_header
from thence.core.values.codec import parse, taken
from thence.core.values.vocabulary import PLAIN


def headers(lines):
    return taken(b"\n".join(lines), lines, decode_header)


def sealed(members):
    line = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    return b'%b,"crc":"%08x"}' % (line, crc32(line))


def numbered(seq=1, clock=1, **members):
    line = {"event_id": "a", "event_type": "t", "node_id": "n", "seq": seq}
    return sealed({**line, "lamport_clock": clock, **members})


def nested(levels, bracket):
    value = 1
    for _ in range(levels):
        value = [value] if bracket == "[" else {"a": value}
    return value


@given(causal_graphs().filter(bool))
def test_what_is_decoded_is_what_the_parser_reads(events):
    assert headers([event.line for event in events]) == [event.header for event in events]


@given(st.lists(payloads, min_size=1, max_size=3))
def test_payloads_of_any_text_are_no_hindrance(found):
    lines = [line_of(payload)[:-1] for payload in found]
    assert headers(lines) == [parse(line, PLAIN).header for line in lines]


@pytest.mark.parametrize("bracket", ["[", "{"])
@pytest.mark.parametrize("levels", [LINE_DEPTH_MAX - 2, LINE_DEPTH_MAX - 1, LINE_DEPTH_MAX])
def test_depth_of_a_line_has_the_limit_of_the_parser(bracket, levels):
    lines = [numbered(), numbered(payload=nested(levels, bracket))]
    is_event = isinstance(parse(lines[1], PLAIN), Event)
    assert (headers(lines) is not None) == is_event == (levels < LINE_DEPTH_MAX - 1)


def test_line_of_many_brackets_side_by_side_is_not_deep():
    lines = [numbered(payload={"a": [[]] * 2 * LINE_DEPTH_MAX})]
    assert headers(lines) == [parse(lines[0], PLAIN).header]


@pytest.mark.parametrize(
    "line",
    [
        numbered(seq=0),
        numbered(clock=0),
        numbered(clock=CLOCK_MAX + 1),
        numbered(caused_by=[1]),
        numbered(payload="é").replace("é".encode(), b"\xff"),
        b"[" * 5_000,
    ],
)
def test_line_that_is_no_event_has_all_left_to_the_parser(line):
    assert headers([numbered(), line]) is None
    assert headers([numbered(clock=CLOCK_MAX)]) is not None
