"""Relaying of lines from other logs: verified, unchanged, once, their clocks witnessed.

A line keeps its numbers and its checksum: it is the same event in both logs. Lines that do
not verify, that the log holds already, or whose clock is too large are left out and reported.
"""

from collections.abc import Iterable
from pathlib import Path

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.vocabulary import Vocabulary
from thence.log.read import reader
from thence.log.storage.append_lock import WAIT_S
from thence.log.storage.disk import Disk
from thence.log.storage.findings import Relayed
from thence.log.storage.identity import known_node_id, known_node_ids, renew
from thence.log.storage.numbering import CLOCK_AHEAD_MAX, relayed
from thence.log.write.writer import Notice, Report, SegmentWriter


def relay(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    lines: Iterable[bytes],
    notice: Notice,
    report: Report,
    timeout_s: float = WAIT_S,
) -> Relayed:
    """Appends lines, given without their newlines, that the log lacks.

    The lines are of other nodes, or were this log's own before it was restored from an old
    copy. `relay` returns when they are durable. The caller makes sure that the same lines are
    not relayed twice at once; if they are, readers serve them once. A verified line is
    appended even if another tool's line has its id. Raises what an append raises.
    """
    held = {event.event_id: event for event in reader.events(disk, folder, vocabulary)}
    own, node_id = known_node_ids(disk, folder), known_node_id(disk, folder)
    fresh: dict[str, Event] = {}
    taken: dict[str, Event] = {}
    ours: list[Event] = []
    bad, parked = [], []
    known = 0
    for line in lines:
        event = parse(line, vocabulary)
        if isinstance(event, BadLine):
            bad.append((line, event))
        elif _is_served(event, held.get(event.event_id) or fresh.get(event.event_id)):
            fresh[event.event_id] = event
        else:
            known += 1
    clock_max = len(held) + len(fresh) + CLOCK_AHEAD_MAX
    for event in fresh.values():
        if event.lamport_clock > clock_max:
            parked.append(event)
        elif event.node_id in own and not event.is_foreign:
            ours.append(event)
        else:
            taken[event.event_id] = event
    taken |= {event.event_id: event for event in sorted(ours, key=_number)}
    if any(event.node_id == node_id for event in ours):
        renew(disk, folder, node_id)  # first: later events must belong to a new node
    if taken:
        _write(SegmentWriter(disk, folder, vocabulary, notice, report), taken.values(), timeout_s)
    twice = _twice(held.values(), taken.values())
    return Relayed(
        tuple(taken.values()), known, tuple(bad), tuple(parked), tuple(ours), tuple(twice)
    )


def _is_served(event: Event, known: Event | None) -> bool:
    """Reports whether an event takes precedence over the known event of its id, if any."""
    return known is None or (known.is_foreign and not event.is_foreign)


def _number(event: Event) -> tuple[str, int]:
    return event.node_id, event.seq


def _twice(held: Iterable[Event], taken: Iterable[Event]) -> list[Event]:
    """Returns the taken events whose number a held or an earlier taken event has."""
    numbers = {_number(event) for event in held if not event.is_foreign}
    found = []
    for event in taken:
        if event.is_foreign:
            continue
        if _number(event) in numbers:
            found.append(event)
        numbers.add(_number(event))
    return found


def _write(writer: SegmentWriter, events: Iterable[Event], timeout_s: float) -> None:
    writer.numbers.relay()
    try:
        drafts = [relayed(event.line + b"\n") for event in events]
        outcomes, error = writer.write(drafts, timeout_s)
        writer.sync(outcomes)
        if error is not None:
            raise error
    finally:
        writer.close()
