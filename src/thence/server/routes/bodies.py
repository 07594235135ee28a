"""The bodies of answers: JSON in which events are their stored lines, or the lines alone.

Lines are sent in batches, in memory that does not grow with their number.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from thence.core.event import Event, readable_lines
from thence.core.query.filter import Filter
from thence.log.index.causality import CausalityLines, NamedCauses
from thence.log.index.page import PageOfLines
from thence.server.logs.open_logs import OpenLog
from thence.server.routes.parameters import LogPage, SimulationPage
from thence.server.routes.state import ServerState, app_state

JSON = "application/json"
NDJSON = "application/x-ndjson"
BATCH_EVENTS = 1_000


def answer(value: Any) -> Response:
    """Returns a JSON value as an answer; a Raw in it is copied unchanged."""
    return Response(msgspec.json.encode(value), media_type=JSON)


def event_body(event: Event) -> Response:
    """Returns one event as an answer: its line."""
    return Response(event.readable_line, media_type=JSON)


def page_body(page: PageOfLines, hint: str | None = None) -> Response:
    """Returns a page of events as an answer, with a hint for an empty page."""
    paging = {"total": page.total, "has_more": page.has_more, "next_cursor": page.next_cursor}
    hints = {} if hint is None else {"hint": hint}
    return answer({"events": _json_array(page.lines), **paging, **hints})


def causality_body(cone: CausalityLines) -> Response:
    """Returns an event with its causes and effects as an answer."""
    return answer(
        {
            "event_id": cone.event.event_id,
            "event": msgspec.Raw(cone.event.readable_line),
            "upstream": _json_array(readable_lines(cone.upstream, cone.event.vocabulary)),
            "downstream": _json_array(readable_lines(cone.downstream, cone.event.vocabulary)),
            "truncated": cone.truncated,
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


async def events_answer(
    request: Request, log_id: str, parameters: SimulationPage | LogPage, is_simulation: bool
) -> Response:
    """Returns a page of events in total order; all of them as lines for application/x-ndjson.

    An empty page of a log, which takes a `where`, has a hint.
    """
    state, event_filter = app_state(request), parameters.filter()
    parameters.checked()
    if NDJSON in request.headers.get("accept", "").lower() and not parameters.is_page:
        return await all_lines(state, log_id, event_filter, is_simulation)

    def work(log: OpenLog) -> Response:
        page = log.page_of_lines(event_filter, **parameters.page)
        return page_body(page, None if page.total or is_simulation else log.hint(event_filter))

    return await state.ask(log_id, work, is_simulation)


async def all_lines(
    state: ServerState, log_id: str, event_filter: Filter, is_simulation: bool
) -> Response:
    """Returns all events that match, in total order, a line each.

    A failure before the first line is an error like any other; later the connection is
    broken off, so that half of a run is never taken for all of it.
    """

    def batch(cursor: str | None) -> Awaitable[PageOfLines]:
        return state.ask(
            log_id,
            lambda log: log.page_of_lines(event_filter, limit=BATCH_EVENTS, cursor=cursor),
            is_simulation,
        )

    return StreamingResponse(_batches(batch, await batch(None)), media_type=NDJSON)


async def _batches(
    batch: Callable[[str | None], Awaitable[PageOfLines]], page: PageOfLines
) -> AsyncIterator[bytes]:
    """Yields the lines of one page after the other.

    Between pages the log is not held: a client that disconnects leaves no log to be released by
    the garbage collector, which may run anywhere, even in code that holds a lock.
    """
    while page.lines:
        yield b"\n".join(page.lines) + b"\n"
        if page.next_cursor is None:
            return
        page = await batch(page.next_cursor)


def _lines(events: Iterable[Event]) -> Iterator[bytes]:
    return (event.readable_line for event in events)


def _json_array(lines: Iterable[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(lines) + b"]")
