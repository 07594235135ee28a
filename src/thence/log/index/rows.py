"""The rows of an index for the lines of a segment, block by block.

Only the indexed members of a line are decoded, of many lines at once. Numbers beyond SQLite's
range are set to its bounds, and text that UTF-8 can't encode is written with escapes: no line
can break a build.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from itertools import accumulate
from math import nan
from operator import add
from pkgutil import get_data
from typing import Any, NamedTuple

import msgspec

from thence.core.clock import microseconds
from thence.core.codec import BadLine, RequiredFields, have_valid_crcs, taken
from thence.core.event import Event
from thence.core.failures import is_failed
from thence.core.ready import ready
from thence.core.sentences.spans import (
    COST,
    MODEL,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL,
    first,
    sums_up,
    with_usage,
)
from thence.core.vocabulary import PLAIN, SIM, WORK, Vocabulary, work_subject
from thence.log.read.reader import Block, lines_of

INTEGER_MAX = 2**63 - 1
# few enough to stay in the processor's cache from one step to the next
LINES_TOGETHER = 512
# SQLite stores nan as NULL; for None Python searches an adapter, which takes as long as all
# other values of a row
NULL = nan
_OWN_LENGTH = len("2026-11-20T07:13:00.123456Z")
_SECONDS_KEPT_MAX = 4_096
NO_LANE = "-"

_integers = msgspec.json.Decoder(list[int]).decode

# the columns of `events` behind the arrival
COLUMNS = (
    "event_id", "node", "seq", "lamport", "stamp", "type", "stream", "subject", "actor", "lane",
    "turn", "time", "failed", "segment", "offset", "length",
)  # fmt: skip
# the name of an event's node as it takes part in the total order
NODE_NAME = "CASE lamport WHEN 0 THEN '' ELSE node END"
# SQLite reads the index in this order, and sorts only events with the same first two values
TOTAL_ORDER = f"lamport, stamp, {NODE_NAME}, event_id"
TOTAL_ORDER_DESCENDING = f"lamport DESC, stamp DESC, {NODE_NAME} DESC, event_id DESC"
Columns = tuple[Sequence[Any], ...]
# columns by their position in a row
EVENT_ID, NODE, SEQ, TYPE, ACTOR, LANE = map(
    COLUMNS.index, ("event_id", "node", "seq", "type", "actor", "lane")
)


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The members of a payload that are indexed; what is of another type than it should counts not.

    A span has its model and tokens among its attributes, under the names of OpenTelemetry.
    """

    status: Any = None
    error_type: Any = None
    scope: Any = None
    variable_name: Any = None
    agent: Any = None
    span_id: Any = None
    parent_span_id: Any = None
    attributes: Any = None
    model: Any = None
    tool: Any = None
    tokens_in: Any = None
    tokens_out: Any = None
    cost: Any = None


NO_FACTS = Facts()
_COST_MAX = 1e300


class _Members(RequiredFields, gc=False):
    """The indexed members that the events of all hosts have."""

    timestamp: str = ""
    stream: str | None = None
    actor: str | None = None
    turn_number: int | None = None
    begins: bool = False
    ends: str | None = None
    payload: Facts = NO_FACTS


class IndexedMembers(_Members, gc=False):
    """The members of a plain event that are indexed; `timestamp` orders one without a clock."""

    subject: str | None = None


class _SimEntry(_Members, gc=False):
    """The members of a simulation's event that are indexed."""

    stream: str | None = msgspec.field(default=None, name="simulation_id")
    actor: str | None = msgspec.field(default=None, name="agent_id")
    payload: Facts = msgspec.field(default=NO_FACTS, name="details")

    @property
    def subject(self) -> str | None:
        """The variable that a STATE event changes, within its scope."""
        about = self.payload
        if self.event_type != "STATE" or not (about.scope and about.variable_name):
            return None
        return f"{about.scope}/{about.variable_name}"


class _WorkEntry(_Members, gc=False):
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


Entry = IndexedMembers | _SimEntry | _WorkEntry
_DECODE: dict[str, Any] = {
    PLAIN.name: msgspec.json.Decoder(ready(IndexedMembers)).decode,
    SIM.name: msgspec.json.Decoder(ready(_SimEntry)).decode,
    WORK.name: msgspec.json.Decoder(ready(_WorkEntry)).decode,
}


def _plain_lane(entry: Entry) -> str:
    if entry.stream and entry.actor:
        agent = entry.payload.agent
        lane = f"{entry.stream}/{entry.actor}"
        return f"{lane}/{agent}" if agent and isinstance(agent, str) else lane
    return entry.actor or entry.stream or (entry.subject or "").partition("/")[0] or NO_LANE


def _sim_lane(entry: Entry) -> str:
    if entry.actor:
        return f"agent/{entry.actor}"
    scope = entry.payload.scope if entry.event_type == "STATE" else None
    return scope if scope and isinstance(scope, str) else NO_LANE


def _work_lane(entry: Entry) -> str:
    about = (entry.subject or "").rpartition("/")[2]
    if not entry.stream:
        return NO_LANE
    return f"{entry.stream}/{about}" if about not in ("", entry.stream) else entry.stream


# how the lane of an event of a vocabulary is called
_LANES: Mapping[str, Callable[[Entry], str]] = {
    PLAIN.name: _plain_lane,
    SIM.name: _sim_lane,
    WORK.name: _work_lane,
}


def entries(lines: Sequence[bytes], vocabulary: Vocabulary) -> Sequence[Entry] | None:
    """Reads many lines whose checksums fit.

    Returns None if any is no event, or has a member of a wrong type.
    """
    decode = _DECODE.get(vocabulary.name)
    return decode and taken(b"\n".join(lines), lines, decode)


def entry_of(event: Event) -> IndexedMembers:
    """Returns the indexed members of a parsed event."""
    header = event.header
    return IndexedMembers(
        header.event_id,
        header.event_type,
        header.seq,
        header.lamport_clock,
        header.node_id,
        header.caused_by,
        header.timestamp,
        event.stream,
        event.actor,
        header.turn_number,
        header.begins,
        header.ends,
        msgspec.convert(event.cut_payload, ready(Facts)),
        event.subject,
    )


class BlockRows(NamedTuple):
    """The content of a block: entries, each with its line's offset and length, and bad bytes.

    Of bad bytes these are offset, length, code and reason.
    """

    entries: Sequence[Entry]
    offsets: Sequence[int]
    lengths: Sequence[int]
    bad: Sequence[tuple[int, int, str, str]] = ()


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
        indexed = entries(part, vocabulary) if have_valid_crcs(part) else None
        if indexed is None:
            yield _one_by_one(Block(block.file, offset, b"\n".join(part)), vocabulary)
        else:
            yield BlockRows(indexed, starts[:-1], sizes)
        offset = starts[-1]


def _one_by_one(block: Block, vocabulary: Vocabulary) -> BlockRows:
    lines = [line for line in lines_of(block, vocabulary) if line.is_whole]
    events = [
        (entry_of(line.content), line.offset, line.length)
        for line in lines
        if isinstance(line.content, Event)
    ]
    return BlockRows(
        [entry for entry, _, _ in events],
        [offset for _, offset, _ in events],
        [length for _, _, length in events],
        [
            (line.offset, line.length, line.content.code, line.content.reason)
            for line in lines
            if isinstance(line.content, BadLine)
        ],
    )


def times_of(timestamps: Sequence[str]) -> Sequence[float]:
    """Returns the times of timestamps in microseconds since 1970, NULL for other text.

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
            bases = [_million_before(timestamp[:20]) for timestamp in timestamps]
            if None not in bases:
                # a JSON number can't begin with 0: each gets a 1, the million
                return list(map(add, bases, _integers(f"[1{',1'.join(digits)}]")))
    moments = map(microseconds, timestamps)
    return [NULL if moment is None else moment for moment in moments]


@lru_cache(_SECONDS_KEPT_MAX)
def _million_before(second: str) -> int | None:
    """Returns the start of a second, by its text up to the point, less a million."""
    moment = microseconds(f"{second}000000Z") if second.endswith(".") else None
    return None if moment is None else moment - 1_000_000


def columns_of(block_rows: BlockRows, vocabulary: Vocabulary, segment: int) -> Columns:
    """Returns the columns of entries, without the arrival: those of `COLUMNS`, lanes by name."""
    entries = block_rows.entries
    lane_of = _LANES[vocabulary.name]
    return (
        [entry.event_id for entry in entries],
        [entry.node_id for entry in entries],
        [entry.seq for entry in entries],
        [entry.lamport_clock for entry in entries],
        ["" if entry.lamport_clock else entry.timestamp for entry in entries],
        [entry.event_type for entry in entries],
        _nullable([entry.stream for entry in entries]),
        _nullable([entry.subject for entry in entries]),
        _nullable([entry.actor for entry in entries]),
        list(map(lane_of, entries)),
        _bounded([entry.turn_number for entry in entries]),
        times_of([entry.timestamp for entry in entries]),
        failed_of(entries),
        [segment] * len(entries),
        block_rows.offsets,
        block_rows.lengths,
    )


def _nullable(texts: Sequence[str | None]) -> Sequence[Any]:
    return [NULL if text is None else text for text in texts] if None in texts else texts


def failed_of(entries: Sequence[Entry]) -> Sequence[int]:
    """Returns 1 for each entry that records a failure, else 0."""
    by_type = {name: is_failed(name, None, None) for name in {one.event_type for one in entries}}
    return [
        int(is_failed(entry.event_type, fact.status, fact.error_type))
        if (fact := entry.payload).status is not None or fact.error_type is not None
        else by_type[entry.event_type]
        for entry in entries
    ]


def usage_of(facts: Facts, is_begin: bool = False) -> tuple[Any, ...] | None:
    """Returns model, tokens in and out, cost and tool of a call; None of another event.

    A span counts where it ends, and where the tokens are its own.
    """
    if (
        facts.model is facts.tool is facts.attributes is None
        and facts.tokens_in is facts.tokens_out is facts.cost is None
    ):
        return None
    attributes: Mapping[str, Any] = facts.attributes if isinstance(facts.attributes, dict) else {}
    if is_begin or sums_up(attributes):
        attributes = {}
    attributes = with_usage(attributes)
    models = (facts.model, first(attributes, MODEL))
    cost = first(attributes, COST) if facts.cost is None else facts.cost
    tool = first(attributes, TOOL) or (None if is_begin else facts.tool)
    usage = (
        next((name for name in models if name and isinstance(name, str)), None),
        _count(facts.tokens_in, *map(attributes.get, TOKENS_IN)),
        _count(facts.tokens_out, *map(attributes.get, TOKENS_OUT)),
        float(cost) if type(cost) in (int, float) and -_COST_MAX < cost < _COST_MAX else None,
        tool if tool and isinstance(tool, str) else None,
    )
    return None if set(usage) == {None} else usage


def _count(*values: Any) -> int | None:
    return next((n for n in values if type(n) is int and 0 <= n <= INTEGER_MAX), None)


def _bounded(numbers: Sequence[int | None]) -> Sequence[float]:
    present = [number for number in numbers if number is not None]
    is_complete = len(present) == len(numbers)
    if is_complete and min(present) >= -INTEGER_MAX and max(present) <= INTEGER_MAX:
        return present
    return [
        NULL if number is None else max(-INTEGER_MAX, min(number, INTEGER_MAX))
        for number in numbers
    ]


def statements(script: str, room: str = "thence.log.index") -> Iterator[str]:
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
