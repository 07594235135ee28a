"""The routes that the script of the pages draws by, of any log; their shapes are not promised.

Every answer has `generation`, which differs once what an arrival holds may have changed. Axes: by
`order` a position is the arrival less one, by `turn` the turn, by `time` microseconds since 1970;
spans are from <= position < to. The first six, and failures, are of the events that a filter of
the log's page finds, marks only without ids. Types and lanes are numbers: those of types are in
`look`, those of lanes in `lanes`; 0 is the rest.
Lists in one line are flat: `[a,b,…]` repeats a and b.

look      events, axes: [name, …], ends: {axis: [first, end]}: of the whole log
          shown, failures, types: [[id, name, events], …] most first
          is_wide: the filter chooses among too many events, so that all are shown
overview  first, level, buckets; bucket n begins at first + n * 2^level
          counts: [bucket,type,events,…], failures: [bucket,events,…]
lanes     lanes: [[id, name, events, failures], …], 200 at most
          by order also ends: the ids of the first and the last event of the span
tiles     lanes: {lane: [bucket,type,events,…]}, failures: {lane: [bucket,events,…]}
marks     marks: [arrival,lane,type,µs or null,…], failures: [arrival,…]
          with ids=1 also ids: [event_id, …], words: [sentence, …]
bars      bars: [begin,end or 0,first,last or -1,lane,row,failed,parent,…], 4,000 at most
          rows: {lane: number}, words: {begin: text} of the longest, total; null: too many events
path      arrival, path: [arrival,lane,type,depth,…] from the event (depth 0) on, nearest first
          causes: [child,parent,…] among these, truncated
failures  arrival, event_id, lane; null where there is no further one, or nothing in a lane's turn
series    every: a turn of so many, lanes: {lane: [turn,value,arrival,…]}, names: {lane: name}
growth    server-sent: events, from: the lowest arrival whose picture changed
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.log.index import tiles
from thence.log.index.bars import bars
from thence.log.index.tiles import POSITION_MAX, Axis, Sort, TileView
from thence.server.errors import LIVE_RESPONSE, RESPONSES
from thence.server.logs.root import OpenLog
from thence.server.routes.live_events import LastEventId, News, open_stream
from thence.server.routes.logs import EventId, answer
from thence.server.routes.parameters import Number, PageFilter, Parameters
from thence.server.routes.state import app_state

PATH_MAX = 200
MARKS_MAX, IDS_MAX = 2_000, 100
LEVEL_MAX = 44  # such a tile is wider than any axis
_TILE_LANES = r"^([0-9]{1,16}(,[0-9]{1,16}){0,19})?$"

_MARK = re.compile(r"([0-9]{1,16})-([0-9]{1,16})", re.ASCII)

_Position = Annotated[int, Field(ge=0, le=POSITION_MAX), Number]
_From = Annotated[_Position, Field(alias="from")]
_To = Annotated[_Position, Field(alias="to")]


class Picture(BaseModel):
    """An answer: numbers, as the script of the pages reads them."""

    model_config = ConfigDict(extra="allow")

    generation: int


class _Look(PageFilter):
    """Returns how much there is, of which types, on which axes."""


class _Overview(PageFilter):
    """Returns the counts of the whole log."""

    axis: Axis = "order"


class _Lanes(PageFilter):
    """Returns the lanes that have something in a span."""

    axis: Axis = "order"
    first: _From = 0
    end: _To = POSITION_MAX
    sort: Sort = "failures"
    find: Annotated[str, Field(max_length=tiles.NAME_CHARACTERS_MAX)] = ""


class _Tiles(PageFilter):
    """Returns the counts of some lanes in 256 buckets."""

    axis: Axis = "order"
    level: Annotated[int, Field(ge=0, le=LEVEL_MAX), Number] = 0
    tile: _Position = 0
    lanes: Annotated[
        str, Field(pattern=_TILE_LANES, description="At most 20, separated by commas.")
    ] = ""


class _Marks(PageFilter):
    """Returns the events of a short span."""

    first: _From = 0
    end: _To = MARKS_MAX
    ids: bool = False


class _Bars(PageFilter):
    """Returns what lasted in a span, in rows by what it is a part of."""

    axis: Literal["order", "time"] = "order"
    first: _From = 0
    end: _To = POSITION_MAX


class _Failures(PageFilter):
    """Returns the next failure after an arrival or before one, or a lane's event of a turn."""

    after: _Position = 0
    before: Annotated[_Position, Field(description="0: not asked for.")] = 0
    lane: Annotated[_Position, Field(description="Asked for what it has in the turn `at`.")] = 0
    at: _Position = 0


class _Series(Parameters):
    """Returns the values of a variable by turn, of 200 lanes."""

    variable: Annotated[str, Field(min_length=1, description="Its name, without the lane.")]


class _Path(Parameters):
    then: bool = False
    limit: Annotated[int, Field(ge=1, le=PATH_MAX), Number] = PATH_MAX


def _marks(view: TileView, it: _Marks) -> dict[str, Any]:
    if it.end - it.first > (IDS_MAX if it.ids else MARKS_MAX):
        raise HTTPException(422, f"to - from is over {MARKS_MAX:,}, or with ids over {IDS_MAX}")
    return tiles.marks(view, it.first, it.end, with_ids=it.ids)


def _failure(view: TileView, it: _Failures) -> dict[str, Any]:
    if it.lane:
        return tiles.in_turn(view, it.lane, it.at)
    return tiles.failure(view, it.before or it.after, not it.before)


# the routes by what they take: what each answers
_ROUTES: Mapping[type[Parameters], Callable[[TileView, Any], dict[str, Any]]] = {
    _Look: lambda view, it: tiles.look(view),
    _Overview: lambda view, it: tiles.overview(view, it.axis),
    _Lanes: lambda view, it: tiles.lanes(view, it.axis, (it.first, it.end), it.sort, it.find),
    _Tiles: lambda view, it: tiles.tile(
        view, it.axis, it.level, it.tile, [int(number) for number in it.lanes.split(",") if number]
    ),
    _Marks: _marks,
    _Bars: lambda view, it: bars(view, it.axis, it.first, it.end),
    _Failures: _failure,
    _Series: lambda view, it: tiles.series(view, it.variable),
}

router = APIRouter(prefix="/logs/{id}", tags=["not promised"], responses=RESPONSES)


def _add(kind: Any, work: Callable[[TileView, Any], dict[str, Any]]) -> None:
    """Adds the route that takes some parameters."""

    async def route(request: Request, id: str, it: Annotated[kind, Query()]) -> Response:
        return await _answered(request, id, it, lambda view: work(view, it))

    name = kind.__name__[1:].lower()
    router.get(f"/{name}", name=name, description=kind.__doc__, response_model=Picture)(route)


for _kind, _work in _ROUTES.items():
    _add(_kind, _work)


@router.get("/path/{event_id:path}", response_model=Picture)
async def path(
    request: Request, id: str, event_id: EventId, it: Annotated[_Path, Query()]
) -> Response:
    """Returns the causes of an event, or its effects."""
    work = partial(tiles.path, event_id=event_id, is_effects=it.then, limit=it.limit)
    return await _answered(request, id, it, work)


@router.get("/growth", response_class=Response, responses=LIVE_RESPONSE)
async def growth(
    request: Request, id: str, it: Annotated[Parameters, Query()], last_event_id: LastEventId = None
) -> Response:
    """Sends how much the log holds whenever that changes, 4 times a second at most."""
    numbers = _MARK.fullmatch(last_event_id or "")
    read = Growth(numbers and (int(numbers[1]), int(numbers[2]))).read
    return await open_stream(request, id, False, read)


class Growth:
    """How much a log holds: what of it a stream has sent, and what its client had before.

    A mark is a generation, and how many events it had.
    """

    def __init__(self, since: tuple[int, int] | None) -> None:
        self._since = since
        self._sent: tuple[int, int] | None = None

    def read(self, log: OpenLog) -> News:
        """Returns a frame if the log has changed."""
        growth = tiles.read(log.index, log.counted, lambda view: tiles.growth(view, self._since))
        self._since = mark = growth["generation"], growth["events"]
        if mark == self._sent:
            return News(b"")
        self._sent = mark
        return News(b"id: %d-%d\ndata: %b\n\n" % (*mark, msgspec.json.encode(growth)))


async def _answered(
    request: Request, log_id: str, it: Parameters, work: Callable[[TileView], dict[str, Any]]
) -> Response:
    """Returns an answer about the events that a filter finds; 503 while the index is made."""

    def read(log: OpenLog) -> Response:
        question = (it.filter(), it.within(log)) if isinstance(it, PageFilter) else tiles.EVERYTHING
        return answer(tiles.read(log.index, log.counted, work, question))

    return await app_state(request).ask(log_id, read, is_patient=False)
