"""The routes for the server itself: its health, and the schemas of events."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from thence.server.models import Health, Problem, Schemas
from thence.server.routes.parameters import Parameters
from thence.server.routes.state import answer, app_state

router = APIRouter()


@router.get("/health", tags=["health"], response_model=Health, responses={422: {"model": Problem}})
async def health(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Reports that the server answers, with the totals of the logs that were asked for so far.

    No file is touched.
    """
    totals = app_state(request).summaries.totals()
    return answer({"status": "ok", "version": request.app.version, **totals})


@router.get(
    "/schemas",
    tags=["schemas"],
    response_model=Schemas,
    responses={401: {"model": Problem}, 422: {"model": Problem}},
)
async def schemas(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Returns the JSON Schema of each event type of simulations and of work."""
    return answer(await app_state(request).workers.run(_schemas))


def _schemas() -> dict[str, dict[str, object]]:
    from thence.sim import schemas as sim  # 0.15 s, for this answer alone
    from thence.work import events as work

    return {
        "sim": {kind: sim.schema(kind) for kind in sim.EVENT_TYPES},
        "work": {kind: work.schema(kind) for kind in work.EVENT_TYPES},
    }
