"""The routes for one event: its line, its causes and effects, its explanation."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from thence.server.errors import RESPONSES
from thence.server.models import Causality, StoredEvent, WhyAnswer
from thence.server.routes.bodies import causality_body, event_body, why_body
from thence.server.routes.parameters import CausalityParameters, Parameters
from thence.server.state import served

EventId = Annotated[str, Path(description="The id of an event of this log.")]
Named = Annotated[
    str,
    Path(
        description="Its id or 6 characters of it, @last, @last-error, or a subject such as"
        " order/881, of which the latest event is taken."
    ),
]


def causes_of(kind: Literal["simulations", "logs"]) -> APIRouter:
    """Returns the routes for the events of simulations, or of any logs."""
    router = APIRouter(prefix=f"/{kind}", tags=[kind], responses=RESPONSES)
    is_simulation = kind == "simulations"

    @router.get("/{id}/events/{event_id:path}", response_model=StoredEvent)
    async def event(
        request: Request, id: str, event_id: EventId, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Returns one event as it is stored."""
        return await served(request).ask(
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
        return await served(request).ask(
            id,
            lambda log: causality_body(log.causality(event_id, parameters.depth)),
            is_simulation,
        )

    @router.get("/{id}/why/{event_id:path}", response_model=WhyAnswer)
    async def why(
        request: Request, id: str, event_id: Named, parameters: Annotated[Parameters, Query()]
    ) -> Response:
        """Explains an event: one line of causes, root first, and sentences."""
        return await served(request).ask(id, lambda log: why_body(log.why(event_id)), is_simulation)

    return router
