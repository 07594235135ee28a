"""The comparison of two logs: their first difference and its effects."""

from collections.abc import Callable
from threading import Event as Signal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from thence.core.diff import Difference, LogSide, difference, side
from thence.errors import ThenceError
from thence.server.http.workers import Stopped
from thence.server.logs.root import FoundLog
from thence.server.logs.summaries import size_bytes
from thence.server.routes.state import app_state

# both logs are held in memory, at about five bytes per byte: 640 MiB at most
LOG_BYTES_MAX = 64 * 1024 * 1024
# how long a comparison may take, with those before it; one of the largest logs takes 5 s
COMPARED_S = 30.0
_HINT = "use the command thence diff"


async def compare(
    request: Request,
    ids: tuple[str, str],
    is_simulation: bool,
    respond: Callable[[FoundLog, FoundLog, Difference], Response],
) -> Response:
    """Compares two logs and returns the response that `respond` makes of the result.

    One pair is compared at a time. A log over 64 MiB is refused with 422, and so is what takes over
    COMPARED_S; raises NotALog.
    """
    state = app_state(request)

    def locate() -> tuple[FoundLog, FoundLog]:
        a, b = (state.logs.find(log_id, is_simulation) for log_id in ids)
        for log in (a, b):
            if size_bytes(log) > LOG_BYTES_MAX:
                limit = f"{LOG_BYTES_MAX // 1024**2} MiB"
                raise HTTPException(422, f"{log.id} is over {limit}: {_HINT}")
        return a, b

    def work(stop: Signal) -> Response:
        def read(log: FoundLog) -> LogSide:
            if stop.is_set():
                raise Stopped
            return side(log.new_reader().arrived())

        a, b = locate()
        try:
            result = difference(read(a), read(b))
        except (OSError, ThenceError):
            locate()  # is one of them gone?
            raise
        return respond(a, b, result)

    await state.workers.run(locate)
    try:
        return await state.workers.run_for(work, COMPARED_S, "diff")
    except TimeoutError:
        raise HTTPException(422, f"it took over {COMPARED_S:g} s: {_HINT}") from None
