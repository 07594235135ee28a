"""The quick check of a payload, and its repair, each of which is listed.

JSON has text, numbers, booleans, null, lists and maps with text keys. The encoder in use
silently writes NaN as null and bytes as base64, so values are checked before they are encoded.
`is_plain` reports that a map needs no more; `repair` returns a value that JSON can hold, with a
list of its changes, where a simulation must not stop. `thence.core.plain_values` converts and
refuses at all other doors. All are pure.
"""

import math
from collections.abc import Callable, Mapping, Set
from typing import Any

DEPTH_MAX = 64
INT_MIN, INT_MAX = -(2**63), 2**64 - 1
REPAIRS_MAX = 100
TYPE_CHARACTERS_MAX = 200
_PLAIN_DEPTH_MAX = 4
_PLAIN = frozenset((str, bool, type(None)))

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


def is_scalar(value: Any) -> bool:
    """Reports quickly that a value needs no check; False when unsure."""
    kind = type(value)
    if kind is int:
        return bool(INT_MIN <= value <= INT_MAX)
    return kind in _PLAIN or (kind is float and math.isfinite(value))


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


def repair(
    value: Any, path: str = "", convert: Callable[[Any], Any] | None = None
) -> tuple[Any, list[Repair]]:
    """Returns a value that JSON can hold, with one `{path, was}` for each change; never raises.

    NaN and infinities become text, sets sorted lists, unknown objects their `repr`, keys
    text, lone surrogates `\\udc80` escapes, circles `"<cycle>"`, what lies deeper than 64
    levels its type in angle brackets. After 100 changes the list ends in a count. An unknown
    object that `convert` makes JSON of is that, and no change.
    """
    repairs: list[Repair] = []
    return _Repair(repairs, convert).value(value, path, ()), limited(repairs, path)


def limited(repairs: list[Repair], path: str = "") -> list[Repair]:
    """Returns at most 100 entries, and one that counts the others."""
    surplus = len(repairs) - REPAIRS_MAX
    if surplus <= 0:
        return repairs
    return [*repairs[:REPAIRS_MAX], {"path": path, "was": f"{surplus} more repairs"}]


class _Repair:
    """One walk over a value; `seen` are the ids of the containers around it."""

    def __init__(self, repairs: list[Repair], convert: Callable[[Any], Any] | None = None) -> None:
        self.repairs = repairs
        self._convert = convert

    def value(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        try:
            return self._value(value, path, seen)
        except Exception as error:  # door: a user's class may raise anything at any call
            kind = type(value).__name__
            return self._note(path, kind, f"<{kind} that raised {type(error).__name__}>")

    def _value(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, (int, float)):
            return self._number(value, path)
        if id(value) in seen:
            return self._note(path, "a cycle", "<cycle>")
        if len(seen) >= DEPTH_MAX:
            kind = type(value).__name__
            return self._note(path, f"{kind} deeper than {DEPTH_MAX} levels", f"<{kind}>")
        return self._container(value, path, (*seen, id(value)))

    def _container(self, value: Any, path: str, seen: tuple[int, ...]) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, path, seen)
        if isinstance(value, (list, tuple)):
            return [self.value(item, f"{path}[{n}]", seen) for n, item in enumerate(value)]
        if isinstance(value, Set):
            items = [self.value(item, path, seen) for item in value]
            return self._note(path, type(value).__name__, sorted(items, key=sort_key))
        if self._convert is not None:
            try:
                return self._convert(value)
            except Exception:  # door: so may its attributes, which are asked for
                return self._note(path, type(value).__name__, self._text(_describe(value), path))
        return self._note(path, type(value).__name__, self._text(_describe(value), path))

    def _mapping(self, value: Mapping[Any, Any], path: str, seen: tuple[int, ...]) -> Any:
        repaired: dict[str, Any] = {}
        texts = {key for key in value if isinstance(key, str)}
        for key, item in value.items():
            name = self._key(key, path)
            while name in repaired or (name in texts and name != key):
                name += "_"  # another key has this text: both are kept
            repaired[name] = self.value(item, f"{path}.{name}" if path else name, seen)
        return repaired

    def _text(self, value: str, path: str) -> str:
        if is_utf8(value):
            return str.__str__(value)
        self.repairs.append({"path": path, "was": "a lone surrogate"})
        return storable(value)

    def _number(self, value: float, path: str) -> Any:
        if isinstance(value, int):
            if INT_MIN <= value <= INT_MAX:
                return int(value)
            return self._note(path, "an integer of more than 64 bits", _describe(value))
        if math.isfinite(value):
            return float(value)
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return self._note(path, f"the number {name}", name)

    def _key(self, key: Any, path: str) -> str:
        if isinstance(key, str):
            return self._text(key, path)
        kind = type(key).__name__
        is_number = isinstance(key, int) and not isinstance(key, bool)
        text = self._text(_describe(int(key) if is_number else key), path)
        self.repairs.append({"path": path, "was": f"a key of type {kind}: {text}"})
        return text

    def _note(self, path: str, was: str, now: Any) -> Any:
        self.repairs.append({"path": path, "was": was})
        return now


def shorten(value: Any, characters_max: int, path: str = "") -> tuple[Any, list[Repair]]:
    """Cuts every text of a JSON value to a length, with one `{path, was}` for each cut."""
    if isinstance(value, str):
        if len(value) <= characters_max:
            return value, []
        return value[:characters_max], [{"path": path, "was": f"{len(value)} characters"}]
    repairs: list[Repair] = []

    def cut(item: Any, place: str) -> Any:
        shortened, cuts = shorten(item, characters_max, place)
        repairs.extend(cuts)
        return shortened

    if isinstance(value, Mapping):
        before = f"{path}." if path else ""
        return {key: cut(item, f"{before}{key}") for key, item in value.items()}, repairs
    if isinstance(value, list):
        return [cut(item, f"{path}[{number}]") for number, item in enumerate(value)], repairs
    return value, []


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


def text_of(value: object) -> str:
    """Returns the text of a value as UTF-8 can hold it; why it has none, where it raises."""
    try:
        return storable(str(value))
    except Exception as error:  # door: a user's __str__ may raise anything
        return f"<{type(value).__name__} whose str raised {type(error).__name__}>"


def _describe(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # door: a user's __repr__ may raise anything
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def sort_key(item: Any) -> tuple[int, float, str]:
    """Returns what orders the members of a set: numbers, then texts, then others."""
    if isinstance(item, (int, float)):
        return 0, item, ""
    return (1, 0, item) if isinstance(item, str) else (2, 0, repr(item))
