"""The command `diff`: the first difference of two logs, and the roots of all."""

from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli.groups import help_with, json_option, log_argument, verbosity_options
from thence.cli.output import Output, current

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thence.core.diff.content import DifferingMember
    from thence.core.diff.difference import CauseOnSide, Difference, FirstDifference
    from thence.core.diff.log_side import LogSide
    from thence.core.diff.roots import Roots
    from thence.core.values.vocabulary import Vocabulary

# the most differences, and the most causes, shown without -v
SHOWN_MAX = 10
# the most roots, and the most differences of each, shown without -v, and with it
ROOTS_SHOWN_MAX = 5
SHOWN_OF_ROOT_MAX = 3
SHOWN_OF_ROOT_MAX_VERBOSE = 1_000
NAME_COLUMNS_MAX = 36
VALUE_CHARACTERS_MAX = 200


class _Log(NamedTuple):
    """One of the two logs: its letter, the user's name for it, its vocabulary."""

    letter: str
    name: str
    vocabulary: "Vocabulary"


@click.command("diff", **help_with("thence diff output/run-of-today output/run-of-yesterday"))
@log_argument("a")
@log_argument("b")
@json_option
@verbosity_options
def diff_command(a: str, b: str, is_json: bool) -> int:
    """Show where two logs part, and what came of it.

    A and B are logs: a folder, one of its files, or a run's id. The first divergence is shown
    with its causes in both, and how many later events follow from it. Then come the roots, which
    no other difference led to, with what changed because of each; -v lists all of that. Events are
    known by their step where both have one, else by type, subject, payload and causes. Exit code
    0 means that the logs hold the same, 3 that they differ.
    """
    import gc

    from thence.cli.exit_codes import DAMAGED
    from thence.core.diff.difference import difference
    from thence.core.diff.difference_json import as_json

    out = current()
    gc.disable()  # millions of objects are made here, and none is garbage
    side_a, vocabulary_a = _read(out, a)
    side_b, vocabulary_b = _read(out, b)
    found = difference(side_a, side_b)
    if is_json:
        out.json(as_json(found))
    else:
        _write_difference(out, found, (_Log("A", a, vocabulary_a), _Log("B", b, vocabulary_b)))
    out.keep(found)
    return 0 if found.is_empty else DAMAGED


def _read(out: Output, log: str) -> "tuple[LogSide, Vocabulary]":
    """Reads an intact log by the fast path; any other log as every command does."""
    from thence.cli.shared.locate import find_log
    from thence.cli.shared.opened import open_for_reading
    from thence.core.diff.log_side import side
    from thence.inspection.intact import intact_side
    from thence.log.storage.disk import OS_DISK
    from thence.log.storage.disk_errors import reading
    from thence.replica import open_log

    with open_log(find_log(out, log), create=False) as replica:
        with reading(replica.folder):
            intact = intact_side(OS_DISK, replica.folder, replica.vocabulary)
        if intact is not None:
            return intact, replica.vocabulary
    with open_for_reading(out, log) as replica:
        return side(replica.read()), replica.vocabulary


def _write_difference(out: Output, found: "Difference", logs: tuple[_Log, _Log]) -> None:
    from thence.cli.shared.render import counted, wrapped

    same = len(found.aligned) - len(found.changed)
    if found.first is None:
        out.write(f"A and B say the same: {counted(same, 'event')}.")
    else:
        text = f"{counted(same, 'event')} the same in A and B, {len(found.changed):,} changed, "
        text += f"{len(found.only_a):,} only in A, {len(found.only_b):,} only in B."
        out.write(*wrapped(text, out.width))
        _write_types(out, found)
        commands = _write_divergence(out, found.first, logs)
        _write_roots(out, found, logs)
        out.write("", *(("next: " if n == 0 else "      ") + c for n, c in enumerate(commands)))
    notices = found.a.notices + found.b.notices
    if notices:
        verb = "is" if notices == 1 else "are"
        out.notice(f"{counted(notices, 'notice')} of the logs themselves {verb} not compared")


def _write_types(out: Output, found: "Difference") -> None:
    """Counts the differences by type, the most frequent first."""
    from thence.cli.output import plain
    from thence.cli.shared.render import counted
    from thence.core.query.tally import descending
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
    names = list(descending(total))
    shown = names if out.is_verbose else names[:SHOWN_MAX]
    columns = max(len(clipped(plain(name), NAME_COLUMNS_MAX)) for name in shown)
    out.write()
    for name in shown:
        text = [f"{tally[name]:,} {kind}" for kind, tally in tallies.items() if name in tally]
        out.write(f"  {clipped(plain(name), NAME_COLUMNS_MAX):{columns}}  {', '.join(text)}")
    if len(shown) < len(names):
        out.write(f"  {counted(len(names) - len(shown), 'more type')}; -v shows all")
    _note_missing_types(out, found, tallies)


def _types(of: "LogSide", positions: "Iterable[int]") -> dict[str, int]:
    from collections import Counter

    return Counter([of.contents[position].event_type for position in positions])


def _note_missing_types(
    out: Output, found: "Difference", tallies: "Mapping[str, Mapping[str, int]]"
) -> None:
    """Notes types that one log lacks: as a rule it was written with less verbosity."""
    pairs = _types(found.a, [x for x, _ in found.aligned])
    for letter, other in (("A", "B"), ("B", "A")):
        present = pairs.keys() | tallies[f"only in {letter}"].keys()
        missing = sorted(tallies[f"only in {other}"].keys() - present)
        if missing:
            names = ", ".join(missing[:SHOWN_MAX])
            out.notice(f"{letter} holds no {names}: was it set to write less?")


def _write_divergence(out: Output, first: "FirstDifference", logs: tuple[_Log, _Log]) -> list[str]:
    """Writes the first divergence; returns the commands that show its causes."""
    from thence.cli.shared.opened import command
    from thence.cli.shared.render import counted, wrapped

    out.write("", "first divergence")
    followed, commands = [], []
    for log, event, count in zip(
        logs, (first.a, first.b), (first.follow_a, first.follow_b), strict=True
    ):
        text = "no such event" if event is None else log.vocabulary.sentence(event)
        out.write(*wrapped(text, out.width, f"  {log.letter}  "))
        if event is not None:
            followed.append(f"{counted(count, 'later event')} in {log.letter}")
            commands.append(command(f"why {event.event_id}", log.name))
    _write_differing(out, first.differs)
    _write_causes(out, first, logs)
    out.write("", f"From it follow {', '.join(followed)}.")
    return commands


def _write_roots(out: Output, found: "Difference", logs: tuple[_Log, _Log]) -> None:
    """Writes each root with both sides, and what came of it: changed, or the same."""
    from thence.cli.shared.render import counted, wrapped
    from thence.core.diff.roots import roots_of

    roots = roots_of(found)
    out.write("", f"{counted(roots.total, 'root')}, which no other difference led to")
    shown = len(roots.roots) if out.is_verbose else ROOTS_SHOWN_MAX
    for index, root in enumerate(roots.roots[:shown]):
        digits = len(str(min(shown, len(roots.roots))))
        indent = " " * (digits + 4)
        sides = _sides(found, root.a, root.b, logs)
        for number, line in enumerate(sides):
            first = f"  {index + 1:>{digits}}  " if number == 0 else indent
            _write_side(out, line, first)
        _write_changed(out, found, roots, index, indent, logs)
        text = f"later in its cone, the same in both: {counted(root.unchanged, 'event')}"
        out.write(*wrapped(text, out.width, indent))
    if roots.total > shown:
        rest = "" if out.is_verbose else "; -v shows them"
        out.write(f"  {counted(roots.total - min(shown, len(roots.roots)), 'more root')}{rest}")


def _write_changed(
    out: Output,
    found: "Difference",
    roots: "Roots",
    index: int,
    indent: str,
    logs: tuple[_Log, _Log],
) -> None:
    """Counts what differs because of a root, and writes both sides of the first of it."""
    from itertools import islice

    from thence.cli.shared.render import wrapped

    root = roots.roots[index]
    counts = {"in both": root.changed, "only in A": root.only_a, "only in B": root.only_b}
    parts = [f"{count:,} {kind}" for kind, count in counts.items() if count]
    text = f"changed because of it: {', '.join(parts) or 'nothing'}"
    out.write(*wrapped(text, out.width, indent))
    most = SHOWN_OF_ROOT_MAX_VERBOSE if out.is_verbose else SHOWN_OF_ROOT_MAX
    for x, y in islice(roots.changed_by(index, found), most):
        for number, line in enumerate(_sides(found, x, y, logs)):
            _write_side(out, line, f"{indent}{'- ' if number == 0 else '  '}")


def _sides(
    found: "Difference", x: int | None, y: int | None, logs: tuple[_Log, _Log]
) -> list[tuple[str, str]]:
    """Returns the letter and the sentence of an event in each log."""
    events = (
        None if x is None else found.a.event_at(x),
        None if y is None else found.b.event_at(y),
    )
    return [
        (log.letter, "no such event" if event is None else log.vocabulary.sentence(event))
        for log, event in zip(logs, events, strict=True)
    ]


def _write_side(out: Output, side: tuple[str, str], indent: str) -> None:
    from thence.cli.shared.render import wrapped

    letter, sentence = side
    out.write(*wrapped(sentence, out.width, f"{indent}{letter}  "))


def _write_differing(out: Output, differs: "Sequence[DifferingMember]") -> None:
    from thence.cli.shared.render import counted, wrapped

    if not differs:
        return
    out.write("", "what differs")
    shown = differs if out.is_verbose else differs[:SHOWN_MAX]
    for each in shown:
        text = f"{each.path}: {_value(each.a)} in A, {_value(each.b)} in B"
        out.write(*wrapped(text, out.width, "  ", "    "))
    if len(shown) < len(differs):
        out.write(f"  {counted(len(differs) - len(shown), 'more place')}; -v shows all")


def _value(value: object) -> str:
    """Returns a JSON value as text, cut where it is long."""
    import msgspec

    from thence.core.sentences.wording import clipped

    if value is msgspec.UNSET:
        return "nothing"
    return clipped(msgspec.json.encode(value).decode(), VALUE_CHARACTERS_MAX)


def _write_causes(out: Output, first: "FirstDifference", logs: tuple[_Log, _Log]) -> None:
    """Writes the causes that both events name, then those that only one names."""
    from thence.cli.shared.render import counted, wrapped

    groups = [("both", logs[0], [each for each in first.causes_a if each.is_shared])]
    for log, named in zip(logs, (first.causes_a, first.causes_b), strict=True):
        groups.append((log.letter, log, [each for each in named if not each.is_shared]))
    if not any(causes for _, _, causes in groups):
        out.write("", "It names no cause: it is a root.")
        return
    out.write("", "its causes")
    for word, log, causes in groups:
        shown = causes if out.is_verbose else causes[:SHOWN_MAX]
        for cause in shown:
            text = log.vocabulary.sentence(cause.event) + _state_text(cause)
            out.write(*wrapped(text, out.width, f"  {word:4}  "))
        if len(shown) < len(causes):
            more = counted(len(causes) - len(shown), "more cause")
            out.write(f"  {word:4}  {more}; -v shows all")


def _state_text(cause: "CauseOnSide") -> str:
    """Returns the state of a cause in the other log, as the end of a sentence."""
    if cause.is_shared:
        return ", changed" if cause.is_changed else ""
    if cause.other is None:
        return ", which the other log lacks"
    return ", changed in the other log" if cause.is_changed else ", the same in the other log"
