"""The rows of an index for the lines of a segment, block by block.

Lines are decoded by `core.values.indexed_members`. Numbers beyond SQLite's range are set to its
bounds, and text that UTF-8 can't encode is written with escapes: no line can break a build.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import nan
from operator import add
from typing import Any, NamedTuple

import msgspec

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.values.codec import BadLine, have_valid_crcs
from thence.core.values.indexed_members import IndexedMembers, entries, entry_of
from thence.core.values.payload import storable
from thence.core.values.vocabulary import Vocabulary
from thence.log.read.reader import Block, lines_of

INTEGER_MAX = 2**63 - 1
# few enough to stay in the processor's cache from one step to the next
LINES_TOGETHER = 512
# SQLite stores nan as NULL; for None Python searches an adapter, which takes as long as all
# other values of a row
NULL = nan
_OWN_LENGTH = len("2026-11-20T07:13:00.123456Z")
_MILLION = 1_000_000
_SECONDS_KEPT_MAX = 4_096
_NAMES_KEPT_MAX = 16_384
_NAMELESS: dict[str | None, float] = {None: NULL, "": 0}

_integers = msgspec.json.Decoder(list[int]).decode

# lamport, node and event_id; for a line without a clock 0, no node, timestamp and event_id
Key = tuple[int, str, str, str]
# the columns of `events` from event_id to time, and the line's extent
Row = tuple[str, float, int, int, str | float, float, float, float, float, float, float,
            int, int, int]  # fmt: skip

Columns = tuple[Sequence[Any], ...]
# columns by their place in a row
NODE, SEQ, LAMPORT = 1, 2, 3


class BadBytesRow(NamedTuple):
    """A range of bytes that is no event."""

    content: BadLine
    offset: int
    length: int


class BlockRows(NamedTuple):
    """The content of a block: entries, each with its line's offset and length, and bad bytes."""

    entries: Sequence[IndexedMembers]
    offsets: Sequence[int]
    lengths: Sequence[int]
    bad: Sequence[BadBytesRow] = ()


def rows_of(block: Block, vocabulary: Vocabulary) -> Iterator[BlockRows]:
    """Reads a block, some lines at a time; lines that are all thence's own are decoded at once."""
    if not block.is_whole or block.length:
        yield _one_by_one(block, vocabulary)
        return
    lines = block.data.split(b"\n")
    offset = block.offset
    for at in range(0, len(lines), LINES_TOGETHER):
        part = lines[at : at + LINES_TOGETHER]
        sizes = list(map(len, part))
        starts = list(accumulate(map((1).__add__, sizes), initial=offset))
        found = entries(part, vocabulary) if have_valid_crcs(part) else None
        if found is None:
            yield _one_by_one(Block(block.file, offset, b"\n".join(part)), vocabulary)
        else:
            yield BlockRows(found, starts[:-1], sizes)
        offset = starts[-1]


def _one_by_one(block: Block, vocabulary: Vocabulary) -> BlockRows:
    found: list[IndexedMembers] = []
    offsets: list[int] = []
    lengths: list[int] = []
    bad: list[BadBytesRow] = []
    for line in lines_of(block, vocabulary):
        if not line.is_whole:
            continue
        if isinstance(line.content, Event):
            found.append(_storable(entry_of(line.content)))
            offsets.append(line.offset)
            lengths.append(line.length)
        else:
            bad.append(BadBytesRow(line.content, line.offset, line.length))
    return BlockRows(found, offsets, lengths, bad)


def _storable(entry: IndexedMembers) -> IndexedMembers:
    entry.event_id = storable(entry.event_id)
    entry.timestamp = storable(entry.timestamp)
    entry.node_id = storable(entry.node_id)
    entry.caused_by = tuple(map(storable, entry.caused_by))
    return entry


def keys_of(found: Sequence[IndexedMembers]) -> list[Key]:
    """Returns the keys of events in the total order."""
    return [
        (entry.lamport_clock, entry.node_id, entry.event_id, "")
        if entry.lamport_clock
        else (0, "", entry.timestamp, entry.event_id)
        for entry in found
    ]


class Names(dict[str | None, float]):
    """The numbers of names; a new name is added to the table. The latest are cached."""

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
    """The parser of timestamps to microseconds since 1970; the latest seconds are cached."""

    def __init__(self) -> None:
        self._seconds = _Seconds()

    def of(self, timestamps: Sequence[str]) -> Sequence[float]:
        """Returns the times of timestamps, NULL for other text.

        Timestamps that are all in thence's own form are parsed together.
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
                    # a JSON number can't begin with 0: each gets a 1, a million that is subtracted
                    return list(map(add, bases, _integers(f"[1{',1'.join(digits)}]")))
        moments = map(microseconds, timestamps)
        return [NULL if moment is None else moment for moment in moments]


class _Seconds(dict[str, int | None]):
    """The starts of seconds, by their text up to the point, less the million."""

    def __missing__(self, second: str) -> int | None:
        if len(self) >= _SECONDS_KEPT_MAX:
            self.clear()
        moment = microseconds(f"{second}000000Z") if second.endswith(".") else None
        self[second] = None if moment is None else moment - _MILLION
        return self[second]


def columns_of(found: BlockRows, segment: int, names: Names, times: Times) -> Columns:
    """Returns the columns of entries, without place and arrival: those of `Row`."""
    entries = found.entries
    number = names.__getitem__
    return (
        [entry.event_id for entry in entries],
        list(map(number, [entry.node_id for entry in entries])),
        _bounded([entry.seq for entry in entries]),
        [entry.lamport_clock for entry in entries],
        [NULL if entry.lamport_clock else entry.timestamp for entry in entries],
        list(map(number, [entry.event_type for entry in entries])),
        list(map(number, [entry.stream for entry in entries])),
        list(map(number, [entry.subject for entry in entries])),
        list(map(number, [entry.actor for entry in entries])),
        _bounded([entry.turn_number for entry in entries]),
        times.of([entry.timestamp for entry in entries]),
        [segment] * len(entries),
        found.offsets,
        found.lengths,
    )


def _bounded(numbers: Sequence[int | None]) -> Sequence[float]:
    present = [number for number in numbers if number is not None]
    is_complete = len(present) == len(numbers)
    if is_complete and min(present) >= -INTEGER_MAX and max(present) <= INTEGER_MAX:
        return present
    return [
        NULL if number is None else max(-INTEGER_MAX, min(number, INTEGER_MAX))
        for number in numbers
    ]
