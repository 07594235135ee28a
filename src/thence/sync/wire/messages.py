"""The messages between a client and a server: their forms, limits and encoding.

Lines travel as their bytes stand in a segment: they are spliced into a message and split out of it
without being decoded. docs/reference/formats/wire.md describes the exchange.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from thence.errors import SyncRefused

BATCH_EVENTS_MAX = 1_000
BATCH_BYTES_MAX = 256 * 1024
# of a batch with one event
EVENT_BYTES_MAX = 1024 * 1024 + 64 * 1024
BODY_BYTES_MAX = 4 * 1024 * 1024
PAGE_EVENTS_MAX = 1_000
PAGE_BYTES_MAX = 1024 * 1024
# of pieces of large values in a request or an answer; or one piece
PIECES_BYTES_MAX = 1024 * 1024
# of one value: its chain may have parts of several logs' chains, which have 1,024 each at most
CHAIN_PIECES_MAX = 4_096
DIGEST_BYTES = 32
# of a batch: a log keeps 1,000 former ones
OWN_NODES_MAX = 1_001
# the name of a log at a server
_LOG_NAME = r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}"
LOG_NAME = re.compile(_LOG_NAME, re.ASCII)
LogName = Annotated[str, msgspec.Meta(pattern=rf"\A{_LOG_NAME}\Z")]
# two of them stand in the head of a request
Cursor = Annotated[str, msgspec.Meta(max_length=256)]
Token = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,4096}\Z")]

# the code of a line whose large values must be pushed before it
BODIES_MISSING = "bodies_missing"
# the code of a line without its value, which comes from the owner of its node or an admin alone
BODY_MISSING = "body_missing"

T = TypeVar("T")

# the bytes of a message of events beside its lines
_BESIDE_BYTES = len(b'{"events":[]}')


class BatchRefused(SyncRefused):
    """Error: the server refused a batch as a whole; `bad` maps ids of its lines to reasons."""


class BatchFailed(SyncRefused):
    """Error: a server, or a proxy before it, failed at a batch as a whole, by a status of 5xx."""


class EventVerdict(msgspec.Struct, frozen=True):
    """The result for one event of a batch.

    `status` is success, duplicate, rejected or retry, or another tool's word.
    """

    event_id: str
    status: str
    error_message: str | None = None
    error: str | None = None


class Cursors(NamedTuple):
    """Two places of a client in the log on a server, each "" for the beginning.

    All lines before `after` were pulled. The server holds all that it said to hold, if it still has
    the place `seen`.
    """

    after: str = ""
    seen: str = ""


class Results(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a batch: a verdict for each event, in the order of the events.

    `seen` is the cursor behind the log's last line then; `after` the one of the request, or `seen`
    if nothing but lines of the batch lies between. Both are "" for a batch that names no log.
    """

    results: tuple[EventVerdict, ...]
    after: Cursor = ""
    seen: Cursor = ""


class Lines(msgspec.Struct, frozen=True):
    """Lines of events, undecoded: the answer to a request for digests."""

    events: tuple[msgspec.Raw, ...]


class LinesPage(msgspec.Struct, frozen=True):
    """A page of lines behind a cursor; `next` is the cursor behind the last of them."""

    events: tuple[msgspec.Raw, ...]
    next: Cursor
    more: bool


class PulledPage(NamedTuple):
    """The lines of a page, without newlines; `next` is the cursor behind them."""

    lines: Sequence[bytes]
    next: str
    more: bool


class TeamLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """A log of a team: its name, its kind, and the title that a client gave it last.

    `mark` is another text after each change of the log, "" for one without lines. `first_by` and
    `last_by` are the logins that pushed its first and its last line.
    """

    log: LogName
    kind: str
    title: str = ""
    mark: str = ""
    first_by: str = ""
    last_by: str = ""


class MirroredLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of a mirror's file: which log it mirrors, as the server listed it last.

    `log.mark` is that up to which all was pulled. `withdrawn` is why the log may not be read any
    more, "" while it may.
    """

    server: str
    team: str
    log: TeamLog
    withdrawn: str = ""


class LogsPage(msgspec.Struct, frozen=True):
    """A page of a team's logs, in the order of their names."""

    logs: tuple[TeamLog, ...]
    more: bool


class Missing(msgspec.Struct, frozen=True):
    """Those of some digests, in hex, that the server's log lacks, and how many lines that holds."""

    digests: tuple[str, ...]
    count: int


class DigestsRequest(msgspec.Struct, frozen=True):
    """Digests in hex: a request about lines or pieces, or the answer that names some of them."""

    digests: tuple[str, ...]


class Pieces(msgspec.Struct, frozen=True):
    """Lines of pieces of large values, undecoded: what is pushed, or what is given."""

    pieces: tuple[msgspec.Raw, ...]


class KeptPieces(msgspec.Struct, frozen=True):
    """How many pieces of a request, from the first one on, the server holds now."""

    count: int


class NodeOwner(msgspec.Struct, frozen=True):
    """The login that owns a node, and whether the one that asks may redact the node's lines."""

    owner: str | None
    may_redact: bool


class Secret(msgspec.Struct, frozen=True):
    """A message with a secret in it: its repr shows none of its members."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class Credentials(Secret, frozen=True):
    """The body of a login."""

    username: str
    password: str


class Refresh(Secret, frozen=True):
    """The body of a request for new tokens, or for the end of a login."""

    refresh: str


class Tokens(Secret, frozen=True):
    """The answer to a login; lifetimes in seconds. `username` is the user's name."""

    access: Token
    refresh: Token
    access_lifetime: int
    refresh_lifetime: int
    team_slug: str | None = None
    username: str = ""


class LiveToken(Secret, frozen=True):
    """The answer to a request for a token of one live connection; its lifetime in seconds.

    `ws_token` is the token again, under the name by which spec-kitty's client reads it.
    """

    token: Token
    lifetime: int
    ws_token: str = ""


def joined(lines: Iterable[bytes], kind: str = "events", **rest: object) -> bytes:
    """Returns a message of lines without newlines, as they are, with other members behind them."""
    tail = msgspec.json.encode(rest)[1:] if rest else b"}"
    return b'{"%b":[%b]%b%b' % (kind.encode(), b",".join(lines), b"," * bool(rest), tail)


def batches(items: Iterable[T], line_of: Callable[[T], bytes]) -> Iterator[Sequence[T]]:
    """Yields items in groups whose lines fit into a batch; one that is too large stands alone."""
    group: list[T] = []
    size_bytes = 0
    for item in items:
        line_bytes = len(line_of(item)) + 1
        over = size_bytes + line_bytes + _BESIDE_BYTES > BATCH_BYTES_MAX
        if group and (over or len(group) == BATCH_EVENTS_MAX):
            yield group
            group, size_bytes = [], 0
        group.append(item)
        size_bytes += line_bytes
    if group:
        yield group
