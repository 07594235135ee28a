"""An event as a row: what it holds, and what another tool's line may."""

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.sentences.table import INTEGER_MAX, escape_formula, row_of
from thence.core.vocabulary import PLAIN


def foreign(line: bytes) -> Event:
    event = parse(line, PLAIN)
    assert isinstance(event, Event)
    return event


def test_line_of_another_tool_fits_a_table_whatever_it_holds():
    row = row_of(foreign(b'{"event_id":"a","event_type":"x"}'))
    assert row == ("a", "x", "", "", 0, 0, *[None] * 6, (), (), False, "{}", None)
    wide = row_of(foreign(b'{"event_id":"a","turn_number":99999999999999999999}'))
    assert wide.turn == INTEGER_MAX
    assert row_of(foreign(b'{"event_id":"a","payload":{"n":1e400}}')).payload == '{"n":1e400}'
    for payload in (b"[1]", b"null", b'"{}"', b"7"):
        assert row_of(foreign(b'{"event_id":"a","payload":' + payload + b"}")).payload == "{}"
    escaped = b'{"event_id":"a","p\\u0061yload": {"n": 1.50} }'
    assert row_of(foreign(escaped)).payload == '{"n": 1.50}'


def test_number_that_is_infinite_is_no_formula():
    assert [escape_formula(text) for text in ("-Infinity", "-1e5", "-x")] == [
        "-Infinity",
        "-1e5",
        "'-x",
    ]
