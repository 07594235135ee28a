"""The sentences of the two hosts that come with thence: a simulation's types, and a project's."""

from collections.abc import Callable, Mapping

from thence.core.event import Event
from thence.core.sentences.notice_sentences import NOTICE_SENTENCES_SIM
from thence.core.sentences.wording import fields, shown, spoken, work_subject_shown

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


def _moved(event: Event) -> str:
    old = event.payload.get("previous_status") or event.payload.get("old_status") or "nothing"
    reason = event.payload.get("reason")
    why = f": {shown(reason)}" if reason else ""
    new = event.payload.get("new_status")
    return f"{_who(event)} moved {_what(event)} from {shown(old)} to {shown(new)}{why}"


def _wp_created(event: Event) -> str:
    needs = event.payload.get("dependencies")
    after = f", after {shown(needs)}" if needs else ""
    return f"{_who(event)} planned {_what(event)}, {_said(event, 'title')}{after}"


def _assigned(event: Event) -> str:
    phase = event.payload.get("phase", "implementation")
    return f"{_what(event)} was given to {_said(event, 'agent_id')} for {shown(phase)}"


def _feature_created(event: Event) -> str:
    count = _said(event, "wp_count")
    return f"{_who(event)} cut feature {event.stream} into {count} work packages"


def _feature_completed(event: Event) -> str:
    return f"Feature {event.stream} was completed"


def _history(event: Event) -> str:
    kind = shown(event.payload.get("entry_type", "note"))
    return f"{_who(event)} left a {kind} on {_what(event)}: {_said(event, 'entry_content')}"


def _error(event: Event) -> str:
    reason = spoken({"error_message": event.payload.get("error_message")}).text or "nothing"
    return f"{_who(event)} met an error on {_what(event)}: {reason}"


def _dependency(event: Event) -> str:
    kind = _said(event, "resolution_type")
    return f"{_said(event, 'dependency_wp_id')}, which {_what(event)} needs, is {kind}"


def _spec(event: Event) -> str:
    return f"{_who(event)} wrote the spec of {event.stream}, {_said(event, 'title')}"


def _workspace(event: Event) -> str:
    branch, package = _said(event, "branch_name"), _said(event, "work_package_id")
    return f"{_who(event)} made the branch {branch} for {package}"


def _reviewed(event: Event) -> str:
    return f"{_who(event)} handed in {_what(event)} at commit {_commit(event)}"


def _renumbered(event: Event) -> str:
    return f"{_who(event)} gave {_what(event)} its number: it was {_said(event, 'old_wp_id')}"


def _landed(event: Event) -> str:
    reason = event.payload.get("reason")
    why = f": {shown(reason)}" if reason else ""
    if event.payload.get("how") == "no_code":
        return f"{_what(event)} has no code to be merged{why}"
    return f"The code of {_what(event)} is in its target, at commit {_commit(event)}{why}"


def _settled(event: Event) -> str:
    why = f": {shown(event.payload['reason'])}" if event.payload.get("reason") else ""
    return f"{_who(event)} settled a conflict on {_what(event)} for {_said(event, 'winner')}{why}"


def _commit(event: Event) -> str:
    return shown(event.payload.get("commit") or "unknown")[:_OID_SHOWN]


def _subtask(event: Event) -> str:
    package = _said(event, "work_package_id")
    return f"{_who(event)} ticked {_what(event)} of {package}: {_said(event, 'subtask_text')}"


def _subtask_reopened(event: Event) -> str:
    package = _said(event, "work_package_id")
    return f"{_who(event)} reopened {_what(event)} of {package}: {_said(event, 'subtask_text')}"


def _gate_created(event: Event) -> str:
    kind, package = _said(event, "gate_type"), _said(event, "work_package_id")
    return f"{_who(event)} set the gate {kind} before {package}"


def _gate_result(event: Event) -> str:
    old, new = _said(event, "old_status"), _said(event, "new_status")
    result = event.payload.get("result_data")
    kind = result.get("gate_type") if isinstance(result, Mapping) else None
    gate = shown(kind) if kind else _said(event, "gate_id")
    return f"{_who(event)} moved gate {gate} from {old} to {new}"


def _what(event: Event) -> str:
    return work_subject_shown(event) or "something"


def _said(event: Event, key: str) -> str:
    return shown(event.payload.get(key))


WORK_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "WPStatusChanged": _moved,
    "WPCreated": _wp_created,
    "WPAssigned": _assigned,
    "FeatureCreated": _feature_created,
    "FeatureCompleted": _feature_completed,
    "HistoryAdded": _history,
    "ErrorLogged": _error,
    "DependencyResolved": _dependency,
    "SpecCreated": _spec,
    "WorkspaceCreated": _workspace,
    "SubtaskCompleted": _subtask,
    "SubtaskReopened": _subtask_reopened,
    "WPReviewed": _reviewed,
    "WPLanded": _landed,
    "WPRenumbered": _renumbered,
    "ConflictSettled": _settled,
    "GateCreated": _gate_created,
    "GateResultChanged": _gate_result,
}

SIM_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "MILESTONE": _milestone,
    "DECISION": _decision,
    "ACTION": _action,
    "STATE": _state,
    "SYSTEM": _system,
}
