"""One event as one English sentence, wherever an event is shown.

The sentence names the subject, what happened, how long it took, the error with its reason, and
the few fields that matter: `order/881 fulfil failed after 93 ms: CardDeclined: gateway gave up`.
A host's own sentences are in its vocabulary; the log's notices have theirs. A program's text is
inserted unchanged, on one line: the code that shows the sentence has to escape it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from thence.core.event import Event
from thence.core.sentences.notice_sentences import NOTICE_SENTENCES
from thence.core.sentences.wording import (
    clipped,
    duration,
    fields,
    line,
    shown,
    spoken,
    subject_shown,
    type_words,
)

# time and counter, without the noise: enough to identify an event of its process
SHORT_ID_CHARACTERS = 18
SENTENCE_CHARACTERS_MAX = 400
_DURATIONS = {"duration_s": 1.0, "duration_ms": 0.001}
_DURATION_MAX = 1e12
_CANCELLED = (".cancelled", ".canceled")
_ENDS = (".ended", ".failed", ".completed", ".finished", *_CANCELLED)

Sentences = Mapping[str, Callable[[Event], str]]


def short_id(event_id: str) -> str:
    """Returns a prefix of an id that is enough for every command that takes an id."""
    return event_id[:SHORT_ID_CHARACTERS]


def sentence(event: Event, sentences: Sentences) -> str:
    """Returns the sentence on an event, ending in the event's short id."""
    return f"{summary(event, sentences)} [{short_id(event.event_id)}]"


def summary(event: Event, sentences: Sentences) -> str:
    """Returns the sentence in at most 400 characters, the host's own if there is one."""
    write = sentences.get(event.event_type) or NOTICE_SENTENCES.get(event.event_type)
    if write is not None:
        return _limited(write(event))
    who = f"{line(event.actor)}: " if event.actor else ""
    return _limited(who + (_any(event, is_typed=True) or event.event_type))


def in_columns(event: Event, sentences: Sentences) -> str:
    """Returns the sentence without turn, type and actor, which columns beside it show.

    The text is empty if nothing else remains.
    """
    write = sentences.get(event.event_type) or NOTICE_SENTENCES.get(event.event_type)
    if write is None:
        return _limited(_any(event, is_typed=False))
    if event.event_type == "STATE" and event.subject:
        payload = event.payload
        old, new = shown(payload.get("old_value")), shown(payload.get("new_value"))
        return _limited(f"{event.subject} {old} → {new}")
    text = write(event).removeprefix(f"In turn {event.turn_number} ")
    if event.actor:
        text = text.removeprefix(f"{event.actor} ").removeprefix(f"{event.actor}: ")
    return _limited(text)


def brief(event: Event, sentences: Sentences) -> str:
    """Returns the sentence of an event in a tree: `turn 3: ` leads it, an arrow is a change."""
    text = summary(event, sentences)
    lead = f"In turn {event.turn_number} "
    if not text.startswith(lead):
        return text
    is_change = event.event_type == "STATE"
    return f"turn {event.turn_number}: " + (
        in_columns(event, sentences) if is_change else text.removeprefix(lead)
    )


def _any(event: Event, *, is_typed: bool) -> str:
    """Returns the sentence for an event of any program."""
    payload, subject, about = event.payload, event.subject, subject_shown(event)
    words = spoken(payload)
    if words.is_bare and event.event_type.endswith(_CANCELLED):
        words = words._replace(text="")  # CancelledError adds nothing to the type
    if event.description:
        lead, text = ": ".join(filter(None, (about, line(event.description)))), words.text
        return f"{lead}: {text}" if text and text not in lead else lead
    kind = subject.partition("/")[0] if subject else ""
    what = type_words(event.event_type, kind) if is_typed else ""
    took = _took(event, payload)
    lead = " ".join(filter(None, (about, what, took)))
    skipped = {*words.keys, *_DURATIONS} if took else words.keys
    facts = fields(payload, skipped, (event.event_type, subject, about, event.actor))
    more = f"{words.text} ({facts})" if words.text and facts else words.text or facts
    return f"{lead}: {more}" if lead and more else lead or more


def _took(event: Event, payload: Mapping[str, Any]) -> str:
    """Returns the duration if the payload has one: `after 93 ms` for an ended step."""
    for key, unit in _DURATIONS.items():
        value: Any = payload.get(key)
        if type(value) in (int, float) and 0 <= value < _DURATION_MAX:
            word = "after" if event.event_type.endswith(_ENDS) else "in"
            return f"{word} {duration(value * unit)}"
    return ""


def _limited(text: str) -> str:
    return clipped(text, SENTENCE_CHARACTERS_MAX)
