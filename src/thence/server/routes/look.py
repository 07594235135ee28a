"""The routes that the script of the pages draws by; their shapes are not promised.

Every answer has `generation`, which differs once what an arrival holds may have changed. Axes: by
`order` a position is the arrival less one, by `turn` the turn, by `time` microseconds since 1970;
spans are from <= position < to. Types and lanes are numbers: those of types are in `look`, those of
lanes in `lanes`; 0 is the rest.
Lists in one line are flat: `[a,b,…]` repeats a and b.

look      events, failures, axes: [name, …], ends: {axis: [first, end]}
          types: [[id, name, events], …] most first
overview  first, level, buckets; bucket n begins at first + n * 2^level
          counts: [bucket,type,events,…], failures: [bucket,events,…]
lanes     lanes: [[id, name, events, failures], …], 200 at most
          by order also ends: the ids of the first and the last event of the span
tiles     lanes: {lane: [bucket,type,events,…]}, failures: {lane: [bucket,events,…]}
marks     marks: [arrival,lane,type,µs or null,…], failures: [arrival,…]
          with ids=1 also ids: [event_id, …], words: [sentence, …]
bars      bars: [begin,end or 0,first,last or -1,lane,row,failed,parent,…], 2,000 at most
          rows: {lane: number}, words: {begin: text} of the longest, total; null: too many events
path      arrival, path: [arrival,lane,type,depth,…] from the event (depth 0) on, nearest first
          causes: [child,parent,…] among these, truncated
failures  arrival, event_id, lane; null where there is no further one
series    every: a turn of so many, lanes: {lane: [turn,value,arrival,…]}, names: {lane: name}
growth    server-sent: events, from: the lowest arrival whose picture changed
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.log.index import tiles
from thence.log.index.bars import bars as bars_of
from thence.log.index.tiles import POSITION_MAX, Axis, Sort, TileView
from thence.server.errors import LIVE_RESPONSE, RESPONSES
from thence.server.logs.root import OpenLog
from thence.server.routes.live_events import LastEventId, News, open_stream
from thence.server.routes.logs import EventId, Kind, answer
from thence.server.routes.parameters import Number, Parameters
from thence.server.routes.state import app_state

PATH_MAX = 200
MARKS_MAX, IDS_MAX = 2_000, 100
LEVEL_MAX = 44  # such a tile is wider than any axis
_TILE_LANES = r"^([0-9]{1,16}(,[0-9]{1,16}){0,19})?$"

_MARK = re.compile(r"([0-9]{1,16})-([0-9]{1,16})", re.ASCII)

Work = Callable[[TileView], dict[str, Any]]
_Position = Annotated[int, Field(ge=0, le=POSITION_MAX), Number]
_From = Annotated[_Position, Field(alias="from")]
_To = Annotated[_Position, Field(alias="to")]


class Picture(BaseModel):
    """An answer: numbers, as the script of the pages reads them."""

    model_config = ConfigDict(extra="allow")

    generation: int


class _Axis(Parameters):
    axis: Axis = "order"


class _Lanes(_Axis):
    first: _From = 0
    end: _To = POSITION_MAX
    sort: Sort = "failures"
    find: Annotated[str, Field(max_length=tiles.NAME_CHARACTERS_MAX)] = ""


class _Tile(_Axis):
    level: Annotated[int, Field(ge=0, le=LEVEL_MAX), Number] = 0
    tile: _Position = 0
    lanes: Annotated[
        str, Field(pattern=_TILE_LANES, description="At most 20, separated by commas.")
    ] = ""


class _Marks(Parameters):
    first: _From = 0
    end: _To = MARKS_MAX
    ids: bool = False


class _Bars(Parameters):
    axis: Literal["order", "time"] = "order"
    first: _From = 0
    end: _To = POSITION_MAX


class _Path(Parameters):
    then: bool = False
    limit: Annotated[int, Field(ge=1, le=PATH_MAX), Number] = PATH_MAX


class _Failures(Parameters):
    after: _Position = 0
    before: Annotated[_Position, Field(description="0: not asked for.")] = 0


class _Series(Parameters):
    variable: Annotated[str, Field(min_length=1, description="Its name, without the lane.")]


def routes_of(kind: Kind) -> APIRouter:
    """Returns the routes of simulations, or of any logs."""
    router = APIRouter(prefix=f"/{kind.name}", tags=["not promised"], responses=RESPONSES)
    ask = partial(_answer, kind.is_simulation)

    @router.get("/{id}/look", response_model=Picture)
    async def look(request: Request, id: str, it: Annotated[Parameters, Query()]) -> Response:
        """Returns how much there is, of which types, on which axes."""
        return await ask(request, id, tiles.look)

    @router.get("/{id}/overview", response_model=Picture)
    async def overview(request: Request, id: str, it: Annotated[_Axis, Query()]) -> Response:
        """Returns the counts of the whole log."""
        return await ask(request, id, lambda view: tiles.overview(view, it.axis))

    @router.get("/{id}/lanes", response_model=Picture)
    async def lanes(request: Request, id: str, it: Annotated[_Lanes, Query()]) -> Response:
        """Returns the lanes that have something in a span."""
        span = it.first, it.end
        return await ask(
            request, id, lambda view: tiles.lanes(view, it.axis, span, it.sort, it.find)
        )

    @router.get("/{id}/tiles", response_model=Picture)
    async def tile(request: Request, id: str, it: Annotated[_Tile, Query()]) -> Response:
        """Returns the counts of some lanes in 256 buckets."""
        numbers = [int(number) for number in it.lanes.split(",") if number]
        return await ask(
            request, id, lambda view: tiles.tile(view, it.axis, it.level, it.tile, numbers)
        )

    @router.get("/{id}/marks", response_model=Picture)
    async def marks(request: Request, id: str, it: Annotated[_Marks, Query()]) -> Response:
        """Returns the events of a short span."""
        if it.end - it.first > (IDS_MAX if it.ids else MARKS_MAX):
            raise HTTPException(422, f"to - from is over {MARKS_MAX:,}, or with ids over {IDS_MAX}")
        return await ask(
            request, id, lambda view: tiles.marks(view, it.first, it.end, with_ids=it.ids)
        )

    @router.get("/{id}/bars", response_model=Picture)
    async def bars(request: Request, id: str, it: Annotated[_Bars, Query()]) -> Response:
        """Returns what lasted in a span, in rows by what it is a part of."""
        return await ask(request, id, lambda view: bars_of(view, it.axis, it.first, it.end))

    @router.get("/{id}/path/{event_id:path}", response_model=Picture)
    async def path(
        request: Request, id: str, event_id: EventId, it: Annotated[_Path, Query()]
    ) -> Response:
        """Returns the causes of an event, or its effects."""
        return await ask(request, id, lambda view: tiles.path(view, event_id, it.then, it.limit))

    @router.get("/{id}/failures", response_model=Picture)
    async def failures(request: Request, id: str, it: Annotated[_Failures, Query()]) -> Response:
        """Returns the next failure after an arrival, or the last one before another."""
        at = it.before or it.after
        return await ask(request, id, lambda view: tiles.failure(view, at, not it.before))

    @router.get("/{id}/series", response_model=Picture)
    async def series(request: Request, id: str, it: Annotated[_Series, Query()]) -> Response:
        """Returns the values of a variable by turn, of 200 lanes."""
        return await ask(request, id, lambda view: tiles.series(view, it.variable))

    @router.get("/{id}/growth", response_class=Response, responses=LIVE_RESPONSE)
    async def growth(
        request: Request,
        id: str,
        it: Annotated[Parameters, Query()],
        last_event_id: LastEventId = None,
    ) -> Response:
        """Sends how much the log holds whenever that changes, 4 times a second at most."""
        numbers = _MARK.fullmatch(last_event_id or "")
        read = Growth(numbers and (int(numbers[1]), int(numbers[2]))).read
        return await open_stream(request, id, kind.is_simulation, read)

    return router


class Growth:
    """How much a log holds: what of it a stream has sent, and what its client had before.

    A mark is a generation, and how many events it had.
    """

    def __init__(self, since: tuple[int, int] | None) -> None:
        self._since = since
        self._sent: tuple[int, int] | None = None

    def read(self, log: OpenLog) -> News:
        """Returns a frame if the log has changed."""
        growth = _read(log, lambda view: tiles.growth(view, self._since))
        self._since = mark = growth["generation"], growth["events"]
        if mark == self._sent:
            return News(b"")
        self._sent = mark
        return News(b"id: %d-%d\ndata: %b\n\n" % (*mark, msgspec.json.encode(growth)))


async def _answer(is_simulation: bool, request: Request, log_id: str, work: Work) -> Response:
    """Returns an answer; 503 while the index is made."""

    def question(log: OpenLog) -> Response:
        return answer(_read(log, work))

    return await app_state(request).ask(log_id, question, is_simulation, is_patient=False)


def _read(log: OpenLog, work: Work) -> dict[str, Any]:
    return tiles.read(log.index, log.counted, work)
