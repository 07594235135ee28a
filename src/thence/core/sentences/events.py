"""One event as one English sentence, wherever an event is shown.

The sentence names the subject, what happened, how long it took, the error with its reason, and
the few fields that matter: `order/881 fulfil failed after 93 ms: CardDeclined: gateway gave up`.
The events of a log's notices, of simulations, of work and of coding agents have templates, which
are at the end. The facts of a notice are those of docs/reference/formats/segment.md; any may be
missing, for an older or a foreign line. A program's text is inserted unchanged, on one line: the
code that shows the sentence has to escape it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

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

# the sentence of a type: a template, or the function that writes it
Sentence = str | Callable[[Event], str]
Write = Sentence | None


def short_id(event_id: str) -> str:
    """Returns a prefix of an id that is enough for every command that takes an id."""
    return event_id[:SHORT_ID_CHARACTERS]


def summary(event: Event, write: Write) -> str:
    """Returns the sentence in at most 400 characters, the host's own if it has one."""
    if write is not None:
        return clipped(_written(event, write), SENTENCE_CHARACTERS_MAX)
    who = f"{line(event.actor)}: " if event.actor else ""
    text = who + (_any(event, is_typed=True) or event.event_type)
    return clipped(text, SENTENCE_CHARACTERS_MAX)


def in_columns(event: Event, write: Write) -> str:
    """Returns the sentence without turn, type and actor, which columns next to it show.

    The text is empty if nothing else remains.
    """
    if write is None:
        text = _any(event, is_typed=False)
    else:
        text = _written(event, write).removeprefix(f"In turn {event.turn_number} ")
        if event.actor:
            text = text.removeprefix(f"{event.actor} ").removeprefix(f"{event.actor}: ")
    return clipped(text, SENTENCE_CHARACTERS_MAX)


def _written(event: Event, write: Sentence) -> str:
    return filled(write, event) if isinstance(write, str) else write(event)


def _any(event: Event, *, is_typed: bool) -> str:
    """Returns the sentence for an event of any program."""
    payload, subject = event.payload, event.subject
    about = work_subject_shown(event) if event.header.aggregate_id else subject and line(subject)
    words, spoken_keys = spoken(payload)
    if event.description:
        lead = ": ".join(filter(None, (about, line(event.description))))
        return f"{lead}: {words}" if words and words not in lead else lead
    kind = subject.partition("/")[0] if subject else ""
    what = type_words(event.event_type, kind) if is_typed else ""
    seconds = duration_s_of(payload)
    before = "after" if event.event_type.endswith(_ENDS) else "in"
    took = "" if seconds is None else f"{before} {duration(seconds)}"
    lead = " ".join(filter(None, (about, what, took)))
    skipped = (*spoken_keys, *_DURATIONS) if took else spoken_keys
    facts = fields(payload, skipped, (event.event_type, subject, about, event.actor))
    detail = f"{words} ({facts})" if words and facts else words or facts
    return f"{lead}: {detail}" if lead and detail else lead or detail


def duration_s_of(payload: Mapping[str, Any]) -> float | None:
    """Returns the duration that a payload has, in seconds."""
    for key, unit in _DURATIONS.items():
        value: Any = payload.get(key)
        if type(value) in (int, float) and 0 <= value < _DURATION_MAX:
            return float(value * unit)
    return None


def conversation(event: Event, causes: Iterable[Event]) -> list[tuple[str, str]]:
    """Returns what models were told for an event, by roles, and their `answer`.

    It is that of the call which the event records, else of calls among its causes, those of its
    own actor and turn if there are any: what others were told may be a cause too. A large text that
    can't be read is its beginning.
    """
    events = (event, *causes)
    all_calls = [one for one in events if one.cut_payload.get("error_type") == "llm_call"]
    if all_calls[:1] == [event]:
        all_calls = [event]
    of = event.actor, event.turn_number
    own = [call for call in all_calls if (call.actor, call.turn_number) == of]
    texts: list[tuple[str, str]] = []
    for call in own or all_calls:
        payload, _ = call.readable_payload
        messages = payload.get("messages")
        told = messages if isinstance(messages, list) else []
        spoken = [message for message in told if isinstance(message, dict)]
        texts += [(str(one.get("role"))[:60], str(one.get("content"))) for one in spoken]
        if payload.get("answer") is not None:
            texts.append(("answer", str(payload["answer"])))
    return texts


def spoken(payload: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Returns an error's type and message, else the first text for people, and the keys of it.

    Without a message CancelledError says nothing.
    """
    kind = payload.get("error_type")
    kind = kind if isinstance(kind, str) else ""
    for key in _SPOKEN:
        value = payload.get(key)
        if value is None:
            continue
        if type(value) is not str and isinstance(value, Mapping):  # an error as a map
            of = value.get("type") or value.get("name") or value.get("code")
            kind = kind or (str(of) if isinstance(of, (str, int)) and of is not True else "")
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            message = line(value)
            if kind and not message.startswith(kind):
                message = f"{line(kind)}: {message}"
            return message, ("error_type", key)
    return "" if kind == "CancelledError" else line(kind), ("error_type",)


def fields(payload: Mapping[str, Any], skipped: Collection[str], named: Collection[object]) -> str:
    """Returns up to four fields of a payload: `amount 12, sku x`.

    Short values come first, each kind in the payload's order; empty ones, `skipped` keys and
    values that are `named` already are left out.
    """
    short: list[str] = []
    long: list[str] = []
    for key, value in islice(payload.items(), _KEYS_LOOKED_AT_MAX):
        if key in skipped or value in (None, "", [], {}) or value in named:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, float):
            text = f"{value:.10g}"
        elif isinstance(value, (Mapping, list)):
            text = f"({shown(value)})"
        else:
            text = clipped(line(str(value)), _VALUE_CHARACTERS_MAX)
        if not text:
            continue
        is_short = len(text) <= _FIELD_CHARACTERS_MAX and not isinstance(value, (Mapping, list))
        (short if is_short else long).append(f"{clipped(key, _FIELD_CHARACTERS_MAX)} {text}")
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


def work_subject_shown(event: Event) -> str | None:
    """Returns a package with its feature, because its number repeats in every feature."""
    about, stream = event.header.aggregate_id, event.stream
    if about is None:
        return f"{stream}/something" if stream else None
    return about if stream in (None, about) else f"{stream}/{about}"


def _joined(parts: Iterable[str]) -> str:
    """Joins parts by commas, as many as a sentence can show."""
    return ", ".join(islice(parts, _VALUE_CHARACTERS_MAX // len(", ") + 2))


_PARTS = re.compile(r"([\[\]|]|\{[^}]*\})")
_QUOTED_MAX = 120
_OID_SHOWN = 12
_VERBS = {"was": "were", "is": "are"}


def _change(event: Event) -> str:
    """Writes what a STATE was and is; of a list that grew, even if its oldest is gone, the new."""
    old, new = event.cut_payload.get("old_value"), event.cut_payload.get("new_value")
    if isinstance(old, list) and isinstance(new, list):
        for kept in range(min(len(old), len(new) - 1), 0, -1):
            if old[-kept:] == new[:kept]:
                return f"got {shown(new[kept:])}"
    return f"went from {shown(old) or 'nothing'} to {shown(new) or 'nothing'}"


_OF_EVENT: Mapping[str, Callable[[Event], str | None]] = {
    "turn": lambda event: str(event.turn_number or 0),
    "actor": lambda event: event.actor,
    "agent": lambda event: line(event.actor or "an agent"),
    "who": lambda event: event.actor or "someone",
    "what": lambda event: work_subject_shown(event) or "something",
    "subject": lambda event: event.subject,
    "stream": lambda event: str(event.stream),
    "change": _change,
}
_Choice = list[list[Any]]


def filled(template: str, event: Event) -> str:
    """Returns a template with the words of an event.

    `{name}` is a word of the event, else a value of its payload, where dots lead through maps.
    `[a|b]` is the first part without a missing word, or nothing; elsewhere a missing word is
    "nothing". A word's form follows a colon: `,` and a noun take a number, `was` and `is` its verb,
    `text` and `quoted` a text, `oid` a commit's id, `paths` a list of files. `?`, `in` and `=value`
    write nothing; the word is missing if the value is empty, is not there, or is another.
    """
    return _filled(_parsed(template), event, event.cut_payload) or ""


@lru_cache(maxsize=256)
def _parsed(template: str) -> _Choice:
    return _choice(iter(_PARTS.split(template)))


def _choice(tokens: Iterator[str]) -> _Choice:
    """Returns the parts up to the end of a choice: texts, words and inner choices."""
    choice: _Choice = [[]]
    for token in tokens:
        if token == "]":
            break
        if token == "|":
            choice.append([])
        else:
            choice[-1].append(_choice(tokens) if token == "[" else token)
    return choice


def _filled(
    choice: _Choice, event: Event, payload: Mapping[str, Any], *, is_inner: bool = False
) -> str | None:
    for parts in choice:
        text = ""
        for part in parts:
            if isinstance(part, list):
                text += _filled(part, event, payload, is_inner=True) or ""
            elif not part.startswith("{"):
                text += part
            else:
                name, _, form = part[1:-1].partition(":")
                word = _word(name, form, event, payload, is_inner)
                if word is None:
                    break
                text += word
        else:
            return text
    return None


def _word(
    name: str, form: str, event: Event, payload: Mapping[str, Any], is_inner: bool
) -> str | None:
    """Returns a word of a template; None for one that is missing in an inner choice."""
    if name in _OF_EVENT:
        return _OF_EVENT[name](event)
    value: Any = payload
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    text = value if isinstance(value, str) and value else None
    if form == "":
        return None if is_inner and not value else shown(value)
    if form == "?":
        return "" if value else None
    if form == "in":
        return None if value is None else ""
    if form.startswith("="):
        return "" if value == form[1:] else None
    if form == "text":
        return text and line(text)
    if form == "quoted":
        return text and f': "{clipped(line(text), _QUOTED_MAX)}"'
    if form == "oid":
        return shown(value)[:_OID_SHOWN] if value else None
    if form == "words":
        return None if value is None else str(value).replace("_", " ")
    if form == "paths":
        files = [one for one in (value if isinstance(value, list) else ()) if isinstance(one, dict)]
        paths = [file["path"] for file in files if isinstance(file.get("path"), str)]
        return line(", ".join(dict.fromkeys(paths))) or None
    number = value if type(value) is int and value >= 0 else None
    if form in _VERBS:
        return form if number == 1 else _VERBS[form]
    if number is None:
        return None if is_inner else f"some {form}s"
    return f"{number:,}" if form == "," else counted(number, form)


_PLACE = "[byte {offset:,} of ][{file}|a file of the log]"
# by the kind of a notice
_NOTICES: Mapping[str, str] = {
    "recovered": "{bytes:byte} that are not a whole event {bytes:was} moved "
    f"from {_PLACE}[ to {{quarantine}}]",
    "gap": "events that an earlier writer had queued may have been lost when it ended"
    "[; its last durable event is {durable_seq:,}[ of node {node_id}]]",
    "torn": f"{{bytes:byte}} at {_PLACE} {{bytes:is}} damaged[ in {{regions:region}}]"
    "[ ({reason})]",
    "joined": "represents {count:cause} of the next event",
    "node_changed": "the log's node changed[ from {old_node_id}][ to {new_node_id}][: {reason}]",
    "segment_suspect": f"the device failed to keep {{bytes:byte}} at {_PLACE}; a newer file "
    "holds them again",
    "events_dropped": "{count:event} {count:was} dropped[: {reason}| because the queue was full]",
    "write_failed": "{count:event} could not be written[: {reason}]",
    "pruned": "{events:event} {events:was} pruned[, up to {until}]",
    "redacted": "the payload of [event {event_id}|an event] was redacted[: {reason}]",
}
# The name of a notice: `log.<kind>` in a plain log and in work, an error_type in a simulation.
NOTICE_ERROR_TYPES: Mapping[str, str] = {kind: f"log_{kind}" for kind in _NOTICES} | {
    "joined": "causes_joined",
    "events_dropped": "events_dropped",
    "write_failed": "write_failed",
}
NOTICE_KINDS = {error_type: kind for kind, error_type in NOTICE_ERROR_TYPES.items()}
NOTICE_SENTENCES = {f"log.{kind}": sentence for kind, sentence in _NOTICES.items()}


def _system(event: Event) -> str:
    """Returns the sentence of a log's notice, or of an error of the framework, with its reason."""
    payload = event.payload
    kind = str(payload.get("error_type", "note"))
    if kind in NOTICE_KINDS:
        return filled(_NOTICES[NOTICE_KINDS[kind]], event)
    turn = f"turn {event.turn_number or 0}"
    if kind == "llm_call":
        model, is_failed = payload.get("model"), payload.get("status") == "failure"
        named = "" if model is None else f"{shown(model)} of "
        asked = f"{event.actor or 'the engine'} asked {named}{shown(payload.get('endpoint'))}"
        if model is not None and not is_failed:
            tokens = filled("{tokens_in} tokens in, {tokens_out} out", event)
            return f"In {turn} {asked}: {tokens}"
        lead = "no answer" if model is None else "the answer could not be used"
        why = line(str(payload.get("error"))) if is_failed else ""
        return _cause_first(f"{lead}: {why}", f"{asked} in {turn}")
    about = f"{kind.replace('_', ' ')} for {event.actor}" if event.actor else kind.replace("_", " ")
    said, keys = spoken({key: item for key, item in payload.items() if key != "error_type"})
    if said and is_failure(event):
        return _cause_first(said, f"{about} in {turn}")
    facts = fields(payload, (*keys, "status", "retry_count"), (event.description, said))
    rest = [part for part in (event.description, said, facts) if part]
    return f"In {turn} the system noted {about}" + (f": {', '.join(rest)}" if rest else "")


def _cause_first(cause: str, about: str) -> str:
    """Returns the sentence of a failure, shorter than 160 characters: first why, then of whom."""
    about = f" ({clipped(about, FAILURE_CHARACTERS_MAX // 2)})"
    return clipped(cause, FAILURE_CHARACTERS_MAX - len(about)) + about


SIM_SENTENCES: Mapping[str, Sentence] = {
    "MILESTONE": "[{milestone_type:=turn_start}Turn {turn} began"
    "|{milestone_type:=turn_end}Turn {turn} ended"
    "|{milestone_type:=simulation_start}The simulation began"
    "|{milestone_type:=simulation_end}The simulation ended in turn {turn}"
    "|In turn {turn} a [{milestone_type:words}|milestone] was reached]",
    "DECISION": "In turn {turn} {who} decided: {new_value}",
    "ACTION": "In turn {turn} {who} did [{action_type}|something][ ({action_payload})]",
    "STATE": "In turn {turn} [{subject}|{variable_name}|something] {change}",
    "SYSTEM": _system,
}

WORK_SENTENCES: Mapping[str, Sentence] = {
    "WPStatusChanged": "{who} moved {what} from [{previous_status}|{old_status}|nothing] to "
    "{new_status}[: {reason}]",
    "WPCreated": "{who} planned {what}, {title}[, after {dependencies}]",
    "WPAssigned": "{what} was given to {agent_id} for [{phase}|implementation]",
    "FeatureCreated": "{who} cut feature {stream} into {wp_count:work package}",
    "FeatureCompleted": "Feature {stream} was completed",
    "HistoryAdded": "{who} left a [{entry_type}|note] on {what}: {entry_content}",
    "ErrorLogged": "{who} met an error on {what}: [{error_message:text}|nothing]",
    "DependencyResolved": "{dependency_wp_id}, which {what} needs, is {resolution_type}",
    "SpecCreated": "{who} wrote the spec of {stream}, {title}",
    "WorkspaceCreated": "{who} made the branch {branch_name} for {work_package_id}",
    "SubtaskCompleted": "{who} ticked {what} of {work_package_id}: {subtask_text}",
    "SubtaskReopened": "{who} reopened {what} of {work_package_id}: {subtask_text}",
    "WPReviewed": "{who} handed in {what} at commit [{commit:oid}|unknown]",
    "WPLanded": "[{how:=no_code}{what} has no code to be merged"
    "|The code of {what} is in its target, at commit [{commit:oid}|unknown]][: {reason}]",
    "GateCreated": "{who} set the gate {gate_type} before {work_package_id}",
    "GateResultChanged": "{who} moved gate [{result_data.gate_type}|{gate_id}|nothing] from "
    "{old_status} to {new_status}",
}

# the members of a tool's input that say most of a call
_SAID = (
    "{input.command:quoted}|{input.cmd:quoted}|{input.file_path:quoted}|{input.filePath:quoted}"
    "|{input.path:quoted}|{input.pattern:quoted}|{input.url:quoted}|{input.query:quoted}"
    "|{input.description:quoted}|{input.prompt:quoted}|{input.message:quoted}"
)
_TOOL = "[{tool:text}|a tool]"
_TASK = (
    "{agent} gave [{input.subagent_type:text}|a subagent] its task"
    "[{input.prompt:quoted}|{input.message:quoted}|{input.description:quoted}]"
)
_AGENT_SENTENCES: Mapping[str, str] = {
    "session.begun": "{agent} began a session[{model:quoted}]",
    "session.ended": "{agent} ended its session[{reason:quoted}]",
    "prompt": "the user asked[{prompt:quoted}]",
    "woken": "{agent} was woken without words of the user[{text:quoted}]",
    "tool.begun": f"[{{tool:=Task}}{_TASK}|{{tool:=Agent}}{_TASK}|{{tool:=spawn_agent}}{_TASK}"
    f"|{{agent}} called {_TOOL}[{_SAID}]]",
    "tool.ended": "[{files:in}{agent} edited [{files:paths}|several files]"
    f"|{{agent}} ended its call of {_TOOL}]",
    "tool.failed": "{agent} [{is_unanswered:?}got no answer to a call"
    f"|ended its call of {_TOOL}, which failed][{{error:quoted}}]",
    "subagent.begun": "{agent} began its task",
    "subagent.ended": "{agent} ended its task[{message:quoted}|{error:quoted}]",
    "task": "{agent} was given its task[{prompt:quoted}]",
    "turn.ended": "{agent} [{is_interrupt:?}was interrupted"
    "|ended its turn[{error:quoted}|{message:quoted}]]",
    "notice": "{agent} noted [{name:text}|something][, {tool:text}]"
    f"[{_SAID}|{{message:quoted}}|{{reason:quoted}}]",
    "commit": "[{by:=agent}{agent}|{by:=person}a person|someone]"
    "[{is_agent_unknown:?} or a subagent of it] committed [{commit:oid}|something]",
    "rewrite": "commit [{old:oid}|something] became [{new:oid}|something] by [{by:text}|a rewrite]",
}
# those with a row in thence.trace.agents.known_agents, git's, and those of agents without a row
AGENT_SOURCES = (
    *("claude-code", "codex", "gemini-cli", "qwen-code", "opencode", "cline"),
    *("git", "hook", "transcript"),
)


def agent_sentence(event: Event) -> str | None:
    """Returns the template of an event that a coding agent's bridge wrote; None for any other.

    Types such as `prompt` are anybody's: the member `source` says that a bridge wrote the event.
    """
    is_of_agent = event.header.source in AGENT_SOURCES
    return _AGENT_SENTENCES.get(event.event_type) if is_of_agent else None
