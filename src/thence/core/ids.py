"""ULIDs in the order of their creation.

An id is 48 bits of milliseconds, a 40-bit counter and 40 bits of noise, written in
Crockford's base 32 (https://github.com/ulid/spec). The time is taken before the counter:
if one call returns before another begins, its id is smaller, over all threads of a
process, within a millisecond too, and whatever the wall clock does meanwhile. No lock is
taken. Ids of different processes differ by their noise; their order means nothing.
"""

from collections.abc import Callable
from itertools import count

LENGTH = 26
# the last characters of an id, which are those of all ids that its process makes
NOISE_CHARACTERS = 8
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_DIGITS = frozenset(_ALPHABET)
_NS_PER_MS = 1_000_000
_AS_BASE_32 = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")


class IdSource:
    """The source of the ids of one process.

    Between calls only a cache is kept: a thread that sees a partial change by another thread only
    computes the text again.
    """

    def __init__(self, wall_ns: int, monotonic_ns: Callable[[], int], noise: int) -> None:
        self._monotonic_ns = monotonic_ns
        self._next_number = count().__next__
        self.renew(wall_ns, noise)

    def renew(self, wall_ns: int, noise: int) -> None:
        """Begins the ids of another process, such as a forked child.

        `wall_ns` is the wall time in nanoseconds now; later times are that plus the monotonic
        time since. `noise` has 40 bits.
        """
        # a clock before 1970 would give negative ids
        self._base_ns = max(wall_ns, 0) - self._monotonic_ns()
        noise_text = _base32(noise & (1 << 40) - 1, NOISE_CHARACTERS)
        self._endings = tuple(pair + noise_text for pair in _PAIRS)
        self._beginning = (-1, -1, "")

    def new_id(self) -> str:
        """Returns a new id, larger than all that were returned before."""
        ms = (self._base_ns + self._monotonic_ns()) // _NS_PER_MS
        number = self._next_number()
        known_ms, known_thousand, text = self._beginning
        thousand = number >> 10
        if known_ms != ms or known_thousand != thousand:
            text = _base32(ms, 10) + _base32(thousand, 6)
            self._beginning = (ms, thousand, text)
        return text + self._endings[number & 1023]


def is_ulid(text: str) -> bool:
    """Reports whether a text is a ULID: 26 upper-case characters, at most 128 bits."""
    return len(text) == LENGTH and text[0] <= "7" and _DIGITS.issuperset(text)


def ulid_value(text: str) -> int | None:
    """Returns the 128 bits of a ULID, None of any other text."""
    return int(text.translate(_AS_BASE_32), 32) if is_ulid(text) else None


def ulid_of(ms: int, rest: int) -> str:
    """Returns the ULID of a millisecond since 1970 and 80 bits, of which more are cut off."""
    return _base32(min(max(ms, 0), (1 << 48) - 1), 10) + _base32(rest, 16)


def _base32(value: int, width: int) -> str:
    text = ""
    for _ in range(width):
        text = _ALPHABET[value & 31] + text
        value >>= 5
    return text
