"""The vocabulary of a host: the keys of its events, and the types of its notices.

The generic rooms know no host; a Vocabulary defines which key holds stream, subject,
actor and payload, how a notice is written, and how one event reads as a sentence. PLAIN,
SIM and WORK are data here, so that any command opens any log. There is no fourth.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from thence.core.bodies import BodyMissing, BodySource
from thence.core.event import Event
from thence.core.sentences.events import (
    NOTICE_ERROR_TYPES,
    NOTICE_KINDS,
    NOTICE_SENTENCES,
    SIM_SENTENCES,
    WORK_SENTENCES,
    Sentence,
    Write,
    agent_sentence,
    in_columns,
    short_id,
    summary,
)
from thence.core.sentences.spans import SPAN_SIGN, span_sentence
from thence.errors import InvalidEvent


class Vocabulary(msgspec.Struct, frozen=True):
    """The vocabulary of one host: plain, sim or work. A program names one, and makes none.

    The `..._key` fields name the member that holds each word; no member of its own holds the
    subject in a host whose `subject_key` is None. `mark` is a key that identifies the host's lines
    when `.thence/log.json` is missing. `notice_type` is the event type of notices, or None when
    each kind has a type of its own, `log.<kind>`. `log_key` is the member of a notice that names
    the log, for the hosts whose every event is about something; `notice_members` are in all
    notices. `is_folder_stream` means that a log is one stream with its folder's name.
    `adds_subject_heads` means that an event names, besides other causes, the heads of its subject;
    events of `remark_types` decide nothing, and are not heads for one that decides something.
    `identifying` are the members at the top of a payload whose texts are never masked. Large
    values are cut from lines that hold `cuts_lines_with`, from none if it is None: other tools
    read these lines whole. `bodies` are those of one log.
    """

    name: str
    payload_key: str
    stream_key: str
    subject_key: str | None
    actor_key: str
    subject_of: Callable[[Event], str | None]
    mark: str = ""
    notice_type: str | None = None
    notice_members: Mapping[str, str] = msgspec.field(default_factory=dict)
    log_key: str | None = None
    is_folder_stream: bool = False
    adds_subject_heads: bool = False
    remark_types: frozenset[str] = frozenset()
    identifying: frozenset[str] = frozenset()
    sentences: Mapping[str, Sentence] = msgspec.field(default_factory=dict)
    cuts_lines_with: bytes | None = b""
    bodies: BodySource | None = None

    def of_log(self, bodies: BodySource) -> "Vocabulary":
        """Returns this vocabulary for the events of one log, whose large values are `bodies`."""
        return msgspec.structs.replace(self, bodies=bodies)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickles a vocabulary by its name: PLAIN, SIM, WORK."""
        if self.bodies is not None:
            return Vocabulary.of_log, (VOCABULARIES[self.name], self.bodies)
        return self.name.upper()

    def sentence(self, event: Event) -> str:
        """Returns one sentence on what happened, ending in the event's short id."""
        end = f" [{short_id(event.event_id)}]"
        return self._said(event, lambda event, write: summary(event, write) + end)

    def summary(self, event: Event) -> str:
        """Returns one sentence on what happened, without the short id."""
        return self._said(event, summary)

    def in_columns(self, event: Event) -> str:
        """Returns what happened, without turn, type and actor, which columns next to it show."""
        return self._said(event, in_columns)

    def _said(self, event: Event, form: Callable[[Event, Write], str]) -> str:
        """Returns an event in a form; of one whose large values are gone it says so."""
        kind = event.event_type
        write = self.sentences.get(kind) or NOTICE_SENTENCES.get(kind) or agent_sentence(event)
        if write is None and SPAN_SIGN in event.line:
            write = span_sentence(event)
        try:
            return form(event, write)
        except BodyMissing as error:
            return f"{kind}, with a large value that can't be read: {error.cause}"

    def members(
        self,
        stream: str | None,
        subject: str | None,
        actor: str | None,
        payload: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Returns the members of an event, without gaps; raises InvalidEvent that names one."""
        members: dict[str, Any] = {}
        if payload:
            if type(payload) is not dict and not isinstance(payload, Mapping):
                raise _refused("payload", f"it must be a mapping, not {type(payload).__name__}")
            members[self.payload_key] = payload
        if stream is not None:
            members[_key(self.stream_key, stream, "stream")] = stream
        if subject is not None:
            members[_key(self.subject_key, subject, "subject")] = subject
        if actor is not None:
            members[_key(self.actor_key, actor, "actor")] = actor
        return members

    def notice(
        self, kind: str, facts: Mapping[str, Any], context: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Returns the event type and the members of a notice.

        `kind` is such as "recovered"; `context` holds members of the opener, such as its
        simulation_id and turn_number.
        """
        if self.notice_type is None:
            members = {**self.notice_members, **context}
            return f"log.{kind}", {**members, self.payload_key: dict(facts)}
        name = NOTICE_ERROR_TYPES[kind]
        details = {"error_type": name, "status": "warning", "retry_count": 0, **facts}
        return self.notice_type, {**context, self.payload_key: details}

    def notice_kind(self, event: Event) -> str | None:
        """Returns the kind of a notice, such as "recovered"; None for any other event."""
        if self.notice_type is None:
            kind = event.event_type.removeprefix("log.")
            return kind if kind != event.event_type and kind in NOTICE_ERROR_TYPES else None
        if event.event_type != self.notice_type:
            return None
        error_type = event.cut_payload.get("error_type")
        return NOTICE_KINDS.get(error_type) if isinstance(error_type, str) else None

    def refuse_reserved(self, event_type: str, payload: Mapping[str, Any] | None) -> None:
        """Raises InvalidEvent for a type, or an error_type, that only the log writes."""
        if event_type.startswith("log."):
            raise _reserved("event_type", event_type)
        if event_type == self.notice_type and payload:
            error_type = payload.get("error_type")
            if isinstance(error_type, str) and error_type in NOTICE_KINDS:
                raise _reserved("error_type", error_type)

    def is_notice(self, event: Event) -> bool:
        """Reports whether the log, not its host, wrote the event about itself."""
        if self.notice_type is None:
            return event.event_type.startswith("log.")
        if event.event_type != self.notice_type:
            return False
        return event.cut_payload.get("error_type") in (*NOTICE_KINDS, "run_failed")


def _key(key: str | None, value: object, word: str) -> str:
    if key is None:
        raise _refused(word, f"events of this host have no {word} of their own")
    if not isinstance(value, str) or not value:
        raise _refused(word, "it is empty" if value == "" else f"{value!r:.80} is not text")
    return key


def _reserved(word: str, value: str) -> InvalidEvent:
    hint = "choose another name; types that begin with 'log.' are the log's own"
    return _refused(word, f"{value!r} is what only the log writes about itself", hint)


def _refused(
    word: str, cause: str, hint: str = "leave it out, or pass what the field holds"
) -> InvalidEvent:
    return InvalidEvent("could not store the event", place=f"field {word}", cause=cause, hint=hint)


def _sim_subject(event: Event) -> str | None:
    if event.event_type != "STATE":
        return None
    payload = event.cut_payload
    scope, variable = payload.get("scope"), payload.get("variable_name")
    return f"{scope}/{variable}" if scope and variable else None


def work_subject(project: str | None, feature: str | None, aggregate: str) -> str:
    """Returns the qualified subject of a work event: WP01 repeats in every feature."""
    return f"{project or '-'}/{feature or '-'}/{aggregate}"


def _work_subject(event: Event) -> str | None:
    header = event.header
    if not header.aggregate_id:
        return None
    return work_subject(header.project_uuid, header.feature_slug, header.aggregate_id)


PLAIN = Vocabulary(
    name="plain",
    payload_key="payload",
    stream_key="stream",
    subject_key="subject",
    actor_key="actor",
    subject_of=lambda event: event.header.subject,
)

SIM = Vocabulary(
    name="sim",
    payload_key="details",
    stream_key="simulation_id",
    subject_key=None,
    actor_key="agent_id",
    subject_of=_sim_subject,
    mark="simulation_id",
    is_folder_stream=True,
    notice_type="SYSTEM",
    identifying=frozenset(
        (
            *("milestone_type", "decision_type", "action_type", "variable_name", "scope"),
            *("calculation_type", "error_type", "status"),
        )
    ),
    sentences=SIM_SENTENCES,
    cuts_lines_with=b'"error_type":"llm_call"',
)

WORK = Vocabulary(
    name="work",
    payload_key="payload",
    stream_key="feature_slug",
    subject_key="aggregate_id",
    actor_key="actor",
    subject_of=_work_subject,
    mark="aggregate_id",
    notice_members={"team_slug": "local", "aggregate_type": "Log", "actor": "thence"},
    log_key="aggregate_id",
    adds_subject_heads=True,
    remark_types=frozenset(("ErrorLogged", "HistoryAdded")),
    identifying=frozenset(
        (
            *("wp_id", "old_wp_id", "work_package_id", "dependency_wp_id", "dependencies"),
            *("feature_slug", "feature_number", "created_event_id", "events", "winner"),
            *("new_status", "previous_status", "old_status", "phase", "how", "mission"),
            *("resolution_type", "entry_type", "error_type", "gate_type", "gate_id"),
            *("gate_results", "subtask_index", "agent_id", "changed_by", "author"),
            *("target_branch", "branch_name", "worktree_path", "commit", "base", "patch"),
            *("patches", "created_at", "completed_at", "total_duration"),
        )
    ),
    sentences=WORK_SENTENCES,
    cuts_lines_with=None,
)

VOCABULARIES: Mapping[str, Vocabulary] = {host.name: host for host in (PLAIN, SIM, WORK)}
