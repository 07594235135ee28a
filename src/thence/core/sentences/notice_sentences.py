"""The sentences of a log's notices about itself.

The facts are those of docs/formats/segment.md; any of them may be missing, for an older or a
newer version, or another program, may have written the notice.
"""

from collections.abc import Callable, Mapping
from typing import Any

from thence.core.event import Event
from thence.core.sentences.wording import fields, shown

_SHRUNK = frozenset(("node_id", "first_seq", "last_seq", "file", "offset", "bytes"))
# members that every notice of a simulation has because of its format
_FORM = frozenset(("error_type", "status", "retry_count"))


def _recovered(facts: Mapping[str, Any]) -> str:
    if facts.get("rewritten"):
        healed = _count(facts.get("healed"), "place")
        gone = _count(facts.get("bytes"), "byte")
        return f"a repair wrote {_file(facts)} anew: {healed} healed, {gone} taken out"
    to = f" to {shown(facts['quarantine'])}" if facts.get("quarantine") else ""
    bytes_, were = _counted(facts.get("bytes"), "byte")
    return f"{bytes_} that are no whole event {were} moved from {_place(facts)}{to}{_gone(facts)}"


def _gap(facts: Mapping[str, Any]) -> str:
    if _is_number(facts.get("count")):  # older versions counted
        events, were = _counted(facts.get("count"), "queued event")
        return f"up to {events} of an earlier writer {were} lost when it ended"
    last = facts.get("durable_seq")
    node = f" of node {shown(facts['node_id'])}" if facts.get("node_id") else ""
    behind = f"; its last durable event is {last:,}{node}" if _is_number(last) else ""
    return f"events that an earlier writer had queued may have been lost when it ended{behind}"


def _torn(facts: Mapping[str, Any]) -> str:
    regions = facts.get("regions")
    several = f" in {_count(regions, 'region')}" if _is_number(regions) else ""
    why = f" ({shown(facts['reason'])})" if facts.get("reason") else ""
    bytes_, are = _counted(facts.get("bytes"), "byte", "is", "are")
    return f"{bytes_} at {_place(facts)} {are} damaged{several}{why}{_gone(facts)}"


def _joined(facts: Mapping[str, Any]) -> str:
    return f"stands for {_count(facts.get('count'), 'cause')} of the next event"


def _node_changed(facts: Mapping[str, Any]) -> str:
    old, new = facts.get("old_node_id"), facts.get("new_node_id")
    before = f" from {shown(old)}" if old else ""
    behind = f" to {shown(new)}" if new else ""
    return f"the log's node changed{before}{behind}{_why(facts)}"


def _segment_suspect(facts: Mapping[str, Any]) -> str:
    bytes_ = _count(facts.get("bytes"), "byte")
    return f"the device failed to keep {bytes_} at {_place(facts)}; a newer file holds them again"


def _events_dropped(facts: Mapping[str, Any]) -> str:
    events, were = _counted(facts.get("count"), "event")
    return f"{events} {were} dropped because the queue was full"


def _write_failed(facts: Mapping[str, Any]) -> str:
    return f"{_count(facts.get('count'), 'event')} could not be written{_why(facts)}"


def _shrunk(facts: Mapping[str, Any]) -> str:
    first, last = facts.get("first_seq"), facts.get("last_seq")
    gone: list[str] = []
    if _is_number(first) and _is_number(last):
        node = f" of node {shown(facts['node_id'])}" if facts.get("node_id") else ""
        gone.append(f"events {first:,} to {last:,}{node}")
    if _is_number(facts.get("bytes")):
        gone.append(f"{_count(facts.get('bytes'), 'byte')} behind {_place(facts)}")
    lost = f"; {' and '.join(gone)} are gone" if gone else ""
    more = fields(facts, _SHRUNK | _FORM, ())
    detail = f" ({more})" if more else ""
    return f"the log ends before what it had made durable: it was cut or restored{lost}{detail}"


def _claimed(facts: Mapping[str, Any]) -> str:
    lines, were = _counted(facts.get("count"), "line")
    node = f" {shown(facts['node_id'])}" if facts.get("node_id") else ""
    return f"{lines} under this log's node{node} {were} brought, which this log did not write"


def _seal(facts: Mapping[str, Any]) -> str:
    first, last = facts.get("from"), facts.get("to")
    lines = f"lines {first:,} to {last:,}" if _is_number(first) and _is_number(last) else "lines"
    node = f" of node {shown(facts['node_id'])}" if facts.get("node_id") else ""
    return f"{lines}{node} were signed"


def _redacted(facts: Mapping[str, Any]) -> str:
    event = f"event {shown(facts['event_id'])}" if facts.get("event_id") else "an event"
    return f"what {event} said was taken back{_why(facts)}"


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "recovered": _recovered,
    "gap": _gap,
    "torn": _torn,
    "joined": _joined,
    "node_changed": _node_changed,
    "segment_suspect": _segment_suspect,
    "events_dropped": _events_dropped,
    "write_failed": _write_failed,
    "shrunk": _shrunk,
    "claimed": _claimed,
    "seal": _seal,
    "redacted": _redacted,
}
_SIM_NAMES = {
    "joined": "causes_joined",
    "events_dropped": "events_dropped",
    "write_failed": "write_failed",
}


def _of_event(write: Callable[[Mapping[str, Any]], str]) -> Callable[[Event], str]:
    return lambda event: write(event.payload)


# by event type in a plain log and in work, by error_type in a simulation
NOTICE_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    f"log.{kind}": _of_event(write) for kind, write in _SENTENCES.items()
}
NOTICE_SENTENCES_SIM: Mapping[str, Callable[[Event], str]] = {
    _SIM_NAMES.get(kind, f"log_{kind}"): _of_event(write) for kind, write in _SENTENCES.items()
}


def _is_number(value: object) -> bool:
    return type(value) is int and value >= 0


def _count(number: object, noun: str) -> str:
    return _counted(number, noun)[0]


def _counted(number: object, noun: str, one: str = "was", many: str = "were") -> tuple[str, str]:
    """Returns a number with its noun, and the matching verb; `some` for an unknown number."""
    if not isinstance(number, int) or not _is_number(number):
        return f"some {noun}s", many
    return (f"1 {noun}", one) if number == 1 else (f"{number:,} {noun}s", many)


def _why(facts: Mapping[str, Any]) -> str:
    return f": {shown(facts['reason'])}" if facts.get("reason") else ""


def _file(facts: Mapping[str, Any]) -> str:
    return shown(facts["file"]) if facts.get("file") else "a file of the log"


def _place(facts: Mapping[str, Any]) -> str:
    offset = facts.get("offset")
    return f"byte {offset:,} of {_file(facts)}" if _is_number(offset) else _file(facts)


def _gone(facts: Mapping[str, Any]) -> str:
    first, last = facts.get("first_seq"), facts.get("last_seq")
    if not (_is_number(first) and _is_number(last)):
        return ""
    return f"; own events {first:,} to {last:,} are missing there"
