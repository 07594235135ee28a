"""The random numbers of a simulation: one stream for each seed, agent, turn and purpose.

A number depends on its stream's key and on its place in the stream, on nothing else: not on what
another stream gave, on `hash()`, or on the version of Python.
"""

import random
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, cast

_STATE_VERSION = 1
_WORD_BITS = 64
_WORDS = 8  # in one digest of BLAKE2b
_unpack_words = Struct(f"<{_WORDS}Q").unpack


def stream(seed: int, agent: str, turn: int, purpose: str) -> "RandomStream":
    """Returns the random stream of one purpose, always from its beginning."""
    return RandomStream(f"{seed}\x00{agent}\x00{turn}\x00{purpose}")


class RandomStream(random.Random):
    """Random numbers by a key, with all methods of `random.Random`.

    Block n of a stream is the BLAKE2b digest of n and the key, eight words of 64 bits. Nothing is
    computed before the first draw, and Python's own generator (Mersenne Twister) is never seeded.
    One stream is not for several threads at once.
    """

    __slots__ = ("_block", "_key", "_words")

    gauss_next: float | None = None  # the second number of a pair, kept by gauss()

    def __init__(self, key: str) -> None:
        """Begins the stream of a key; `random.Random.__init__` would seed, so it is not called."""
        self._key = key
        self._block = 0
        self._words: list[int] = []  # of the last block, those still to come, in reverse

    def random(self) -> float:
        """Returns a number from 0.0 up to, not including, 1.0: a multiple of 2**-53."""
        words = self._words or self._next_block()
        return (words.pop() >> 11) * 2.0**-53

    def getrandbits(self, k: int, /) -> int:
        """Returns an int of `k` random bits; ValueError if `k` is negative."""
        if 0 < k <= _WORD_BITS:
            words = self._words or self._next_block()
            return words.pop() >> (_WORD_BITS - k)
        if k < 0:
            raise ValueError("number of bits must be non-negative")
        count = -(-k // _WORD_BITS)
        drawn = ((self._words or self._next_block()).pop() for _ in range(count))
        data = b"".join(word.to_bytes(8, "little") for word in drawn)
        return int.from_bytes(data, "little") >> (count * _WORD_BITS - k)

    def _randbelow(self, n: int) -> int:
        """Returns an int from 0 up to `n`, as Python's own method would, of the same bits."""
        bits = n.bit_length()
        if bits > _WORD_BITS:
            return self._randbelow_with_getrandbits(n)  # type: ignore[attr-defined, no-any-return]
        shift = _WORD_BITS - bits
        while True:
            words = self._words or self._next_block()
            if (number := words.pop() >> shift) < n:
                return number

    def seed(self, *_: object, **__: object) -> None:
        """Raises TypeError: the key of a stream is its seed."""
        raise TypeError("a stream can't be seeded; draw from the stream of another purpose")

    def getstate(self) -> tuple[Any, ...]:
        """Returns what `setstate` takes, of JSON values: the key and the place in the stream."""
        return (_STATE_VERSION, self._key, self._block, len(self._words), self.gauss_next)

    def setstate(self, state: Sequence[Any]) -> None:
        """Goes on where `getstate` was called, of this stream or another.

        Raises ValueError if `state` is no state of a stream.
        """
        match state:
            case [int(version), str(key), int(block), int(left), float() | None as gauss_next] if (
                version == _STATE_VERSION and 0 <= left < _WORDS and block >= (left > 0)
            ):
                pass
            case _:
                raise ValueError("this is no state of a stream")
        self._key, self._block, self._words = key, block, []
        if left:
            self._block -= 1
            del self._next_block()[left:]
        self.gauss_next = gauss_next

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns how pickle and copy make the stream again, at the same place."""
        return type(self), (self._key,), self.getstate()

    def _next_block(self) -> list[int]:
        digest = blake2b(f"{self._block}\x00{self._key}".encode()).digest()
        self._block += 1
        self._words = words = list(cast(tuple[int, ...], _unpack_words(digest)))
        return words
