"""One event as one English sentence, wherever an event is shown.

The sentence names the subject, what happened, how long it took, the error with its reason, and
the few fields that matter: `order/881 fulfil failed after 93 ms: CardDeclined: gateway gave up`.
A host's own sentences are in its vocabulary; the log's notices have theirs. A program's text is
inserted unchanged, on one line: the code that shows the sentence has to escape it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from thence.core.event import Event

# time and counter, without the noise: enough to identify an event of its process
SHORT_ID_CHARACTERS = 18
SENTENCE_CHARACTERS_MAX = 400
_DURATIONS = {"duration_s": 1.0, "duration_ms": 0.001}
_DURATION_MAX = 1e12
_CANCELLED = (".cancelled", ".canceled")
_ENDS = (".ended", ".failed", ".completed", ".finished", *_CANCELLED)
FIELDS_MAX = 4
_VALUE_CHARACTERS_MAX = 64
_FIELD_CHARACTERS_MAX = 40
_REASON_CHARACTERS_MAX = 240
_KEYS_LOOKED_AT_MAX = 32
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

# the keys of a program's texts, the reason of an error first
_SPOKEN = ("error_message", "error", "exception", "reason", "message", "msg", "text", "note")
_SEPARATORS = re.compile(r"[.:/_\-\s]+")
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# the last word of a type, with its form in a sentence
_PAST = {"begun": "began", "cancelled": "was cancelled", "canceled": "was cancelled"}

# a host's or a notice's own sentence
Write = Callable[[Event], str] | None


def short_id(event_id: str) -> str:
    """Returns a prefix of an id that is enough for every command that takes an id."""
    return event_id[:SHORT_ID_CHARACTERS]


def sentence(event: Event, write: Write) -> str:
    """Returns the sentence on an event, ending in the event's short id."""
    return f"{summary(event, write)} [{short_id(event.event_id)}]"


def summary(event: Event, write: Write) -> str:
    """Returns the sentence in at most 400 characters, the host's own if it has one."""
    if write is not None:
        return _limited(write(event))
    who = f"{line(event.actor)}: " if event.actor else ""
    return _limited(who + (_any(event, is_typed=True) or event.event_type))


def in_columns(event: Event, write: Write) -> str:
    """Returns the sentence without turn, type and actor, which columns beside it show.

    The text is empty if nothing else remains.
    """
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


def brief(event: Event, write: Write) -> str:
    """Returns the sentence of an event in a tree: `turn 3: ` leads it, an arrow is a change."""
    text = summary(event, write)
    lead = f"In turn {event.turn_number} "
    if not text.startswith(lead):
        return text
    is_change = event.event_type == "STATE"
    return f"turn {event.turn_number}: " + (
        in_columns(event, write) if is_change else text.removeprefix(lead)
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
    detail = f"{words.text} ({facts})" if words.text and facts else words.text or facts
    return f"{lead}: {detail}" if lead and detail else lead or detail


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


class Spoken(NamedTuple):
    """The text of a payload, such as "CardDeclined: no money", and the keys that hold it.

    It is bare if it is only the type of an error.
    """

    text: str
    keys: Collection[str]
    is_bare: bool = False


def spoken(payload: Mapping[str, Any]) -> Spoken:
    """Returns an error's type and message, else the first text intended for people."""
    kind = payload.get("error_type")
    kind = kind if isinstance(kind, str) else ""
    for key in _SPOKEN:
        value = payload.get(key)
        if value is None:
            continue
        if type(value) is not str and isinstance(value, Mapping):  # an error as a map
            kind = kind or _text(value.get("type") or value.get("name") or value.get("code"))
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            return Spoken(_with_type(kind, line(value)), ("error_type", key))
    return Spoken(line(kind), ("error_type",), is_bare=True)


def fields(payload: Mapping[str, Any], skipped: Collection[str], named: Collection[object]) -> str:
    """Returns up to four fields of a payload: `amount 12, sku x`.

    Short values come first, each kind in the payload's order; empty ones, `skipped` keys and
    values that are `named` already are left out.
    """
    short: list[str] = []
    long: list[str] = []
    for key, value in islice(payload.items(), _KEYS_LOOKED_AT_MAX):
        if key in skipped or value is None or (type(value) is str and _is_named(value, named)):
            continue
        text, is_short = _field(value)
        if not text:
            continue
        name = key if len(key) <= _FIELD_CHARACTERS_MAX else clipped(key, _FIELD_CHARACTERS_MAX)
        (short if is_short else long).append(f"{name} {text}")
        if len(short) == FIELDS_MAX:
            break
    return ", ".join((short + long)[:FIELDS_MAX])


def shown(value: Any) -> str:
    """Writes a JSON value short enough for a sentence; floats with 4 significant digits."""
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        text = _joined(f"{key} {shown(item)}" for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        text = _joined(map(shown, value))
    else:
        text = line(str(value) if not isinstance(value, str) else value)
    return clipped(text, _VALUE_CHARACTERS_MAX)


def line(text: str) -> str:
    """Returns the beginning of a text as one line: any white space in it is one space."""
    if len(text) < _REASON_CHARACTERS_MAX and text.isprintable() and "  " not in text:
        return text.strip()
    return clipped(" ".join(text[: 2 * _REASON_CHARACTERS_MAX].split()), _REASON_CHARACTERS_MAX)


def duration(seconds: float) -> str:
    """Writes a duration in its two largest units: 3 h 20 min, 1.5 s, 20 ms."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or parts:
            parts.append(f"{number:,} {unit}")
    return " ".join(parts[:2])


def clipped(text: str, characters: int) -> str:
    """Cuts a text to at most `characters` and marks the cut."""
    return text if len(text) <= characters else text[: max(characters - 1, 0)] + "…"


@lru_cache(maxsize=4096)
def type_words(event_type: str, subject_kind: str) -> str:
    """Writes an event type as words: `order.placed` is `placed` where the subject is an order.

    The words of LLMCallFailed and llm_call_failed are `LLM call failed`, `llm call failed`.
    """
    text = _SEPARATORS.sub(" ", _HUMPS.sub(" ", line(event_type))).strip()
    if text.isupper():
        text = text.lower()
    words = [word.lower() if word.istitle() else word for word in text.split()]
    if len(words) > 1 and words[0].lower() == subject_kind.lower():
        words = words[1:]
    if len(words) > 1 or (words and subject_kind):
        words[-1] = _PAST.get(words[-1], words[-1])
    return " ".join(words)


def subject_shown(event: Event) -> str | None:
    """Returns the subject of an event in a form for people."""
    if event.header.aggregate_id:
        return work_subject_shown(event)
    subject = event.subject
    return line(subject) if subject else None


def work_subject_shown(event: Event) -> str | None:
    """Returns a package with its feature, because its number repeats in every feature."""
    about, stream = event.header.aggregate_id, event.stream
    if about is None:
        return f"{stream}/something" if stream else None
    return about if stream in (None, about) else f"{stream}/{about}"


def _field(value: Any) -> tuple[str, bool]:
    """Returns one value of a field as text, and whether it is a short one."""
    if type(value) is int or type(value) is str:
        text = clipped(line(str(value)), _VALUE_CHARACTERS_MAX)
        return text, len(text) <= _FIELD_CHARACTERS_MAX
    if isinstance(value, bool):
        return ("true" if value else "false"), True
    if isinstance(value, float):
        return f"{value:.10g}", True
    text = shown(value)
    return (f"({text})" if text else ""), False


def _is_named(value: str, named: Collection[object]) -> bool:
    return not value or value in named


def _joined(parts: Iterable[str]) -> str:
    """Joins parts by commas, as many as a sentence can show."""
    kept: list[str] = []
    length = 0
    for part in parts:
        kept.append(part)
        length += len(part) + 2
        if length > _VALUE_CHARACTERS_MAX + 2:
            break
    return ", ".join(kept)


def _with_type(kind: str, message: str) -> str:
    if not kind or message.startswith(kind):
        return message
    return f"{line(kind)}: {message}"


def _text(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and value is not True else ""
