"""The cursor of a page: the end of the page as a text, passed with the next query.

The text is opaque: base64url of a mark with its checksum. The mark holds the order key of the
page's last event. It therefore stays valid when the index is rebuilt, when events come in
between, and when that event is gone.
"""

from base64 import b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Annotated
from zlib import crc32

import msgspec

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.errors import InvalidCursor

CURSOR_CHARACTERS_MAX = 8 * 1024
_CRC_BYTES = 4
_DIGEST_BYTES = 8

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# lamport_clock, node_id, timestamp of a line without a clock, event_id: `Event.order_key` in bytes
Key = tuple[int, bytes, bytes, bytes]


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
_decode = msgspec.msgpack.Decoder(CursorContent).decode


def read_cursor(cursor: str, question: bytes) -> CursorContent:
    """Reads a cursor; raises InvalidCursor for other text, or for one of another query."""
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError("no cursor is as long as this")
        data = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark = _decode(data[:-_CRC_BYTES])
        if mark.cursor != cursor:
            raise ValueError("the checksum does not fit")
    except (ValueError, msgspec.MsgspecError) as error:
        raise _invalid("it is no cursor, or not all of one") from error
    if mark.question != question:
        raise _invalid("it belongs to another filter, order or log")
    return mark


def question_of(filter: Filter, descending: bool, log_id: str) -> bytes:
    """Returns the digest of a query of a log, which its cursors carry."""
    asked = msgspec.msgpack.encode((log_id, descending, filter))
    return blake2b(asked, digest_size=_DIGEST_BYTES).digest()


def key_of(event: Event) -> Key:
    """Returns the key of an event in the total order."""
    lamport_clock, node_id, *rest, _ = event.order_key
    if not lamport_clock:
        return lamport_clock, b"", _bytes(rest[0]), _bytes(rest[1])
    return lamport_clock, _bytes(node_id), b"", _bytes(rest[0])


def _bytes(text: str) -> bytes:
    # another tool's line may hold half a character, which the index writes as an escape
    return text.encode("utf-8", "backslashreplace")


def _invalid(cause: str) -> InvalidCursor:
    hint = "ask for the first page again, without a cursor"
    return InvalidCursor("could not read the cursor", cause=cause, hint=hint)
