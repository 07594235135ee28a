"""The command `diff`: where two logs part first, and what came of it."""

import gc
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import click
import msgspec

from thence.cli import DAMAGED
from thence.cli.frame import help_with, log_argument, output_options
from thence.cli.output import Output, current, wrapped
from thence.cli.shared.render import counted, some_lines, table, write_some
from thence.core.diff import (
    ALONE,
    DifferingMember,
    FirstDifference,
    LogSide,
    as_json,
    contrast,
    difference,
    side,
)
from thence.core.query.why import descending
from thence.core.sentences.events import clipped
from thence.core.vocabulary import Vocabulary

# the most differences shown without -v
SHOWN_MAX = 10
# the most events that differ shown without -v, and with it, in each list, and places of each
EVENTS_SHOWN_MAX = 3
EVENTS_SHOWN_MAX_VERBOSE = 1_000
NAME_COLUMNS_MAX = 36
VALUE_CHARACTERS_MAX = 200


class _Log(NamedTuple):
    """One of the two logs: its letter, the user's name for it, its vocabulary."""

    letter: str
    name: str
    vocabulary: Vocabulary


@click.command("diff", **help_with("thence diff output/run-of-today output/run-of-yesterday"))
@log_argument("a")
@log_argument("b")
@output_options
def diff_command(a: str, b: str) -> int:
    """Show where two logs diverge, and what followed.

    A and B are logs: a folder, one of its files, or a run's id. The first divergence is shown with
    the number of later events that follow from it. Then come the
    divergences that follow from no other, and all events that differ; -v lists more. Events are
    matched by their step if both logs have steps, otherwise by place and name; ids and times of
    tracers are ignored. Exit code 0: the logs hold the same; 3: they differ.
    """
    from thence.cli.shared.progress import bar

    out = current()
    gc.disable()  # millions of objects are made here, and none is garbage
    side_a, vocabulary_a = _read(out, a)
    side_b, vocabulary_b = _read(out, b)
    with bar(out, "comparing the events"):
        result = difference(side_a, side_b)
    code = 0 if result.first is None else DAMAGED
    if out.is_json:
        out.json(as_json(result))
        return code
    logs = _Log("A", a, vocabulary_a), _Log("B", b, vocabulary_b)
    same = len(result.aligned) - len(result.changed)
    if result.first is None:
        out.write(f"A and B say the same: {counted(same, 'event')}.")
    else:
        text = f"{counted(same, 'event')} the same in A and B, {len(result.changed):,} changed, "
        text += f"{len(result.only_a):,} only in A, {len(result.only_b):,} only in B."
        out.write(*wrapped(text, out.width))
        # the differences by type, the most frequent first
        tallies = {
            "changed": _types(result.a, [x for x, _ in result.changed]),
            "only in A": _types(result.a, result.only_a),
            "only in B": _types(result.b, result.only_b),
        }
        names = list(descending(sum(tallies.values(), Counter())))
        rows = []
        for name in names:
            counts = [f"{tally[name]:,} {kind}" for kind, tally in tallies.items() if name in tally]
            rows.append((name, ", ".join(counts)))
        lines = table(rows, indent="  ", most={0: NAME_COLUMNS_MAX})
        out.write("", *some_lines(out, lines, SHOWN_MAX, "type"))
        commands = _write_divergence(out, result.first, len(result.roots), logs)
        # the other divergences, then the events that differ: in both, then in one alone
        lists = {
            "other divergences": result.roots[1:],
            "changed": result.changed,
            "only in A": [(x, ALONE) for x in result.only_a],
            "only in B": [(ALONE, y) for y in result.only_b],
        }
        most = EVENTS_SHOWN_MAX_VERBOSE if out.is_verbose else EVENTS_SHOWN_MAX
        for name, pairs in lists.items():
            if pairs:
                out.write("", name)
            for x, y in pairs[:most]:
                one, other = result.sides(x, y)
                for log, event in zip(logs, (one, other), strict=True):
                    if event is not None:
                        sentence = log.vocabulary.sentence(event)
                        out.write(*wrapped(sentence, out.width, f"  {log.letter}  "))
                if one and other:
                    _write_differing(out, contrast(one, other), EVENTS_SHOWN_MAX, "     ")
            if len(pairs) > most:
                hint = "" if out.is_verbose else "; -v shows more"
                out.write(f"  {counted(len(pairs) - most, 'more event')}{hint}")
        out.write("", *(("next: " if n == 0 else "      ") + c for n, c in enumerate(commands)))
    notices = result.a.notices + result.b.notices
    if notices:
        verb = "is" if notices == 1 else "are"
        out.notice(f"{counted(notices, 'notice')} of the logs themselves {verb} not compared")
    return code


def _read(out: Output, log_name: str) -> tuple[LogSide, Vocabulary]:
    from thence.cli.shared.logs import open_for_reading
    from thence.cli.shared.progress import bar

    with open_for_reading(out, log_name) as log, bar(out, "reading the events"):
        return side(log.arrived()), log.vocabulary


def _types(of: LogSide, positions: Iterable[int]) -> Counter[str]:
    return Counter([of.events[position].event_type for position in positions])


def _write_divergence(
    out: Output, first: FirstDifference, roots: int, logs: tuple[_Log, _Log]
) -> list[str]:
    """Writes the first divergence; returns the commands that show its causes."""
    from thence.cli.shared.logs import command

    out.write("", "first divergence" + (f" of {roots:,}" if roots > 1 else ""))
    later, commands = {}, []
    for log, event, count in zip(
        logs, (first.a, first.b), (first.follow_a, first.follow_b), strict=True
    ):
        text = "no such event" if event is None else log.vocabulary.sentence(event)
        out.write(*wrapped(text, out.width, f"  {log.letter}  "))
        if event is not None:
            later[log.letter] = count
            commands.append(command(f"why {event.event_id}", log.name))
    if first.differs:
        out.write("", "what differs")
        _write_differing(out, first.differs, SHOWN_MAX, "  ")
    later = {letter: count for letter, count in later.items() if count}
    if later:
        texts = [f"{counted(count, 'later event')} in {letter}" for letter, count in later.items()]
        verb = "follows" if [*later.values()] == [1] else "follow"
        out.write("", f"{' and '.join(texts)} {verb} from it.")
    return commands


def _write_differing(
    out: Output, differs: Sequence[DifferingMember], most: int, margin: str
) -> None:
    """Writes the places in which two events differ."""

    def lines(place: DifferingMember) -> list[str]:
        text = f"{place.path}: {_value(place.a)} in A, {_value(place.b)} in B"
        return wrapped(text, out.width, margin, margin + "  ")

    write_some(out, differs, most, "place", lines, margin)


def _value(value: object) -> str:
    """Returns a JSON value as text, cut where it is long."""
    if value is msgspec.UNSET:
        return "nothing"
    return clipped(msgspec.json.encode(value).decode(), VALUE_CHARACTERS_MAX)
