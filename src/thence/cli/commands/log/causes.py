"""The commands `why` and `effects`: the causes of an event, and its effects."""

import os.path
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from thence.cli import INTERRUPTED
from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current, wrapped
from thence.cli.shared.locate import places
from thence.cli.shared.logs import command, find_event, names_event, open_for_reading
from thence.cli.shared.render import counted, numbered, write_some
from thence.core.event import Event
from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX, Cone
from thence.core.query.why import Why, reasons, told
from thence.core.sentences.events import short_id
from thence.core.vocabulary import Vocabulary
from thence.errors import EventNotFound
from thence.log.open import Log
from thence.trace.causes.model_calls import asked_calls

if TYPE_CHECKING:
    from thence.cli.commands.trace.blame import Explanation
    from thence.sim.results.measure import Weight

_F = TypeVar("_F", bound=Callable[..., object])
# the effects that a long answer shows without --all
SENTENCES_MAX = 14
# an agent of a population and its column, as people/817/money
_ROW = re.compile(r"[A-Za-z0-9_-]+/\d+/\w+")
# the plays of a measurement of a row, unless others are named
ROW_RUNS_MAX = 64
# the most ids in each list of the JSON that says where an answer ends
ENDS_MAX = 100
# of more causes the answer says how to find those that mattered
_CAUSES_MAX = 30


def event_options(command: _F) -> _F:
    """Adds the event, the options of an answer about it, and those of its measurement."""
    runs = click.IntRange(min=1)
    for added in (
        log_options,
        click.option("--runs", type=runs, help="The maximum number of plays; default: 64."),
        click.option(
            "--measure", "is_measured", is_flag=True, help="Play altered runs, and measure."
        ),
        click.option("--all", "is_whole", is_flag=True, help="Show all of a long answer."),
        click.argument("event"),
    ):
        command = added(command)
    return command


@click.command(
    "why",
    **help_with(
        "thence why @last-error",
        "thence why order/881",
        "thence why src/pay.py:42",
        "thence why 3f2a91c0",
    ),
)
@event_options
def why_command(
    event: str, is_whole: bool, log_name: str | None, is_measured: bool, **plays: Any
) -> int:
    """Show why an event happened.

    It prints one line of causes as sentences, from an event without causes to EVENT, each with its
    short id; then the number of all causes. If that takes more than 12 lines, it prints the nearest
    reasons instead, each below what it led to; --all prints the whole line. EVENT is an id, a
    prefix of it of at least 6 characters, @last, @last-error, a subject such as order/881, or a
    type such as order.failed. A type names its latest event; so does a subject, or its last failure
    if no success followed.

    In a log of coding agents EVENT may also be FILE:LINE, a commit (7 hex digits or more, or
    commit/NAME), or text with a space or in quotes that an agent wrote or was given: the answer
    leads to the edit, its task, and the user's prompt.

    With --measure thence reruns a simulation, each time with one cause altered, and
    shows for each cause the share of its alterations that changed the event.

    In a run with a population, people/817/money names the value of one of its agents: thence
    replays turns from the nearest checkpoint, and shows the changes that led to it.
    """
    out = current()
    measures = _is_measurement(is_measured, **plays)
    if _ROW.fullmatch(event):
        from thence.cli.commands.sim.rows import answered_row

        runs = plays["runs"] or ROW_RUNS_MAX
        if answered_row(out, event, log_name, runs if measures else 0):
            return 0
    if measures:
        return _measured(out, event, log_name, of_effects=False, **plays)
    with open_to_explain(out, log_name, event) as log:
        named = explained(out, log, event)
        if not isinstance(named, Event):
            from thence.cli.commands.trace.blame import write_explanation

            write_explanation(out, log, named, is_whole=is_whole)
            return 0
        answer = log.why(named)
        asked = list(asked_calls(log, answer))
    if out.is_json:
        out.json(
            {
                "event_id": answer.event.event_id,
                "sentences": answer.sentences,
                "chain": [msgspec.Raw(link.readable_line) for link in answer.chain],
                "causes": distances(answer.cone),
                "truncated": answer.truncated,
                "cut_at": answer.cut_at[:ENDS_MAX],
                "missing": answer.missing[:ENDS_MAX],
                "asked_by": [
                    {
                        "tool": one.tool.event_id,
                        "event_id": one.call.event_id,
                        "inferred": one.is_inferred,
                    }
                    for one in asked
                ],
            }
        )
        return 0
    lines, is_whole = answer_lines(answer, log.vocabulary, out.width, is_whole=is_whole)
    for one in asked:
        lines += wrapped(f"{one.words}: {log.vocabulary.sentence(one.call)}", out.width, "", "  ")
    words = f"effects {answer.event.event_id}" if is_whole else f"why {answer.event.event_id} --all"
    out.write(*lines, f"next: {command(words, log_name)}")
    if log.vocabulary.name == "sim" and len(answer.cone) > _CAUSES_MAX:
        words = command(f"why {answer.event.event_id} --measure", log_name)
        out.notice(f"{len(answer.cone):,} causes: {words} shows which of them mattered")
    return 0


def open_to_explain(out: Output, log_name: str | None, text: str) -> AbstractContextManager[Log]:
    """Opens the log that a question of `why` is for."""
    file, _, number = text.rpartition(":")
    if number.isdecimal() and os.path.exists(file):
        return open_for_reading(out, log_name, about=Path(file).parent)
    has = names_event(text)
    if _may_be_commit(text):
        from thence.cli.commands.trace.blame import commit_named

        is_for_agents = text.startswith("commit/") or any(True for _ in places(out, Path()))
        if is_for_agents and commit_named(text) is not None:
            return open_for_reading(out, log_name, about=Path())
    if has is not None and not {" ", "\n", '"'}.isdisjoint(text):
        from thence.cli.commands.trace.blame import holds_text

        return open_for_reading(out, log_name, has=lambda one: has(one) or holds_text(one, text))
    return open_for_reading(out, log_name, has=has)


def explained(out: Output, log: Log, text: str) -> "Event | Explanation":
    """Returns the event that a text names, else the answer about a line, a commit or a text.

    Raises EventNotFound, `line_not_found`, GitFailed.
    """
    try:
        if _may_be_commit(text):
            from thence.cli.commands.trace.blame import commit_explanation

            if (answer := commit_explanation(log, text)) is not None:
                return answer
        return find_event(out, log, text, prefers_failure=True)
    except EventNotFound as error:
        from thence.cli.commands.trace.blame import explanation

        return explanation(log, text, error)


def _may_be_commit(text: str) -> bool:
    return text.startswith("commit/") or not text.strip("0123456789abcdef")


@click.command("effects", **help_with("thence effects 01JDA3K7QZ --json"))
@event_options
def effects_command(
    event: str, is_whole: bool, log_name: str | None, is_measured: bool, **plays: Any
) -> int:
    """Show what followed from an event.

    It prints the effects as sentences, nearest first, each with its short id; of a long answer only
    the first 14 unless --all is given. EVENT names an event as in `thence why`. With
    --measure thence reruns a simulation with EVENT altered, and shows for each
    effect the share of the alterations that changed it.
    """
    out = current()
    if _is_measurement(is_measured, **plays):
        return _measured(out, event, log_name, of_effects=True, **plays)
    with open_for_reading(out, log_name, has=names_event(event)) as log:
        answer = log.effects(find_event(out, log, event, prefers_failure=True))
        sentence = log.vocabulary.sentence(answer.event)
    if out.is_json:
        out.json(
            {
                "event_id": answer.event.event_id,
                "sentences": answer.sentences,
                "effects": distances(answer.cone),
                "truncated": answer.truncated,
            }
        )
        return 0
    event_id = answer.event.event_id
    out.write(*wrapped(sentence, out.width))
    if not answer.cone:
        out.write("", "Nothing followed from it, as far as this log knows.")
    else:
        out.write("", "led to")
        shown = answer.sentences[: None if is_whole else SENTENCES_MAX]
        rest = "; --all shows them" if len(shown) < len(answer.sentences) else ""
        or_more = "or more " if answer.truncated else ""
        out.write(*numbered(shown, out.width), "")
        out.write(f"{counted(len(answer.cone), f'{or_more}effect')} in all{rest}.")
    out.write(f"next: {command(f'why {event_id}', log_name)}")
    return 0


def distances(cone: Cone) -> list[dict[str, object]]:
    """Returns a cone as JSON: ids with their distance, nearest first."""
    return [{"event_id": event.event_id, "depth": depth} for event, depth in cone]


# with the empty line and the count below them 12
ROWS_MAX = 10
_MISSING_SHOWN_MAX = 3


def answer_lines(
    answer: Why, vocabulary: Vocabulary, width: int, *, is_whole: bool = False
) -> tuple[list[str], bool]:
    """Returns the lines of an answer, and whether its line of causes is whole in them.

    `is_whole` asks for the whole line, however long.
    """
    lines = list(numbered(answer.sentences, width))
    is_whole = is_whole or len(lines) <= ROWS_MAX
    if not is_whole:
        by_id = {cause.event_id: cause for cause, _ in answer.cone}

        def rows_of(cause: Event, depth: int) -> list[str]:
            indent = "  " * (depth - 1)
            return wrapped(told(cause, vocabulary, by_id), width, f"{indent}- ", f"{indent}  ")

        lines = wrapped(f"{told(answer.event, vocabulary, by_id)}, because", width)
        rows = ROWS_MAX - len(lines)
        for cause, depth in reasons(answer, rows, lambda *link: len(rows_of(*link))):
            lines += rows_of(cause, depth)
    return [*lines, "", *_ends(answer, width, is_whole)], is_whole


def _ends(answer: Why, width: int, is_whole: bool) -> Iterator[str]:
    """Yields the number of all causes, and where the answer ends without reaching a root."""
    if answer.cone:
        or_more = "or more " if answer.truncated else ""
        turns = [turn for event, _ in answer.cone if (turn := event.turn_number) is not None]
        turns_text = f", in turns {min(turns)} to {max(turns)}" if len(set(turns)) > 1 else ""
        rest = "" if is_whole else "; --all shows the whole chain"
        yield f"{counted(len(answer.cone), f'{or_more}cause')} in all{turns_text}{rest}."
    elif not answer.event.caused_by:
        yield "It names no cause: it is a root."
    elif not answer.missing:
        yield "It names itself as its cause."
    if len(answer.chain) == CHAIN_EVENTS_MAX and answer.truncated:
        text = f"The chain begins at no root: causes beyond {CONE_EVENTS_MAX:,} are left out."
        yield from wrapped(text, width)
    for missing in answer.missing[:_MISSING_SHOWN_MAX]:
        lies = "it was removed, or never written"
        if missing.log_id is not None:
            lies = f"it is in log {missing.log_id}; ask there"
        elif missing.pruned is not None:
            lies = missing.pruned
        is_first = missing.named_by == answer.chain[0].event_id
        names = "is not a root: it names" if is_first else "names"
        text = f"[{short_id(missing.named_by)}] {names} the cause {missing.event_id},"
        yield from wrapped(f"{text} which is not in this log; {lies}.", width)
    if len(answer.missing) > _MISSING_SHOWN_MAX:
        yield f"{len(answer.missing) - _MISSING_SHOWN_MAX:,} more causes are not in this log."


def _is_measurement(is_measured: bool, runs: int | None) -> bool:
    if not is_measured and runs is not None:
        raise click.UsageError("--runs belongs to --measure")
    return is_measured


def _measured(
    out: Output, text: str, log_name: str | None, *, of_effects: bool, **plays: Any
) -> int:
    """Measures which causes or effects of an event mattered; returns the exit code."""
    from thence.cli.commands.sim.playing import send_records_to_stderr
    from thence.cli.shared.progress import bar
    from thence.sim.results.measure import RUNS_MAX, measure

    plays["runs"] = plays["runs"] or RUNS_MAX
    send_records_to_stderr(out, names_waits=True)
    named = names_event(text)
    with open_for_reading(out, log_name, has=named) as log, bar(out, "plays") as show:
        event = find_event(out, log, text, prefers_failure=True)
        answer = measure(log.folder, event.event_id, of_effects=of_effects, on_play=show, **plays)
        kind, vocabulary = "effect" if of_effects else "cause", log.vocabulary
    if out.is_json:
        out.json(answer.to_dict(f"{kind}s"))
        return INTERRUPTED if answer.interrupted else 0
    weights = [one for one in answer.weights if one.weight or not one.n or out.is_verbose]

    def lines(weight: "Weight") -> list[str]:
        share = "   ?" if weight.weight is None else f"{weight.weight:.2f}"
        text = f"  {share}  {weight.low:.2f}-{weight.high:.2f} {weight.n:4}   {weight.moved:.2f}  "
        note = f" ({weight.unknown} unknown)" if weight.unknown else ""
        return wrapped(vocabulary.sentence(weight.event) + note, out.width, text)

    out.write(*wrapped(vocabulary.sentence(event), out.width), "")
    if weights:
        out.write("weight  95 %          n  moved")
        write_some(out, weights, ROWS_MAX, kind, lines, "  ")
        out.write()
    changed = sum(bool(weight.weight) for weight in answer.weights)
    unknown = sum(not weight.n for weight in answer.weights)
    parts = [
        counted(answer.plays, "play"),
        f"{counted(len(answer.weights) - unknown, kind)} measured",
        f"{changed} mattered",
        *([f"{unknown} unknown"] if unknown else []),
        *([f"{answer.unmeasured} not reached"] if answer.unmeasured else []),
    ]
    summed = f"{', '.join(parts)}{'' if len(weights) == len(answer.weights) else '; -v shows all'}."
    if answer.interrupted:
        summed += f" It ended early: {answer.problem or 'Ctrl-C'}."
    else:
        summed += " More --runs reach more." if answer.unmeasured else ""
        summed += f" An alteration is unknown where {answer.problem}." if answer.problem else ""
    out.write(*wrapped(summed, out.width))
    if weights:
        first = weights[0].event.event_id
        words = f"why {first}" if of_effects else f"effects {first} --measure"
        out.write(f"next: {command(words, log_name)}")
    return INTERRUPTED if answer.interrupted else 0
