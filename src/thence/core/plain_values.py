"""The JSON that stands for what programs pass in a payload.

Text, numbers, booleans, None, lists and maps with text keys stay as they are. Values that Python
and its common libraries have become JSON in one way each, as docs/concepts/event.md lists; anything
else is given to the log's own `encode`, or refused. Nothing is lost in silence: the encoder in use
would write NaN as null. All is pure, but for what a value's own attributes do.
"""

import dataclasses
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Set
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

from thence.core.json_values import DEPTH_MAX, INT_MAX, INT_MIN, is_utf8, sort_key
from thence.errors import InvalidEvent

Encode = Callable[[Any], Any]
_HINT = (
    "pass text, finite numbers up to 64 bits, booleans, None, lists, maps and what "
    "docs/concepts/event.md lists; or open the log with encode=, a function that makes JSON of it"
)


class Plain:
    """The conversion of payloads; `encode` takes what is not known, `is_strict` refuses it all."""

    def __init__(self, encode: Encode | None = None, *, is_strict: bool = False) -> None:
        self._encode = encode
        self._is_strict = is_strict

    def __call__(self, value: Any, path: str = "payload") -> Any:
        """Returns a value as JSON; raises InvalidEvent with the path of the first that has none.

        Refused are NaN, infinities, integers outside -2^63 .. 2^64-1, keys that are no text,
        lone surrogates, more than 64 levels (so circles too), and any type that is not known.
        """
        return self._plain(value, path, 0)

    def _plain(self, value: Any, path: str, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise _refused(path, f"it is nested deeper than {DEPTH_MAX} levels")
        if isinstance(value, Enum) and not self._is_strict:
            return self._plain(value.value, path, depth + 1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if not is_utf8(value):
                raise _refused(path, "it holds a lone surrogate, which is no text")
            return value
        if isinstance(value, int):
            if not INT_MIN <= value <= INT_MAX:
                raise _refused(path, "the integer needs more than 64 bits")
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise _refused(path, f"{value} is no JSON number")
            return value
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, (list, tuple)):
            return [self._plain(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        return self._converted(value, path, depth)

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        for key in value:
            if not isinstance(key, str) or not is_utf8(key):
                raise _refused(f"{path}: key {key!r:.80}", "it is a key that is no text")
        return {key: self._plain(item, f"{path}.{key}", depth + 1) for key, item in value.items()}

    def _converted(self, value: Any, path: str, depth: int) -> Any:
        """Returns a value of another type as JSON, by the one way of its type or by `encode`."""
        cause = f"a value of type {type(value).__name__} is no JSON"
        if self._is_strict:
            raise _refused(path, cause)
        if isinstance(value, Set):
            items = [self._plain(item, f"{path}{{}}", depth + 1) for item in value]
            return sorted(items, key=sort_key)
        simple = _simple(value)
        if simple is not None:
            return self._plain(simple, path, depth + 1)
        if self._encode is None:
            raise _refused(path, cause)
        try:
            encoded = self._encode(value)
        except (TypeError, ValueError) as error:
            raise _refused(path, f"{cause}, and encode says: {error!r:.200}") from error
        return self._plain(encoded, path, depth + 1)


def _simple(value: Any) -> Any:
    """Returns what stands for a value of a known type, None for any other."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    # a UUID is known by its urn: its module draws random numbers, and this room draws none
    if isinstance(value, (Decimal, PurePath)) or hasattr(value, "urn"):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    if isinstance(value, BaseException):
        return {"error_type": type(value).__name__, "error_message": str(value)}
    return None if isinstance(value, type) else _fields(value)


def _fields(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a dataclass, a class of attrs or msgspec, or a model of pydantic."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(value, "__attrs_attrs__"):
        names = [attribute.name for attribute in value.__attrs_attrs__]
    elif hasattr(value, "__struct_fields__"):
        names = list(value.__struct_fields__)
    elif hasattr(value, "model_dump") and hasattr(value, "model_fields_set"):
        return dict(value.model_dump())
    else:
        return None
    return {name: getattr(value, name) for name in names}


def _refused(path: str, cause: str) -> InvalidEvent:
    return InvalidEvent("could not store the event", place=f"field {path}", cause=cause, hint=_HINT)
