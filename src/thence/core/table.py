"""An event as a row of a table: the columns that frames and exported files have.

| column | |
|---|---|
| event_id, event_type | text |
| timestamp | text as it was written; the time in UTC where a table has times |
| node_id, seq, lamport_clock | who numbered it; "", 0, 0 for a line of another tool |
| stream, subject, actor | text or nothing |
| turn | the turn of a simulation, from 0, or nothing |
| step, description | text or nothing |
| caused_by, inferred_causes | ids, apart by a space where a table has no lists |
| verified | false for a line of another tool |
| payload | JSON as it was stored: `details` in a simulation; "{}" when absent |
"""

from typing import NamedTuple

import msgspec

from thence.core.event import Event

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Row(NamedTuple):
    """One event; the fields are the columns, in their order."""

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
    caused_by: tuple[str, ...]
    inferred_causes: tuple[str, ...]
    verified: bool
    payload: str


COLUMNS = Row._fields


def row_of(event: Event) -> Row:
    """Returns an event's row."""
    header = event.header
    return Row(
        header.event_id,
        header.event_type,
        header.timestamp,
        header.node_id,
        header.seq,
        header.lamport_clock if header.seq else 0,
        event.stream,
        event.subject,
        event.actor,
        header.turn_number,
        header.step,
        header.description,
        header.caused_by,
        header.inferred_causes,
        not event.is_foreign,
        _payload(event),
    )


def _payload(event: Event) -> str:
    """Returns the stored bytes of the payload, so that no number changes on its way."""
    raw = _decode_members(event.line).get(event.vocabulary.payload_key)
    text = "" if raw is None else bytes(raw).decode()
    return text if text.startswith("{") else "{}"
