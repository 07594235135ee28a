"""The route that compares two logs: where they part, and what came of it."""

from threading import Lock
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.core.difference import Difference, as_json, difference
from thence.core.side import Side, side
from thence.log.disk import OS_DISK
from thence.log.intact import intact_side
from thence.log.reading import reading
from thence.server.bodies import answer
from thence.server.logs import OpenLog
from thence.server.models import DiffAnswer
from thence.server.parameters import Asked
from thence.server.problems import RESPONSES
from thence.server.root import FoundLog
from thence.server.served import Served, served
from thence.server.summaries import size_bytes

# both logs are held in memory, about four bytes for each of theirs: half a gigabyte at most
LOG_BYTES_MAX = 64 * 1024 * 1024
_one_at_a_time = Lock()


def diffs_of(kind: Literal["simulations", "logs"]) -> APIRouter:
    """Returns the route that compares two simulations, or any two logs."""
    router = APIRouter(prefix=f"/{kind}", tags=[kind], responses=RESPONSES)
    is_simulation = kind == "simulations"

    @router.get("/{id}/diff/{other}", response_model=DiffAnswer)
    async def diff(
        request: Request,
        id: str,
        other: Annotated[str, Path(description="The id of the one to compare it with.")],
        asked: Annotated[Asked, Query()],
    ) -> Response:
        """Tells where two logs part: the first divergence, its causes, how much followed."""
        here = served(request)

        def work(found: FoundLog) -> Response:
            return answer(as_json(compared(here, found, here.find(other, is_simulation))))

        return await here.look(id, work, is_simulation)

    return router


def compared(here: Served, a: FoundLog, b: FoundLog) -> Difference:
    """Compares two logs, one pair at a time; a log over 64 MiB is refused with 422."""
    for found in (a, b):
        if size_bytes(found) > LOG_BYTES_MAX:
            limit = f"{LOG_BYTES_MAX // 1024**2} MiB"
            raise HTTPException(422, f"{found.id} is over {limit}: use the command thence diff")
    with _one_at_a_time, here.logs.using(a) as left, here.logs.using(b) as right:
        return difference(_side(left), _side(right))


def _side(log: OpenLog) -> Side:
    with reading(log.folder):
        whole = intact_side(OS_DISK, log.folder, log.vocabulary)
    return whole if whole is not None else side(log.answers.events())
