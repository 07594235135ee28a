"""The events that a filter asks for: the options of commands, and the answer, page by page.

Memory holds few events of a long answer at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

import click

from thence.cli.output import Output

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.values.vocabulary import Vocabulary
    from thence.index.plan.counting import By
    from thence.index.plan.page import Keys, Page
    from thence.replica import Log

_F = TypeVar("_F", bound=Callable[..., object])
# the most events in memory at once, and the bytes that their lines should have
HELD_EVENTS_MAX = 1_000
HELD_BYTES = 4 * 1024 * 1024
FIRST_EVENTS = 32

# the value of an option: several texts where the option may be repeated
OptionValue = str | tuple[str, ...] | None
# the conditions of a filter, by the key of `core.query.filter`
Conditions = Mapping[str, OptionValue]


def filter_options(command: _F) -> _F:
    """Adds an option to a command for each key of a filter; the command gets them by keyword."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _dated(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Writes a time that is told from now on as one of the calendar."""
    if value is None:
        return None
    from thence.core.clock import dated
    from thence.log.storage.disk import wall_ns

    return dated(value, wall_ns() // 1_000)


def keys(conditions: Conditions) -> "Keys":
    """Returns conditions in the type of `Log.query`, which parses them."""
    return cast("Keys", conditions)


def report_none(out: Output, replica: "Log", conditions: Conditions) -> None:
    """Reports that no event matches: on stderr, with a key in --where that no event has.

    Raises EventNotFound for a type, actor, subject or stream that no event has.
    """
    refuse_unknown_names(replica, conditions)
    out.notice("no events")
    from thence.core.query.filter import Filter

    where = Filter.of(where=conditions.get("where")).where
    hint = None if out.is_quiet else replica.answers.unknown_key(where)
    if hint is not None:
        out.notice(hint)


def refuse_unknown_names(replica: "Log", conditions: Conditions) -> None:
    """Raises EventNotFound, with the nearest, for a name of a filter that no event has.

    In a log without events no name is unknown.
    """
    unknown = [
        (key, name)
        for key in _NAMES
        for name in conditions.get(key) or ()
        if not replica.query(**keys({key: name}), limit=1).total
    ]
    if not unknown or not replica.query(limit=1).total:
        return
    from thence.core.nearest import nearest
    from thence.core.query.filter import shown
    from thence.errors import EventNotFound

    key, name = unknown[0]
    near = nearest(name, names_of(replica, key))
    nearest_text = f"; the nearest is {shown(near[0])}" if near else ""
    lists = "`thence log` lists all events"
    raise EventNotFound(
        "could not find an event",
        cause=f"no event has the {key} {shown(name)}{nearest_text}",
        hint=lists if key == "stream" else f"`thence stats --by {key}` lists all that there are",
    )


def names_of(replica: "Log", key: str) -> Mapping[str, int]:
    """Returns the types, actors, subjects or streams of a log, each with its number of events."""
    groups = replica.answers.stats(by=cast("By", key)).groups
    return {group.name: group.events for group in groups if group.name}


_NAMES = ("type", "actor", "subject", "stream")
_OPTIONS = (
    click.option(
        "--type",
        multiple=True,
        metavar="TYPE",
        help="Of this type, or of those that fit, such as 'order.*'; repeatable.",
    ),
    click.option(
        "--actor",
        multiple=True,
        metavar="ACTOR",
        help="By this one, or 'agent-*'; repeatable.",
    ),
    click.option("--subject", multiple=True, metavar="SUBJECT", help="About this; repeatable."),
    click.option("--stream", multiple=True, metavar="STREAM", help="In this stream; repeatable."),
    click.option(
        "--since",
        metavar="TIME",
        callback=_dated,
        help="From this time on, in UTC: 1h ago, yesterday, 2026-11-20, 2026-11-20T07:13.",
    ),
    click.option(
        "--until",
        metavar="TIME",
        callback=_dated,
        help="Up to this time, written the same; a date includes its whole day.",
    ),
    click.option("--turn", metavar="TURNS", help="Of these turns: 5, 3..7, 3.. or ..7."),
    click.option(
        "--where",
        multiple=True,
        metavar="TEXT",
        help="That say this: PATH OP VALUE, joined by and, or, not and parentheses;"
        " OP is one of = != < <= > >= ~.",
    ),
)


def pages(
    replica: "Log",
    conditions: Conditions,
    limit: int | None = None,
    cursor: str | None = None,
    descending: bool = False,
) -> "Iterator[Page]":
    """Yields the events that match, in pages as large as memory should hold.

    At most `limit` events are yielded, those after the cursor. Events that are appended
    meanwhile are left out. At least one page is yielded, even an empty one.
    """
    remaining = limit
    size = FIRST_EVENTS
    while True:
        count = size if remaining is None else min(size, remaining)
        page = replica.answers.query(
            **keys(conditions), limit=count, cursor=cursor, descending=descending
        )
        yield page
        cursor = page.next_cursor
        remaining = None if remaining is None else remaining - len(page.events)
        if cursor is None or remaining == 0:
            return
        size_bytes = sum(len(event.line) for event in page.events)
        size = max(1, min(HELD_EVENTS_MAX, HELD_BYTES * len(page.events) // size_bytes))


def event_printer(
    out: Output, vocabulary: "Vocabulary", is_json: bool
) -> "Callable[[Sequence[Event]], None]":
    """Returns a function that writes events: as stored lines, or in columns that widen."""

    def print_stored(events: "Sequence[Event]") -> None:
        for event in events:
            out.line(event.line)

    if is_json:
        return print_stored
    from thence.cli.shared.render import LineRenderer

    lines = LineRenderer((), vocabulary, out.columns)

    def print_columns(events: "Sequence[Event]") -> None:
        for event in events:
            lines.fit(event)
        for event in events:
            out.write(lines.line(event))

    return print_columns
