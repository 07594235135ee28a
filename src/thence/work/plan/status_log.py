"""The moves of packages that newer versions of spec-kitty keep in status.events.jsonl.

Each line is an object with `event_id`, `at`, `wp_id`, `from_lane`, `to_lane`, and more. The file is
only ever appended to and merged by git, so times order it, as in spec-kitty itself. Lanes are
mapped to those of thence; errors do not end the reading.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from thence.core.values.payload import is_utf8
from thence.work.naming import is_wp_id
from thence.work.plan.activity import written_time

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


def lines_of(data: bytes, lanes: tuple[str, ...]) -> tuple[list[StatusLine], list[tuple[int, str]]]:
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
    event_id, wp_id, lane = (_text(values.get(name)) for name in ("event_id", "wp_id", "to_lane"))
    timestamp = written_time(_text(values.get("at")) or _text(values.get("timestamp")))
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
        _text(values.get("reason")),
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
    return _text(value)


def _text(value: object) -> str:
    """Returns a text on one line; empty for any other value."""
    return " ".join(value.split()) if isinstance(value, str) and is_utf8(value) else ""
