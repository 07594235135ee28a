"""The route for the JSON Schemas of the hosts' event types."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from thence.server.models import Problem, Schemas
from thence.server.routes.bodies import answer
from thence.server.routes.parameters import Parameters
from thence.server.state import served

router = APIRouter(tags=["schemas"], responses={401: {"model": Problem}, 422: {"model": Problem}})


@router.get("/schemas", response_model=Schemas)
async def schemas(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Returns the JSON Schema of each event type of simulations and of work."""
    return answer(await served(request).workers.run(_schemas))


def _schemas() -> dict[str, dict[str, object]]:
    from thence.sim import schemas as sim  # 0.15 s, for this answer alone
    from thence.work import events as work

    return {
        "sim": {kind: sim.schema(kind) for kind in sim.EVENT_TYPES},
        "work": {kind: work.schema(kind) for kind in work.EVENT_TYPES},
    }
