"""The routes for simulations and other logs: lists, summaries, events, causes.

Both kinds have the same routes; events are filtered in the words of their kind.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from thence.server.errors import NDJSON_RESPONSE, RESPONSES
from thence.server.logs.root import FoundLog
from thence.server.models import (
    Causality,
    EventsPage,
    LogEventsPage,
    LogList,
    LogSummary,
    SimulationList,
    SimulationSummary,
    StoredEvent,
    WhyAnswer,
)
from thence.server.routes import diffs, live_events
from thence.server.routes.bodies import (
    all_lines,
    answer,
    causality_body,
    event_body,
    events_answer,
    why_body,
)
from thence.server.routes.parameters import (
    CausalityParameters,
    LogFilter,
    LogPage,
    Parameters,
    SimulationFilter,
    SimulationPage,
)
from thence.server.routes.state import ServerState, app_state

Kind = Literal["simulations", "logs"]
EventId = Annotated[str, Path(description="The id of an event of this log.")]
Named = Annotated[
    str,
    Path(
        description="Its id or 6 characters of it, @last, @last-error, or a subject such as"
        " order/881, of which the latest event is taken."
    ),
]


def routes_of(kind: Kind) -> APIRouter:
    """Returns the routes of simulations, or of other logs."""
    router = APIRouter(prefix=f"/{kind}", tags=[kind], responses=RESPONSES)
    is_simulation = kind == "simulations"
    _add_lists(router, kind, is_simulation)
    _add_events(router, is_simulation)
    live_events.add_stream(router, is_simulation)  # before an event that is named "live"
    _add_causes(router, is_simulation)
    diffs.add_diff(router, is_simulation)
    return router


def _add_lists(router: APIRouter, kind: Kind, is_simulation: bool) -> None:
    @router.get(
        "",
        response_model=SimulationList if is_simulation else LogList,
        description="Lists the simulations under the root, by id."
        if is_simulation
        else "Lists the logs under the root that are not simulations, by id.",
    )
    async def logs(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
        """Lists the logs of this kind under the root, by id."""
        state = app_state(request)

        def work(locations: Sequence[FoundLog | None]) -> list[dict[str, Any]]:
            return list(_entries(state, locations, is_simulation))

        return answer({kind: await state.inspect_all(work)})

    @router.get(
        "/{id}",
        response_model=SimulationSummary if is_simulation else LogSummary,
        description="Summarizes a simulation: its events, its status, its damage."
        if is_simulation
        else "Summarizes a log: its events and its damage.",
    )
    async def log(
        request: Request, id: str, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Summarizes a log of this kind."""
        state = app_state(request)
        return answer(
            await state.inspect(
                id, lambda location: _summary(state, location, is_simulation), is_simulation
            )
        )


def _add_events(router: APIRouter, is_simulation: bool) -> None:
    page_model: Any = SimulationPage if is_simulation else LogPage
    filter_model: Any = SimulationFilter if is_simulation else LogFilter

    @router.get(
        "/{id}/events",
        response_model=EventsPage if is_simulation else LogEventsPage,
        responses=NDJSON_RESPONSE,
    )
    async def events(
        request: Request,
        id: str,
        parameters: Annotated[page_model, Query()],
    ) -> Response:
        """Returns a page of events in total order; all as lines for application/x-ndjson."""
        return await events_answer(request, id, parameters, is_simulation)

    @router.get("/{id}/events.ndjson", response_class=Response, responses=NDJSON_RESPONSE)
    async def lines(
        request: Request,
        id: str,
        parameters: Annotated[filter_model, Query()],
    ) -> Response:
        """Returns all events that match as lines, in memory that doesn't grow with their number."""
        return await all_lines(app_state(request), id, parameters.filter(), is_simulation)


def _add_causes(router: APIRouter, is_simulation: bool) -> None:
    @router.get("/{id}/events/{event_id:path}", response_model=StoredEvent)
    async def event(
        request: Request, id: str, event_id: EventId, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Returns one event as it is stored."""
        return await app_state(request).ask(
            id, lambda log: event_body(log.event(event_id)), is_simulation
        )

    @router.get("/{id}/causality/{event_id:path}", response_model=Causality)
    async def causality(
        request: Request,
        id: str,
        event_id: EventId,
        parameters: Annotated[CausalityParameters, Query()],
    ) -> Response:
        """Returns the causes and effects of an event, nearest first."""
        return await app_state(request).ask(
            id,
            lambda log: causality_body(log.causality(event_id, parameters.depth)),
            is_simulation,
        )

    @router.get("/{id}/why/{event_id:path}", response_model=WhyAnswer)
    async def why(
        request: Request, id: str, event_id: Named, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Explains an event: one line of causes, root first, and sentences."""
        return await app_state(request).ask(
            id, lambda log: why_body(log.why(event_id)), is_simulation
        )


def _entries(
    state: ServerState, locations: Sequence[FoundLog | None], is_simulation: bool
) -> Iterator[dict[str, Any]]:
    for location in locations:
        if location is None or location.is_simulation != is_simulation:
            continue
        facts = state.summaries.readable(location)
        if facts is None:
            continue
        entry: dict[str, Any] = {"id": location.id, "name": location.id}
        if is_simulation:
            run = state.summaries.record(state.root, location)
            entry |= {"name": run.name, "status": run.status}
        else:
            entry["vocabulary"] = location.vocabulary.name
        yield entry | {
            "start_time": facts.start_time,
            "event_count": facts.events,
            "failures": facts.failures,
        }


def _summary(state: ServerState, location: FoundLog, is_simulation: bool) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(state.summaries.of(location))
    summary = {
        "id": location.id,
        "name": location.id,
        "vocabulary": location.vocabulary.name,
        "event_count": facts.pop("events"),
    }
    if is_simulation:
        run = state.summaries.record(state.root, location)
        summary |= {"name": run.name, "status": run.status}
        summary |= {"reason": run.reason, "error": run.error}
    else:
        del facts["turns"]
    return summary | facts
