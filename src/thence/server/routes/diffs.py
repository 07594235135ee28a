"""The route that compares two logs: their first difference and its effects."""

from collections.abc import Callable
from threading import Event as Signal
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.core.diff import Difference, LogSide, as_json, difference, side
from thence.errors import ThenceError
from thence.log.files.disk import Disk
from thence.log.files.disk_errors import reading
from thence.log.read.reader import all_events
from thence.server.http.workers import ClientGone
from thence.server.logs.root import FoundLog
from thence.server.logs.summaries import size_bytes
from thence.server.models import DiffAnswer
from thence.server.routes.bodies import answer
from thence.server.routes.parameters import Parameters
from thence.server.routes.state import ServerState, app_state

# both logs are held in memory, at about five bytes per byte: 640 MiB at most
LOG_BYTES_MAX = 64 * 1024 * 1024


def add_diff(router: APIRouter, is_simulation: bool) -> None:
    """Adds the route that compares two simulations, or any two logs."""

    @router.get("/{id}/diff/{other}", response_model=DiffAnswer)
    async def diff(
        request: Request,
        id: str,
        other: Annotated[str, Path(description="The id of the one to compare it with.")],
        parameters: Annotated[Parameters, Query()],
    ) -> Response:
        """Compares two logs: the first divergence, its causes, the number of effects."""
        return await compare(
            request, (id, other), is_simulation, lambda a, b, result: answer(as_json(result))
        )


async def compare(
    request: Request,
    ids: tuple[str, str],
    is_simulation: bool,
    respond: Callable[[FoundLog, FoundLog, Difference], Response],
) -> Response:
    """Compares two logs and returns the response that `respond` makes of the result.

    One pair is compared at a time; the work ends when its client disconnects. A log over
    64 MiB is refused with 422; raises NotALog.
    """
    state = app_state(request)

    async def disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    def work(stop: Signal) -> Response:
        a, b = _locations(state, ids, is_simulation)
        try:
            return respond(a, b, _difference(a, b, stop))
        except (OSError, ThenceError):
            _locations(state, ids, is_simulation)  # is one of them gone?
            raise

    await state.workers.run(lambda: _locations(state, ids, is_simulation))
    try:
        return await state.workers.compare(work, disconnect)
    except ClientGone:
        raise HTTPException(503, "the client is gone") from None


def _locations(
    state: ServerState, ids: tuple[str, str], is_simulation: bool
) -> tuple[FoundLog, FoundLog]:
    a, b = (state.find(log_id, is_simulation) for log_id in ids)
    for location in (a, b):
        if size_bytes(location) > LOG_BYTES_MAX:
            limit = f"{LOG_BYTES_MAX // 1024**2} MiB"
            raise HTTPException(422, f"{location.id} is over {limit}: use the command thence diff")
    return a, b


def _difference(a: FoundLog, b: FoundLog, stop: Signal) -> Difference:
    disk = _CancellableDisk(stop)
    first, second = _side(a, disk), _side(b, disk)
    disk.check()
    result = difference(first, second)
    disk.check()
    return result


def _side(location: FoundLog, disk: Disk) -> LogSide:
    with reading(location.folder):
        return side(all_events(disk, location.folder, location.vocabulary))


class _CancellableDisk(Disk):
    """The disk of a comparison: it reads until the client has disconnected."""

    def __init__(self, stop: Signal) -> None:
        self._stop = stop

    def check(self) -> None:
        """Raises Gone when the client has gone."""
        if self._stop.is_set():
            raise ClientGone

    def read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        """Reads, or raises Gone."""
        self.check()
        return super().read_at(descriptor, offset, size)
