"""A page of an answer: some of the events that match a filter, in total order.

A cursor is the end of a page as a text, passed with the next query. The text is opaque:
base64url of a mark with its checksum. The mark holds the order key of the page's last event. It
therefore stays valid when the index is rebuilt, when events come in between, and when that
event is gone.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict, Unpack
from zlib import crc32

import msgspec

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.query.filter import Filter, Names, Time, Turns
from thence.core.ready import ready
from thence.core.sentences.table import COLUMNS, payload_values, row_of
from thence.errors import ExtraMissing, InvalidFilter

if TYPE_CHECKING:
    import pandas

NUMBER_MAX = 2**63 - 1  # the largest integer of SQLite
# lamport, node_id, timestamp of a line without a clock, event_id: `Event.order_key` in bytes
Key = tuple[int, bytes, bytes, bytes]

CURSOR_CHARACTERS_MAX = 8 * 1024
_CRC_BYTES = 4
_DIGEST_BYTES = 8

Count = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]


class CursorContent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The content of a cursor.

    `question` is the digest of query and log. `snapshot` is the highest arrival at the first
    page, `total` the number of matches up to there, `served` how many of these were returned,
    `last` the key of the last one.
    """

    question: bytes
    snapshot: Count
    total: Count
    served: Count
    last: tuple[Count, bytes, bytes, bytes]

    @property
    def cursor(self) -> str:
        """The content as text."""
        data = _encode(self)
        data += crc32(data).to_bytes(_CRC_BYTES, "big")
        return urlsafe_b64encode(data).rstrip(b"=").decode()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ready(CursorContent)).decode


def read_cursor(cursor: str, question: bytes) -> CursorContent:
    """Reads a cursor; raises `invalid_cursor` for other text, or for one of another query."""
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError("no cursor is as long as this")
        data = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark = _decode(data[:-_CRC_BYTES])
        if mark.cursor != cursor:
            raise ValueError("the checksum does not fit")
    except (ValueError, msgspec.MsgspecError) as error:
        raise _invalid("it is not a cursor, or only part of one") from error
    if mark.question != question:
        raise _invalid("it belongs to another filter, order or log")
    return mark


def _invalid(cause: str) -> InvalidFilter:
    hint = "ask for the first page again, without a cursor"
    code = "invalid_cursor"
    return InvalidFilter("could not read the cursor", cause=cause, hint=hint, code=code)


_TEXTS = (
    "event_id",
    "event_type",
    "node_id",
    "stream",
    "subject",
    "actor",
    "step",
    "description",
    "unreadable",
)


def frame(events: Sequence[Event], keys: Sequence[str] = ()) -> "pandas.DataFrame":
    """Returns a row for each event, with the columns of `core.sentences.table` and payload keys.

    Text has the type "string", turns are "Int64", timestamps are times in UTC; what is
    missing is NA or NaT. Causes are tuples of ids, payloads dicts, as `Event.payload` is, but for
    the values that `unreadable` names.
    Raises ExtraMissing without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        hint = "pip install 'thence[pandas]'"
        raise ExtraMissing("could not make a data frame", cause=error, hint=hint) from error
    rows = [row_of(event) for event in events]
    table = pandas.DataFrame.from_records(rows, columns=COLUMNS)
    table = table.astype(dict.fromkeys(_TEXTS, "string"))
    times = [microseconds(event.timestamp) for event in events]
    table["timestamp"] = pandas.to_datetime(pandas.array(times, "Int64"), unit="us", utc=True)
    table["turn"] = pandas.array([row.turn for row in rows], "Int64")
    table["payload"] = [event.readable_payload[0] for event in events]
    values = [payload_values(event, keys) for event in events]
    for place, key in enumerate(keys):
        column = pandas.Series([row[place] for row in values], dtype="object")
        table[key] = column.convert_dtypes()
    return table


LIMIT_EVENTS = 1_000


class Keys(TypedDict, total=False):
    """The keys of a filter, as `Filter.of` takes them."""

    type: Names
    actor: Names
    subject: Names
    stream: Names
    since: Time
    until: Time
    turn: Turns
    failed: bool | None
    where: Names


class PageBounds(TypedDict, total=False):
    """The bounds of a page: the first events, unless an offset or a cursor is given."""

    limit: int
    offset: int
    cursor: str | None
    descending: bool


class PageQuery(Keys, PageBounds, total=False):
    """A filter and a page of its answer, or the last events of it, as `Log.query` takes them."""

    last: int


class Page(msgspec.Struct, frozen=True, weakref=True):
    """Events that match a filter, in total order: `for event in page`, `len(page)`.

    `total` counts all that match, before paging, as of the first page. `next_cursor` asks
    for the page after this one; it is None on the last.
    """

    events: tuple[Event, ...]
    total: int
    has_more: bool
    next_cursor: str | None

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def _repr_html_(self) -> str:
        from thence.core.notebook import events_html

        return events_html(self.events, self.total)

    def df(self, columns: Sequence[str] = ()) -> "pandas.DataFrame":
        """Returns the events as a pandas DataFrame, a row each; its columns are those of an export.

        `columns` are keys of the payload that get a column each, NA where an event has none;
        customer.id is a key in a map. If more events match than the page holds, that is a
        UserWarning. Times are UTC; an unreadable time is NaT. Raises ExtraMissing without pandas,
        which `pip install 'thence[pandas]'` installs.
        """
        if self.has_more:
            import warnings

            text = f"the frame holds {len(self):,} of {self.total:,} events that match; ask for"
            warnings.warn(f"{text} more with a larger limit", stacklevel=2)
        return frame(self.events, columns)


class PageOfLines(NamedTuple):
    """A page of stored lines instead of events, for callers that send the lines on."""

    lines: tuple[bytes, ...]
    total: int
    has_more: bool
    next_cursor: str | None


class PageRequest(NamedTuple):
    """The request for one page of an answer.

    `mark` is the end of the page before; None for a page whose offset counts from the
    beginning.
    """

    question: bytes
    limit: int
    offset: int
    mark: CursorContent | None
    descending: bool

    @classmethod
    def of(cls, filter: Filter, log_id: str, **paging: Unpack[PageBounds]) -> "PageRequest":
        """Returns the request for the page that `paging` names.

        Raises InvalidFilter, `invalid_cursor`.
        """
        limit, offset = paging.get("limit", LIMIT_EVENTS), paging.get("offset", 0)
        cursor, descending = paging.get("cursor"), paging.get("descending", False)
        _check("limit", limit, 1)
        _check("offset", offset, 0)
        content = msgspec.msgpack.encode((log_id, descending, filter))
        question = blake2b(content, digest_size=_DIGEST_BYTES).digest()
        if cursor is None:
            return cls(question, limit, offset, None, descending)
        if offset:
            raise _unfit("offset", "a cursor already names where the page begins")
        return cls(question, limit, 0, read_cursor(cursor, question), descending)

    def room(self, total: int) -> int:
        """Returns the most events that the page may hold; `total` is that of the answer."""
        return max(0, min(self.limit, total - self.served))

    @property
    def served(self) -> int:
        """The number of events of the answer before the page."""
        return self.mark.served if self.mark else self.offset

    def end(
        self, count: int, last: Key | None, snapshot: int, total: int
    ) -> tuple[int, bool, str | None]:
        """Returns the total, whether more follows, and the cursor behind `count` events.

        Fewer events than the page has room for mean that some are gone: then it is the last page.
        `last` is the key of the last event, if any; `snapshot` is used only for a first page.
        """
        if self.mark is not None:
            snapshot, total = self.mark.snapshot, self.mark.total
        served = self.served + count
        if served >= total or count < self.limit or last is None:
            return total, False, None
        mark = CursorContent(self.question, snapshot, total, served, last)
        return total, True, mark.cursor


def _check(key: str, value: int, least: int) -> None:
    if type(value) is not int or not least <= value <= NUMBER_MAX:
        raise _unfit(key, f"{value!r:.80} is not an integer from {least}")


def _unfit(key: str, cause: str) -> InvalidFilter:
    hint = f"leave {key} out, or pass an integer that fits"
    return InvalidFilter("could not read the filter", key=key, cause=cause, hint=hint)
