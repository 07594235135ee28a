"""The one way of a value to JSON: converted or refused, or repaired with each change listed.

JSON has text, numbers, booleans, null, lists and maps with text keys. The encoder in use silently
writes NaN as null and bytes as base64, so values are checked before they are encoded: `is_plain`
reports that a map needs no more. `Plain` makes JSON of what Python and its common libraries have,
in one way each, as docs/concepts/event.md lists, and refuses the rest; `repair` refuses nothing,
where a simulation must not stop. All is pure, but for what a value's own attributes do.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any

from thence.errors import InvalidEvent

DEPTH_MAX = 64
INT_MIN, INT_MAX = -(2**63), 2**64 - 1
REPAIRS_MAX = 100
TYPE_CHARACTERS_MAX = 200
_PLAIN_DEPTH_MAX = 4

_HINT = (
    "pass text, finite numbers up to 64 bits, booleans, None, lists, maps and what "
    "`thence docs event` lists; or open the log with encode=, a function that makes JSON of it"
)

Encode = Callable[[Any], Any]
Repair = dict[str, str]


def is_type_name(event_type: object) -> bool:
    """Reports whether a value can be an event's type: a short text that moves no cursor."""
    if not isinstance(event_type, str):
        return False
    return 0 < len(event_type) <= TYPE_CHARACTERS_MAX and event_type.isprintable()


def printable(text: str) -> str:
    """Returns a text with what moves a cursor, begins a line or is no character escaped."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in text
    )


def is_plain(mapping: Mapping[str, Any], depth: int = 0) -> bool:
    """Reports quickly that a map needs no check: text keys; text, numbers, bool, null, maps.

    Lone surrogates are not searched: the encoder itself refuses them.
    """
    if type(mapping) is not dict:
        return False
    for key, value in mapping.items():
        kind = type(value)
        if type(key) is not str:
            return False
        if kind is str:
            continue
        if kind is int:
            if not INT_MIN <= value <= INT_MAX:
                return False
        elif kind is bool or value is None:
            continue
        elif kind is float:
            if not math.isfinite(value):
                return False
        elif depth >= _PLAIN_DEPTH_MAX or not is_plain(value, depth + 1):
            return False
    return True


class Plain:
    """The conversion of payloads; `encode` takes what is not known, `is_strict` refuses it all."""

    def __init__(self, encode: Encode | None = None, *, is_strict: bool = False) -> None:
        self._encode = encode
        self._is_strict = is_strict

    def __call__(self, value: Any, path: str = "payload") -> Any:
        """Returns a value as JSON; raises InvalidEvent with the path of the first that has none.

        Refused are NaN, infinities, integers outside -2^63 .. 2^64-1, keys that are no text,
        lone surrogates, circles, more than 64 levels, and any type that is not known.
        """
        return self._value(value, path, ())

    def _value(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        """Returns a value as JSON; `seen` are the ids of the containers around it."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            is_usual = type(value) is str and value.isascii()  # a third of the time of the others
            return value if is_usual else self._text(value, path)
        if isinstance(value, int):
            if INT_MIN <= value <= INT_MAX:
                return int(value)
            return self._changed(path, "an integer of more than 64 bits", text_of(value, repr))
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            return self._changed(path, f"the number {name}", name)
        if id(value) in seen:
            return self._changed(path, "a cycle", "<cycle>")
        kind = type(value).__name__
        if len(seen) >= DEPTH_MAX:
            return self._changed(path, f"{kind} deeper than {DEPTH_MAX} levels", f"<{kind}>")
        seen = (*seen, id(value))
        if isinstance(value, Mapping):
            plain: dict[str, Any] = {}
            for key, item in value.items():
                name = key
                if type(key) is not str or not key.isascii():
                    if isinstance(key, str):
                        name = self._text(key, path)
                    else:
                        is_number = isinstance(key, int) and not isinstance(key, bool)
                        text = text_of(int(key) if is_number else key, repr)
                        name = self._changed(
                            path, f"a key of type {type(key).__name__}: {text}", text
                        )
                    while name in plain or (name != key and name in value):
                        name += "_"  # another key has this text: both are kept
                plain[name] = self._value(item, f"{path}.{name}" if path else name, seen)
            return plain
        if isinstance(value, (list, tuple)):
            return [self._value(item, f"{path}[{n}]", seen) for n, item in enumerate(value)]
        if isinstance(value, Set):
            items = sorted([self._value(item, path, seen) for item in value], key=sort_key)
            return self._changed(path, kind, items) if self._is_strict else items
        return self._other(value, path, seen)

    def _text(self, value: str, path: str) -> str:
        if is_utf8(value):
            return str.__str__(value)
        return str(self._changed(path, "a lone surrogate", storable(value)))

    def _other(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        """Returns a value of a type that JSON lacks."""
        kind = type(value).__name__
        simple = value
        try:
            if not self._is_strict:
                simple = _simple(value)
                if simple is value and self._encode:
                    simple = self._encode(value)
        except (TypeError, ValueError) as error:
            raise _refused(path, kind, f", and encode says: {error!r:.200}") from error
        if simple is value:
            raise _refused(path, kind)
        return self._value(simple, path, seen)

    def _changed(self, path: str, was: str, now: Any) -> Any:
        """Returns what stands for a value that JSON has no form for."""
        raise _refused(path, was)


def repair(value: Any, path: str = "", convert: Encode | None = None) -> tuple[Any, list[Repair]]:
    """Returns a value that JSON can hold, with one `{path, was}` for each change; never raises.

    NaN and infinities become text, sets sorted lists, unknown objects their `repr`, keys
    text, lone surrogates `\\udc80` escapes, circles `"<cycle>"`, what lies deeper than 64
    levels its type in angle brackets. After 100 changes the list ends in a count. An unknown
    object that `convert` makes JSON of is that, and no change.
    """
    repairing = _Repairing(convert)
    return repairing(value, path), limited(repairing.repairs, path)


def limited(repairs: list[Repair], path: str = "") -> list[Repair]:
    """Returns at most 100 entries, and one that counts the others."""
    surplus = len(repairs) - REPAIRS_MAX
    if surplus <= 0:
        return repairs
    return [*repairs[:REPAIRS_MAX], {"path": path, "was": f"{surplus} more repairs"}]


class _Repairing(Plain):
    """A walk that changes what JSON has no form for, and lists each change."""

    def __init__(self, convert: Encode | None) -> None:
        super().__init__(convert, is_strict=True)
        self.repairs: list[Repair] = []

    def _value(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        try:
            return super()._value(value, path, seen)
        except Exception as error:  # boundary: a user's class may raise anything at any call
            kind = type(value).__name__
            return self._changed(path, kind, f"<{kind} that raised {type(error).__name__}>")

    def _other(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        try:
            simple = value if self._encode is None else self._encode(value)
        except Exception:  # boundary: so may its attributes, which are asked for
            simple = value
        if simple is not value:
            return self._value(simple, path, seen)
        return self._changed(path, type(value).__name__, text_of(value, repr))

    def _changed(self, path: str, was: str, now: Any) -> Any:
        self.repairs.append({"path": path, "was": was})
        return now


def _refused(path: str, what: str, because: str = "") -> InvalidEvent:
    form = f"the type {what}" if what.isidentifier() else what
    cause = f"JSON has no form for {form}{because}"
    return InvalidEvent("could not store the event", place=f"field {path}", cause=cause, hint=_HINT)


def _simple(value: Any) -> Any:
    """Returns what stands for a value of a known type, or the value itself."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseException):
        return {"error_type": type(value).__name__, "error_message": str(value)}
    if isinstance(value, type):
        return value
    from base64 import b64encode  # these are not cheap to import, and most programs need none
    from decimal import Decimal
    from pathlib import PurePath

    # a UUID is known by its urn: its module draws random numbers, and this room draws none
    if isinstance(value, (Decimal, PurePath)) or hasattr(value, "urn"):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    # the fields of a dataclass, or of a model of pydantic
    if hasattr(value, "__dataclass_fields__"):
        from dataclasses import fields

        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "model_dump") and hasattr(value, "model_fields_set"):
        return dict(value.model_dump())
    return value


def shorten(value: Any, characters_max: int, path: str = "") -> tuple[Any, list[Repair]]:
    """Cuts every text of a JSON value to a length, with one `{path, was}` for each cut."""
    repairs: list[Repair] = []

    def cut(item: Any, place: str) -> Any:
        if isinstance(item, str):
            if len(item) > characters_max:
                repairs.append({"path": place, "was": f"{len(item)} characters"})
            return item[:characters_max]
        if isinstance(item, Mapping):
            before = f"{place}." if place else ""
            return {key: cut(inner, f"{before}{key}") for key, inner in item.items()}
        if isinstance(item, list):
            return [cut(inner, f"{place}[{number}]") for number, inner in enumerate(item)]
        return item

    return cut(value, path), repairs


def within(value: Any, path: Sequence[str]) -> object:
    """Returns the value that names lead to in a JSON value, UNSET where there is none.

    Of names that follow each other, as many as it takes to be a key of the map are one name with
    dots: attributes, gen_ai, system find the attribute `gen_ai.system`.
    """
    depth = 0
    while depth < len(path):
        name, depth = path[depth], depth + 1
        while isinstance(value, Mapping) and name not in value and depth < len(path):
            name, depth = f"{name}.{path[depth]}", depth + 1
        if not isinstance(value, Mapping) or name not in value:
            from msgspec import UNSET  # `thence --help` starts without it

            return UNSET
        value = value[name]
    return value


def is_utf8(text: str) -> bool:
    """Reports whether a text can be stored: it holds no lone surrogate."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """Returns a text that UTF-8 can encode: a lone surrogate becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def text_of(value: object, form: Callable[[object], str] = str) -> str:
    """Returns the text of a value as UTF-8 can hold it; why it has none, where it raises."""
    try:
        return storable(form(value))
    except Exception as error:  # boundary: a user's __str__ or __repr__ may raise anything
        return f"<{type(value).__name__} whose {form.__name__} raised {type(error).__name__}>"


def sort_key(item: Any) -> tuple[int, float, str]:
    """Returns what orders the members of a set: numbers, then texts, then others."""
    if isinstance(item, (int, float)):
        return 0, item, ""
    return (1, 0, item) if isinstance(item, str) else (2, 0, repr(item))
