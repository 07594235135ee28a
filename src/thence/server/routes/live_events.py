"""The routes that send new events as they come in, as server-sent events.

Events are sent in the order in which they arrived, each once; the pages show the total order. A
client resumes by the id of the last event it has. An id that the log lacks is refused: any other
position would leave a gap or a repeat that the client can't see.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from thence.core.query.filter import Filter
from thence.server.errors import LIVE_RESPONSE, RESPONSES
from thence.server.live.listener import event_id
from thence.server.routes.event_stream import TRANSPORT, After, Stream, StreamResponse
from thence.server.routes.parameters import Live, LogLive, SimulationLive
from thence.server.served import served

router = APIRouter(responses=RESPONSES)
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Begin behind this event, as an EventSource that comes back asks.",
    ),
]


@router.get(
    "/simulations/{id}/events/live",
    tags=["simulations"],
    response_class=Response,
    responses=LIVE_RESPONSE,
)
async def simulation(
    request: Request,
    id: str,
    parameters: Annotated[SimulationLive, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Sends a simulation's events as they come in, from the first one on or after a given one."""
    return await _stream(request, id, True, parameters.filter(), _after(parameters, last_event_id))


@router.get(
    "/logs/{id}/events/live",
    tags=["logs"],
    response_class=Response,
    responses=LIVE_RESPONSE,
)
async def log(
    request: Request,
    id: str,
    parameters: Annotated[LogLive, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Sends a log's events as they come in, from the first one on or after a given one."""
    return await _stream(request, id, False, parameters.filter(), _after(parameters, last_event_id))


async def _stream(
    request: Request, log_id: str, is_simulation: bool, parameters: Filter, after: After
) -> Response:
    stream = Stream(served(request), log_id, is_simulation, parameters, after)
    first = await stream.begin()
    return StreamResponse(stream, first, request.scope.get("state", {}).get(TRANSPORT))


def _after(parameters: Live, header: str | None) -> After:
    """Returns the start of a stream: after an event if one is named; an empty name is none."""
    named = event_id(_text(header)) if header else event_id(parameters.last_event_id or "")
    return named or parameters.tail


def _text(header: str) -> str:
    """Returns the text of a header that a browser encoded in UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
