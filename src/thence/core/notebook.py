"""What a notebook shows of events: tables and lists of the pages' own markup, without script."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.markup import Column, Html, el, facts, joined, moment, table, words

EVENTS_SHOWN_MAX = 20
_PAYLOAD_CHARACTERS_MAX = 120
_COLUMNS = tuple(map(Column, ("Time (UTC)", "Type", "Who", "About", "Payload")))


def events_html(events: Sequence[Event], total: int, what: str = "events") -> Html:
    """Returns a table of the first events of `total`."""
    events = events[:EVENTS_SHOWN_MAX]
    payloads = [_json(event.cut_payload) if event.cut_payload else "" for event in events]
    rows = [
        (
            moment(event.timestamp),
            words(event.event_type, 60),
            words(event.actor or "", 60),
            words(event.subject or "", 60),
            words(payload, _PAYLOAD_CHARACTERS_MAX),
        )
        for event, payload in zip(events, payloads, strict=True)
    ]
    part = f"{len(rows):,} of " if len(rows) < total else ""
    return table(f"{part}{total:,} {what}", _COLUMNS, rows)


def sentences_html(heading: str, sentences: Sequence[str]) -> Html:
    """Returns a heading with the first sentences as a list."""
    items = [el("li", words(sentence)) for sentence in sentences[:EVENTS_SHOWN_MAX]]
    if len(sentences) > len(items):
        items.append(el("li", f"and {len(sentences) - len(items):,} more"))
    return joined(el("p", el("strong", words(heading))), el("ol", *items))


def facts_html(heading: str, members: Mapping[str, Any]) -> Html:
    """Returns a heading with names and values; a map or a list is shown as JSON, cut."""
    pairs = [(name, words(_json(value))) for name, value in members.items() if value is not None]
    return joined(el("p", el("strong", words(heading))), facts(pairs))


def _json(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
