"""A long answer, read page by page, so that memory holds few of its events at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from thence.cli.shared.filtering import Conditions, keys
from thence.cli.voice import Voice

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.values.vocabulary import Vocabulary
    from thence.index.plan.page import Page
    from thence.replica import Log

# the most events in memory at once, and the bytes that their lines should have
HELD_EVENTS_MAX = 1_000
HELD_BYTES = 4 * 1024 * 1024
FIRST_EVENTS = 32
_ALL = 2**62


def pages(
    replica: "Log",
    conditions: Conditions,
    limit: int | None = None,
    *,
    cursor: str | None = None,
    offset: int = 0,
) -> "Iterator[Page]":
    """Yields the events that match, in pages as large as memory should hold.

    At most `limit` events are yielded, those after the cursor or from the offset on. Events that
    are appended meanwhile are left out. At least one page is yielded, even an empty one. A small
    log is read completely for each query: its answer is one page.
    """
    remaining = limit
    size = FIRST_EVENTS if replica.answers.index() is not None else _ALL
    while True:
        count = size if remaining is None else min(size, remaining)
        page = replica.answers.query(**keys(conditions), limit=count, cursor=cursor, offset=offset)
        yield page
        cursor, offset = page.next_cursor, 0
        remaining = None if remaining is None else remaining - len(page.events)
        if cursor is None or remaining == 0:
            return
        size_bytes = sum(len(event.line) for event in page.events)
        size = max(1, min(HELD_EVENTS_MAX, HELD_BYTES * len(page.events) // size_bytes))


def event_printer(
    voice: Voice, vocabulary: "Vocabulary", is_json: bool
) -> "Callable[[Sequence[Event]], None]":
    """Returns a function that writes events: as stored lines, or in columns that widen."""

    def print_stored(events: "Sequence[Event]") -> None:
        for event in events:
            voice.line(event.line)

    if is_json:
        return print_stored
    from thence.cli.shared.render import LineRenderer

    lines = LineRenderer((), vocabulary, voice.columns)

    def print_columns(events: "Sequence[Event]") -> None:
        for event in events:
            lines.fit(event)
        for event in events:
            voice.say(lines.line(event))

    return print_columns
