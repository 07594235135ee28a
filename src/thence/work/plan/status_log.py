"""The moves of packages that newer versions of spec-kitty keep in status.events.jsonl.

Each line is an object with `event_id`, `at`, `wp_id`, `from_lane`, `to_lane`, and more. The
file is only ever appended to and united by git, so times order it, as that tool reads it.
Lanes become ours; nothing wrong ends the reading.
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
_BLOCKED = "blocked"  # said of a package that stays where it is
# what is kept of a line beside its reason
_FURTHER = ("review_ref", "evidence")


class StatusLine(NamedTuple):
    """One line: a package goes to a lane, ours where we have it.

    `lane` is empty where the package stays; `told` is the lane as that tool calls it.
    """

    event_id: str
    timestamp: str
    wp_id: str
    actor: str
    lane: str
    told: str
    reason: str
    further: str
    line: int


def lines_of(data: bytes, lanes: tuple[str, ...]) -> tuple[list[StatusLine], list[tuple[int, str]]]:
    """Returns the lines in the order of their times, each event_id once.

    With them come the numbers of lines that could not be read, and why not. A lane that is none
    of `lanes` and has no name here is among them too, though its line is returned.
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
        lane = _LANES.get(read.told, read.told)
        if lane not in lanes:
            if lane != _BLOCKED:
                unread.append((number, f"nobody knows the lane {read.told!r:.80}"))
            lane = ""
        found.setdefault(read.event_id, read._replace(lane=lane))
    return sorted(found.values(), key=lambda each: (each.timestamp, each.event_id)), unread


def _read(raw: bytes, number: int) -> StatusLine | str:
    """Reads one line; a text says why it can't be."""
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        return "the line is no JSON"
    if not isinstance(told, dict):
        return "the line is no JSON object"
    event_id, wp_id, lane = (_text(told.get(name)) for name in ("event_id", "wp_id", "to_lane"))
    timestamp = written_time(_text(told.get("at")) or _text(told.get("timestamp")))
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
        _actor(told.get("actor")),
        "",
        lane,
        _text(told.get("reason")),
        _further(told),
        number,
    )


def _further(told: Mapping[str, Any]) -> str:
    held = {name: told[name] for name in _FURTHER if told.get(name)}
    text = json.dumps(held, ensure_ascii=False) if held else ""
    return text if is_utf8(text) else json.dumps(held)


def _actor(value: object) -> str:
    """Returns who did it: a text, or, of an object that tells more, the tool's name."""
    if isinstance(value, dict):
        value = value.get("tool") or value.get("name")
    return _text(value)


def _text(value: object) -> str:
    """Returns a text on one line; empty for what is none."""
    return " ".join(value.split()) if isinstance(value, str) and is_utf8(value) else ""
