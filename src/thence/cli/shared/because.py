"""The answer to "why?" as text: one line of causes if it is short, else the reasons.

The reasons are the nearest causes, each below the event that it led to, in so few lines that the
answer takes 12 at most, but for causes that the log lacks. What the answer leaves out is counted.
"""

from collections.abc import Iterator

from thence.cli.shared.render import counted, numbered, wrapped
from thence.core.event import Event
from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX
from thence.core.query.answer import Why, reasons
from thence.core.sentences.event_sentences import short_id
from thence.core.values.vocabulary import Vocabulary

# with the empty line and the count below them 12
ROWS_MAX = 10
_MISSING_SHOWN_MAX = 3


def answer_lines(
    answer: Why, vocabulary: Vocabulary, width: int, *, is_whole: bool = False
) -> tuple[list[str], bool]:
    """Returns the lines of an answer, and whether its line of causes is whole in them.

    `is_whole` asks for the whole line, however long.
    """
    lines = list(numbered(answer.sentences, width, len(answer.sentences), 0, ""))
    is_whole = is_whole or len(lines) <= ROWS_MAX
    if not is_whole:
        lines = _reasons(answer, vocabulary, width)
    return [*lines, "", *_ends(answer, width, is_whole)], is_whole


def _reasons(answer: Why, vocabulary: Vocabulary, width: int) -> list[str]:
    def rows_of(cause: Event, depth: int) -> list[str]:
        indent = "  " * (depth - 1)
        return wrapped(vocabulary.brief(cause), width, f"{indent}- ", f"{indent}  ")

    lines = wrapped(f"{vocabulary.sentence(answer.event)}, because", width)
    rows = ROWS_MAX - len(lines)
    chosen = reasons(answer, rows, lambda cause, depth: len(rows_of(cause, depth)))
    return lines + [row for cause, depth in chosen for row in rows_of(cause, depth)]


def _ends(answer: Why, width: int, is_whole: bool) -> Iterator[str]:
    """Yields the number of all causes, and where the answer ends without reaching a root."""
    if answer.cone:
        or_more = "or more " if answer.truncated else ""
        turns = {event.turn_number for event, _ in answer.cone} - {None}
        turns_text = f", over {len(turns)} turns" if len(turns) > 1 else ""
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
            lies = f"it lies in log {missing.log_id}, ask there"
        names = "names" if missing.named_by != answer.chain[0].event_id else "is no root: it names"
        text = f"[{short_id(missing.named_by)}] {names} the cause {missing.event_id},"
        yield from wrapped(f"{text} which is not in this log; {lies}.", width)
    if len(answer.missing) > _MISSING_SHOWN_MAX:
        yield f"{len(answer.missing) - _MISSING_SHOWN_MAX:,} more causes are not in this log."
