"""The options of commands that ask for events by a filter."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

import click

from thence.cli.voice import Voice

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.index.page import Keys
    from thence.replica import Replica

# how many of the last events are looked through for a key, as long as they are no more bytes
_READ_EVENTS = (100, 1_000, 10_000)
_READ_BYTES_MAX = 4 * 1024 * 1024

_F = TypeVar("_F", bound=Callable[..., object])

# what an option was given: texts where it may be repeated
Given = str | tuple[str, ...] | None
# what was asked, by the key of `core.filter`
Asked = Mapping[str, Given]


def filtered(command: _F) -> _F:
    """Gives a command an option for each key of a filter; it gets them by keyword."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def keys(asked: Asked) -> "Keys":
    """Returns what was asked as `Replica.query` takes it, which reads it."""
    return cast("Keys", asked)


def tell_unknown_key(voice: Voice, replica: "Replica", asked: Asked) -> None:
    """Tells on stderr of a key in --where that no event has; it reads 10,000 events at most."""
    from thence.cli.render import counted
    from thence.core.filter import Filter
    from thence.core.unknown_key import unknown_key

    where = Filter.of(where=asked.get("where")).where
    events: list[Event] = []
    total = 0
    for limit in _READ_EVENTS if where and not voice.is_quiet else ():
        page = replica.query(limit=limit, descending=True)
        events, total = list(page), page.total
        if page.next_cursor is None or sum(len(event.line) for event in page) > _READ_BYTES_MAX:
            break
    found = unknown_key(where, events) if events else None
    if found is not None:
        near = f"; nearest: {', '.join(found.nearest)}" if found.nearest else ""
        of_last = f"none of the last {counted(len(events), 'event')} has"
        has = "no event has" if len(events) == total else of_last
        voice.note(f"{has} a key `{found.path}`{near}")


_OPTIONS = (
    click.option("--type", multiple=True, metavar="TYPE", help="Of this type; repeatable."),
    click.option("--actor", multiple=True, metavar="ACTOR", help="Done by this actor; repeatable."),
    click.option("--subject", multiple=True, metavar="SUBJECT", help="About this; repeatable."),
    click.option("--stream", multiple=True, metavar="STREAM", help="In this stream; repeatable."),
    click.option("--since", metavar="TIME", help="From this time on, such as 2026-11-20T07:13."),
    click.option("--until", metavar="TIME", help="Up to this time; a date includes its whole day."),
    click.option("--turn", metavar="TURNS", help="Of these turns: 5, 3..7, 3.. or ..7."),
    click.option(
        "--where",
        multiple=True,
        metavar="TEXT",
        help="That say this: PATH OP VALUE, joined by and; OP is one of = != < <= > >= ~.",
    ),
)
