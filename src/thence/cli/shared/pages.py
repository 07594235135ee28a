"""A long answer read page by page, so that memory holds few of its events at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from thence.cli.shared.filtering import Asked, keys
from thence.cli.voice import Voice

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.values.vocabulary import Vocabulary
    from thence.index.plan.page import Page
    from thence.replica import Log

# how many events are held at once, and in how many bytes of lines they should stand
HELD_EVENTS_MAX = 1_000
HELD_BYTES = 4 * 1024 * 1024
FIRST_EVENTS = 32
_ALL = 2**62


def pages(
    replica: "Log",
    asked: Asked,
    limit: int | None = None,
    *,
    cursor: str | None = None,
    offset: int = 0,
) -> "Iterator[Page]":
    """Yields the events that are asked for in pages as large as memory should hold.

    There are `limit` events in all at most, those behind the cursor or from the offset on. What
    is appended meanwhile is left out. At least one page comes, an empty one too. A small log is
    read whole for each question: its answer is one page.
    """
    left = limit
    size = FIRST_EVENTS if replica.answers.index() is not None else _ALL
    while True:
        count = size if left is None else min(size, left)
        page = replica.answers.query(**keys(asked), limit=count, cursor=cursor, offset=offset)
        yield page
        cursor, offset = page.next_cursor, 0
        left = None if left is None else left - len(page.events)
        if cursor is None or left == 0:
            return
        held = sum(len(event.line) for event in page.events)
        size = max(1, min(HELD_EVENTS_MAX, HELD_BYTES * len(page.events) // held))


def shower(
    voice: Voice, vocabulary: "Vocabulary", is_json: bool
) -> "Callable[[Sequence[Event]], None]":
    """Returns what shows events: their stored lines, or ones whose columns widen as they come."""

    def store(events: "Sequence[Event]") -> None:
        for event in events:
            voice.line(event.line)

    if is_json:
        return store
    from thence.cli.shared.render import LineRenderer

    lines = LineRenderer((), vocabulary, voice.columns)

    def show(events: "Sequence[Event]") -> None:
        for event in events:
            lines.fit(event)
        for event in events:
            voice.say(lines.line(event))

    return show
