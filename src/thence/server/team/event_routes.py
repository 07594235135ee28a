"""What the routes of the wire do with a request whose user and team are known."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from thence.core.wire.authorship import SIGNATURE_HEADER, PushSignature, read_signature
from thence.core.wire.messages import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    BODY_BYTES_MAX,
    EVENT_BYTES_MAX,
    PAGE_EVENTS_MAX,
    BlocksRequest,
    DigestsRequest,
    EventVerdict,
    Lines,
    Results,
    joined,
    joined_page,
)
from thence.errors import BatchRefused, InvalidEvent
from thence.server.team.exchange import LOG_NAME, Exchange
from thence.server.team.wire_http import Asked, Reply, TooLarge, decoded_as

EVENTS = "events"  # the log of lines that name none
_NOWHERE = (EVENTS, "plain")
Handle = Callable[[Exchange, str, Asked], Reply]


class EventRoute(NamedTuple):
    """A route about the events of a log: its method, its function, the limit of its body."""

    method: str
    handle: Handle
    bytes_max: int = 0
    is_writing: bool = False


class _Home(msgspec.Struct):
    project_uuid: object = None
    simulation_id: object = None


def take_batch(exchange: Exchange, team: str, request: Asked) -> Reply:
    """Commits the lines of a batch; without `log` each goes where its members say."""
    try:
        found = decoded_as(request.body, Lines)
    except InvalidEvent as error:
        raise BatchRefused("could not split the batch into lines", cause=error.cause) from error
    lines = [bytes(raw) for raw in found.events]
    if len(lines) > BATCH_EVENTS_MAX:
        raise TooLarge(f"the batch holds more than {BATCH_EVENTS_MAX} events")
    if len(request.body) > BATCH_BYTES_MAX and len(lines) > 1:
        raise TooLarge(f"a batch of several events holds {BATCH_BYTES_MAX} bytes at most")
    signature = _signature(request)
    if "log" in request.query:
        log, kind = request.query["log"], request.query.get("kind") or None
        verdicts = exchange.batch(team, log, kind, lines, signature=signature)
    elif signature is not None:
        raise InvalidEvent(
            "could not read the request:", place="log", cause="a signature is of one"
        )
    else:
        verdicts = _spread(exchange, team, lines)
    return Reply(200, msgspec.json.encode(Results(tuple(verdicts))))


def _signature(request: Asked) -> PushSignature | None:
    header = request.headers.get(SIGNATURE_HEADER.lower())
    signature = read_signature(header) if header is not None else None
    if header is not None and signature is None:
        cause = "it is no key and no signature, in 64 and 128 hex digits, and a blank between"
        raise InvalidEvent("could not read the request:", place=SIGNATURE_HEADER, cause=cause)
    return signature


def _spread(exchange: Exchange, team: str, lines: list[bytes]) -> list[EventVerdict]:
    """Commits lines of a client that names no log; returns their verdicts in order."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, line in enumerate(lines):
        groups.setdefault(_home(line), []).append(place)
    verdicts: dict[int, EventVerdict] = {}
    for (log, new_kind), places in groups.items():
        given = [lines[place] for place in places]
        verdicts |= zip(places, exchange.batch(team, log, None, given, new_kind), strict=True)
    return [verdicts[place] for place in range(len(lines))]


def _home(line: bytes) -> tuple[str, str]:
    """Returns the name of the log that a line's members name, and its kind if it is new."""
    try:
        found = msgspec.json.decode(line, type=_Home)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _NOWHERE
    for name, kind in ((found.project_uuid, "work"), (found.simulation_id, "sim")):
        if isinstance(name, str) and LOG_NAME.fullmatch(name):
            return name, kind
    return _NOWHERE


def give_page(exchange: Exchange, team: str, request: Asked) -> Reply:
    """Returns the page behind a cursor."""
    text = request.query.get("limit", str(PAGE_EVENTS_MAX))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidEvent("could not read the request:", place="limit", cause="it is no number")
    limit = max(1, min(int(text), PAGE_EVENTS_MAX))
    page = exchange.page(team, _log_of(request), request.query.get("after", ""), limit)
    return Reply(200, joined_page(page.lines, page.next, page.more))


def compare_blocks(exchange: Exchange, team: str, request: Asked) -> Reply:
    """Returns the blocks that differ."""
    found = decoded_as(request.body, BlocksRequest)
    return Reply(200, msgspec.json.encode(exchange.blocks(team, _log_of(request), found)))


def give_lines(exchange: Exchange, team: str, request: Asked) -> Reply:
    """Returns lines by their digests."""
    return Reply(200, joined(exchange.lines(team, _log_of(request), _digests(request))))


def name_signed(exchange: Exchange, team: str, request: Asked) -> Reply:
    """Returns those of some digests whose lines the owners of their nodes pushed."""
    signed = exchange.signed(team, _log_of(request), _digests(request))
    message = DigestsRequest(tuple(digest.hex() for digest in signed))
    return Reply(200, msgspec.json.encode(message))


def _digests(request: Asked) -> list[bytes]:
    message: DigestsRequest = decoded_as(request.body, DigestsRequest)
    try:
        return [bytes.fromhex(text) for text in message.digests[: PAGE_EVENTS_MAX + 1]]
    except ValueError as error:
        raise InvalidEvent("could not read the request:", place="digests", cause=error) from error


def _log_of(request: Asked) -> str:
    return request.query.get("log", EVENTS)


EVENT_ROUTES = {
    "/api/v1/events/batch": EventRoute("POST", take_batch, EVENT_BYTES_MAX, True),
    "/api/v1/events": EventRoute("GET", give_page),
    "/api/v1/events/blocks": EventRoute("POST", compare_blocks, BODY_BYTES_MAX),
    "/api/v1/events/lines": EventRoute("POST", give_lines, BODY_BYTES_MAX),
    "/api/v1/events/signed": EventRoute("POST", name_signed, BODY_BYTES_MAX),
}
