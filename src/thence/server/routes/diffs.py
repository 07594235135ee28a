"""The comparison of two logs: their first difference and its effects."""

from collections.abc import Callable
from threading import Event as Signal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from thence.core.diff import Difference, LogSide, difference, side
from thence.errors import ThenceError
from thence.log.files.disk import Disk, reading
from thence.log.read.reader import all_events
from thence.server.http.workers import ClientGone
from thence.server.logs.root import FoundLog
from thence.server.logs.summaries import size_bytes
from thence.server.routes.state import ServerState, app_state

# both logs are held in memory, at about five bytes per byte: 640 MiB at most
LOG_BYTES_MAX = 64 * 1024 * 1024


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
            disk = _CancellableDisk(stop)
            first, second = _side(a, disk), _side(b, disk)
            disk.check()
            result = difference(first, second)
            disk.check()
            return respond(a, b, result)
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
    a, b = (state.logs.find(log_id, is_simulation) for log_id in ids)
    for location in (a, b):
        if size_bytes(location) > LOG_BYTES_MAX:
            limit = f"{LOG_BYTES_MAX // 1024**2} MiB"
            raise HTTPException(422, f"{location.id} is over {limit}: use the command thence diff")
    return a, b


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
