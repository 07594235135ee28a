"""The Activity Log of a package's file, as tools and people wrote it.

Below a heading `## Activity Log` are lines such as
`- 2025-11-20T10:00:00Z – agent – shell_pid=4711 – lane=doing – text`. Dashes vary, and any field
may be missing.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from thence.core.clock import timestamp_of
from thence.core.times import microseconds
from thence.work.plan.prose import MarkdownLine, lines_of

HEADING = "activity log"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_MAX = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
# it begins at the first of its spaces, which are looked at once
_DASH = r"(?<![ \t])[ \t]++(?:[–—−]|--?)(?:[ \t]++|$)"
_ENTRY = re.compile(rf"\s*[-*+]\s+(\d{{4}}-\S+(?: \d{{1,2}}:\S+)?){_DASH}(.*)")
_BULLET = re.compile(r"\s*[-*+]\s+\S")
_DASH_PATTERN = re.compile(_DASH)
_FIELD = re.compile(r"(\w+)=(\S*)")


class ActivityLine(NamedTuple):
    """One line of an Activity Log; `timestamp` is in an event's form, missing fields are empty.

    `digest` does not depend on the line's position, and differs between equal lines.
    """

    line: int
    timestamp: str
    actor: str
    lane: str
    text: str
    digest: str


def entries_of(data: bytes, line: int = 1) -> tuple[tuple[ActivityLine, ...], tuple[int, ...]]:
    """Returns the entries of a file's Activity Log, and the numbers of lines that are none.

    `line` is the first line of the Markdown, behind the fields. Prose is ignored; a bullet without
    a time is reported.
    """
    skipped = line - 1
    body = b"\n".join(data.split(b"\n")[skipped:])
    entries: list[ActivityLine] = []
    unread: list[int] = []
    seen: dict[str, int] = {}
    for each in _bullets(body):
        entry = _entry(each.number + skipped, each.text)
        if entry is None:
            unread.append(each.number + skipped)
            continue
        times = seen[entry.digest] = seen.get(entry.digest, 0) + 1
        digest = entry.digest if times == 1 else f"{entry.digest}.{times}"
        entries.append(entry._replace(digest=digest))
    return tuple(entries), tuple(unread)


def written_time(text: str) -> str:
    """Returns a written time in an event's form; empty for what is none, or before 1970."""
    us = microseconds(text)
    if us is None or not 0 <= us <= _US_MAX:
        return ""
    return timestamp_of(_EPOCH + timedelta(microseconds=us))


def _bullets(body: bytes) -> Iterator[MarkdownLine]:
    """Yields the bullets below the heading, up to the next heading of its level."""
    level = 0
    for line in lines_of(body).lines:
        if line.level and HEADING in line.text.casefold():
            level = line.level
        elif line.level:
            level = level if line.level > level else 0
        elif level and _BULLET.match(line.text):
            yield line


def _entry(number: int, text: str) -> ActivityLine | None:
    found = _ENTRY.fullmatch(text)
    timestamp = written_time(found[1]) if found else ""
    if found is None or not timestamp:
        return None
    fields: dict[str, str] = {}
    rest = found[2]
    actor, position = _part(rest, 0)
    if _FIELD.fullmatch(actor.strip()):
        actor, position = "", 0
    while position < len(rest):
        part, behind = _part(rest, position)
        field = _FIELD.fullmatch(part.strip())
        if field is None:
            break
        fields[field[1]], position = field[2], behind
    actor = actor.strip(" \t`*") or fields.get("agent", "")
    digest = sha256(text.strip().encode()).hexdigest()[:16]
    return ActivityLine(
        number, timestamp, actor, fields.get("lane", ""), rest[position:].strip(), digest
    )


def _part(text: str, start: int) -> tuple[str, int]:
    """Returns the text from a position to the next dash, and the position behind that."""
    found = _DASH_PATTERN.search(text, start)
    return (text[start : found.start()], found.end()) if found else (text[start:], len(text))
