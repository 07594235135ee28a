"""The short forms of an event's values, for sentences."""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from thence.core.event import Event

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


# the last word of a type, with its form in a sentence
_PAST = {"begun": "began", "cancelled": "was cancelled", "canceled": "was cancelled"}


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
