"""The command `diff`: where two logs part, and what came of it."""

from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli.groups import HELP_NAMES, json_option, log_argument, talks
from thence.cli.voice import Voice, current

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thence.core.diff.content import DifferingPlace
    from thence.core.diff.difference import CauseOnSide, Difference, FirstDifference
    from thence.core.diff.log_side import LogSide
    from thence.core.values.vocabulary import Vocabulary

# of what differs, and of the causes, so many are shown without -v
SHOWN_MAX = 10
NAME_COLUMNS_MAX = 36
VALUE_CHARACTERS_MAX = 200
_EXAMPLE = """\b
Example:
  thence diff output/run-of-today output/run-of-yesterday"""


class _Log(NamedTuple):
    """One of the two logs: its letter, what the user calls it, its words."""

    letter: str
    name: str
    words: "Vocabulary"


@click.command("diff", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@log_argument("a")
@log_argument("b")
@json_option
@talks
def diff_command(a: str, b: str, is_json: bool) -> int:
    """Tell where two logs part, and what came of it.

    A and B are logs: a folder, one of its files, or a run's id. The first divergence is told
    with its causes in both, and how many later events follow from it. Events are known by
    their step where both have one, else by type, subject, payload and causes. Exit code 0
    says that the logs say the same, 3 that they differ.
    """
    import gc

    from thence.cli.exit_codes import DAMAGED
    from thence.core.diff.difference import as_json, difference

    voice = current()
    gc.disable()  # millions of objects are made here, and none is garbage
    side_a, words_a = _read(voice, a)
    side_b, words_b = _read(voice, b)
    found = difference(side_a, side_b)
    if is_json:
        voice.json(as_json(found))
    else:
        _say(voice, found, (_Log("A", a, words_a), _Log("B", b, words_b)))
    voice.keep(found)
    return 0 if found.is_empty else DAMAGED


def _read(voice: Voice, log: str) -> "tuple[LogSide, Vocabulary]":
    """Reads a log at once; one that asks for a closer look as every command does."""
    from thence.cli.shared.locate import find_log
    from thence.cli.shared.opened import opened
    from thence.core.diff.log_side import side
    from thence.inspection.intact import intact_side
    from thence.log.read.read_errors import reading
    from thence.log.storage.disk import OS_DISK
    from thence.replica import open_log

    with open_log(find_log(voice, log), create=False) as replica:
        with reading(replica.folder):
            whole = intact_side(OS_DISK, replica.folder, replica.vocabulary)
        if whole is not None:
            return whole, replica.vocabulary
    with opened(voice, log) as replica:
        return side(replica.read()), replica.vocabulary


def _say(voice: Voice, found: "Difference", logs: tuple[_Log, _Log]) -> None:
    from thence.cli.shared.render import counted, wrapped

    same = len(found.aligned) - len(found.changed)
    if found.first is None:
        voice.say(f"A and B say the same: {counted(same, 'event')}.")
    else:
        text = f"{counted(same, 'event')} the same in A and B, {len(found.changed):,} changed, "
        text += f"{len(found.only_a):,} only in A, {len(found.only_b):,} only in B."
        voice.say(*wrapped(text, voice.width))
        _say_types(voice, found)
        _say_divergence(voice, found.first, logs)
    notices = found.a.notices + found.b.notices
    if notices:
        are = "is" if notices == 1 else "are"
        voice.note(f"{counted(notices, 'notice')} of the logs themselves {are} not compared")


def _say_types(voice: Voice, found: "Difference") -> None:
    """Counts the differences by type, the most frequent first."""
    from thence.cli.shared.render import counted
    from thence.cli.voice import plain
    from thence.core.query.tally import falling
    from thence.core.sentences.wording import clipped

    tallies = {
        "changed": _types(found.a, [x for x, _ in found.changed]),
        "only in A": _types(found.a, found.only_a),
        "only in B": _types(found.b, found.only_b),
    }
    total: dict[str, int] = {}
    for tally in tallies.values():
        for name, count in tally.items():
            total[name] = total.get(name, 0) + count
    names = list(falling(total))
    shown = names if voice.is_verbose else names[:SHOWN_MAX]
    columns = max(len(clipped(plain(name), NAME_COLUMNS_MAX)) for name in shown)
    voice.say()
    for name in shown:
        told = [f"{tally[name]:,} {kind}" for kind, tally in tallies.items() if name in tally]
        voice.say(f"  {clipped(plain(name), NAME_COLUMNS_MAX):{columns}}  {', '.join(told)}")
    if len(shown) < len(names):
        voice.say(f"  {counted(len(names) - len(shown), 'more type')}; -v shows all")
    _note_missing_types(voice, found, tallies)


def _types(of: "LogSide", places: "Iterable[int]") -> dict[str, int]:
    from collections import Counter

    return Counter([of.contents[place].event_type for place in places])


def _note_missing_types(
    voice: Voice, found: "Difference", tallies: "Mapping[str, Mapping[str, int]]"
) -> None:
    """Tells of types that one log holds none of: as a rule it told less."""

    pairs = _types(found.a, [x for x, _ in found.aligned])
    for letter, other in (("A", "B"), ("B", "A")):
        there = pairs.keys() | tallies[f"only in {letter}"].keys()
        missing = sorted(tallies[f"only in {other}"].keys() - there)
        if missing:
            names = ", ".join(missing[:SHOWN_MAX])
            voice.note(f"{letter} holds no {names}: was it told to write less?")


def _say_divergence(voice: Voice, first: "FirstDifference", logs: tuple[_Log, _Log]) -> None:
    from thence.cli.shared.opened import command
    from thence.cli.shared.render import counted, wrapped

    voice.say("", "first divergence")
    followed, commands = [], []
    for log, event, count in zip(
        logs, (first.a, first.b), (first.follow_a, first.follow_b), strict=True
    ):
        told = "no such event" if event is None else log.words.sentence(event)
        voice.say(*wrapped(told, voice.width, f"  {log.letter}  "))
        if event is not None:
            followed.append(f"{counted(count, 'later event')} in {log.letter}")
            commands.append(command(f"why {event.event_id}", log.name))
    _say_differing(voice, first.differs)
    _say_causes(voice, first, logs)
    voice.say("", f"From it follow {', '.join(followed)}.")
    voice.say(*(("next: " if n == 0 else "      ") + c for n, c in enumerate(commands)))


def _say_differing(voice: Voice, differs: "Sequence[DifferingPlace]") -> None:
    from thence.cli.shared.render import counted, wrapped

    if not differs:
        return
    voice.say("", "what differs")
    shown = differs if voice.is_verbose else differs[:SHOWN_MAX]
    for each in shown:
        text = f"{each.path}: {_value(each.a)} in A, {_value(each.b)} in B"
        voice.say(*wrapped(text, voice.width, "  ", "    "))
    if len(shown) < len(differs):
        voice.say(f"  {counted(len(differs) - len(shown), 'more place')}; -v shows all")


def _value(value: object) -> str:
    """Writes a JSON value, cut where it is long."""
    import msgspec

    from thence.core.sentences.wording import clipped

    if value is msgspec.UNSET:
        return "nothing"
    return clipped(msgspec.json.encode(value).decode(), VALUE_CHARACTERS_MAX)


def _say_causes(voice: Voice, first: "FirstDifference", logs: tuple[_Log, _Log]) -> None:
    """Tells the causes: those that both events name once, then those that one alone names."""
    from thence.cli.shared.render import counted, wrapped

    groups = [("both", logs[0], [each for each in first.causes_a if each.is_shared])]
    for log, named in zip(logs, (first.causes_a, first.causes_b), strict=True):
        groups.append((log.letter, log, [each for each in named if not each.is_shared]))
    if not any(causes for _, _, causes in groups):
        voice.say("", "It names no cause: it is a root.")
        return
    voice.say("", "its causes")
    for word, log, causes in groups:
        shown = causes if voice.is_verbose else causes[:SHOWN_MAX]
        for cause in shown:
            text = log.words.sentence(cause.event) + _standing(cause)
            voice.say(*wrapped(text, voice.width, f"  {word:4}  "))
        if len(shown) < len(causes):
            more = counted(len(causes) - len(shown), "more cause")
            voice.say(f"  {word:4}  {more}; -v shows all")


def _standing(cause: "CauseOnSide") -> str:
    """Says of a cause that one event alone names what the other log has of it."""
    if cause.is_shared:
        return ", changed" if cause.is_changed else ""
    if cause.other is None:
        return ", which the other log lacks"
    return ", changed in the other log" if cause.is_changed else ", the same in the other log"
