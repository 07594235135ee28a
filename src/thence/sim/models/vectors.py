"""Vectors of texts, by which an agent finds what is like what it sees now.

Each is kept as text, base64 of numbers of two bytes, which are enough for a likeness.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from math import fsum, hypot, isfinite

Vector = tuple[float, ...]


def packed(numbers: Sequence[float]) -> str:
    """Returns a vector of length 1 in the direction of some numbers, as text.

    Raises ValueError for numbers without a direction: none, all zero, or not finite.
    """
    length = hypot(*numbers)
    if not length or not isfinite(length):
        raise ValueError("the embedding is not a vector: it has no length")
    return b64encode(struct.pack(f"<{len(numbers)}e", *(one / length for one in numbers))).decode()


def unpacked(text: str) -> Vector:
    """Returns the vector in a text."""
    data = b64decode(text)
    return struct.unpack(f"<{len(data) // 2}e", data)


def likeness(a: Vector, b: Vector) -> float:
    """Returns the cosine of the angle between two vectors, 0 for those that point apart.

    Raises ValueError for vectors of different length, which are those of two models.
    """
    return max(0.0, fsum(x * y for x, y in zip(a, b, strict=True)))
