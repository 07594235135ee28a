"""The query API for simulations and other logs: lists, summaries, events, causes, comparisons.

Both kinds have the same routes; events are filtered in the words of their kind, and sent as their
stored lines. All lines of a log are sent in batches, in memory that does not grow with their
number.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from threading import Event as Signal
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from thence.core.diff import Difference, LogSide, as_json, difference, side
from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.query.why import Why
from thence.errors import ThenceError
from thence.log.index.causality import causality
from thence.log.index.page import PageBounds, PageOfLines
from thence.log.index.query import page_of_lines
from thence.server.errors import LIVE_RESPONSE, NDJSON_RESPONSE, RESPONSES
from thence.server.http.workers import Stopped
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.logs.summaries import size_bytes
from thence.server.models import (
    Causality,
    DiffAnswer,
    EventsPage,
    LogEventsPage,
    LogList,
    LogSummary,
    SimulationList,
    SimulationSummary,
    StoredEvent,
    WhyAnswer,
)
from thence.server.routes.live_events import LastEventId, event_stream
from thence.server.routes.parameters import (
    CausalityParameters,
    LogFilter,
    LogLive,
    LogPage,
    Parameters,
    SimulationFilter,
    SimulationLive,
    SimulationPage,
)
from thence.server.routes.state import ServerState, app_state

JSON = "application/json"
NDJSON = "application/x-ndjson"
BATCH_EVENTS = 1_000
T = TypeVar("T")
EventId = Annotated[str, Path(description="The id of an event of this log.")]
Named = Annotated[
    str,
    Path(
        description="Its id or 6 characters of it, @last, @last-error, or a subject such as"
        " order/881, whose latest event is used."
    ),
]
OtherId = Annotated[str, Path(description="The id of the one to compare it with.")]
# both logs are held in memory, at about five bytes per byte: 640 MiB at most
LOG_BYTES_MAX = 64 * 1024 * 1024
# how long a comparison may take, with those before it; one of the largest logs takes 5 s
COMPARED_S = 30.0
_HINT = "use the command thence diff"


class Kind(NamedTuple):
    """A kind of logs: what its routes are called, take and answer."""

    name: str
    is_simulation: bool
    list: type[BaseModel]
    summary: type[BaseModel]
    events: type[BaseModel]
    page: Any  # the forms of parameters
    filter: Any
    live: Any


KINDS = (
    Kind(
        "simulations",
        True,
        SimulationList,
        SimulationSummary,
        EventsPage,
        SimulationPage,
        SimulationFilter,
        SimulationLive,
    ),
    Kind("logs", False, LogList, LogSummary, LogEventsPage, LogPage, LogFilter, LogLive),
)


def routes_of(kind: Kind) -> APIRouter:
    """Returns the routes of simulations, or of other logs."""
    router = APIRouter(prefix=f"/{kind.name}", tags=[kind.name], responses=RESPONSES)
    is_simulation = kind.is_simulation
    page: Any = kind.page
    event_filter: Any = kind.filter
    start: Any = kind.live

    def ask(request: Request, log_id: str, work: Callable[[OpenLog], T]) -> Awaitable[T]:
        return app_state(request).ask(log_id, work, is_simulation)

    @router.get("", response_model=kind.list, description=kind.list.__doc__)
    async def logs(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
        state = app_state(request)
        entries = partial(_entries, state, is_simulation)
        return answer({kind.name: await state.inspect_all(entries)})

    @router.get("/{id}", response_model=kind.summary, description=kind.summary.__doc__)
    async def log(
        request: Request, id: str, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        return await ask(request, id, partial(_summary, app_state(request), is_simulation))

    @router.get("/{id}/events", response_model=kind.events)
    async def events(request: Request, id: str, parameters: Annotated[page, Query()]) -> Response:
        """Returns a page of events in total order."""
        event_filter, bounds = parameters.filter(), parameters.checked()
        return await ask(request, id, lambda log: _page(log, event_filter, bounds, is_simulation))

    @router.get("/{id}/events.ndjson", response_class=Response, responses=NDJSON_RESPONSE)
    async def lines(
        request: Request, id: str, parameters: Annotated[event_filter, Query()]
    ) -> Response:
        """Returns all events that match as lines, in memory that doesn't grow with their number."""
        return await _all_lines(partial(ask, request, id), parameters.filter())

    @router.get("/{id}/events/live", response_class=Response, responses=LIVE_RESPONSE)
    async def live(  # before an event that is named "live"
        request: Request,
        id: str,
        parameters: Annotated[start, Query()],
        last_event_id: LastEventId = None,
    ) -> Response:
        """Sends events as they come in, from the first one on or after a given one."""
        return await event_stream(request, id, is_simulation, parameters, last_event_id)

    @router.get("/{id}/events/{event_id:path}", response_model=StoredEvent)
    async def event(
        request: Request, id: str, event_id: EventId, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Returns one event as it is stored."""
        line = await ask(request, id, lambda log: log.reader.get(event_id).readable_line)
        return Response(line, media_type=JSON)

    @router.get("/{id}/causality/{event_id:path}", response_model=Causality)
    async def causality(
        request: Request,
        id: str,
        event_id: EventId,
        parameters: Annotated[CausalityParameters, Query()],
    ) -> Response:
        """Returns the causes and effects of an event, nearest first."""
        return await ask(request, id, lambda log: _causality(log, event_id, parameters.depth))

    @router.get("/{id}/why/{event_id:path}", response_model=WhyAnswer)
    async def why(
        request: Request, id: str, event_id: Named, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Explains an event: one line of causes, root first, and sentences."""
        return await ask(request, id, lambda log: _why(log.reader.why(event_id)))

    @router.get("/{id}/diff/{other}", response_model=DiffAnswer)
    async def diff(
        request: Request, id: str, other: OtherId, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Compares two logs: the first divergence, its causes, the number of effects."""
        return await compare(
            request, (id, other), is_simulation, lambda a, b, result: answer(as_json(result))
        )

    return router


def _entries(
    state: ServerState, is_simulation: bool, locations: Sequence[FoundLog | None]
) -> list[dict[str, Any]]:
    entries = []
    for location in locations:
        if location is None or location.is_simulation != is_simulation:
            continue
        try:
            facts = state.summaries.of(location)
        except ThenceError:
            continue  # it can't be read now
        entry: dict[str, Any] = {"id": location.id, "name": location.id}
        if is_simulation:
            run = state.summaries.record(state.root, location)
            entry |= {"name": run.name, "status": run.status}
        else:
            entry["vocabulary"] = location.vocabulary.name
        entry |= {"start_time": facts.start_time, "event_count": facts.events}
        entries.append(entry | {"failures": facts.failures})
    return entries


def _summary(state: ServerState, is_simulation: bool, log: OpenLog) -> Response:
    facts: dict[str, Any] = msgspec.to_builtins(state.summaries.of(log))
    summary = {
        "id": log.id,
        "name": log.id,
        "vocabulary": log.vocabulary.name,
        "event_count": facts.pop("events"),
    }
    if is_simulation:
        run = state.summaries.record(state.root, log)
        summary |= {"name": run.name, "status": run.status}
        summary |= {"reason": run.reason, "error": run.error}
    else:
        del facts["turns"]
    return answer(summary | facts)


def _page(log: OpenLog, event_filter: Filter, bounds: PageBounds, is_simulation: bool) -> Response:
    """Returns a page; an empty one of a log, which takes a `where`, has a hint."""
    page = page_of_lines(log.index, event_filter, log.mark, **bounds)
    is_explained = page.total or is_simulation
    hint = None if is_explained else log.reader.unknown_key(event_filter.where)
    paging = {"total": page.total, "has_more": page.has_more, "next_cursor": page.next_cursor}
    hints = {} if hint is None else {"hint": hint}
    return answer({"events": _json_array(page.lines), **paging, **hints})


async def _all_lines(
    ask: Callable[[Callable[[OpenLog], PageOfLines]], Awaitable[PageOfLines]], event_filter: Filter
) -> Response:
    """Returns all events that match, in total order, a line each.

    A failure before the first line is an error like any other; later the connection is
    broken off, so that half of a run is never taken for all of it. Between batches the log is not
    held: a client that disconnects leaves no log to be released by the garbage collector, which may
    run anywhere, even in code that holds a lock.
    """

    def batch(cursor: str | None) -> Awaitable[PageOfLines]:
        bounds: PageBounds = {"limit": BATCH_EVENTS, "cursor": cursor}
        return ask(lambda log: page_of_lines(log.index, event_filter, log.mark, **bounds))

    async def batches(page: PageOfLines) -> AsyncIterator[bytes]:
        while page.lines:
            yield b"\n".join(page.lines) + b"\n"
            if page.next_cursor is None:
                return
            page = await batch(page.next_cursor)

    return StreamingResponse(batches(await batch(None)), media_type=NDJSON)


def _causality(log: OpenLog, event_id: str, depth: int) -> Response:
    cone = causality(log.index, event_id, depth)
    upstream, downstream = (
        _json_array([Event(line, None, log.vocabulary).readable_line for line in lines])
        for lines in (cone.upstream, cone.downstream)
    )
    return answer(
        {
            "event_id": cone.event.event_id,
            "event": msgspec.Raw(cone.event.readable_line),
            "upstream": upstream,
            "downstream": downstream,
            "truncated": cone.truncated,
        }
    )


def _why(why: Why) -> Response:
    return answer(
        {
            "event_id": why.event.event_id,
            "sentences": why.sentences,
            "chain": _json_array(event.readable_line for event in why.chain),
            "causes": [{"event_id": one.event_id, "depth": depth} for one, depth in why.cone],
            "truncated": why.truncated,
        }
    )


def answer(value: Any) -> Response:
    """Returns a JSON value as an answer; a Raw in it is copied unchanged."""
    return Response(msgspec.json.encode(value), media_type=JSON)


def _json_array(lines: Iterable[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(lines) + b"]")


async def compare(
    request: Request,
    ids: tuple[str, str],
    is_simulation: bool,
    respond: Callable[[FoundLog, FoundLog, Difference], Response],
) -> Response:
    """Compares two logs and returns the response that `respond` makes of the result.

    One pair is compared at a time. A log over 64 MiB is refused with 422, and so is what takes over
    COMPARED_S; raises NotALog.
    """
    state = app_state(request)

    def locate() -> tuple[FoundLog, FoundLog]:
        a, b = (state.logs.find(log_id, is_simulation) for log_id in ids)
        for log in (a, b):
            if size_bytes(log) > LOG_BYTES_MAX:
                limit = f"{LOG_BYTES_MAX // 1024**2} MiB"
                raise HTTPException(422, f"{log.id} is over {limit}: {_HINT}")
        return a, b

    def work(stop: Signal) -> Response:
        def read(log: FoundLog) -> LogSide:
            if stop.is_set():
                raise Stopped
            return side(log.new_reader().arrived())

        a, b = locate()
        try:
            result = difference(read(a), read(b))
        except (OSError, ThenceError):
            locate()  # is one of them gone?
            raise
        return respond(a, b, result)

    await state.workers.run(locate)
    try:
        return await state.workers.run_for(work, COMPARED_S, "diff")
    except TimeoutError:
        raise HTTPException(422, f"it took over {COMPARED_S:g} s: {_HINT}") from None
