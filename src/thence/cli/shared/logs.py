"""A log opened for one command, and the pages of its events that the options ask for.

Its lines that are no events are counted on stderr. Memory holds few events of a long answer.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, TypeVar, cast

import click

from thence.cli.output import Output, relative_path
from thence.cli.shared.locate import (
    Place,
    find_log,
    is_log_of_agents,
    named_log,
    options,
    other_logs,
    places,
)
from thence.cli.shared.render import LineRenderer
from thence.core.event import Event
from thence.core.ids import is_ulid
from thence.core.nearest import TYPO_LIKENESS, nearest
from thence.core.query.why import named_by
from thence.errors import EventNotFound, SuppressCodes, ThenceError
from thence.log.files.disk import wall_ns
from thence.log.log_reader import INDEXED_BYTES_MIN
from thence.log.open import Log, open_log

if TYPE_CHECKING:
    from thence.core.vocabulary import Vocabulary
    from thence.log.index.overview import By
    from thence.log.index.page import Keys

_F = TypeVar("_F", bound=Callable[..., object])
# the value of an option: several texts where the option may be repeated, true for a flag
OptionValue = str | tuple[str, ...] | bool | None
# the conditions of a filter, by the key of `core.query.filter`
Conditions = Mapping[str, OptionValue]
# reports whether a log has what a command names
Has = Callable[[Log], bool]


def filter_options(command: _F) -> _F:
    """Adds an option to a command for each key of a filter; the command gets them by keyword."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def dated_time(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Writes a time that is told from now on as one of the calendar."""
    if value is None:
        return None
    from thence.core.clock import dated

    return dated(value, wall_ns() // 1_000)


def keys(conditions: Conditions) -> "Keys":
    """Returns conditions in the type of `Log.query`, which parses them."""
    return cast("Keys", conditions)


def report_matches(out: Output, log: "Log", conditions: Conditions, matches: int) -> None:
    """Reports names that no event has, and that nothing matches, with an unknown key in --where.

    Raises EventNotFound as `check_names` does.
    """
    check_names(out, log, conditions, matches)
    if matches:
        return
    out.notice("no events")
    from thence.core.query.filter import Filter

    where = Filter.of(where=keys(conditions).get("where")).where
    hint = None if out.is_quiet else log.unknown_key(where)
    if hint is not None:
        out.notice(hint)


def check_names(out: Output, log: "Log", conditions: Conditions, matches: int) -> None:
    """Reports each type, actor, subject and stream of a filter that no event has, with the nearest.

    Raises EventNotFound for the first one where nothing matches; in a log without events no name is
    unknown. What matches was asked for by another name, so that the unknown one is noted on stderr.
    No index is made for it.
    """
    if log.lacks_index():
        return
    several = {key: cast("tuple[str, ...]", conditions.get(key) or ()) for key in _NAMES}
    unknown = [
        (key, name)
        for key, names in several.items()
        if len(names) > 1 or not matches
        for name in names
        if not log.query(**keys({key: name}), limit=1).total
    ]
    if not unknown or not (matches or log.query(limit=1).total):
        return
    from thence.core.query.filter import shown

    for key, name in unknown:
        near = nearest(name, names_of(log, key))
        nearest_text = f"; the nearest is {shown(near[0])}" if near else ""
        cause = f"no event has the {key} {shown(name)}{nearest_text}"
        if not matches:
            lists = f"`thence stats --by {key}` lists all that there are"
            hint = "`thence log` lists all events" if key == "stream" else lists
            raise EventNotFound("could not find an event", cause=cause, hint=hint)
        out.notice(cause)


def names_of(log: "Log", key: str) -> Mapping[str, int]:
    """Returns the types, actors, subjects or streams of a log, each with its number of events."""
    groups = log.stats(by=cast("By", key)).groups
    return {group.name: group.events for group in groups if group.name}


_NAMES = ("type", "actor", "subject", "stream")
_OPTIONS = (
    click.option(
        "--type",
        multiple=True,
        metavar="TYPE",
        help="Only this type, or a pattern such as 'order.*'; repeatable.",
    ),
    click.option(
        "--actor",
        multiple=True,
        metavar="ACTOR",
        help="Only this actor, or a pattern such as 'agent-*'; repeatable.",
    ),
    click.option(
        "--subject", multiple=True, metavar="SUBJECT", help="Only about this; repeatable."
    ),
    click.option("--stream", multiple=True, metavar="STREAM", help="Only this stream; repeatable."),
    click.option(
        "--since",
        metavar="TIME",
        callback=dated_time,
        help="Only from this time on, in UTC: 1h (ago), yesterday, 2026-11-20, 2026-11-20T07:13.",
    ),
    click.option(
        "--until",
        metavar="TIME",
        callback=dated_time,
        help="Only up to this time, in the same form; a date includes its whole day.",
    ),
    click.option("--turn", metavar="TURNS", help="Only these turns: 5, 3..7, 3.. or ..7."),
    click.option("--failed", is_flag=True, default=None, help="Only failures."),
    click.option(
        "--where",
        multiple=True,
        metavar="TEXT",
        help="Only events that match: PATH OP VALUE, joined by and; OP is one of"
        " = != < <= > >= ~. A PATH alone needs to exist.",
    ),
)


def event_printer(out: Output, vocabulary: "Vocabulary") -> "Callable[[Sequence[Event]], None]":
    """Returns a function that writes events: as stored lines, or in columns that widen."""

    def print_stored(events: "Sequence[Event]") -> None:
        for event in events:
            out.line(event.readable_line)

    if out.is_json:
        return print_stored
    lines = LineRenderer((), vocabulary, out.columns)

    def print_columns(events: "Sequence[Event]") -> None:
        for event in events:
            lines.fit(event)
        for event in events:
            out.write(lines.line(event))

    return print_columns


def take_in_hooks(folder: Path) -> bool:
    """Appends what hooks have left for a log of agents; returns whether something still waits."""
    if not is_log_of_agents(folder):
        return False
    from thence.trace.agents.intake import take_in, waiting

    take_in(folder)
    return waiting(folder)[0] > 0


def keep_taking_in(folders: Sequence[Path], every_s: float) -> None:
    """Appends what hooks leave for the logs of agents among some, until the process ends."""
    of_agents = [folder for folder in folders if is_log_of_agents(folder)]

    def work() -> None:
        while True:
            sleep(every_s)
            for folder in of_agents:
                take_in_hooks(folder)

    if of_agents:
        Thread(target=work, name="thence-hooks", daemon=True).start()


@contextmanager
def open_for_reading(
    out: Output,
    log_name: str | None,
    *,
    by_index: bool = True,
    about: Path | None = None,
    has: Has | None = None,
) -> Iterator[Log]:
    """Opens the log that a command reads, with what hooks of agents left for it, and closes it.

    `about` is the folder that a question is about. Where no log is named, the first that `has` what
    is asked for is taken; an EventNotFound of the block then says which logs lack it.

    Where the index must be made first, stderr says how far it is. Damaged or unfinished lines,
    which are passed over, are counted there too. A command that asks no index gets neither, without
    `by_index`.
    """
    with ExitStack() as stack:

        def opened(folder: Path) -> Log:
            if take_in_hooks(folder):
                out.notice("some records of hooks are not in the log yet; `thence doctor` says why")
            log = stack.enter_context(open_log(folder, create=False))
            size = log.size() if by_index else 0
            if size >= INDEXED_BYTES_MIN:
                from thence.cli.shared.progress import INDEX_AFTER_S, bar

                with bar(out, "building the index: bytes read", INDEX_AFTER_S) as show:
                    show(0, size)
                    log.index().refresh(on_read=lambda done: show(done, size))
            return log

        lacking: list[Log] = []
        if has is None or named_log(out, log_name) is not None:
            log = opened(find_log(out, log_name, about=about))
        else:
            log = _first_with(out, has, opened, lacking)
        if by_index and not out.is_quiet:
            from thence.log.index.segments import passed_over

            damaged, torn = log.index().answer(passed_over)
            if damaged:
                verb = "line is" if damaged == 1 else "lines are"
                out.notice(f"{damaged} damaged {verb} skipped; see `{command('verify', log_name)}`")
            if torn:
                out.notice("the last line is unfinished and skipped")
        try:
            yield log
        except EventNotFound as error:
            others = [one.folder for one in lacking if one.folder != log.folder]
            if others:
                error.cause += f"; nor is it in {options(others)}"
            if rest := other_logs(out, [log.folder, *others]):
                error.hint += f"; ask another log: {rest}"
            raise


def _first_with(out: Output, has: Has, opened: Callable[[Path], Log], lacking: list[Log]) -> Log:
    """Returns the first log that has what is asked for, else the first that has an event.

    Those without it are added to `lacking`. The log that answers is noted, with the others that
    have it, as far as they can be asked without making a large index.
    """
    candidates = places(out)
    for place in candidates:
        log = opened(place.folder)
        if has(log):
            break
        lacking.append(log)
    else:
        return opened(find_log(out, None))
    rest = 0
    others: list[Place] = []
    with suppress(ThenceError, OSError):  # of a log that can't be used
        for other in () if out.is_quiet else candidates:
            rest += 1
            with open_log(other.folder, create=False) as another:
                if not another.lacks_index() and has(another):
                    others.append(other)
    if place.is_noted or rest or lacking:
        place.note(out, *others)
    return log


def names_event(text: str) -> Has | None:
    """Returns whether a log has the event that a text names; None for a text such as @last."""

    def has(log: Log) -> bool:
        if is_ulid(text) and log.lacks_index():
            return bool(log.lines_of(text))
        with SuppressCodes("event_not_found"):
            with SuppressCodes("ambiguous_id"):
                log.resolve(text)
            return True
        return False

    return None if text.startswith("@last") else has


def names_events(conditions: Conditions) -> Has | None:
    """Returns whether a log has events of the names in a filter; None without any.

    No index is made for it where a log is large.
    """
    names = {key: conditions[key] for key in _NAMES if conditions.get(key)}

    def has(log: Log) -> bool:
        return log.lacks_index() or bool(log.query(**keys(names), limit=1).total)

    return has if names else None


def find_event(out: Output, log: Log, text: str, *, prefers_failure: bool = False) -> Event:
    """Returns the event that a user names; for a subject or a type, notes which event that is.

    With `prefers_failure` it is the event that `Log.why` takes.
    """
    try:
        event = log.resolve(text, prefers_failure=prefers_failure)
    except EventNotFound as error:
        if not text.startswith("@"):
            near = nearest(text, names_of(log, "type"), likeness=TYPO_LIKENESS)
            error.hint += f"; the nearest type is {near[0]}" if near else ""
        raise
    kind = named_by(text, event)
    if kind in ("type", "subject"):
        is_latest = kind == "type" or log.query(subject=event.subject, last=1).events[0] == event
        what = "latest event" if is_latest else "last failure, without a success since,"
        out.notice(f"{text} is a {kind}: its {what} is {event.event_id}")
    return event


def command(words: str, log_name: str | None) -> str:
    """Returns a command to type next, in the form that works here: program, words, log."""
    option = f" --log {shlex.quote(log_name)}" if log_name else ""
    return f"{program()} {words}{option}"


def program() -> str:
    """Returns the words by which a shell in this folder calls this program."""
    import shutil

    program_path = Path(sys.argv[0])
    is_module = program_path.name != "thence" or not program_path.is_file()
    path = None if is_module else shutil.which("thence")
    if path is not None and Path(path).resolve() == program_path.resolve():
        return "thence"
    typed = Path(sys.executable) if is_module else program_path
    words = shlex.quote(str(relative_path(typed.absolute())))
    return f"{words} -m thence" if is_module else words
