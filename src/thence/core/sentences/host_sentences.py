"""The sentences of a log's notices about itself, and of the two hosts that come with thence.

The facts of a notice are those of docs/formats/segment.md; any of them may be missing, for an older
or a foreign line.
"""

from collections.abc import Callable, Mapping
from typing import Any

from thence.core.event import Event
from thence.core.sentences.event_sentences import fields, shown, spoken, work_subject_shown

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


_OID_SHOWN = 12


def _when(event: Event) -> str:
    return f"turn {event.turn_number or 0}"


def _who(event: Event) -> str:
    return event.actor or "somebody"


def _milestone(event: Event) -> str:
    kind = str(event.payload.get("milestone_type", "milestone"))
    if kind.startswith("turn_"):
        return f"{_when(event).capitalize()} {'began' if kind == 'turn_start' else 'ended'}"
    if kind == "simulation_start":
        return "The simulation began"
    if kind == "simulation_end":
        return f"The simulation ended in {_when(event)}"
    return f"In {_when(event)} a {kind.replace('_', ' ')} was reached"


def _decision(event: Event) -> str:
    new = shown(event.payload.get("new_value"))
    return f"In {_when(event)} {_who(event)} decided: {new}"


def _action(event: Event) -> str:
    payload = event.payload.get("action_payload")
    what = f" ({shown(payload)})" if payload else ""
    kind = event.payload.get("action_type") or "something"
    return f"In {_when(event)} {_who(event)} did {kind}{what}"


def _state(event: Event) -> str:
    old, new = shown(event.payload.get("old_value")), shown(event.payload.get("new_value"))
    what = event.subject or shown(event.payload.get("variable_name") or "something")
    return f"In {_when(event)} {what} went from {old} to {new}"


def _system(event: Event) -> str:
    """Returns the sentence of a log's notice, or of an error of the framework, with its reason."""
    payload = event.payload
    kind = str(payload.get("error_type", "note"))
    notice = NOTICE_SENTENCES_SIM.get(kind)
    if notice is not None:
        return notice(event)
    who = f" for {event.actor}" if event.actor else ""
    said = spoken({key: item for key, item in payload.items() if key != "error_type"})
    skipped = {"error_type", "status", "retry_count", *said.keys}
    facts = fields(payload, skipped, (event.description, said.text))
    rest = [part for part in (event.description, said.text, facts) if part]
    note = f": {', '.join(rest)}" if rest else ""
    return f"In {_when(event)} the system noted {kind.replace('_', ' ')}{who}{note}"


class _Words:
    """The words of a template: of an event `who`, `what` and such, else a value of its payload."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def __getitem__(self, name: str) -> str:
        event = self._event
        if name == "who":
            return _who(event)
        if name == "what":
            return work_subject_shown(event) or "something"
        if name == "stream":
            return str(event.stream)
        value = event.payload.get("reason" if name == "why" else name)
        if name == "why":
            return f": {shown(value)}" if value else ""
        return shown(value or "unknown")[:_OID_SHOWN] if name == "commit" else shown(value)


def _filled(template: str) -> Callable[[Event], str]:
    """Returns a function that fills a template with the words of an event."""
    return lambda event: template.format_map(_Words(event))


def _moved(event: Event) -> str:
    words = _Words(event)
    old = event.payload.get("previous_status") or event.payload.get("old_status") or "nothing"
    moved = f"{words['who']} moved {words['what']} from {shown(old)}"
    return f"{moved} to {words['new_status']}{words['why']}"


def _wp_created(event: Event) -> str:
    needs = event.payload.get("dependencies")
    after = f", after {shown(needs)}" if needs else ""
    return _filled("{who} planned {what}, {title}")(event) + after


def _assigned(event: Event) -> str:
    phase = event.payload.get("phase", "implementation")
    return f"{_filled('{what} was given to {agent_id}')(event)} for {shown(phase)}"


def _history(event: Event) -> str:
    words = _Words(event)
    kind = shown(event.payload.get("entry_type", "note"))
    return f"{words['who']} left a {kind} on {words['what']}: {words['entry_content']}"


def _error(event: Event) -> str:
    reason = spoken({"error_message": event.payload.get("error_message")}).text or "nothing"
    return f"{_filled('{who} met an error on {what}')(event)}: {reason}"


def _landed(event: Event) -> str:
    if event.payload.get("how") == "no_code":
        return _filled("{what} has no code to be merged{why}")(event)
    return _filled("The code of {what} is in its target, at commit {commit}{why}")(event)


def _gate_result(event: Event) -> str:
    result = event.payload.get("result_data")
    kind = result.get("gate_type") if isinstance(result, Mapping) else None
    gate = shown(kind or event.payload.get("gate_id"))
    moved = _filled("from {old_status} to {new_status}")(event)
    return f"{_who(event)} moved gate {gate} {moved}"


WORK_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "WPStatusChanged": _moved,
    "WPCreated": _wp_created,
    "WPAssigned": _assigned,
    "FeatureCreated": _filled("{who} cut feature {stream} into {wp_count} work packages"),
    "FeatureCompleted": _filled("Feature {stream} was completed"),
    "HistoryAdded": _history,
    "ErrorLogged": _error,
    "DependencyResolved": _filled("{dependency_wp_id}, which {what} needs, is {resolution_type}"),
    "SpecCreated": _filled("{who} wrote the spec of {stream}, {title}"),
    "WorkspaceCreated": _filled("{who} made the branch {branch_name} for {work_package_id}"),
    "SubtaskCompleted": _filled("{who} ticked {what} of {work_package_id}: {subtask_text}"),
    "SubtaskReopened": _filled("{who} reopened {what} of {work_package_id}: {subtask_text}"),
    "WPReviewed": _filled("{who} handed in {what} at commit {commit}"),
    "WPLanded": _landed,
    "WPRenumbered": _filled("{who} gave {what} its number: it was {old_wp_id}"),
    "ConflictSettled": _filled("{who} settled a conflict on {what} for {winner}{why}"),
    "GateCreated": _filled("{who} set the gate {gate_type} before {work_package_id}"),
    "GateResultChanged": _gate_result,
}

SIM_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "MILESTONE": _milestone,
    "DECISION": _decision,
    "ACTION": _action,
    "STATE": _state,
    "SYSTEM": _system,
}
