"""The commands `why` and `effects`: the causes of an event, and its effects."""

from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import Output, current

if TYPE_CHECKING:
    from thence.core.order import Cone
    from thence.core.query.answer import Effects, Why

# the sentences that a long answer shows of its beginning and its end
HEAD_SENTENCES = 4
TAIL_SENTENCES = 10
# the most ids in each list of the JSON that says where an answer ends
ENDS_MAX = 100


@click.command("why", **help_with("thence why @last-error", "thence why order/881"))
@click.argument("event")
@log_option
@json_option
@verbosity_options
def why_command(event: str, log: str | None, is_json: bool) -> None:
    """Show why an event happened, root first.

    One line of causes is shown in sentences, back to an event without causes, each with its
    short id; then how many causes there are in all. EVENT is an id, a prefix of it of at
    least 6 characters, @last, @last-error, or a subject such as order/881, of which the
    latest event is taken. A long line is shown without its middle; -v shows it whole.
    """
    import msgspec

    from thence.cli.shared.opened import find_event, open_for_reading

    out = current()
    with open_for_reading(out, log) as replica:
        answer = replica.why(find_event(out, replica, event, to_explain=True))
    if is_json:
        out.json(
            {
                "event_id": answer.event.event_id,
                "sentences": answer.sentences,
                "chain": [msgspec.Raw(link.line) for link in answer.chain],
                "causes": distances(answer.cone),
                "truncated": answer.truncated,
                "cut_at": answer.cut_at[:ENDS_MAX],
                "missing": answer.missing[:ENDS_MAX],
            }
        )
        return
    _write_why(out, answer, log)


@click.command("effects", **help_with("thence effects 01JDA3K7QZ --json"))
@click.argument("event")
@log_option
@json_option
@verbosity_options
def effects_command(event: str, log: str | None, is_json: bool) -> None:
    """Show what followed from an event.

    The effects are shown in sentences, nearest first, each with its short id. EVENT is an id,
    a prefix of it of at least 6 characters, @last, @last-error, or a subject, of which the
    latest event is taken.
    """
    from thence.cli.shared.opened import find_event, open_for_reading

    out = current()
    with open_for_reading(out, log) as replica:
        answer = replica.effects(find_event(out, replica, event, to_explain=True))
        sentence = replica.vocabulary.sentence(answer.event)
    if is_json:
        out.json(
            {
                "event_id": answer.event.event_id,
                "sentences": answer.sentences,
                "effects": distances(answer.cone),
                "truncated": answer.truncated,
            }
        )
        return
    _write_effects(out, answer, sentence, log)


def distances(cone: "Cone") -> list[dict[str, object]]:
    """Returns a cone as JSON: ids with their distance, nearest first."""
    return [{"event_id": event.event_id, "depth": depth} for event, depth in cone]


def _write_why(out: Output, answer: "Why", log: str | None) -> None:
    from thence.cli.shared.opened import command
    from thence.cli.shared.render import counted
    from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX

    event_id = answer.event.event_id
    if len(answer.chain) == 1:
        causes_text = counted(len(answer.event.caused_by), "cause") + " named, none in this log"
        reason = causes_text if answer.event.caused_by else "It names no cause: it is a root."
        _write_sentences(out, answer.sentences, "")
        out.write("", reason)
    else:
        _write_sentences(out, answer.sentences, command(f"why {event_id} -v", log))
        if len(answer.chain) == CHAIN_EVENTS_MAX and answer.truncated:
            out.write(
                "",
                f"The first of these is no root: causes beyond {CONE_EVENTS_MAX:,} are left out.",
            )
        or_more = "or more " if answer.truncated else ""
        turns = {event.turn_number for event, _ in answer.cone} - {None}
        turns_text = f", over {len(turns)} turns" if len(turns) > 1 else ""
        out.write("", f"{counted(len(answer.cone), f'{or_more}cause')} in all{turns_text}.")
    out.write(f"next: {command(f'effects {event_id}', log)}")


def _write_effects(out: Output, answer: "Effects", sentence: str, log: str | None) -> None:
    from thence.cli.shared.opened import command
    from thence.cli.shared.render import counted, wrapped

    event_id = answer.event.event_id
    out.write(*wrapped(sentence, out.width))
    if not answer.cone:
        out.write("", "Nothing followed from it, as far as this log knows.")
    else:
        out.write("", "led to")
        _write_sentences(out, answer.sentences, command(f"effects {event_id} -v", log))
        or_more = "or more " if answer.truncated else ""
        out.write("", f"{counted(len(answer.cone), f'{or_more}effect')} in all.")
    out.write(f"next: {command(f'why {event_id}', log)}")


def _write_sentences(out: Output, sentences: tuple[str, ...], full_command: str) -> None:
    """Writes numbered sentences; of many, the middle is left out and counted."""
    from thence.cli.shared.render import numbered

    head = len(sentences) if out.is_verbose else HEAD_SENTENCES
    for line in numbered(sentences, out.width, head, TAIL_SENTENCES, f": {full_command}"):
        out.write(line)
