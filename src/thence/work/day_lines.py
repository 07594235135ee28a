"""The lines of day files: the file of each event, and the lines that a file lacks.

A day is the UTC day of an event's own timestamp, so that the same event is in the same file in
every clone. Lines are in order of arrival; existing lines are never changed. A `Splice` is a
function by which a command changes a file, of whatever kind. Only a line that was taken back is
replaced, by its redacted form.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from thence.core.event import Event
from thence.work.redacted_lines import RedactedLines
from thence.work.skipped_lines import SharedFilePosition

FOLDER = ".kittify/events"
ATTRIBUTES = f"{FOLDER}/.gitattributes"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# the day of events without a valid timestamp
_NO_DAY = "1970-01-01"
_NAME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")
_MARK = b"\xef\xbb\xbf"

# returns the new bytes of a file from the present ones; None stands for no file
Splice = Callable[[bytes | None], bytes | None]


def if_missing(data: bytes) -> Splice:
    """Returns the function that makes a file with these bytes, unless there is one."""
    return lambda before: data if before is None else before


def as_it_is(data: bytes | None) -> bytes | None:
    """Leaves a file as it is."""
    return data


def is_day_file(name: bytes) -> bool:
    """Reports whether a file of the folder is a day file."""
    return _NAME.fullmatch(name) is not None


def path_of(event: Event) -> str:
    """Returns the path of an event's day file, from the top of the repository."""
    day = _DAY.match(event.timestamp)
    return f"{FOLDER}/{day[0] if day else _NO_DAY}.jsonl"


def by_file(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Returns the events by the path of their day file, in their order."""
    by_path: dict[str, list[Event]] = {}
    for event in events:
        by_path.setdefault(path_of(event), []).append(event)
    return by_path


def lines_in(data: bytes) -> list[bytes]:
    """Returns the lines of a day file, without byte order marks, blanks and CRs of editors."""
    return [bare for line in data.split(b"\n") if (bare := _bare(line))]


def lines_with_positions(data: bytes, file: str) -> Iterator[tuple[bytes, SharedFilePosition]]:
    """Yields the lines of a day file, as `lines_in` returns them, with their positions."""
    offset = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if bare := _bare(line):
            yield bare, SharedFilePosition(file, number, offset)
        offset += len(line) + 1


def _bare(line: bytes) -> bytes:
    return line.removeprefix(_MARK).rstrip(b"\r").strip(b" \t")


class LineEdit(NamedTuple):
    """The bytes of a day file that hold a line which was taken back, and the line instead.

    `instead` is empty where the file has the redacted line already.
    """

    offset: int
    length: int
    instead: bytes


def edits_of(data: bytes, redactions: RedactedLines) -> list[LineEdit]:
    """Returns the edits by which a day file holds no body that was taken back."""
    if not redactions.digests:
        return []
    edits = []
    present: set[bytes] = set()
    offset = 0
    for line in data.split(b"\n"):
        bare = _bare(line)
        instead = redactions.instead_of(bare) if bare else bare
        if instead != bare:
            present = present or set(lines_in(data))
            edits.append(LineEdit(offset, len(line), b"" if instead in present else instead))
            present.add(instead)
        offset += len(line) + 1
    return edits


def edited(data: bytes, edits: Sequence[LineEdit]) -> bytes:
    """Returns a day file with its edits made."""
    parts, start = [], 0
    for offset, length, instead in edits:
        end = offset + length
        parts += [data[start:offset], instead]
        start = end if instead else end + 1
    return b"".join((*parts, data[start:]))


def lacking(
    data: bytes, events: Iterable[Event], others: Callable[[], Iterable[bytes]]
) -> list[bytes]:
    """Returns the lines of events that a day file lacks, each once, compared as bytes.

    Another tool may have put its lines into any day's file: such lines that one of the `others`
    holds are not lacking. The `others` are read only for such lines.
    """
    held = set(lines_in(data))
    absent = {event.line: event for event in events if event.line not in held}
    if any(event.is_foreign for event in absent.values()):
        elsewhere = {line for other in others() for line in lines_in(other)}
        return [line for line in absent if line not in elsewhere]
    return list(absent)


def with_more(data: bytes, lines: Sequence[bytes]) -> bytes:
    """Returns a file with lines appended; its own bytes stay as they are."""
    return data + more_of(data[-1:], lines) if lines else data


def more_of(last: bytes, lines: Sequence[bytes]) -> bytes:
    """Returns the bytes that append lines to a file whose last byte is `last`."""
    return (b"\n" if last not in {b"", b"\n"} else b"") + b"\n".join(lines) + b"\n"


def with_lines(data: bytes | None, required: bytes) -> bytes:
    """Returns a file with its missing lines at the end."""
    held = {line.strip() for line in (data or b"").splitlines()}
    lacking = [line for line in required.splitlines() if line not in held]
    return with_more(data or b"", lacking)
