"""What an index keeps of an event, read off its line without the rest.

It decodes the few members that are asked for, and takes a whole block of lines at once. What
a line is, `core.codec` decides: where a block holds anything but plain events of ours, None is
returned, and the lines are parsed one by one.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from thence.core.clock import CLOCK_MAX
from thence.core.codec import DEEP_BYTES_MIN, is_too_deep
from thence.core.event import Event
from thence.core.vocabulary import PLAIN, SIM, Vocabulary


class Entry(msgspec.Struct, gc=False):
    """The members of a plain event that are indexed; of a foreign one `timestamp` orders it."""

    event_id: str
    event_type: str
    seq: int
    lamport_clock: int
    timestamp: str = ""
    node_id: str = ""
    caused_by: tuple[str, ...] = ()
    stream: str | None = None
    subject: str | None = None
    actor: str | None = None
    turn_number: int | None = None


class _Change(msgspec.Struct, gc=False):
    """What a STATE event is about."""

    scope: str | int | float | bool | None = None
    variable_name: str | int | float | bool | None = None


class _SimEntry(msgspec.Struct, gc=False, rename={"stream": "simulation_id", "actor": "agent_id"}):
    """The members of a simulation's event that are indexed."""

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
    details: _Change | None = None

    @property
    def subject(self) -> str | None:
        """The variable that a STATE event changes, within its scope."""
        about = self.details
        if self.event_type != "STATE" or not about or not (about.scope and about.variable_name):
            return None
        return f"{about.scope}/{about.variable_name}"


_DECODE: dict[str, Any] = {
    PLAIN.name: msgspec.json.Decoder(Entry).decode,
    SIM.name: msgspec.json.Decoder(_SimEntry).decode,
}
_READABLE = {vocabulary.name: vocabulary for vocabulary in (PLAIN, SIM)}


def entries(lines: Sequence[bytes], vocabulary: Vocabulary) -> Sequence[Entry] | None:
    """Reads many lines whose checksums fit.

    Returns None if any is no event, or has a member of a wrong type, or if the vocabulary is
    a program's own.
    """
    if _READABLE.get(vocabulary.name) is not vocabulary:
        return None
    try:
        data = b"".join(lines)
        if not data.isascii():
            data.decode()  # the decoder does not look at the texts that it passes over
        found = list(map(_DECODE[vocabulary.name], lines))
    except (ValueError, RecursionError):
        return None
    if max(map(len, lines)) >= DEEP_BYTES_MIN and any(map(is_too_deep, lines)):
        return None
    clocks = [entry.lamport_clock for entry in found]
    if min([entry.seq for entry in found]) < 1 or min(clocks) < 1 or max(clocks) > CLOCK_MAX:
        return None
    return found


def entry_of(event: Event) -> Entry:
    """Returns what an index keeps of an event that has been parsed."""
    header = event.header
    return Entry(
        header.event_id,
        header.event_type,
        header.seq,
        header.lamport_clock if header.seq else 0,
        header.timestamp,
        header.node_id if header.seq else "",
        header.caused_by,
        event.stream,
        event.subject,
        event.actor,
        header.turn_number,
    )
