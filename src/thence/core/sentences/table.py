"""An event as a row of a table: the columns that frames and exported files have."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from thence.core.event import Event, raw_members
from thence.core.json_values import within

INTEGER_MAX = 2**63 - 1
# the first characters of a formula in a spreadsheet, unless the text is a number
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|Infinity)")


class Row(NamedTuple):
    """One event; the fields are the columns, in their order.

    For a line of another tool `node_id` and `lamport_clock` are its own, `seq` is 0,
    `verified` is False. `turn` and `seq` are at most 64 bits wide. `payload` is JSON as it was
    stored, "{}" where the event has none. `unreadable` is a JSON list of the pointers to large
    values of it that can't be read, of which the beginning is there; None without one.
    """

    event_id: str
    event_type: str
    timestamp: str
    node_id: str
    seq: int
    lamport_clock: int
    stream: str | None
    subject: str | None
    actor: str | None
    turn: int | None
    step: str | None
    description: str | None
    caused_by: Sequence[str]
    inferred_causes: Sequence[str]
    verified: bool
    payload: str
    unreadable: str | None


COLUMNS = Row._fields


def row_of(event: Event) -> Row:
    """Returns an event's row."""
    header = event.header
    turn = header.turn_number
    # the payload's own bytes, so that no number changes by decoding
    members = raw_members(event.readable_line)
    text = bytes(members.get(event.vocabulary.payload_key, b"{}")).decode()
    unreadable = members.get("unreadable") if event.body_entries else None
    return Row(
        header.event_id,
        header.event_type,
        header.timestamp,
        header.node_id,
        min(header.seq, INTEGER_MAX),
        header.lamport_clock,
        event.stream,
        event.subject,
        event.actor,
        None if turn is None else max(-INTEGER_MAX, min(turn, INTEGER_MAX)),
        header.step,
        header.description,
        header.caused_by,
        header.inferred_causes,
        not event.is_foreign,
        text if text.startswith("{") else "{}",
        None if unreadable is None else bytes(unreadable).decode(),
    )


def payload_values(event: Event, keys: Sequence[str]) -> tuple[Any, ...]:
    """Returns the values of payload keys, None where there is none.

    A key with dots leads through maps, or is a name with dots: customer.id.
    """
    payload, _ = event.readable_payload
    values = [within(payload, key.split(".")) for key in keys]
    return tuple([None if value is msgspec.UNSET else value for value in values])


def escape_formula(text: str) -> str:
    """Returns a text that no spreadsheet reads as a formula: after an apostrophe if needed."""
    is_formula = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
