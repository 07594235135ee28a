"""Lines of the shared files that a project's journal did not take in, recorded beside it.

`thence verify` and `thence doctor` report them. A parked line has a clock too far in the future
for any log. The record holds its bytes: each look at the shared files tries it again.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from thence.files import replace_file
from thence.log.storage.findings import Finding, Relayed
from thence.work.redacted_lines import RedactedLines

_NAME = "passed_over.json"
KEPT_MAX = 1_000


class SharedFilePosition(msgspec.Struct, frozen=True):
    """The position of a line in a shared file; `line` counts from 1, `offset` is in bytes."""

    file: str
    line: int
    offset: int


class PassedOverLine(msgspec.Struct, frozen=True):
    """A line that was passed over, and the reason; `parked` is its text, if it is tried again."""

    place: SharedFilePosition
    length: int
    reason: str
    parked: str = ""


def passed_over(home: Path) -> tuple[PassedOverLine, ...]:
    """Returns the recorded lines; none where the record can't be read."""
    try:
        return msgspec.json.decode((home / _NAME).read_bytes(), type=tuple[PassedOverLine, ...])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def parked(found: Sequence[PassedOverLine]) -> dict[bytes, SharedFilePosition]:
    """Returns the lines that are to be tried again."""
    return {each.parked.encode(): each.place for each in found if each.parked}


def keep(
    home: Path,
    known: Sequence[PassedOverLine],
    made: Relayed,
    places: Mapping[bytes, SharedFilePosition],
    files: Collection[str],
) -> None:
    """Records the lines that a relay passed over; former records of these `files` are replaced.

    `places` are the positions of the relayed lines, parked ones included. At most 1,000 lines are
    recorded, the first ones: the others are read again when their file changes.
    """
    found = [each for each in known if not each.parked and each.place.file not in files]
    found += [PassedOverLine(places[line], len(line), why.reason) for line, why in made.bad]
    reason = "its clock is further ahead than any log gets; it is tried again"
    found += [
        PassedOverLine(places[event.line], len(event.line), reason, event.line.decode())
        for event in made.parked
    ]
    _save(home, known, found[:KEPT_MAX])


def redact(home: Path, redactions: RedactedLines) -> None:
    """Removes from parked lines the bodies that were taken back. Raises OSError."""
    known = passed_over(home)
    lines = (redactions.instead_of(each.parked.encode()).decode() for each in known)
    _save(
        home, known, [replace(each, parked=line) for each, line in zip(known, lines, strict=True)]
    )


def _save(home: Path, known: Sequence[PassedOverLine], found: Sequence[PassedOverLine]) -> None:
    if [*found] != [*known]:
        replace_file(home / _NAME, msgspec.json.encode(found))


def findings(home: Path) -> tuple[Finding, ...]:
    """Returns the findings that `thence verify` reports."""
    return tuple(
        Finding(
            "shared_line_passed_over",
            f"line {each.place.line} is not in the journal: {each.reason}",
            each.place.file,
            each.place.offset,
            each.length,
        )
        for each in passed_over(home)
    )
