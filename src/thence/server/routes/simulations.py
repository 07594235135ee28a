"""The routes for the events of simulations, with the filter in the words of simulations."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from thence.server.errors import NDJSON_RESPONSE, RESPONSES
from thence.server.logs.root import FoundLog
from thence.server.logs.run_record import read_record
from thence.server.models import EventsPage, SimulationList, SimulationSummary
from thence.server.routes.bodies import all_lines, answer, events_answer
from thence.server.routes.parameters import Parameters, SimulationFilter, SimulationPage
from thence.server.state import ServerState, served

router = APIRouter(prefix="/simulations", tags=["simulations"], responses=RESPONSES)


@router.get("", response_model=SimulationList)
async def simulations(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Lists the simulations under the root, by id."""
    state = served(request)
    return answer({"simulations": await state.inspect_all(lambda logs: _entries(state, logs))})


@router.get("/{id}", response_model=SimulationSummary)
async def simulation(
    request: Request, id: str, parameters: Annotated[Parameters, Query()]
) -> Response:
    """Summarizes a simulation: its events, its status, its damage."""
    state = served(request)
    return answer(await state.inspect(id, lambda found: _summary(state, found), True))


@router.get("/{id}/events", response_model=EventsPage, responses=NDJSON_RESPONSE)
async def events(
    request: Request, id: str, parameters: Annotated[SimulationPage, Query()]
) -> Response:
    """Returns a page of events in total order; all of them as lines for application/x-ndjson."""
    return await events_answer(request, id, parameters, True)


@router.get("/{id}/events.ndjson", response_class=Response, responses=NDJSON_RESPONSE)
async def event_lines(
    request: Request, id: str, parameters: Annotated[SimulationFilter, Query()]
) -> Response:
    """Returns all events that match as lines, in memory that doesn't grow with the run."""
    return await all_lines(served(request), id, parameters.filter(), True)


def _entries(state: ServerState, logs: Sequence[FoundLog | None]) -> list[dict[str, Any]]:
    found = [log for log in logs if log is not None and log.is_simulation]
    return [entry for log in found if (entry := _entry(state, log))]


def _entry(state: ServerState, found: FoundLog) -> dict[str, Any] | None:
    summary = state.summaries.readable(found)
    if summary is None:
        return None
    run = read_record(state.root, found)
    return {
        "id": found.id,
        "name": run.name,
        "status": run.status,
        "start_time": summary.start_time,
        "event_count": summary.events,
    }


def _summary(state: ServerState, found: FoundLog) -> dict[str, Any]:
    run = read_record(state.root, found)
    summary: dict[str, Any] = msgspec.to_builtins(state.summaries.of(found))
    count = summary.pop("events")
    return {
        "id": found.id,
        "name": run.name,
        "vocabulary": found.vocabulary.name,
        "event_count": count,
        "status": run.status,
        "reason": run.reason,
        "error": run.error,
        **summary,
    }
