"""A response of events as lines, in batches, in memory that does not grow with their number."""

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from thence.core.query.filter import Filter
from thence.index.plan.page import PageOfLines
from thence.server.logs.questions import page_of_lines
from thence.server.routes.bodies import NDJSON
from thence.server.served import Served

BATCH_EVENTS = 1_000


def wants_lines(request: Request) -> bool:
    """Reports whether a client asks for lines instead of one JSON document."""
    return NDJSON in request.headers.get("accept", "").lower()


async def all_lines(
    served: Served, log_id: str, event_filter: Filter, is_simulation: bool
) -> Response:
    """Returns all events that match, in total order, a line each.

    A failure before the first line is an error like any other; later the connection is
    broken off, so that half of a run is never taken for all of it.
    """

    def batch(cursor: str | None) -> Awaitable[PageOfLines]:
        return served.ask(
            log_id,
            lambda log: page_of_lines(log, event_filter, limit=BATCH_EVENTS, cursor=cursor),
            is_simulation,
        )

    return StreamingResponse(_batches(served, batch, await batch(None)), media_type=NDJSON)


async def _batches(
    served: Served, batch: Callable[[str | None], Awaitable[PageOfLines]], page: PageOfLines
) -> AsyncIterator[bytes]:
    """Yields the lines of one page after the other.

    Between pages the log is not held: a client that disconnects leaves no log to be released by
    the garbage collector, which may run anywhere, even in code that holds a lock.
    """
    while page.lines:
        yield b"\n".join(served.count_page(page).lines) + b"\n"
        if page.next_cursor is None:
            return
        page = await batch(page.next_cursor)
