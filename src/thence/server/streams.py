"""Events sent as lines, many at a time, in memory that does not grow with their number."""

from collections.abc import AsyncIterator, Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from thence.core.filter import Filter
from thence.server import questions
from thence.server.bodies import NDJSON
from thence.server.root import FoundLog
from thence.server.served import Served

Batch = tuple[bytes, ...]


def wants_lines(request: Request) -> bool:
    """Tells whether a client asks for lines instead of one JSON document."""
    return NDJSON in request.headers.get("accept", "").lower()


async def all_lines(served: Served, log_id: str, asked: Filter, is_simulation: bool) -> Response:
    """Returns all events that match, in total order, a line each.

    What fails before the first line is an error like any other; later the connection
    breaks, so that half of a run is never taken for all of it.
    """

    def begun(found: FoundLog) -> tuple[Iterator[Batch], Batch]:
        batches = _batches(served, found, asked)
        return batches, next(batches, ())

    batches, first = await served.look(log_id, begun, is_simulation)
    return StreamingResponse(_sent(served, batches, first), media_type=NDJSON)


async def _sent(served: Served, batches: Iterator[Batch], batch: Batch) -> AsyncIterator[bytes]:
    while batch:
        served.metrics.count_events(len(batch))
        yield b"\n".join(batch) + b"\n"
        batch = await served.workers.run(lambda: next(batches, ()))


def _batches(served: Served, found: FoundLog, asked: Filter) -> Iterator[Batch]:
    """Yields their lines; the log stays open in between only as long as others ask for it."""
    with served.logs.using(found) as log:
        yield from questions.every_page(log, asked)
