"""What an error says to people, all of it at once."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from thence.errors import ThenceError


class Said(NamedTuple):
    """An error's class, or the code of one that has none of its own, and its words."""

    kind: type[ThenceError] | str
    operation: str
    place: str
    cause: str
    hint: str


def said(error: ThenceError) -> Said:
    """Take an error apart."""
    kind = error.code if type(error) is ThenceError else type(error)
    return Said(kind, error.operation, error.place, error.cause, error.hint)


def raised(call: Callable[[], object]) -> Said:
    """Call what must raise, and take the error apart."""
    with pytest.raises(ThenceError) as caught:
        call()
    return said(caught.value)
