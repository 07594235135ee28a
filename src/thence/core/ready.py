"""Types whose decoder is made by one thread alone."""

from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

import msgspec

_Kind = TypeVar("_Kind")
_ready = set[Any]()
_lock = Lock()


def ready(kind: _Kind) -> _Kind:
    """Returns a type with all that msgspec needs to decode it, which no two threads make at once.

    Msgspec 0.22.0 makes that at the first use of a class, and a second thread that meets it half
    made ends the process by a segmentation fault.
    """
    if kind not in _ready:
        with _lock, suppress(TypeError):  # whoever decodes by it is told
            msgspec.json.Decoder(kind)
            _ready.add(kind)
    return kind
