"""The fast decoder of many lines at once, whole or for a few members.

If any line is not a plain event of thence, None is returned, and the lines have to be parsed
one by one by `core.values.codec`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from thence.core.clock import CLOCK_MAX
from thence.core.event import LINE_DEPTH_MAX, Event, decode_header
from thence.core.values.codec import DEEP_BYTES_MIN, is_too_deep
from thence.core.values.vocabulary import Vocabulary


class Numbered(Protocol):
    """The decoded members of a line, including its numbers."""

    @property
    def seq(self) -> int:
        """The number in its node's own journal."""

    @property
    def lamport_clock(self) -> int:
        """Lamport's logical clock."""


T = TypeVar("T", bound=Numbered)
_AS_ONE_BRACKET = bytes.maketrans(b"{", b"[")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{\n"))
_DEEP = b"[" * LINE_DEPTH_MAX
# so few lines are tried at once where others may stand among them
GROUP_LINES = 64


def taken(data: bytes, lines: Sequence[bytes], decode: Callable[[bytes], T]) -> list[T] | None:
    """Decodes lines whose checksums fit; `data` is all of them, with the bytes between.

    Returns None if any is no event, or has a member of a wrong type among those decoded.
    """
    try:
        if not data.isascii():
            data.decode()  # the decoder does not check the texts that it skips
        found = list(map(decode, lines))
    except (ValueError, RecursionError):
        return None
    if _may_be_deep(data, lines) and any(map(is_too_deep, lines)):
        return None
    clocks = [each.lamport_clock for each in found]
    if min([each.seq for each in found]) < 1 or min(clocks) < 1 or max(clocks) > CLOCK_MAX:
        return None
    return found


def parsed(data: bytes, lines: Sequence[bytes], vocabulary: Vocabulary) -> list[Event] | None:
    """Reads many lines with valid checksums, as `taken` does."""
    headers = taken(data, lines, decode_header)
    if headers is None:
        return None
    return [Event(line, head, vocabulary) for line, head in zip(lines, headers, strict=True)]


def grouped(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Yields lines in groups, joined as they stand in a file."""
    for start in range(0, len(lines), GROUP_LINES):
        yield b"\n".join(lines[start : start + GROUP_LINES])


def _may_be_deep(data: bytes, lines: Sequence[bytes]) -> bool:
    """Reports quickly that no line is nested too deep; True when unsure."""
    if max(map(len, lines)) < DEEP_BYTES_MIN:
        return False
    return _DEEP in data.translate(_AS_ONE_BRACKET, _NO_BRACKETS)
