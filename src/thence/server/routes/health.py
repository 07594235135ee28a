"""The route for the state of the server, answered from memory."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from thence.server.models import Health, Problem
from thence.server.routes.bodies import answer
from thence.server.routes.parameters import Parameters
from thence.server.served import served

router = APIRouter(tags=["health"], responses={422: {"model": Problem}})


@router.get("/health", response_model=Health)
async def health(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Reports that the server answers, with the totals of its logs; no file is touched."""
    state = served(request)
    return answer(
        {
            "status": "ok",
            "version": request.app.version,
            **msgspec.structs.asdict(state.summaries.totals()),
            "skipped_logs": state.scan.skipped,
            "unread_logs": state.scan.unread,
        }
    )
