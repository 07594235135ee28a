"""A row of the index for each event of a block of lines."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import NamedTuple

from thence.core.codec import BadLine, have_valid_crcs, parsed
from thence.core.event import Event, OrderKey
from thence.core.vocabulary import Vocabulary
from thence.log.reader import Block, lines_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Found(NamedTuple):
    """An event, where in its segment its bytes lie."""

    event: Event
    offset: int
    length: int

    @property
    def order_key(self) -> OrderKey:
        """Its place in the total order."""
        return self.event.order_key


class Bad(NamedTuple):
    """Bytes that are no event, where they lie."""

    content: BadLine
    offset: int
    length: int


def found_in(block: Block, vocabulary: Vocabulary) -> Iterator[Found | Bad]:
    """Yields what stands in a block; where all lines are ours they are decoded at once."""
    lines = block.data.split(b"\n")
    if block.is_whole and not block.length and have_valid_crcs(lines):
        events = parsed(block.data, lines, vocabulary)
        if events is not None:
            sizes = [len(line) for line in lines]
            starts = accumulate((size + 1 for size in sizes), initial=block.offset)
            yield from map(Found, events, starts, sizes)
            return
    for line in lines_of(block, vocabulary):
        if not line.is_whole:
            continue
        if isinstance(line.content, Event):
            yield Found(line.content, line.offset, line.length)
        else:
            yield Bad(line.content, line.offset, line.length)


def microseconds(timestamp: str) -> int | None:
    """Returns a timestamp as microseconds since 1970, None where it is none."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
