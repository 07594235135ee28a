"""The moves and notes that other tools keep: Activity Logs in package files, status.events.jsonl.

An Activity Log stands in a package's file, below a heading `## Activity Log`. Its lines are such as
`- 2025-11-20T10:00:00Z – agent – shell_pid=4711 – lane=doing – text`. Dashes vary, and any field
may be missing.

Newer versions of spec-kitty keep the moves in status.events.jsonl. Each line is an object with
`event_id`, `at`, `wp_id`, `from_lane`, `to_lane`, and more. The file is only ever appended to and
merged by git, so times order it, as in spec-kitty itself. Lanes are mapped to those of thence;
errors do not end the reading.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from thence.core.clock import microseconds, timestamp_of
from thence.core.values.payload import is_utf8
from thence.work.naming import is_wp_id
from thence.work.plan.prose import MarkdownLine, lines_of

NAME = "status.events.jsonl"
SOURCE = "spec-kitty"
# the lanes of that tool that have other names here
_LANES: Mapping[str, str] = {
    "claimed": "doing",
    "in_progress": "doing",
    "in_review": "for_review",
    "approved": "for_review",
    "canceled": "rejected",
    "cancelled": "rejected",
}
_BLOCKED = "blocked"  # the package stays in its lane
# the members of a line that are kept beside its reason
_EXTRA = ("review_ref", "evidence")
HEADING = "activity log"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_MAX = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
# it begins at the first of its spaces, which are looked at once
_DASH = r"(?<![ \t])[ \t]++(?:[–—−]|--?)(?:[ \t]++|$)"
_ENTRY = re.compile(rf"\s*[-*+]\s+(\d{{4}}-\S+(?: \d{{1,2}}:\S+)?){_DASH}(.*)")
_BULLET = re.compile(r"\s*[-*+]\s+\S")
_DASH_PATTERN = re.compile(_DASH)
_FIELD = re.compile(r"(\w+)=(\S*)")


class StatusLine(NamedTuple):
    """One line: the move of a package to a lane.

    `lane` is that of thence, empty where the package stays; `lane_name` is spec-kitty's own name.
    """

    event_id: str
    timestamp: str
    wp_id: str
    actor: str
    lane: str
    lane_name: str
    reason: str
    further: str
    line: int


def status_lines(
    data: bytes, lanes: tuple[str, ...]
) -> tuple[list[StatusLine], list[tuple[int, str]]]:
    """Returns the lines in the order of their times, each event_id once.

    The second value are the numbers of lines that could not be read, with the reasons. A line with
    an unknown lane is among them too, though it is returned.
    """
    found: dict[str, StatusLine] = {}
    unread: list[tuple[int, str]] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        read = _read(raw, number)
        if isinstance(read, str):
            unread.append((number, read))
            continue
        lane = _LANES.get(read.lane_name, read.lane_name)
        if lane not in lanes:
            if lane != _BLOCKED:
                unread.append((number, f"nobody knows the lane {read.lane_name!r:.80}"))
            lane = ""
        found.setdefault(read.event_id, read._replace(lane=lane))
    return sorted(found.values(), key=lambda each: (each.timestamp, each.event_id)), unread


def _read(raw: bytes, number: int) -> StatusLine | str:
    """Reads one line; a text is the reason that it can't be read."""
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        return "the line is no JSON"
    if not isinstance(values, dict):
        return "the line is no JSON object"
    event_id, wp_id, lane = (
        one_line(values.get(name)) for name in ("event_id", "wp_id", "to_lane")
    )
    timestamp = written_time(one_line(values.get("at")) or one_line(values.get("timestamp")))
    if not event_id or not lane:
        return f"the line has no {'to_lane' if event_id else 'event_id'}"
    if not is_wp_id(wp_id):
        return f"{wp_id!r:.80} is no package's id"
    if not timestamp:
        return "the line has no time"
    return StatusLine(
        event_id,
        timestamp,
        wp_id,
        _actor(values.get("actor")),
        "",
        lane,
        one_line(values.get("reason")),
        _extra(values),
        number,
    )


def _extra(values: Mapping[str, Any]) -> str:
    extra = {name: values[name] for name in _EXTRA if values.get(name)}
    text = json.dumps(extra, ensure_ascii=False) if extra else ""
    return text if is_utf8(text) else json.dumps(extra)


def _actor(value: object) -> str:
    """Returns the actor: the text, or the tool's name in an object."""
    if isinstance(value, dict):
        value = value.get("tool") or value.get("name")
    return one_line(value)


def one_line(value: object) -> str:
    """Returns a text on one line; empty for any other value."""
    return " ".join(value.split()) if isinstance(value, str) and is_utf8(value) else ""


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
