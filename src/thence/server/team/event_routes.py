"""What the routes of the wire do with a request whose user and team are known."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec
from starlette.requests import HTTPConnection

from thence.core.ready import ready
from thence.errors import InvalidEvent
from thence.server.errors import too_large
from thence.server.http.bodies import decoded_as
from thence.server.team.sync_service import SyncService, checked
from thence.sync.wire.messages import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    BODY_BYTES_MAX,
    EVENT_BYTES_MAX,
    LOG_NAME,
    PAGE_EVENTS_MAX,
    BatchRefused,
    Cursors,
    DigestsRequest,
    EventVerdict,
    KeptPieces,
    Pieces,
    Results,
    joined,
)

T = TypeVar("T")
EVENTS = "events"  # the log of lines that name none
_REQUEST = "could not read the request:"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII | re.IGNORECASE)


class Call(NamedTuple):
    """A request of a member of a team about events, with its body."""

    service: SyncService
    team: str
    request: HTTPConnection
    body: bytes = b""

    @property
    def log(self) -> str:
        """The name of the log that the request is about."""
        return self.request.query_params.get("log", EVENTS)

    def digests(self) -> list[bytes]:
        """Returns the digests of the body; raises InvalidEvent for another one."""
        names: DigestsRequest = decoded_as(self.body, DigestsRequest)
        try:
            return [bytes.fromhex(text) for text in names.digests[: PAGE_EVENTS_MAX + 1]]
        except ValueError as error:
            raise InvalidEvent(_REQUEST, place="digests", cause=error) from error


class EventRoute(NamedTuple):
    """A route about the events of a log: its path, method, function, the limit of its body."""

    path: str
    method: str
    handle: Callable[[Call], object]
    bytes_max: int = 0
    is_writing: bool = False


class _Batch(msgspec.Struct, frozen=True):
    """Lines of events, undecoded; `nodes` are all under which the log that pushes them wrote."""

    events: tuple[msgspec.Raw, ...]
    nodes: tuple[str, ...] = ()


class _Names(msgspec.Struct):
    """The members of another tool's line by which its log is chosen."""

    event_id: object = None
    project_uuid: object = None
    simulation_id: object = None


def push_batch(call: Call) -> Results:
    """Commits the lines of a batch; without `log` each goes where its members say."""
    try:
        batch: _Batch = decoded_as(call.body, _Batch)
    except InvalidEvent as error:
        raise BatchRefused("could not split the batch into lines", cause=error.cause) from error
    lines = [bytes(raw) for raw in batch.events]
    if len(lines) > BATCH_EVENTS_MAX:
        raise too_large(f"the batch holds more than {BATCH_EVENTS_MAX} events")
    if sum(map(len, lines)) > BATCH_BYTES_MAX and len(lines) > 1:
        raise too_large(f"a batch of several events holds {BATCH_BYTES_MAX} bytes at most")
    service, team, query = call.service, call.team, call.request.query_params
    login = call.request.state.login
    if "log" in query:
        kind = query.get("kind") or None
        cursors = Cursors(query.get("after", ""), query.get("seen", ""))
        named = {"login": login, "nodes": batch.nodes}
        results = service.batch(team, call.log, kind, lines, cursors=cursors, **named)
        service.set_title(team, call.log, query.get("title", ""))
        return results
    if "kind" in query:
        raise InvalidEvent(_REQUEST, place="log", cause="a kind is of one log")
    return Results(tuple(_spread(service, team, lines, login)))


def _spread(
    service: SyncService, team: str, lines: Sequence[bytes], login: str
) -> Iterator[EventVerdict]:
    """Commits lines of a client that names no log; yields their verdicts in order.

    Such a client does not halve a batch: a bad line is rejected and leaves the others alone. Other
    tools' lines need a ULID: other ids of theirs may be one for several events. A line goes to the
    log that its members name, and a new one has the kind that goes with them.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    verdicts: dict[int, EventVerdict] = {}
    for place, line in enumerate(lines):
        try:
            names = msgspec.json.decode(line, type=ready(_Names))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            names = _Names()
        reason = ""
        try:
            row = checked([line]).rows[0]
            if row.seq == 0 and not _ULID.fullmatch(row.event_id):
                reason = "invalid event_id: it is not a ULID"
        except BatchRefused as error:
            reason = next(iter(error.bad.values()))
        if reason:
            event_id = names.event_id if isinstance(names.event_id, str) else ""
            verdicts[place] = EventVerdict(event_id, "rejected", reason, "invalid_event")
            continue
        home = (EVENTS, "plain")
        for name, kind in ((names.simulation_id, "sim"), (names.project_uuid, "work")):
            if isinstance(name, str) and LOG_NAME.fullmatch(name):
                home = name, kind
        groups.setdefault(home, []).append(place)
    for (log, new_kind), places in groups.items():
        group = [lines[place] for place in places]
        results = service.batch(team, log, None, group, new_kind, login=login).results
        verdicts |= zip(places, results, strict=True)
    yield from (verdicts[place] for place in range(len(lines)))


def pull_page(call: Call) -> bytes:
    """Returns the page behind a cursor."""
    query = call.request.query_params
    text = query.get("limit", str(PAGE_EVENTS_MAX))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidEvent(_REQUEST, place="limit", cause="it is not a number")
    limit = max(1, min(int(text), PAGE_EVENTS_MAX))
    after, seen = query.get("after", ""), query.get("seen", "")
    page = call.service.page(call.team, call.log, after, limit, seen=seen)
    return joined(page.lines, next=page.next, more=page.more)


def push_pieces(call: Call) -> KeptPieces:
    """Keeps pieces of large values in the log that the request names."""
    pieces: Pieces = decoded_as(call.body, Pieces)
    kind = call.request.query_params.get("kind", "plain")
    lines = [bytes(raw) for raw in pieces.pieces]
    return KeptPieces(call.service.keep_pieces(call.team, call.log, kind, lines))


def _about(
    question: Callable[[SyncService, str, str, list[bytes]], T], form: Callable[[T], object]
) -> Callable[[Call], object]:
    """Returns the function of a route that asks the service about digests of a log."""
    return lambda call: form(question(call.service, call.team, call.log, call.digests()))


EVENT_ROUTES = (
    EventRoute("events/batch", "POST", push_batch, EVENT_BYTES_MAX, True),
    EventRoute(
        "logs",
        "GET",
        lambda call: call.service.logs(call.team, call.request.query_params.get("after", "")),
    ),
    EventRoute("events", "GET", pull_page),
    EventRoute("events/pieces", "POST", push_pieces, BODY_BYTES_MAX, True),
    *(
        EventRoute(path, "POST", handle, BODY_BYTES_MAX)
        for path, handle in (
            ("events/missing", _about(SyncService.missing, lambda missing: missing)),
            ("events/lines", _about(SyncService.lines, joined)),
            ("events/pieces/missing", _about(SyncService.lacking_pieces, DigestsRequest)),
            (
                "events/values",
                _about(SyncService.given_pieces, partial(joined, kind="pieces")),
            ),
        )
    ),
)
