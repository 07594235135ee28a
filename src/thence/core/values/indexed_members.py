"""The indexed members of an event, decoded from its line without the other members.

A whole block of lines is decoded at once.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.values.codec import taken
from thence.core.values.vocabulary import PLAIN, SIM, WORK, Vocabulary, work_subject


class _Entry(msgspec.Struct, gc=False):
    """The indexed members that the events of all hosts have."""

    event_id: str
    event_type: str
    seq: int
    lamport_clock: int
    timestamp: str = ""
    node_id: str = ""
    caused_by: tuple[str, ...] = ()
    stream: str | None = None
    actor: str | None = None
    turn_number: int | None = None


class IndexedMembers(_Entry, gc=False):
    """The members of a plain event that are indexed; `timestamp` orders one without a clock."""

    subject: str | None = None


class _Change(msgspec.Struct, gc=False):
    """The members of a STATE event that make its subject."""

    scope: str | int | float | bool | None = None
    variable_name: str | int | float | bool | None = None


class _SimEntry(_Entry, gc=False):
    """The members of a simulation's event that are indexed."""

    stream: str | None = msgspec.field(default=None, name="simulation_id")
    actor: str | None = msgspec.field(default=None, name="agent_id")
    details: _Change | None = None

    @property
    def subject(self) -> str | None:
        """The variable that a STATE event changes, within its scope."""
        about = self.details
        if self.event_type != "STATE" or not about or not (about.scope and about.variable_name):
            return None
        return f"{about.scope}/{about.variable_name}"


class _WorkEntry(_Entry, gc=False):
    """The members of a work event that are indexed, and those that make its subject."""

    stream: str | None = msgspec.field(default=None, name="feature_slug")
    project_uuid: str | None = None
    aggregate_id: str | None = None

    @property
    def subject(self) -> str | None:
        """The subject of the event, qualified by project and feature."""
        if not self.aggregate_id:
            return None
        return work_subject(self.project_uuid, self.stream, self.aggregate_id)


_DECODE: dict[str, Any] = {
    PLAIN.name: msgspec.json.Decoder(IndexedMembers).decode,
    SIM.name: msgspec.json.Decoder(_SimEntry).decode,
    WORK.name: msgspec.json.Decoder(_WorkEntry).decode,
}
_READABLE = {vocabulary.name: vocabulary for vocabulary in (PLAIN, SIM, WORK)}


def entries(lines: Sequence[bytes], vocabulary: Vocabulary) -> Sequence[IndexedMembers] | None:
    """Reads many lines whose checksums fit.

    Returns None if any is no event, or has a member of a wrong type, or if the vocabulary is
    a program's own.
    """
    if _READABLE.get(vocabulary.name) is not vocabulary:
        return None
    return taken(b"\n".join(lines), lines, _DECODE[vocabulary.name])


def entry_of(event: Event) -> IndexedMembers:
    """Returns the indexed members of a parsed event."""
    header = event.header
    return IndexedMembers(
        header.event_id,
        header.event_type,
        header.seq,
        header.lamport_clock,
        header.timestamp,
        header.node_id,
        header.caused_by,
        event.stream,
        event.actor,
        header.turn_number,
        event.subject,
    )
