"""What the routes of the wire do with a request whose user and team are known."""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from starlette.requests import HTTPConnection

from thence.core.ready import ready
from thence.errors import InvalidEvent
from thence.server.errors import too_large
from thence.server.team.sync_service import Exchange
from thence.server.team.validation import checked
from thence.server.team.wire_http import decoded_as
from thence.sync.wire.messages import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    BODY_BYTES_MAX,
    EVENT_BYTES_MAX,
    LOG_NAME,
    PAGE_EVENTS_MAX,
    Batch,
    BatchRefused,
    Cursors,
    DigestsRequest,
    EventVerdict,
    KeptPieces,
    LogsPage,
    Missing,
    Pieces,
    Results,
    joined,
    joined_page,
    joined_pieces,
)

EVENTS = "events"  # the log of lines that name none
_NOWHERE = (EVENTS, "plain")
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII | re.IGNORECASE)
# returns what answers a team's request with a body
Handle = Callable[[Exchange, str, HTTPConnection, bytes], object]


class EventRoute(NamedTuple):
    """A route about the events of a log: its path, method, function, the limit of its body."""

    path: str
    method: str
    handle: Handle
    bytes_max: int = 0
    is_writing: bool = False


class _Names(msgspec.Struct):
    """The members of another tool's line by which its log is chosen."""

    event_id: object = None
    project_uuid: object = None
    simulation_id: object = None


def take_batch(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> Results:
    """Commits the lines of a batch; without `log` each goes where its members say."""
    try:
        batch: Batch = decoded_as(body, Batch)
    except InvalidEvent as error:
        raise BatchRefused("could not split the batch into lines", cause=error.cause) from error
    lines = [bytes(raw) for raw in batch.events]
    if len(lines) > BATCH_EVENTS_MAX:
        raise too_large(f"the batch holds more than {BATCH_EVENTS_MAX} events")
    if sum(map(len, lines)) > BATCH_BYTES_MAX and len(lines) > 1:
        raise too_large(f"a batch of several events holds {BATCH_BYTES_MAX} bytes at most")
    query, login = request.query_params, request.state.login
    if "log" in query:
        log, kind = query["log"], query.get("kind") or None
        cursors = Cursors(query.get("after", ""), query.get("seen", ""))
        named = {"login": login, "nodes": batch.nodes}
        results = exchange.batch(team, log, kind, lines, cursors=cursors, **named)
        exchange.entitle(team, log, query.get("title", ""))
        return results
    if "kind" in query:
        cause = "a kind is of one log"
        raise InvalidEvent("could not read the request:", place="log", cause=cause)
    return Results(tuple(_spread(exchange, team, lines, login)))


def _spread(exchange: Exchange, team: str, lines: list[bytes], login: str) -> list[EventVerdict]:
    """Commits lines of a client that names no log; returns their verdicts in order.

    Such a client does not halve a batch: a bad line is rejected and leaves the others alone.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    verdicts: dict[int, EventVerdict] = {}
    for place, line in enumerate(lines):
        try:
            names = msgspec.json.decode(line, type=ready(_Names))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            names = _Names()
        reason = _unfit(line)
        if reason:
            event_id = names.event_id if isinstance(names.event_id, str) else ""
            verdicts[place] = EventVerdict(event_id, "rejected", reason, "invalid_event")
        else:
            groups.setdefault(_home(names), []).append(place)
    for (log, new_kind), places in groups.items():
        group = [lines[place] for place in places]
        results = exchange.batch(team, log, None, group, new_kind, login=login).results
        verdicts |= zip(places, results, strict=True)
    return [verdicts[place] for place in range(len(lines))]


def _unfit(line: bytes) -> str:
    """Returns why a line of a client that names no log is not taken, "" for one that is.

    Other tools' lines need a ULID: other ids of theirs may be one for several events.
    """
    try:
        row = checked([line]).rows[0]
    except BatchRefused as error:
        return next(iter(error.bad.values()))
    if row.seq == 0 and not _ULID.fullmatch(row.event_id):
        return "invalid event_id: it is not a ULID"
    return ""


def _home(names: _Names) -> tuple[str, str]:
    """Returns the name of the log that a line's members name, and its kind if it is new."""
    for name, kind in ((names.project_uuid, "work"), (names.simulation_id, "sim")):
        if isinstance(name, str) and LOG_NAME.fullmatch(name):
            return name, kind
    return _NOWHERE


def give_page(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> bytes:
    """Returns the page behind a cursor."""
    query = request.query_params
    text = query.get("limit", str(PAGE_EVENTS_MAX))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidEvent("could not read the request:", place="limit", cause="it is not a number")
    limit = max(1, min(int(text), PAGE_EVENTS_MAX))
    after, seen = query.get("after", ""), query.get("seen", "")
    page = exchange.page(team, log_of(request), after, limit, seen=seen)
    return joined_page(*page)


def name_logs(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> LogsPage:
    """Returns the logs of the team after the one of a name."""
    return exchange.logs(team, request.query_params.get("after", ""))


def name_missing(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> Missing:
    """Returns those of some digests that the log lacks."""
    return exchange.missing(team, log_of(request), _digests(body))


def give_lines(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> bytes:
    """Returns lines by their digests."""
    return joined(exchange.lines(team, log_of(request), _digests(body)))


def name_lacking_pieces(
    exchange: Exchange, team: str, request: HTTPConnection, body: bytes
) -> DigestsRequest:
    """Returns those of some digests of which the log has no whole value."""
    return DigestsRequest(exchange.lacking_pieces(team, log_of(request), _digests(body)))


def keep_pieces(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> KeptPieces:
    """Keeps pieces of large values in the log that the request names."""
    pieces: Pieces = decoded_as(body, Pieces)
    kind = request.query_params.get("kind", "plain")
    lines = [bytes(raw) for raw in pieces.pieces]
    return KeptPieces(exchange.keep_pieces(team, log_of(request), kind, lines))


def give_pieces(exchange: Exchange, team: str, request: HTTPConnection, body: bytes) -> bytes:
    """Returns pieces of large values by their digests."""
    return joined_pieces(exchange.given_pieces(team, log_of(request), _digests(body)))


def _digests(body: bytes) -> list[bytes]:
    names: DigestsRequest = decoded_as(body, DigestsRequest)
    try:
        return [bytes.fromhex(text) for text in names.digests[: PAGE_EVENTS_MAX + 1]]
    except ValueError as error:
        raise InvalidEvent("could not read the request:", place="digests", cause=error) from error


def log_of(request: HTTPConnection) -> str:
    """Returns the name of the log that a request is about."""
    return request.query_params.get("log", EVENTS)


EVENT_ROUTES = (
    EventRoute("events/batch", "POST", take_batch, EVENT_BYTES_MAX, True),
    EventRoute("logs", "GET", name_logs),
    EventRoute("events", "GET", give_page),
    EventRoute("events/missing", "POST", name_missing, BODY_BYTES_MAX),
    EventRoute("events/lines", "POST", give_lines, BODY_BYTES_MAX),
    EventRoute("events/pieces", "POST", keep_pieces, BODY_BYTES_MAX, True),
    EventRoute("events/pieces/missing", "POST", name_lacking_pieces, BODY_BYTES_MAX),
    EventRoute("events/values", "POST", give_pieces, BODY_BYTES_MAX),
)
