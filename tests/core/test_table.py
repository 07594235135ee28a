"""An event as a row: what it holds, and what another tool's line may."""

import json
from pathlib import Path

from hypothesis import given
from tests.events import NODE, event_of, line_of, payloads

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.sentences.table import COLUMNS, INTEGER_MAX, row_of
from thence.core.vocabulary import PLAIN

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tables.md"


def foreign(line: bytes) -> Event:
    event = parse(line, PLAIN)
    assert isinstance(event, Event)
    return event


def test_columns_are_those_of_the_page_in_their_order():
    page = PAGE.read_text("utf-8").partition("## Tables of a run")[0]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert tuple(line.split("`")[1] for line in rows) == COLUMNS


@given(payload=payloads)
def test_row_holds_what_the_event_says(payload):
    event = event_of(line_of(payload, event_id="A" * 26, seq=7, lamport_clock=9, causes=["B" * 26]))
    row = row_of(event)
    assert row[:6] == ("A" * 26, "noted", event.timestamp, NODE, 7, 9)
    assert row.caused_by == ("B" * 26,)
    assert row.verified
    assert json.loads(row.payload) == payload
    assert row.payload == "{}" or row.payload.encode() in event.line


def test_line_of_another_tool_fits_a_table_whatever_it_holds():
    row = row_of(foreign(b'{"event_id":"a","event_type":"x"}'))
    assert row == ("a", "x", "", "", 0, 0, *[None] * 6, (), (), False, "{}", None)
    wide = row_of(foreign(b'{"event_id":"a","turn_number":99999999999999999999}'))
    assert wide.turn == INTEGER_MAX
    half = b'{"event_id":"a","n":1e400,"subject":"\\ud800","payload":{"s":"\\ud800","n":1e400}}'
    row = row_of(foreign(half))
    assert row.subject == "\\ud800"
    assert json.loads(row.payload) == {"s": "\ud800", "n": "1e400"}
    for payload in (b"[1]", b"null", b'"{}"', b"7"):
        assert row_of(foreign(b'{"event_id":"a","payload":' + payload + b"}")).payload == "{}"
    escaped = b'{"event_id":"a","p\\u0061yload": {"n": 1.50} }'
    assert row_of(foreign(escaped)).payload == '{"n": 1.50}'
