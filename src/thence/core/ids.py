"""ULIDs in the order of their creation.

An id is 48 bits of milliseconds, a 40-bit counter and 40 bits of noise, written in
Crockford's base 32 (https://github.com/ulid/spec). The time is taken before the counter:
if one call returns before another begins, its id is smaller, over all threads of a
process, within a millisecond too, and whatever the wall clock does meanwhile. No lock is
taken. Ids of different processes are told apart by their noise; they order nothing.
"""

from collections.abc import Callable
from itertools import count

LENGTH = 26
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_DIGITS = frozenset(_ALPHABET)
_NS_PER_MS = 1_000_000


class IdSource:
    """The ids of one process.

    `wall_ns` is the wall time in nanoseconds at the moment `monotonic_ns()` is first
    called here; later times are that plus the monotonic time since. `noise` has 40 bits.
    """

    def __init__(self, wall_ns: int, monotonic_ns: Callable[[], int], noise: int) -> None:
        self._monotonic_ns = monotonic_ns
        self._base_ns = wall_ns - monotonic_ns()
        self._noise = _base32(noise & (1 << 40) - 1, 8)
        self._next = count().__next__
        self._millisecond = (-1, "")
        self._thousand = (-1, "")

    def __call__(self) -> str:
        """Returns a new id of 26 characters."""
        ms = (self._base_ns + self._monotonic_ns()) // _NS_PER_MS
        number = self._next()
        known, prefix = self._millisecond
        if known != ms:
            prefix = _base32(ms, 10)
            self._millisecond = (ms, prefix)
        high, middle = self._thousand
        if high != number >> 10:
            high = number >> 10
            middle = _base32(high, 6)
            self._thousand = (high, middle)
        return prefix + middle + _PAIRS[number & 1023] + self._noise


def is_ulid(text: str) -> bool:
    """Tells whether a text is a ULID: 26 upper-case characters, at most 128 bits."""
    return len(text) == LENGTH and text[0] <= "7" and _DIGITS.issuperset(text)


def milliseconds(event_id: str) -> int:
    """Returns the milliseconds since 1970 that a ULID holds, for people, never for order."""
    value = 0
    for character in event_id[:10]:
        value = value << 5 | _ALPHABET.index(character)
    return value


def _base32(value: int, width: int) -> str:
    text = ""
    for _ in range(width):
        text = _ALPHABET[value & 31] + text
        value >>= 5
    return text
