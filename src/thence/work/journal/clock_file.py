"""`.kittify/clock.json`: the last clock value that the journal gave out, for other programs to see.

It is derived. Numbers come from the journal under its lock and never from here, so that a file
that is lost, spoilt, old, far ahead or read-only changes nothing.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from thence.core.values.codec import LINE_BYTES_MAX, numbers
from thence.errors import GitFailed
from thence.replica import now
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.locks import held

NAME = ".kittify/clock.json"
_TAIL_BYTES = 4096


class Clock(msgspec.Struct, frozen=True):
    """What the file holds."""

    value: int
    node_id: str
    last_updated: str


def write_clock(files: TreeFiles, segment: Path) -> None:
    """Writes the file in one step: what stands in the last line of the journal's segment.

    Of commands that end at once the last to write has read what all have appended. Where the
    file can't be written nothing happens.
    """
    with suppress(OSError, GitFailed), held(segment.parent / "clock.lock"):
        last = _last_numbers(segment)
        if last is None:
            return
        node_id, _, value = last
        data = msgspec.json.encode(Clock(value, node_id, now())) + b"\n"
        files.replace(NAME, data)


def read_clock(files: TreeFiles) -> Clock | None:
    """Returns what the file holds, None if it holds nothing of use."""
    try:
        return msgspec.json.decode(files.read(NAME), type=Clock)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _last_numbers(segment: Path) -> tuple[str, int, int] | None:
    """Returns node, seq and clock of the last whole line."""
    with segment.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for length in (_TAIL_BYTES, 2 * LINE_BYTES_MAX):
            start = max(0, size - length)
            file.seek(start)
            lines = file.read(length).split(b"\n")[0 if start == 0 else 1 : -1]
            for line in reversed(lines):
                found = numbers(line)
                if found is not None:
                    return found
    return None
