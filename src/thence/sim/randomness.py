"""One stream of random numbers for each seed, agent, turn and purpose.

A draw in one place changes no draw elsewhere, and nothing depends on `hash()`.
"""

import random
from hashlib import blake2b


def stream(seed: int, agent: str, turn: int, purpose: str) -> random.Random:
    """Returns the stream of one purpose, always from its beginning."""
    name = f"{seed}\x00{agent}\x00{turn}\x00{purpose}"
    return random.Random(int.from_bytes(blake2b(name.encode(), digest_size=8).digest()))
