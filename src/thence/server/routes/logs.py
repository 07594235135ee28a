"""The routes for the events of any log, with the filter that all hosts share."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from thence.server.errors import NDJSON_RESPONSE, RESPONSES
from thence.server.logs.root import FoundLog
from thence.server.models import LogEventsPage, LogList, LogSummary
from thence.server.routes.bodies import all_lines, answer, events_answer
from thence.server.routes.parameters import LogFilter, LogPage, Parameters
from thence.server.state import ServerState, served

router = APIRouter(prefix="/logs", tags=["logs"], responses=RESPONSES)


@router.get("", response_model=LogList)
async def logs(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Lists the logs under the root that are no simulations, by id."""
    state = served(request)
    return answer({"logs": await state.inspect_all(lambda logs: _entries(state, logs))})


@router.get("/{id}", response_model=LogSummary)
async def log(request: Request, id: str, parameters: Annotated[Parameters, Query()]) -> Response:
    """Summarizes a log: its events and its damage."""
    state = served(request)
    return answer(await state.inspect(id, lambda found: _summary(state, found), False))


@router.get("/{id}/events", response_model=LogEventsPage, responses=NDJSON_RESPONSE)
async def events(request: Request, id: str, parameters: Annotated[LogPage, Query()]) -> Response:
    """Returns a page of events in total order; all of them as lines for application/x-ndjson."""
    return await events_answer(request, id, parameters, False)


@router.get("/{id}/events.ndjson", response_class=Response, responses=NDJSON_RESPONSE)
async def event_lines(
    request: Request, id: str, parameters: Annotated[LogFilter, Query()]
) -> Response:
    """Returns all events that match as lines, in memory that doesn't grow with the log."""
    return await all_lines(served(request), id, parameters.filter(), False)


def _entries(state: ServerState, logs: Sequence[FoundLog | None]) -> list[dict[str, Any]]:
    found = [log for log in logs if log is not None and not log.is_simulation]
    return [entry for log in found if (entry := _entry(state, log))]


def _entry(state: ServerState, found: FoundLog) -> dict[str, Any] | None:
    summary = state.summaries.readable(found)
    if summary is None:
        return None
    return _identity(found) | {"start_time": summary.start_time, "event_count": summary.events}


def _summary(state: ServerState, found: FoundLog) -> dict[str, Any]:
    summary: dict[str, Any] = msgspec.to_builtins(state.summaries.of(found))
    del summary["turns"]
    return _identity(found) | {"event_count": summary.pop("events")} | summary


def _identity(found: FoundLog) -> dict[str, Any]:
    return {"id": found.id, "name": found.id, "vocabulary": found.vocabulary.name}
