"""The sentences of the two hosts that come with thence: a simulation's types, and a project's."""

from collections.abc import Callable, Mapping

from thence.core.event import Event
from thence.core.sentences.event_sentences import fields, shown, spoken, work_subject_shown
from thence.core.sentences.notice_sentences import NOTICE_SENTENCES_SIM

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
