"""An event: its members, written and read, and the line in which it is stored.

A member is declared in `EventFields`, in the order of the file, and in `EventHeader` if it is
read. What is digested follows from `EventFields`.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from thence.core.bodies import (
    BODIES_KEY,
    BODIES_SIGN,
    BodyEntry,
    BodySource,
    entries_of,
    put_back,
)
from thence.core.ready import ready
from thence.errors import InvalidEvent

_HTML_CHARACTERS_MAX = 2_000
OrderKey = tuple[int, str, str, str, bytes]

# the deepest nesting of a stored line; lines that thence writes stay well below
LINE_DEPTH_MAX = 200
# of an integer: the interpreter reads as many whatever its limit is
_DIGITS_MAX = 640

_decode = msgspec.json.Decoder().decode
_as_raw = msgspec.json.Decoder(msgspec.Raw).decode
# the members of a line, each as the bytes that it is stored as
raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class HasId(Protocol):
    """Anything that has an event's id."""

    @property
    def event_id(self) -> str:
        """The id of the event."""


Cause = HasId | str


def id_of(event: Cause) -> str:
    """Returns the id of an event, or an id as it is; anything else raises InvalidEvent."""
    event_id = event if isinstance(event, str) else getattr(event, "event_id", None)
    if not isinstance(event_id, str) or not event_id:
        raise InvalidEvent(
            "could not tell which event is meant",
            cause=f"{event!r:.80} is neither an event nor an event's id",
            hint="pass what append, emit or get returned",
        )
    return event_id


class EventFields(msgspec.Struct, omit_defaults=True, gc=False):
    """The members of a host's event, in file order; absent members stay out of the line.

    The payload must have passed `core.json_values`. A simulation ends in `details`, other hosts
    in `payload`.
    """

    event_id: str
    event_type: str
    event_version: int
    timestamp: str
    caused_by: tuple[str, ...] = ()
    external_causes: tuple[str, ...] = ()
    begins: bool = False
    ends: str | None = None
    inferred_causes: tuple[str, ...] = ()
    source: str | None = None
    source_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    repairs: tuple[Mapping[str, str], ...] = ()
    simulation_id: str | None = None
    turn_number: int | None = None
    agent_id: str | None = None
    description: str | None = None
    step: str | None = None
    details: Mapping[str, Any] | None = None
    stream: str | None = None
    subject: str | None = None
    project_uuid: str | None = None
    team_slug: str | None = None
    feature_slug: str | None = None
    aggregate_type: str | None = None
    aggregate_id: str | None = None
    actor: str | None = None
    payload: Mapping[str, Any] | None = None
    bodies: tuple[BodyEntry, ...] = ()


class EventHeader(msgspec.Struct, frozen=True, gc=False):
    """The members of a line that the generic rooms read, including the hosts' keys."""

    event_id: str
    event_type: str
    event_version: int = 1
    timestamp: str = ""
    node_id: str = ""
    seq: int = 0
    lamport_clock: int = 0
    caused_by: tuple[str, ...] = ()
    inferred_causes: tuple[str, ...] = ()
    external_causes: tuple[str, ...] = ()
    begins: bool = False
    ends: str | None = None
    stream: str | None = None
    subject: str | None = None
    actor: str | None = None
    simulation_id: str | None = None
    turn_number: int | None = None
    agent_id: str | None = None
    description: str | None = None
    step: str | None = None
    source: str | None = None
    source_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    project_uuid: str | None = None
    team_slug: str | None = None
    feature_slug: str | None = None
    aggregate_type: str | None = None
    aggregate_id: str | None = None


decode_header = msgspec.json.Decoder(ready(EventHeader)).decode


class Reading(Protocol):
    """The reading side of `core.vocabulary.Vocabulary`, without its notices."""

    @property
    def payload_key(self) -> str:
        """The member that holds the host's content."""

    @property
    def bodies(self) -> BodySource | None:
        """The large values of the log that the events are of."""

    @property
    def stream_key(self) -> str:
        """The member that holds the group that the event belongs to."""

    @property
    def actor_key(self) -> str:
        """The member that holds the person, agent or program that did it."""

    def subject_of(self, event: "Event") -> str | None:
        """The thing that the event is about."""


# what an event gets from whoever appends it, and what a redacted line lacks or has instead
_STAMPED = frozenset(("timestamp", "node_id", "seq", "lamport_clock", "nonce", "crc"))
_OF_A_LOG = (BODIES_KEY, "crc")
_TAKEN_BACK = frozenset(("description", "repairs", "payload", "details", "bodies", "body_sha256"))


def _member(name: str, doc: str) -> Any:
    """Returns the property for a member of an event's header."""
    return property(attrgetter(f"header.{name}"), doc=doc)


class Event:
    """One stored event. `line` holds its bytes as they are in the file, without the newline.

    `payload` and `members` are decoded on each access: plain dicts and lists that are the caller's
    own, so changing them changes neither the event nor what another caller
    gets. Keys that this version doesn't know survive in `line`. Events can be copied and
    pickled.
    """

    __slots__ = ("_header", "line", "vocabulary")

    event_id: Final[str] = _member("event_id", "The event's ULID, which is the same everywhere.")
    event_type: Final[str] = _member("event_type", "The type, such as ACTION or refund.begun.")
    timestamp: Final[str] = _member("timestamp", "UTC in ISO 8601, for people; it orders nothing.")
    node_id: Final[str] = _member(
        "node_id", "12 hex digits of the node that wrote the event; a foreign line's own node_id."
    )
    seq: Final[int] = _member("seq", "The number in its node's journal, from 1; 0 if foreign.")
    lamport_clock: Final[int] = _member(
        "lamport_clock", "Lamport's logical clock, from 1; 0 for a foreign line without one."
    )
    caused_by: Final[tuple[str, ...]] = _member(
        "caused_by", "The ids of the causes that were recorded where they happened."
    )
    external_causes: Final[tuple[str, ...]] = _member(
        "external_causes", "The causes in other logs, as `<event_id>@<lamport_clock>@<log_id>`."
    )
    begins: Final[bool] = _member("begins", "True if the event begins something that lasts.")
    ends: Final[str | None] = _member("ends", "The id of the event that began what this one ends.")
    turn_number: Final[int | None] = _member("turn_number", "The turn of a simulation, from 0.")
    step: Final[str | None] = _member("step", "Its place in a run, `turn.phase.agent.ordinal`.")
    description: Final[str | None] = _member("description", "A sentence of at most 500 characters.")
    simulation_id: Final[str | None] = _member(
        "simulation_id", "The id of the run that wrote the event; None outside simulations."
    )

    def __init__(self, line: bytes, header: EventHeader | None, vocabulary: Reading) -> None:
        self.line = line
        self.vocabulary = vocabulary
        self._header = header

    @property
    def header(self) -> EventHeader:
        """The typed members; of an event just written they are decoded when first asked for."""
        if self._header is None:
            self._header = decode_header(self.line)
        return self._header

    @property
    def stream(self) -> str | None:
        """The group that the event belongs to: a run, a feature, a name of the user's."""
        stream: str | None = getattr(self.header, self.vocabulary.stream_key)
        return stream

    @property
    def subject(self) -> str | None:
        """The thing that the event is about."""
        return self.vocabulary.subject_of(self)

    @property
    def actor(self) -> str | None:
        """The person, agent or program that did it."""
        actor: str | None = getattr(self.header, self.vocabulary.actor_key)
        return actor

    @property
    def members(self) -> dict[str, Any]:
        """All members of the line, in the line's order, as the caller's own dict.

        Large values are cut there; `payload` has them whole.
        """
        own_members: dict[str, Any] = decoded(self.line)
        return own_members

    @property
    def payload(self) -> dict[str, Any]:
        """The event's own content: `details` in a simulation, `payload` elsewhere; empty if absent.

        The dict is the caller's own, decoded at each access (microseconds): keep it in a
        variable to read it often. Large values are read from the log's folder; raises
        `body_missing` if one is missing or has changed, `read_failed`.
        """
        members = self.members
        value = members.get(self.vocabulary.payload_key)
        if not isinstance(value, dict):
            return {}
        if BODIES_KEY in members:
            entries = entries_of(members)
            put_back(value, entries, self.vocabulary.bodies, decoded, is_strict=True)
        return value

    @property
    def cut_payload(self) -> dict[str, Any]:
        """The payload as the line has it, where the beginning of texts is enough."""
        value = self.members.get(self.vocabulary.payload_key)
        return value if isinstance(value, dict) else {}

    @property
    def readable_payload(self) -> tuple[dict[str, Any], list[str]]:
        """The payload, and the JSON pointers to those of its values that can't be read.

        Such a value is its beginning. Raises `read_failed`.
        """
        payload, entries = self.cut_payload, self.body_entries
        return payload, put_back(payload, entries, self.vocabulary.bodies, decoded)

    @property
    def body_entries(self) -> list[BodyEntry]:
        """The large values that the line names."""
        return entries_of(self.members) if BODIES_SIGN in self.line else []

    @property
    def whole_line(self) -> bytes:
        """The line with whole values for those who read no log; itself where it names none.

        Without `bodies` and checksum: no log holds such a line. Raises what `payload` raises.
        """
        return self._line_with(self.payload) if self.body_entries else self.line

    @property
    def readable_line(self) -> bytes:
        """The line as `whole_line` has it, for those who continue after a value that can't be read.

        Such a value is its beginning, and the member `unreadable` is the list of the pointers to
        these in the payload. Raises `read_failed`.
        """
        if not self.body_entries:
            return self.line
        payload, unreadable = self.readable_payload
        return self._line_with(payload, unreadable)

    def _line_with(self, payload: dict[str, Any], unreadable: Sequence[str] = ()) -> bytes:
        """Returns the line with another payload, as no log holds it."""
        members = {key: value for key, value in self.members.items() if key not in _OF_A_LOG}
        if payload:
            members[self.vocabulary.payload_key] = payload
        return msgspec.json.encode({**members, "unreadable": unreadable} if unreadable else members)

    def _repr_html_(self) -> str:
        """Returns the event for a notebook: its facts, and each value of its payload as text."""
        from thence.core.markup import el, facts, joined, moment, words

        pairs = [("time", moment(self.timestamp)), ("who", self.actor), ("about", self.subject)]
        for name, value in self.readable_payload[0].items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            pairs.append((name, words(text, _HTML_CHARACTERS_MAX)))
        heading = words(f"{self.event_type} {self.step or self.event_id}")
        return joined(el("p", el("strong", heading)), facts(pairs))

    @property
    def is_foreign(self) -> bool:
        """True if another tool wrote the line, so that nothing verifies it."""
        return self.header.seq == 0

    @property
    def order_key(self) -> OrderKey:
        """The key of the total order: lamport_clock, node_id, event_id.

        Lines without a clock, all foreign, sort before all others by time, id and bytes.
        """
        header = self.header
        if header.lamport_clock:
            return (header.lamport_clock, header.node_id, header.event_id, "", b"")
        return (0, "", header.timestamp, header.event_id, self.line)

    def says_the_same_as(self, other: "Event") -> bool:
        """Returns whether a caller that appends one again means the other, of one id.

        Time, node, numbers and nonce are left out, because the caller gives none of them; the
        content digest, which compares lines of one event wherever they came from, covers all but
        the numbers. Large values are compared whole; one that can't be read is no other's. For a
        redacted event only the head is compared. Raises `read_failed`.
        """
        mine: dict[str, Any] = decoded(self.readable_line)
        others: dict[str, Any] = decoded(other.readable_line)
        is_redacted = "body_sha256" in mine or "body_sha256" in others
        for members in (mine, others):
            for key in _STAMPED | _TAKEN_BACK if is_redacted else _STAMPED:
                members.pop(key, None)
        return mine == others

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.line == other.line

    def __hash__(self) -> int:
        return hash(self.line)

    def __repr__(self) -> str:
        return f"<Event {self.event_id} {self.event_type} seq={self.seq}>"


def decoded(line: bytes | msgspec.Raw) -> Any:
    """Decodes a line, or a value in it; raises msgspec's errors for bytes that are no JSON.

    A number that Python can't hold, such as 1e400, becomes the text of its digits.
    """
    try:
        return _decode(line)
    except msgspec.ValidationError:  # it is JSON; json.loads takes converters of numbers
        import json

        _as_raw(line)  # raises for what json.loads takes besides, as NaN and lone surrogates
        return json.loads(
            bytes(line),
            parse_float=lambda text: value if isfinite(value := float(text)) else text,
            parse_int=lambda text: int(text) if len(text) <= _DIGITS_MAX else text,
        )


def is_deep(value: Any) -> bool:
    """Reports whether a JSON value is nested deeper than any line may be."""
    level = [value]
    for _ in range(LINE_DEPTH_MAX):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return False
        level = inner
    return True
