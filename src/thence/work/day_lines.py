"""The lines of day files: the file of each event, and the lines that a file lacks.

A day is the UTC day of an event's own timestamp, so that the same event is in the same file in
every clone. Lines are in order of arrival; existing lines are never changed. Only a line that was
redacted is replaced, by its redacted form: `RedactedLines` returns for any line what may be written
in its place. Lines of other tools that have no numbers have no digest, so that they can't be
redacted.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from thence.core.codec import BadLine, event_id_of, parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST, digests, redacted
from thence.core.vocabulary import WORK
from thence.errors import InvalidEvent

_MARK = b'"%b":"' % BODY_DIGEST.encode()


class RedactedLines(NamedTuple):
    """The redactions of a journal: digests (D), and the redacted lines of known events by id.

    `is_complete` is whether each digest is that of a known event.
    """

    digests: frozenset[bytes] = frozenset()
    by_id: Mapping[bytes, bytes] = {}
    is_complete: bool = False

    def redacted_form(self, line: bytes) -> bytes:
        """Returns what may be shared of a line, which is given without blanks around it.

        It is the redacted line for one that was redacted, and for a damaged copy of one; any
        other line itself.
        """
        if not self.digests:
            return line
        event_id = event_id_of(line)
        if self.is_complete and event_id not in self.by_id:
            return line
        if _digest(line) in self.digests:
            return redacted(line)
        if event_id in self.by_id and isinstance(parse(line, WORK), BadLine):
            return self.by_id[event_id]
        return line

    def of_events(self, events: Sequence[Event]) -> Sequence[Event]:
        """Returns events as they may be shared."""
        shared = list[Event]()
        for event in events if self.digests else ():
            line = self.redacted_form(event.line)
            one = event if line == event.line else parse(line, WORK)
            assert isinstance(one, Event)
            shared.append(one)
        return shared if self.digests else events


NO_REDACTIONS = RedactedLines()


def redacted_lines(redacted_digests: frozenset[bytes], lines: Iterable[bytes]) -> RedactedLines:
    """Returns the redactions of a journal, given their digests and its lines."""
    if not redacted_digests:
        return NO_REDACTIONS
    held = list(lines)
    by_digest = _by_digest(redacted_digests, (line for line in held if _MARK in line))
    if len(by_digest) < len(
        redacted_digests
    ):  # one may be redacted halfway, or its event is not here
        by_digest = _by_digest(redacted_digests, held)
    by_id = {event_id_of(line): line for line in by_digest.values()}
    return RedactedLines(redacted_digests, by_id, len(by_digest) == len(redacted_digests))


def _by_digest(redacted_digests: frozenset[bytes], lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Returns the redacted form of those lines that were redacted, by digest."""
    pairs = ((_digest(line), line) for line in lines)
    return {digest: redacted(line) for digest, line in pairs if digest in redacted_digests}


def _digest(line: bytes) -> bytes | None:
    """Returns D of a line, None for a line that has none."""
    try:
        return digests(line).line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


FOLDER = ".kittify/events"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# the day of events without a valid timestamp
_NO_DAY = "1970-01-01"
_DAY_FILE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def is_day_file(name: bytes) -> bool:
    """Reports whether a file of the folder is a day file."""
    return _DAY_FILE.fullmatch(name) is not None


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
    lines = (line.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\r") for line in data.split(b"\n"))
    return [*filter(None, (line.strip(b" \t") for line in lines))]


def made_anew(data: bytes, redactions: RedactedLines) -> tuple[bytes, int]:
    """Returns a day file without bodies that were redacted, and how many lines had one.

    A file with such lines gets their redacted form instead, each line once; any other is unchanged.
    """
    lines = lines_in(data) if redactions.digests else []
    kept = [redactions.redacted_form(line) for line in lines]
    count = sum(line != shown for line, shown in zip(lines, kept, strict=True))
    return (with_more(b"", [*dict.fromkeys(kept)]), count) if count else (data, 0)


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
