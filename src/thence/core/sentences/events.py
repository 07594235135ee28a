"""One event as one English sentence, wherever an event is shown.

The sentence names the subject, what happened, how long it took, the error with its reason, and
the few fields that matter: `order/881 fulfil failed after 93 ms: CardDeclined: gateway gave up`.
A program's own host has its sentences in its vocabulary; those of a log's notices and of the two
hosts that come with thence stand at the end. The facts of a notice are those of
docs/reference/formats/segment.md; any may be missing, for an older or a foreign line. A program's
text is inserted unchanged, on one line: the code that shows the sentence has to escape it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.failures import is_failure

# time and counter, without the noise: enough to identify an event of its process
SHORT_ID_CHARACTERS = 18
SENTENCE_CHARACTERS_MAX = 400
FAILURE_CHARACTERS_MAX = 159
_DURATIONS = {"duration_s": 1.0, "duration_ms": 0.001}
_DURATION_MAX = 1e12
_CANCELLED = (".cancelled", ".canceled")
_ENDS = (".ended", ".failed", ".completed", ".finished", *_CANCELLED)
FIELDS_MAX = 4
_VALUE_CHARACTERS_MAX = 64
_FIELD_CHARACTERS_MAX = 40
_REASON_CHARACTERS_MAX = 240
_KEYS_LOOKED_AT_MAX = 32
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

# the keys of a program's texts, the reason of an error first
_SPOKEN = ("error_message", "error", "exception", "reason", "message", "msg", "text", "note")
_SEPARATORS = re.compile(r"[.:/_\-\s]+")
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# the last word of a type, with its form in a sentence
_PAST = {"begun": "began", "cancelled": "was cancelled", "canceled": "was cancelled"}

# a host's or a notice's own sentence
Write = Callable[[Event], str] | None


def short_id(event_id: str) -> str:
    """Returns a prefix of an id that is enough for every command that takes an id."""
    return event_id[:SHORT_ID_CHARACTERS]


def summary(event: Event, write: Write) -> str:
    """Returns the sentence in at most 400 characters, the host's own if it has one."""
    if write is not None:
        return clipped(write(event), SENTENCE_CHARACTERS_MAX)
    who = f"{line(event.actor)}: " if event.actor else ""
    text = who + (_any(event, is_typed=True) or event.event_type)
    return clipped(text, SENTENCE_CHARACTERS_MAX)


def in_columns(event: Event, write: Write) -> str:
    """Returns the sentence without turn, type and actor, which columns beside it show.

    The text is empty if nothing else remains.
    """
    if write is None:
        text = _any(event, is_typed=False)
    elif event.event_type == "STATE" and event.subject:
        payload = event.payload
        old, new = shown(payload.get("old_value")), shown(payload.get("new_value"))
        text = f"{event.subject} {old} → {new}"
    else:
        text = write(event).removeprefix(f"In turn {event.turn_number} ")
        if event.actor:
            text = text.removeprefix(f"{event.actor} ").removeprefix(f"{event.actor}: ")
    return clipped(text, SENTENCE_CHARACTERS_MAX)


def brief(event: Event, write: Write) -> str:
    """Returns the sentence of an event in a tree: `turn 3: ` leads it, an arrow is a change."""
    text = summary(event, write)
    lead = f"In turn {event.turn_number} "
    if not text.startswith(lead):
        return text
    is_change = event.event_type == "STATE"
    return f"turn {event.turn_number}: " + (
        in_columns(event, write) if is_change else text.removeprefix(lead)
    )


def _any(event: Event, *, is_typed: bool) -> str:
    """Returns the sentence for an event of any program."""
    payload, subject, about = event.payload, event.subject, subject_shown(event)
    words = spoken(payload)
    if words.is_bare and event.event_type.endswith(_CANCELLED):
        words = words._replace(text="")  # CancelledError adds nothing to the type
    if event.description:
        lead, text = ": ".join(filter(None, (about, line(event.description)))), words.text
        return f"{lead}: {text}" if text and text not in lead else lead
    kind = subject.partition("/")[0] if subject else ""
    what = type_words(event.event_type, kind) if is_typed else ""
    seconds = duration_s_of(payload)
    before = "after" if event.event_type.endswith(_ENDS) else "in"
    took = "" if seconds is None else f"{before} {duration(seconds)}"
    lead = " ".join(filter(None, (about, what, took)))
    skipped = {*words.keys, *_DURATIONS} if took else words.keys
    facts = fields(payload, skipped, (event.event_type, subject, about, event.actor))
    detail = f"{words.text} ({facts})" if words.text and facts else words.text or facts
    return f"{lead}: {detail}" if lead and detail else lead or detail


def duration_s_of(payload: Mapping[str, Any]) -> float | None:
    """Returns the duration that a payload has, in seconds."""
    for key, unit in _DURATIONS.items():
        value: Any = payload.get(key)
        if type(value) in (int, float) and 0 <= value < _DURATION_MAX:
            return float(value * unit)
    return None


class Spoken(NamedTuple):
    """The text of a payload, such as "CardDeclined: no money", and the keys that hold it.

    It is bare if it is only the type of an error.
    """

    text: str
    keys: Collection[str]
    is_bare: bool = False


def conversation(event: Event, causes: Iterable[Event]) -> list[tuple[str, str]]:
    """Returns what models were told for an event, by roles, and their `answer`.

    It is that of the call which the event records, else of calls among its causes, those of its
    own actor and turn if there are any: what others were told may be a cause too. A call that was
    repeated with what was wrong about its answer is part of the second one. A large text that
    can't be read is its beginning.
    """
    events = (event, *causes)
    all_calls = [one for one in events if one.cut_payload.get("error_type") == "llm_call"]
    if all_calls[:1] == [event]:
        all_calls = [event]
    of = event.actor, event.turn_number
    own = [call for call in all_calls if (call.actor, call.turn_number) == of]
    calls = [call.readable_payload[0] for call in own or all_calls]
    told = [
        messages if isinstance(messages := call.get("messages"), list) else [] for call in calls
    ]
    texts: list[tuple[str, str]] = []
    for call, messages in zip(calls, told, strict=True):
        size = len(messages)
        if size and any(len(one) > size and one[:size] == messages for one in told):
            continue
        spoken = [message for message in messages if isinstance(message, dict)]
        texts += [(str(one.get("role"))[:60], str(one.get("content"))) for one in spoken]
        if call.get("answer") is not None:
            texts.append(("answer", str(call["answer"])))
    return texts


def spoken(payload: Mapping[str, Any]) -> Spoken:
    """Returns an error's type and message, else the first text intended for people."""
    kind = payload.get("error_type")
    kind = kind if isinstance(kind, str) else ""
    for key in _SPOKEN:
        value = payload.get(key)
        if value is None:
            continue
        if type(value) is not str and isinstance(value, Mapping):  # an error as a map
            kind = kind or _text(value.get("type") or value.get("name") or value.get("code"))
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            message = line(value)
            if kind and not message.startswith(kind):
                message = f"{line(kind)}: {message}"
            return Spoken(message, ("error_type", key))
    return Spoken(line(kind), ("error_type",), is_bare=True)


def fields(payload: Mapping[str, Any], skipped: Collection[str], named: Collection[object]) -> str:
    """Returns up to four fields of a payload: `amount 12, sku x`.

    Short values come first, each kind in the payload's order; empty ones, `skipped` keys and
    values that are `named` already are left out.
    """
    short: list[str] = []
    long: list[str] = []
    for key, value in islice(payload.items(), _KEYS_LOOKED_AT_MAX):
        if key in skipped or value is None:
            continue
        if type(value) is str and (not value or value in named):
            continue
        text, is_short = _field(value)
        if not text:
            continue
        name = key if len(key) <= _FIELD_CHARACTERS_MAX else clipped(key, _FIELD_CHARACTERS_MAX)
        (short if is_short else long).append(f"{name} {text}")
        if len(short) == FIELDS_MAX:
            break
    return ", ".join((short + long)[:FIELDS_MAX])


def shown(value: Any) -> str:
    """Writes a JSON value short enough for a sentence; floats with 4 significant digits."""
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        text = _joined(f"{key} {shown(item)}" for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        text = _joined(map(shown, value))
    else:
        text = line(str(value) if not isinstance(value, str) else value)
    return clipped(text, _VALUE_CHARACTERS_MAX)


def line(text: str) -> str:
    """Returns the beginning of a text as one line: any white space in it is one space."""
    if len(text) < _REASON_CHARACTERS_MAX and text.isprintable() and "  " not in text:
        return text.strip()
    return clipped(" ".join(text[: 2 * _REASON_CHARACTERS_MAX].split()), _REASON_CHARACTERS_MAX)


def duration(seconds: float) -> str:
    """Writes a duration in its two largest units: 3 h 20 min, 1.5 s, 20 ms."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or parts:
            parts.append(f"{number:,} {unit}")
    return " ".join(parts[:2])


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: 1 event, 2,000 events."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def clipped(text: str, characters: int) -> str:
    """Cuts a text to at most `characters` and marks the cut."""
    return text if len(text) <= characters else text[: max(characters - 1, 0)] + "…"


@lru_cache(maxsize=4096)
def type_words(event_type: str, subject_kind: str) -> str:
    """Writes an event type as words: `order.placed` is `placed` where the subject is an order.

    The words of LLMCallFailed and llm_call_failed are `LLM call failed`, `llm call failed`.
    """
    text = _SEPARATORS.sub(" ", _HUMPS.sub(" ", line(event_type))).strip()
    if text.isupper():
        text = text.lower()
    words = [word.lower() if word.istitle() else word for word in text.split()]
    if len(words) > 1 and words[0].lower() == subject_kind.lower():
        words = words[1:]
    if len(words) > 1 or (words and subject_kind):
        words[-1] = _PAST.get(words[-1], words[-1])
    return " ".join(words)


def subject_shown(event: Event) -> str | None:
    """Returns the subject of an event in a form for people."""
    if event.header.aggregate_id:
        return work_subject_shown(event)
    subject = event.subject
    return line(subject) if subject else None


def work_subject_shown(event: Event) -> str | None:
    """Returns a package with its feature, because its number repeats in every feature."""
    about, stream = event.header.aggregate_id, event.stream
    if about is None:
        return f"{stream}/something" if stream else None
    return about if stream in (None, about) else f"{stream}/{about}"


def _field(value: Any) -> tuple[str, bool]:
    """Returns one value of a field as text, and whether it is a short one."""
    if type(value) is int or type(value) is str:
        text = clipped(line(str(value)), _VALUE_CHARACTERS_MAX)
        return text, len(text) <= _FIELD_CHARACTERS_MAX
    if isinstance(value, bool):
        return ("true" if value else "false"), True
    if isinstance(value, float):
        return f"{value:.10g}", True
    text = shown(value)
    return (f"({text})" if text else ""), False


def _joined(parts: Iterable[str]) -> str:
    """Joins parts by commas, as many as a sentence can show."""
    kept: list[str] = []
    length = 0
    for part in parts:
        kept.append(part)
        length += len(part) + 2
        if length > _VALUE_CHARACTERS_MAX + 2:
            break
    return ", ".join(kept)


def _text(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and value is not True else ""


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

    def missing(self, before: str = "; own events ", behind: str = " are missing there") -> str:
        """Returns the numbers of events that are gone."""
        begin, end = self.number("first_seq"), self.number("last_seq")
        return "" if begin is None or end is None else f"{before}{begin:,} to {end:,}{behind}"


def _recovered(facts: _Facts) -> str:
    size = facts.count("bytes", "byte")
    if facts.facts.get("rewritten"):
        if "places" not in facts.facts:
            return f"a redaction wrote {facts.file} anew"
        own = facts.count("missing", "own event")
        gone = f"; {own} {facts.verb('missing', 'is', 'are')} missing there"
        return f"a repair moved {facts.count('places', 'bad place')}, {size}, to quarantine{gone}"
    were, to = facts.verb("bytes"), facts.text("quarantine", " to ")
    return f"{size} that are not a whole event {were} moved from {facts.place}{to}{facts.missing()}"


def _gap(facts: _Facts) -> str:
    last, node = facts.number("durable_seq"), facts.text("node_id", " of node ")
    behind = "" if last is None else f"; its last durable event is {last:,}{node}"
    return f"events that an earlier writer had queued may have been lost when it ended{behind}"


def _torn(facts: _Facts) -> str:
    damaged = f"{facts.verb('bytes', 'is', 'are')} damaged"
    several = "" if facts.number("regions") is None else f" in {facts.count('regions', 'region')}"
    why = facts.text("reason", " (", ")")
    return (
        f"{facts.count('bytes', 'byte')} at {facts.place} {damaged}{several}{why}{facts.missing()}"
    )


def _shrunk(facts: _Facts) -> str:
    gone = [facts.missing("events ", facts.text("node_id", " of node "))]
    if facts.number("bytes") is not None:
        gone.append(f"{facts.count('bytes', 'byte')} behind {facts.place}")
    gone = list(filter(None, gone))
    lost = f"; {' and '.join(gone)} are gone" if gone else ""
    return f"the log ends before what it had made durable: it was cut or restored{lost}"


_SENTENCES: Mapping[str, Callable[[_Facts], str]] = {
    "recovered": _recovered,
    "gap": _gap,
    "torn": _torn,
    "joined": lambda facts: f"represents {facts.count('count', 'cause')} of the next event",
    "node_changed": lambda facts: (
        f"the log's node changed{facts.text('old_node_id', ' from ')}"
        f"{facts.text('new_node_id', ' to ')}{facts.why}"
    ),
    "segment_suspect": lambda facts: (
        f"the device failed to keep {facts.count('bytes', 'byte')} at {facts.place}; a newer file "
        "holds them again"
    ),
    "events_dropped": lambda facts: (
        f"{facts.count('count', 'event')} {facts.verb('count')} dropped"
        f"{facts.why or ' because the queue was full'}"
    ),
    "write_failed": lambda facts: (
        f"{facts.count('count', 'event')} could not be written{facts.why}"
    ),
    "shrunk": _shrunk,
    "pruned": lambda facts: (
        f"{facts.count('events', 'event')} {facts.verb('events')} pruned"
        f"{facts.text('until', ', up to ')}"
    ),
    "redacted": lambda facts: (
        f"the payload of {facts.text('event_id', 'event ') or 'an event'} was redacted{facts.why}"
    ),
}
_ERROR_TYPES = {
    "joined": "causes_joined",
    "events_dropped": "events_dropped",
    "write_failed": "write_failed",
}
# The name of a notice: `log.<kind>` in a plain log, an error_type in a simulation.
NOTICE_ERROR_TYPES: Mapping[str, str] = {
    kind: _ERROR_TYPES.get(kind, f"log_{kind}") for kind in _SENTENCES
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


def _llm_call(event: Event) -> str:
    """Returns the sentence of a call of a model, and why its answer could not be used."""
    payload = event.payload
    several = "agents that saw the same" if ".llm-shared." in (event.step or "") else "the engine"
    who, endpoint = event.actor or several, shown(payload.get("endpoint"))
    why = line(str(payload.get("error"))) if payload.get("status") == "failure" else ""
    if payload.get("model") is None:
        return _cause_first(f"no answer: {why}", f"{who} asked {endpoint} in {_when(event)}")
    question = f"{who} asked {shown(payload.get('model'))} of {endpoint}"
    if why:
        return _cause_first(f"the answer could not be used: {why}", f"{question} in {_when(event)}")
    sums = f"{shown(payload.get('tokens_in'))} tokens in, {shown(payload.get('tokens_out'))} out"
    return f"In {_when(event)} {question}: {sums}"


def _cause_first(cause: str, about: str) -> str:
    """Returns the sentence of a failure, shorter than 160 characters: first why, then of whom."""
    about = f" ({clipped(about, FAILURE_CHARACTERS_MAX // 2)})"
    return clipped(cause, FAILURE_CHARACTERS_MAX - len(about)) + about


def _system(event: Event) -> str:
    """Returns the sentence of a log's notice, or of an error of the framework, with its reason."""
    payload = event.payload
    kind = str(payload.get("error_type", "note"))
    notice = NOTICE_SENTENCES_SIM.get(kind)
    if notice is not None:
        return notice(event)
    if kind == "llm_call":
        return _llm_call(event)
    who = f" for {event.actor}" if event.actor else ""
    said = spoken({key: item for key, item in payload.items() if key != "error_type"})
    if said.text and is_failure(event):
        return _cause_first(said.text, f"{kind.replace('_', ' ')}{who} in {_when(event)}")
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
