"""The sentences of a log's notices about itself.

The facts are those of docs/formats/segment.md; any of them may be missing, for an older or a
newer version, or another program, may have written the notice.
"""

from collections.abc import Callable, Mapping
from typing import Any

from thence.core.event import Event
from thence.core.sentences.event_sentences import fields, shown

_SHRUNK = frozenset(("node_id", "first_seq", "last_seq", "file", "offset", "bytes"))
# members that every notice of a simulation has because of its format
_FORM = frozenset(("error_type", "status", "retry_count"))


class _Facts:
    """The facts of a notice, each as a part of its sentence; empty where one is missing."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        offset = self.number("offset")
        self.file = self.text("file") or "a file of the log"
        self.place = self.file if offset is None else f"byte {offset:,} of {self.file}"
        self.why = self.text("reason", ": ")

    def number(self, name: str) -> int | None:
        value = self.facts.get(name)
        return value if type(value) is int and value >= 0 else None

    def text(self, name: str, before: str = "", behind: str = "") -> str:
        value = self.facts.get(name)
        return f"{before}{shown(value)}{behind}" if value else ""

    def count(self, name: str, noun: str) -> str:
        """Returns a number with its noun; `some` for an unknown one."""
        number = self.number(name)
        if number is None:
            return f"some {noun}s"
        return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"

    def verb(self, name: str, one: str = "was", many: str = "were") -> str:
        """Returns the verb that matches a number."""
        return one if self.number(name) == 1 else many

    def span(self, first: str, last: str, before: str, behind: str = "") -> str:
        """Returns two numbers as a span."""
        begin, end = self.number(first), self.number(last)
        return "" if begin is None or end is None else f"{before}{begin:,} to {end:,}{behind}"

    @property
    def gone(self) -> str:
        return self.span("first_seq", "last_seq", "; own events ", " are missing there")


def _recovered(facts: _Facts) -> str:
    size = facts.count("bytes", "byte")
    if facts.facts.get("rewritten"):
        healed = facts.count("healed", "place")
        return f"a repair wrote {facts.file} anew: {healed} healed, {size} taken out"
    were, to = facts.verb("bytes"), facts.text("quarantine", " to ")
    return f"{size} that are no whole event {were} moved from {facts.place}{to}{facts.gone}"


def _gap(facts: _Facts) -> str:
    if facts.number("count") is not None:  # older versions counted
        events = facts.count("count", "queued event")
        return f"up to {events} of an earlier writer {facts.verb('count')} lost when it ended"
    last, node = facts.number("durable_seq"), facts.text("node_id", " of node ")
    behind = "" if last is None else f"; its last durable event is {last:,}{node}"
    return f"events that an earlier writer had queued may have been lost when it ended{behind}"


def _torn(facts: _Facts) -> str:
    damaged = f"{facts.verb('bytes', 'is', 'are')} damaged"
    several = "" if facts.number("regions") is None else f" in {facts.count('regions', 'region')}"
    why = facts.text("reason", " (", ")")
    return f"{facts.count('bytes', 'byte')} at {facts.place} {damaged}{several}{why}{facts.gone}"


def _shrunk(facts: _Facts) -> str:
    gone = [facts.span("first_seq", "last_seq", "events ", facts.text("node_id", " of node "))]
    if facts.number("bytes") is not None:
        gone.append(f"{facts.count('bytes', 'byte')} behind {facts.place}")
    gone = list(filter(None, gone))
    lost = f"; {' and '.join(gone)} are gone" if gone else ""
    others = fields(facts.facts, _SHRUNK | _FORM, ())
    detail = f" ({others})" if others else ""
    return f"the log ends before what it had made durable: it was cut or restored{lost}{detail}"


def _claimed(facts: _Facts) -> str:
    node, were = facts.text("node_id", " "), facts.verb("count")
    lines = f"{facts.count('count', 'line')} under this log's node{node}"
    return f"{lines} {were} brought, which this log did not write"


_SENTENCES: Mapping[str, Callable[[_Facts], str]] = {
    "recovered": _recovered,
    "gap": _gap,
    "torn": _torn,
    "joined": lambda facts: f"stands for {facts.count('count', 'cause')} of the next event",
    "node_changed": lambda facts: (
        f"the log's node changed{facts.text('old_node_id', ' from ')}"
        f"{facts.text('new_node_id', ' to ')}{facts.why}"
    ),
    "segment_suspect": lambda facts: (
        f"the device failed to keep {facts.count('bytes', 'byte')} at {facts.place}; a newer file "
        "holds them again"
    ),
    "events_dropped": lambda facts: (
        f"{facts.count('count', 'event')} {facts.verb('count')} dropped because the queue was full"
    ),
    "write_failed": lambda facts: (
        f"{facts.count('count', 'event')} could not be written{facts.why}"
    ),
    "shrunk": _shrunk,
    "claimed": _claimed,
    "seal": lambda facts: (
        f"{facts.span('from', 'to', 'lines ') or 'lines'}{facts.text('node_id', ' of node ')} "
        "were signed"
    ),
    "redacted": lambda facts: (
        f"what {facts.text('event_id', 'event ') or 'an event'} said was taken back{facts.why}"
    ),
}
# The name of a notice: `log.<kind>` in a plain log, an error_type in a simulation.
NOTICE_ERROR_TYPES: Mapping[str, str] = {
    "recovered": "log_recovered",
    "gap": "log_gap",
    "torn": "log_torn",
    "node_changed": "log_node_changed",
    "segment_suspect": "log_segment_suspect",
    "joined": "causes_joined",
    "shrunk": "log_shrunk",
    "events_dropped": "events_dropped",
    "write_failed": "write_failed",
    "claimed": "log_claimed",
    "seal": "log_seal",
    "redacted": "log_redacted",
}


def _of_event(write: Callable[[_Facts], str]) -> Callable[[Event], str]:
    return lambda event: write(_Facts(event.payload))


# by event type in a plain log and in work, by error_type in a simulation
NOTICE_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    f"log.{kind}": _of_event(write) for kind, write in _SENTENCES.items()
}
NOTICE_SENTENCES_SIM: Mapping[str, Callable[[Event], str]] = {
    NOTICE_ERROR_TYPES[kind]: _of_event(write) for kind, write in _SENTENCES.items()
}
