"""The rows of logs and of their lines, as the store holds them."""

from hashlib import sha256
from typing import NamedTuple

_CHAIN_BYTES = 8


class StoredLog(NamedTuple):
    """A log of a team: the numbers of its team and of itself, its name, kind and last number.

    `revision` counts how often lines were replaced by other forms of themselves. `title` is what
    its pages call it, "" if no client said so.
    """

    team: int
    id: int
    name: str
    kind: str
    last: int
    revision: int
    title: str


class NewLine(NamedTuple):
    """A line that was checked, with its D."""

    event_id: str
    node: str
    seq: int
    digest: bytes
    line: bytes


# the columns of a stored line
EVENT_COLUMNS = ("team", "log", "number", *NewLine._fields, "chain", "pushed_by")


class LineRefusal(NamedTuple):
    """The reason why a line is never taken, in words and as a code."""

    message: str
    code: str


class LogPlace(NamedTuple):
    """A place behind a line of a log: its number, and the digest of all lines up to it."""

    number: int
    chain: bytes


class NumberedLine(NamedTuple):
    """A stored line with its number in the log, and the digest of all lines up to it."""

    number: int
    chain: bytes
    line: bytes


BEGINNING = LogPlace(0, b"")


def chained(chain: bytes, digest: bytes) -> bytes:
    """Returns the digest of all lines up to one, by that of those before it and its D."""
    return sha256(chain + digest).digest()[:_CHAIN_BYTES]


def is_storable(text: str) -> bool:
    """Reports whether every engine can keep a text: PostgreSQL has no U+0000."""
    if "\0" in text:
        return False
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return False
    return True
