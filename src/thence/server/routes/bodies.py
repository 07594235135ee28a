"""The bodies of answers: JSON in which events are their stored lines."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from thence.core.event import Event
from thence.index.graph.causality import CausalityLines, NamedCauses
from thence.index.plan.page import PageOfLines

JSON = "application/json"
NDJSON = "application/x-ndjson"


def answer(value: Any) -> Response:
    """Returns a JSON value as an answer; a Raw in it is copied unchanged."""
    return Response(msgspec.json.encode(value), media_type=JSON)


def event_body(event: Event) -> Response:
    """Returns one event as an answer: its line."""
    return Response(event.line, media_type=JSON)


def page_body(page: PageOfLines, hint: str | None = None) -> Response:
    """Returns a page of events as an answer, with a hint for an empty page."""
    paging = {"total": page.total, "has_more": page.has_more, "next_cursor": page.next_cursor}
    hints = {} if hint is None else {"hint": hint}
    return answer({"events": _json_array(page.lines), **paging, **hints})


def causality_body(found: CausalityLines) -> Response:
    """Returns an event with its causes and effects as an answer."""
    return answer(
        {
            "event_id": found.event.event_id,
            "event": msgspec.Raw(found.event.line),
            "upstream": _json_array(found.upstream),
            "downstream": _json_array(found.downstream),
            "truncated": found.truncated,
        }
    )


def why_body(why: NamedCauses) -> Response:
    """Returns the causes of an event, with sentences, as an answer."""
    causes: list[Mapping[str, Any]] = [
        {"event_id": event_id, "depth": depth} for event_id, depth in why.causes
    ]
    return answer(
        {
            "event_id": why.chain[-1].event_id,
            "sentences": why.sentences,
            "chain": _json_array(_lines(why.chain)),
            "causes": causes,
            "truncated": why.truncated,
        }
    )


def _lines(events: Iterable[Event]) -> Iterator[bytes]:
    return (event.line for event in events)


def _json_array(lines: Iterable[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(lines) + b"]")
