"""The rows of an index for the lines of a segment, block by block.

Only the indexed members of a line are decoded, of many lines at once. Numbers beyond SQLite's
range are set to its bounds, and text that UTF-8 can't encode is written with escapes: no line
can break a build.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import accumulate
from math import nan
from operator import add
from pkgutil import get_data
from typing import Any, NamedTuple

import msgspec

from thence.core.clock import microseconds
from thence.core.codec import BadLine, have_valid_crcs, taken
from thence.core.event import Event
from thence.core.failures import FAILED_TYPES, FAILURE_SIGNS, is_failure
from thence.core.json_values import storable
from thence.core.vocabulary import (
    PLAIN,
    SIM,
    WORK,
    Vocabulary,
    work_subject,
)
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

# the columns of `events` behind the arrival
COLUMNS = (
    "event_id", "node", "seq", "lamport", "stamp", "type", "stream", "subject", "actor", "turn",
    "time", "failed", "segment", "offset", "length",
)  # fmt: skip
Row = tuple[str, float, int, int, str, float, float, float, float, float, float,
            int, int, int, int]  # fmt: skip
Columns = tuple[Sequence[Any], ...]
# columns by their position in a row
EVENT_ID, NODE, SEQ, LAMPORT, TYPE, ACTOR, TURN, TIME = 0, 1, 2, 3, 5, 8, 9, 10


class _Entry(msgspec.Struct, gc=False):
    """The indexed members that the events of all hosts have."""

    event_id: str
    event_type: str
    seq: int
    lamport_clock: int
    timestamp: str = ""
    node_id: str = ""
    caused_by: tuple[str, ...] = ()
    stream: str | None = None
    actor: str | None = None
    turn_number: int | None = None
    begins: bool = False
    ends: str | None = None


class IndexedMembers(_Entry, gc=False):
    """The members of a plain event that are indexed; `timestamp` orders one without a clock."""

    subject: str | None = None


class _Change(msgspec.Struct, gc=False):
    """The members of a STATE event that make its subject."""

    scope: str | int | float | bool | None = None
    variable_name: str | int | float | bool | None = None


class _SimEntry(_Entry, gc=False):
    """The members of a simulation's event that are indexed."""

    stream: str | None = msgspec.field(default=None, name="simulation_id")
    actor: str | None = msgspec.field(default=None, name="agent_id")
    details: _Change | None = None

    @property
    def subject(self) -> str | None:
        """The variable that a STATE event changes, within its scope."""
        about = self.details
        if self.event_type != "STATE" or not about or not (about.scope and about.variable_name):
            return None
        return f"{about.scope}/{about.variable_name}"


class _WorkEntry(_Entry, gc=False):
    """The members of a work event that are indexed, and those that make its subject."""

    stream: str | None = msgspec.field(default=None, name="feature_slug")
    project_uuid: str | None = None
    aggregate_id: str | None = None

    @property
    def subject(self) -> str | None:
        """The subject of the event, qualified by project and feature."""
        if not self.aggregate_id:
            return None
        return work_subject(self.project_uuid, self.stream, self.aggregate_id)


_DECODE: dict[str, Any] = {
    PLAIN.name: msgspec.json.Decoder(IndexedMembers).decode,
    SIM.name: msgspec.json.Decoder(_SimEntry).decode,
    WORK.name: msgspec.json.Decoder(_WorkEntry).decode,
}
_READABLE = {vocabulary.name: vocabulary for vocabulary in (PLAIN, SIM, WORK)}


def entries(lines: Sequence[bytes], vocabulary: Vocabulary) -> Sequence[IndexedMembers] | None:
    """Reads many lines whose checksums fit.

    Returns None if any is no event, or has a member of a wrong type, or if the vocabulary is
    a program's own.
    """
    if _READABLE.get(vocabulary.name) != msgspec.structs.replace(vocabulary, bodies=None):
        return None
    return taken(b"\n".join(lines), lines, _DECODE[vocabulary.name])


def entry_of(event: Event) -> IndexedMembers:
    """Returns the indexed members of a parsed event."""
    header = event.header
    return IndexedMembers(
        header.event_id,
        header.event_type,
        header.seq,
        header.lamport_clock,
        header.timestamp,
        header.node_id,
        header.caused_by,
        event.stream,
        event.actor,
        header.turn_number,
        header.begins,
        header.ends,
        event.subject,
    )


class BadBytesRow(NamedTuple):
    """A range of bytes that is no event."""

    content: BadLine
    offset: int
    length: int


class BlockRows(NamedTuple):
    """The content of a block: entries, each with its line's offset and length, and bad bytes.

    `failures` are the positions of entries that record one.
    """

    entries: Sequence[IndexedMembers]
    offsets: Sequence[int]
    lengths: Sequence[int]
    bad: Sequence[BadBytesRow] = ()
    failures: Collection[int] = ()


def rows_of(block: Block, vocabulary: Vocabulary) -> Iterator[BlockRows]:
    """Reads a block, some lines at a time; lines that are all thence's own are decoded at once."""
    if not block.is_whole or block.length:
        yield _one_by_one(block, vocabulary)
        return
    lines = block.data.split(b"\n")
    offset = block.offset
    has_signs = any(sign in block.data for sign in FAILURE_SIGNS)
    for at in range(0, len(lines), LINES_TOGETHER):
        part = lines[at : at + LINES_TOGETHER]
        sizes = list(map(len, part))
        starts = list(accumulate(map((1).__add__, sizes), initial=offset))
        indexed = entries(part, vocabulary) if have_valid_crcs(part) else None
        if indexed is None:
            yield _one_by_one(Block(block.file, offset, b"\n".join(part)), vocabulary)
        else:
            failures = _failures(part, indexed, vocabulary, has_signs)
            yield BlockRows(indexed, starts[:-1], sizes, failures=failures)
        offset = starts[-1]


def _failures(
    lines: Sequence[bytes],
    indexed: Sequence[IndexedMembers],
    vocabulary: Vocabulary,
    has_signs: bool,
) -> list[int]:
    """Returns the positions of lines that record a failure; few lines are decoded for it."""
    types = {entry.event_type for entry in indexed}
    if not has_signs and not any(name.endswith(FAILED_TYPES) for name in types):
        return []
    status, run, dropped, unwritten, escape = FAILURE_SIGNS  # a loop takes four times as long
    return [
        at
        for at, (line, entry) in enumerate(zip(lines, indexed, strict=True))
        if (
            status in line
            or escape in line
            or run in line
            or dropped in line
            or unwritten in line
            or entry.event_type.endswith(FAILED_TYPES)
        )
        and is_failure(Event(line, None, vocabulary))
    ]


def _one_by_one(block: Block, vocabulary: Vocabulary) -> BlockRows:
    indexed: list[IndexedMembers] = []
    offsets: list[int] = []
    lengths: list[int] = []
    bad: list[BadBytesRow] = []
    failures: list[int] = []
    for line in lines_of(block, vocabulary):
        if not line.is_whole:
            continue
        if isinstance(line.content, Event):
            if is_failure(line.content):
                failures.append(len(indexed))
            indexed.append(_storable(entry_of(line.content)))
            offsets.append(line.offset)
            lengths.append(line.length)
        else:
            bad.append(BadBytesRow(line.content, line.offset, line.length))
    return BlockRows(indexed, offsets, lengths, bad, failures)


def _storable(entry: IndexedMembers) -> IndexedMembers:
    entry.event_id = storable(entry.event_id)
    entry.timestamp = storable(entry.timestamp)
    entry.node_id = storable(entry.node_id)
    entry.caused_by = tuple(map(storable, entry.caused_by))
    entry.ends = None if entry.ends is None else storable(entry.ends)
    return entry


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
        row = self._db.execute("SELECT id FROM names WHERE text = :text", clean).fetchone()
        if row is not None:
            number: int = row[0]
        else:
            rowid = self._db.execute("INSERT INTO names (text) VALUES (:text)", clean).lastrowid
            assert rowid is not None
            number = rowid
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


def columns_of(block_rows: BlockRows, segment: int, names: Names, times: Times) -> Columns:
    """Returns the columns of entries, without the arrival: those of `Row`."""
    entries, failures = block_rows.entries, frozenset(block_rows.failures)
    number = names.__getitem__
    return (
        [entry.event_id for entry in entries],
        list(map(number, [entry.node_id for entry in entries])),
        _bounded([entry.seq for entry in entries]),
        [entry.lamport_clock for entry in entries],
        ["" if entry.lamport_clock else entry.timestamp for entry in entries],
        list(map(number, [entry.event_type for entry in entries])),
        list(map(number, [entry.stream for entry in entries])),
        list(map(number, [entry.subject for entry in entries])),
        list(map(number, [entry.actor for entry in entries])),
        _bounded([entry.turn_number for entry in entries]),
        times.of([entry.timestamp for entry in entries]),
        [int(at in failures) for at in range(len(entries))] if failures else [0] * len(entries),
        [segment] * len(entries),
        block_rows.offsets,
        block_rows.lengths,
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


def statements(script: str, room: str = "thence.index") -> Iterator[str]:
    """Yields the statements of a script that lies in a room, this one by default."""
    text = _text(script, room)
    bare = "\n".join(line.partition("--")[0].rstrip() for line in text.decode().splitlines())
    for statement in bare.split(";"):
        if statement.strip():
            yield statement.strip()


@cache
def schema_digest(room: str, *scripts: str) -> str:
    """Returns the SHA-256 of a database's schema, comments included, in hex.

    A database with another digest was made by other code, and is made anew.
    """
    return sha256(b"".join(_text(script, room) for script in scripts)).hexdigest()


@cache
def _text(script: str, room: str) -> bytes:
    return get_data(room, script) or b""  # importlib.resources would import zipfile, 10 ms
