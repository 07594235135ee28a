"""One event as one English sentence, ending in its short id."""

from collections.abc import Callable, Mapping
from typing import Any

from thence.core.event import Event

# time and counter, without the noise: enough to name an event among those of its process
SHORT_ID_CHARACTERS = 18
_VALUE_CHARACTERS_MAX = 64


def short_id(event_id: str) -> str:
    """Returns the beginning of an id that names its event wherever a command takes one."""
    return event_id[:SHORT_ID_CHARACTERS]


def sentence(event: Event, sentences: Mapping[str, Callable[[Event], str]]) -> str:
    """Says what happened by the host's sentence for the type, else by the header alone."""
    write = sentences.get(event.event_type, _any)
    return f"{write(event)} [{short_id(event.event_id)}]"


def shown(value: Any) -> str:
    """Writes a JSON value short enough for a sentence; floats with 4 significant digits."""
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        text = ", ".join(map(shown, value))
    else:
        text = str(value)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[: _VALUE_CHARACTERS_MAX - 1] + "…"


def _any(event: Event) -> str:
    who = f"{event.actor}: " if event.actor else ""
    what = f" on {event.subject}" if event.subject else ""
    return f"{who}{event.description or event.event_type}{what}"


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
    kind = str(event.payload.get("error_type", "note")).replace("_", " ")
    who = f" for {event.actor}" if event.actor else ""
    note = f": {event.description}" if event.description else ""
    return f"In {_when(event)} the system noted {kind}{who}{note}"


def _moved(event: Event) -> str:
    old = event.payload.get("previous_status") or event.payload.get("old_status") or "nothing"
    reason = event.payload.get("reason")
    why = f": {shown(reason)}" if reason else ""
    new = event.payload.get("new_status")
    return f"{_who(event)} moved {_what(event)} from {old} to {new}{why}"


def _wp_created(event: Event) -> str:
    needs = event.payload.get("dependencies")
    after = f", after {shown(needs)}" if needs else ""
    return f"{_who(event)} planned {_what(event)}, {shown(event.payload.get('title'))}{after}"


def _assigned(event: Event) -> str:
    phase = event.payload.get("phase", "implementation")
    return f"{_what(event)} was given to {event.payload.get('agent_id')} for {phase}"


def _feature_created(event: Event) -> str:
    count = event.payload.get("wp_count")
    return f"{_who(event)} cut feature {event.stream} into {shown(count)} work packages"


def _feature_completed(event: Event) -> str:
    return f"Feature {event.stream} was completed"


def _history(event: Event) -> str:
    kind = event.payload.get("entry_type", "note")
    return f"{_who(event)} left a {kind} on {_what(event)}: {_said(event, 'entry_content')}"


def _error(event: Event) -> str:
    return f"{_who(event)} met an error on {_what(event)}: {_said(event, 'error_message')}"


def _dependency(event: Event) -> str:
    kind = event.payload.get("resolution_type")
    return f"{event.payload.get('dependency_wp_id')}, which {_what(event)} needs, is {kind}"


def _spec(event: Event) -> str:
    return f"{_who(event)} wrote the spec of {event.stream}, {shown(event.payload.get('title'))}"


def _workspace(event: Event) -> str:
    package = event.payload.get("work_package_id")
    return f"{_who(event)} made the branch {event.payload.get('branch_name')} for {package}"


def _subtask(event: Event) -> str:
    package = event.payload.get("work_package_id")
    return f"{_who(event)} ticked {_what(event)} of {package}: {_said(event, 'subtask_text')}"


def _reopened(event: Event) -> str:
    package = event.payload.get("work_package_id")
    return f"{_who(event)} reopened {_what(event)} of {package}: {_said(event, 'subtask_text')}"


def _gate_created(event: Event) -> str:
    package = event.payload.get("work_package_id")
    return f"{_who(event)} set the gate {event.payload.get('gate_type')} before {package}"


def _gate_result(event: Event) -> str:
    old, new = event.payload.get("old_status"), event.payload.get("new_status")
    return f"{_who(event)} moved gate {event.payload.get('gate_id')} from {old} to {new}"


def _what(event: Event) -> str:
    """Names a package with its feature: its number repeats in every one."""
    about = event.header.aggregate_id or "something"
    return about if event.stream in (None, about) else f"{event.stream}/{about}"


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
    "SubtaskReopened": _reopened,
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
