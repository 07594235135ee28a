"""The bodies of answers: JSON in which events stand as the lines that are stored."""

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
    """Returns a JSON value as an answer; a Raw in it stands as it is."""
    return Response(msgspec.json.encode(value), media_type=JSON)


def event_body(event: Event) -> Response:
    """Returns one event as an answer: its line."""
    return Response(event.line, media_type=JSON)


def page_body(page: PageOfLines, hint: str | None = None) -> Response:
    """Returns a page of events as an answer, with a hint why it may be empty."""
    told = {"total": page.total, "has_more": page.has_more, "next_cursor": page.next_cursor}
    more = {} if hint is None else {"hint": hint}
    return answer({"events": _joined(page.lines), **told, **more})


def causality_body(found: CausalityLines) -> Response:
    """Returns an event between its causes and its effects as an answer."""
    return answer(
        {
            "event_id": found.event.event_id,
            "event": msgspec.Raw(found.event.line),
            "upstream": _joined(found.upstream),
            "downstream": _joined(found.downstream),
            "truncated": found.truncated,
        }
    )


def why_body(why: NamedCauses) -> Response:
    """Returns why an event happened as an answer."""
    causes: list[Mapping[str, Any]] = [
        {"event_id": event_id, "depth": depth} for event_id, depth in why.causes
    ]
    return answer(
        {
            "event_id": why.chain[-1].event_id,
            "sentences": why.sentences,
            "chain": _joined(_lines(why.chain)),
            "causes": causes,
            "truncated": why.truncated,
        }
    )


def _lines(events: Iterable[Event]) -> Iterator[bytes]:
    return (event.line for event in events)


def _joined(lines: Iterable[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(lines) + b"]")
