"""The options of commands that ask for events by a filter."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

import click

from thence.cli.voice import Voice

if TYPE_CHECKING:
    from thence.index.plan.page import Keys
    from thence.replica import Log

_F = TypeVar("_F", bound=Callable[..., object])

# the value of an option: several texts where the option may be repeated
OptionValue = str | tuple[str, ...] | None
# the conditions of a filter, by the key of `core.filter`
Conditions = Mapping[str, OptionValue]


def filter_options(command: _F) -> _F:
    """Adds an option to a command for each key of a filter; the command gets them by keyword."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def keys(conditions: Conditions) -> "Keys":
    """Returns conditions in the type of `Log.query`, which parses them."""
    return cast("Keys", conditions)


def note_unknown_key(voice: Voice, replica: "Log", conditions: Conditions) -> None:
    """Reports on stderr a key in --where that no event has."""
    from thence.core.query.filter import Filter

    where = Filter.of(where=conditions.get("where")).where
    hint = None if voice.is_quiet else replica.answers.unknown_key(where)
    if hint is not None:
        voice.note(hint)


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
