"""The rows of an index for the lines of a segment, block by block.

What is decoded is `core.entry`'s. Numbers beyond what SQLite holds stand at its bounds, and
text that no UTF-8 can write with its escapes, so that no line can break a build.
"""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from operator import add
from typing import Any, NamedTuple

from thence.core.codec import BadLine, have_valid_crcs
from thence.core.entry import Entry, entries, entry_of
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.log.reader import Block, lines_of

INTEGER_MAX = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OWN_LENGTH = len("2026-11-20T07:13:00.123456Z")
_SECONDS_KEPT_MAX = 4_096
_NAMES_KEPT_MAX = 65_536
_NAMELESS: dict[str | None, int | None] = {None: None, "": 0}

# lamport, node and event_id; of another tool's line 0, no node and its timestamp first
Key = tuple[int, str, str, str]
# event_id to time in the columns of `events`, with where the line lies
Row = tuple[str, int, int, int, str | None, int, int | None, int | None, int | None, int | None,
            int | None, int, int, int]  # fmt: skip


Columns = tuple[Sequence[Any], ...]


class Bad(NamedTuple):
    """Bytes that are no event, where they lie."""

    content: BadLine
    offset: int
    length: int


class Taken(NamedTuple):
    """What stands in a block: entries, each with where its line lies, and bad bytes."""

    entries: Sequence[Entry]
    offsets: Sequence[int]
    lengths: Sequence[int]
    bad: Sequence[Bad] = ()


def taken(block: Block, vocabulary: Vocabulary) -> Taken:
    """Reads a block; where all lines are ours they are decoded at once."""
    lines = block.data.split(b"\n")
    if block.is_whole and not block.length and have_valid_crcs(lines):
        found = entries(block.data, lines, vocabulary)
        if found is not None:
            sizes = list(map(len, lines))
            starts = list(accumulate(map((1).__add__, sizes), initial=block.offset))
            return Taken(found, starts[:-1], sizes)
    single: list[Entry] = []
    offsets: list[int] = []
    lengths: list[int] = []
    bad: list[Bad] = []
    for line in lines_of(block, vocabulary):
        if not line.is_whole:
            continue
        if isinstance(line.content, Event):
            single.append(_storable(entry_of(line.content)))
            offsets.append(line.offset)
            lengths.append(line.length)
        else:
            bad.append(Bad(line.content, line.offset, line.length))
    return Taken(single, offsets, lengths, bad)


def _storable(entry: Entry) -> Entry:
    entry.event_id = storable(entry.event_id)
    entry.timestamp = storable(entry.timestamp)
    entry.caused_by = tuple(map(storable, entry.caused_by))
    return entry


def storable(text: str) -> str:
    """Returns a text that UTF-8 can hold: a lone surrogate stands as its escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def keys_of(found: Sequence[Entry]) -> list[Key]:
    """Returns by what the events stand in the total order."""
    return [
        (entry.lamport_clock, entry.node_id, entry.event_id, "")
        if entry.seq
        else (0, "", entry.timestamp, entry.event_id)
        for entry in found
    ]


class Names(dict[str | None, int | None]):
    """The numbers of names; a new one is put into the table. Those used last are kept."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(_NAMELESS)
        self._db = connection

    def __missing__(self, text: str) -> int:
        if len(self) >= _NAMES_KEPT_MAX:
            self.clear()
            self.update(_NAMELESS)
        clean = {"text": storable(text)}
        known = self._db.execute("SELECT id FROM names WHERE text = :text", clean).fetchone()
        if known is not None:
            number: int = known[0]
        else:
            made = self._db.execute("INSERT INTO names (text) VALUES (:text)", clean).lastrowid
            assert made is not None
            number = made
        self[text] = number
        return number


class Times:
    """Timestamps as microseconds since 1970; the seconds that were read last are kept."""

    def __init__(self) -> None:
        self._seconds = _Seconds()

    def of(self, timestamps: Sequence[str]) -> list[int | None]:
        """Returns the moments of timestamps, None for what is none.

        Where all look as we write them, they are read without a look at each.
        """
        if set(map(len, timestamps)) == {_OWN_LENGTH}:
            digits = [timestamp[20:26] for timestamp in timestamps]
            together = "".join(digits)
            if (
                together.isdecimal()
                and together.isascii()
                and {timestamp[26] for timestamp in timestamps} == {"Z"}
            ):
                bases = [self._seconds[timestamp[:20]] for timestamp in timestamps]
                if None not in bases:
                    return list(map(add, bases, map(int, digits)))
        return [microseconds(timestamp) for timestamp in timestamps]


class _Seconds(dict[str, int | None]):
    """The moments at which seconds begin, by their text up to the point."""

    def __missing__(self, second: str) -> int | None:
        if len(self) >= _SECONDS_KEPT_MAX:
            self.clear()
        self[second] = microseconds(f"{second}000000Z") if second.endswith(".") else None
        return self[second]


def columns_of(found: Taken, segment: int, names: Names, times: Times) -> Columns:
    """Returns the columns of entries, without place and arrival: those of `Row`."""
    those = found.entries
    number = names.__getitem__
    seqs = [entry.seq for entry in those]
    stamps = [entry.timestamp for entry in those]
    nothing = [None] * len(those)
    return (
        [entry.event_id for entry in those],
        list(map(number, [entry.node_id for entry in those])),
        _bounded(seqs),
        [entry.lamport_clock for entry in those],
        nothing if min(seqs) else [None if entry.seq else entry.timestamp for entry in those],
        list(map(number, [entry.event_type for entry in those])),
        list(map(number, [entry.stream for entry in those])),
        list(map(number, [entry.subject for entry in those])),
        list(map(number, [entry.actor for entry in those])),
        _bounded([entry.turn_number for entry in those]),
        times.of(stamps),
        [segment] * len(those),
        found.offsets,
        found.lengths,
    )


def _bounded(numbers: Sequence[int | None]) -> Sequence[int | None]:
    present = [number for number in set(numbers) if number is not None]
    if not present or (max(present) <= INTEGER_MAX and min(present) >= -INTEGER_MAX):
        return numbers
    return [
        None if number is None else max(-INTEGER_MAX, min(number, INTEGER_MAX))
        for number in numbers
    ]


def microseconds(timestamp: str) -> int | None:
    """Returns a timestamp as microseconds since 1970, None where it is none."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // _MICROSECOND
