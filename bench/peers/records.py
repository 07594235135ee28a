"""What the peers log: records with an id, printed once the logger has taken them."""

import os
import sys
import uuid
from collections.abc import Iterator

TEXT = "a line of about 335 bytes " * 7


def records() -> Iterator[tuple[str, dict[str, object]]]:
    """Yields an id and what to log under it, for ever."""
    start = uuid.uuid4().hex
    for number in range(sys.maxsize):
        yield f"{start}-{number:08}", {"number": number, "good": "grain", "text": TEXT}


def took(*ids: str) -> None:
    """Tells the harness that the logger has taken these records, by one write."""
    os.write(1, "".join(f"{each}\n" for each in ids).encode())
