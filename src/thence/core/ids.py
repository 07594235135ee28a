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


def id_source(wall_ns: int, monotonic_ns: Callable[[], int], noise: int) -> Callable[[], str]:
    """Returns the function that makes the ids of one process.

    `wall_ns` is the wall time in nanoseconds now; later times are that plus the monotonic
    time since. `noise` has 40 bits. Between calls only a cache is kept: a thread that sees a
    partial change by another thread only computes the text again.
    """
    base_ns = max(wall_ns, 0) - monotonic_ns()  # a clock before 1970 would give negative ids
    noise_text = _base32(noise & (1 << 40) - 1, NOISE_CHARACTERS)
    endings = tuple(pair + noise_text for pair in _PAIRS)
    next_number = count().__next__
    beginning = (-1, -1, "")

    def new_id() -> str:
        nonlocal beginning
        ms = (base_ns + monotonic_ns()) // _NS_PER_MS
        number = next_number()
        known_ms, known_thousand, text = beginning
        thousand = number >> 10
        if known_ms != ms or known_thousand != thousand:
            text = _base32(ms, 10) + _base32(thousand, 6)
            beginning = (ms, thousand, text)
        return text + endings[number & 1023]

    return new_id


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
