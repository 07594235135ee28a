"""What an error says to people, all of it at once."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from thence.errors import ThenceError


class Said(NamedTuple):
    """An error's class and its words."""

    kind: type[ThenceError]
    operation: str
    place: str
    cause: str
    hint: str


def said(error: ThenceError) -> Said:
    """Take an error apart."""
    return Said(type(error), error.operation, error.place, error.cause, error.hint)


def raised(call: Callable[[], object]) -> Said:
    """Call what must raise, and take the error apart."""
    with pytest.raises(ThenceError) as caught:
        call()
    return said(caught.value)
