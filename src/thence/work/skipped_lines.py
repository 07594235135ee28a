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


def parked(records: Sequence[PassedOverLine]) -> dict[bytes, SharedFilePosition]:
    """Returns the lines that are to be tried again."""
    return {record.parked.encode(): record.place for record in records if record.parked}


def keep(
    home: Path,
    former: Sequence[PassedOverLine],
    result: Relayed,
    places: Mapping[bytes, SharedFilePosition],
    files: Collection[str],
) -> None:
    """Records the lines that a relay passed over; former records of these `files` are replaced.

    `places` are the positions of the relayed lines, parked ones included. At most 1,000 lines are
    recorded, the first ones: the others are read again when their file changes.
    """
    records = [line for line in former if not line.parked and line.place.file not in files]
    records += [PassedOverLine(places[line], len(line), why.reason) for line, why in result.bad]
    reason = "its clock is further ahead than any log gets; it is tried again"
    records += [
        PassedOverLine(places[event.line], len(event.line), reason, event.line.decode())
        for event in result.parked
    ]
    _save(home, former, records[:KEPT_MAX])


def redact(home: Path, redactions: RedactedLines) -> None:
    """Removes from parked lines the bodies that were taken back. Raises OSError."""
    former = passed_over(home)
    lines = (redactions.instead_of(record.parked.encode()).decode() for record in former)
    pairs = zip(former, lines, strict=True)
    _save(home, former, [replace(record, parked=line) for record, line in pairs])


def _save(home: Path, former: Sequence[PassedOverLine], records: Sequence[PassedOverLine]) -> None:
    if [*records] != [*former]:
        replace_file(home / _NAME, msgspec.json.encode(records))


def findings(home: Path) -> tuple[Finding, ...]:
    """Returns the findings that `thence verify` reports."""
    return tuple(
        Finding(
            "shared_line_passed_over",
            f"line {line.place.line} is not in the journal: {line.reason}",
            line.place.file,
            line.place.offset,
            line.length,
        )
        for line in passed_over(home)
    )
