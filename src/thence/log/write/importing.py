"""Relaying of lines from other logs: verified, unchanged, each once, their clocks witnessed.

A line keeps its numbers and its checksum: it is the same event in both logs. Lines that do
not verify, that the log holds already, or whose clock is too large are left out and reported, and
those whose large values can't be had: these are on the device before the lines.
What the log holds is asked of an index where there is one, so that relaying costs by the number
of lines that are relayed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from thence.core.bodies import PAYLOAD_BYTES_MAX, BodyMissing, BodySource
from thence.core.clock import CLOCK_AHEAD_MAX
from thence.core.codec import BadLine, Draft, parse
from thence.core.event import Event
from thence.core.pruned import NOT_PRUNED, Pruned
from thence.core.redaction import same_line_key
from thence.core.vocabulary import Vocabulary
from thence.log.blobs.blob_files import values_of
from thence.log.files.disk import WAIT_S, Disk, appending, reading
from thence.log.files.findings import Relayed
from thence.log.files.identity import (
    known_node_id,
    known_node_ids,
    read_redactions,
    renew,
    without_body,
)
from thence.log.files.segment import current_path
from thence.log.files.sessions import session_records
from thence.log.read.reader import lines_with
from thence.log.write.writer import Notice, Numbering, Report, SegmentWriter, relayed


class Held(NamedTuple):
    """The answer of a log about ids.

    `event_count` is the number of all its events, `events` are those with these ids. What was
    `pruned` it has had.
    """

    event_count: int
    events: Mapping[str, Event]
    pruned: Pruned = NOT_PRUNED


Look = Callable[[Collection[str]], Held]


class Relay:
    """The intake of lines from elsewhere into one log. Two threads may relay at once.

    The caller makes sure that the same lines are not relayed twice at once; if they are, readers
    serve them once.
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, notice: Notice, report: Report
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._new_writer = partial(SegmentWriter, disk, folder, vocabulary, notice, report)
        self._numbers: list[Numbering] = []  # as far as lines were relayed before

    def take(
        self,
        lines: Iterable[bytes],
        look: Look,
        bodies: BodySource | None = None,
        timeout_s: float = WAIT_S,
    ) -> Relayed:
        """Appends lines, given without their newlines, that the log lacks; they are durable then.

        `look` returns what the log holds, `bodies` has the large values that the lines name; a
        line of which it lacks one is bad. A line under this log's node_id that the log lacks shows
        that numbers were given out elsewhere: the log has another node before the line is written,
        so that no line from elsewhere bears the node under which it writes. Raises what an append
        raises.
        """
        bad: list[tuple[bytes, BadLine]] = []
        events: list[Event] = []
        redactions = read_redactions(self._disk, self._folder)
        for received in lines:
            line = without_body(received, redactions)
            content = parse(line, self._vocabulary)
            if isinstance(content, BadLine):
                bad.append((line, content))
            else:
                events.append(content)
        held = look({event.event_id for event in events}) if events else Held(0, {})
        new, known_count, stored = self._sort_out(events, held)
        clock_max = held.event_count + len(new) + CLOCK_AHEAD_MAX
        parked = tuple(event for event, _ in new if event.lamport_clock > clock_max)
        ours: list[tuple[Event, bool]] = []
        kept: list[tuple[Event, bool]] = []
        with appending(current_path(self._folder)):
            own = known_node_ids(self._disk, self._folder)
            for event, is_beside in new:
                if event.lamport_clock <= clock_max:
                    is_own = event.node_id in own and not event.is_foreign
                    (ours if is_own else kept).append((event, is_beside))
            node_id = known_node_id(self._disk, self._folder)
            is_renewed = any(event.node_id == node_id for event, _ in ours)
            if is_renewed:
                renew(self._disk, self._folder, node_id)
            # nothing is written for lines that all are there, unless a sync of some may have failed
            is_in_doubt = bool(stored) and any(
                session.durable.has_failed for session in session_records(self._disk, self._folder)
            )
        kept += sorted(ours, key=lambda item: (item[0].node_id, item[0].seq))
        if kept or is_in_doubt:
            lacking = self._write([event for event, _ in kept], stored, bodies, timeout_s)
            bad += [(event.line, reason) for event, reason in lacking.items()]
            kept = [pair for pair in kept if pair[0] not in lacking]
            ours = [pair for pair in ours if pair[0] not in lacking]
        return Relayed(
            tuple(event for event, is_beside in kept if not is_beside),
            known_count,
            tuple(bad),
            parked,
            tuple(event for event, _ in ours),
            tuple(event for event, is_beside in kept if is_beside),
            is_renewed,
        )

    def _sort_out(
        self, events: Sequence[Event], held: Held
    ) -> tuple[list[tuple[Event, bool]], int, list[bytes]]:
        """Returns the lines that the log lacks, with whether it has their id, and how many it has.

        Then the lines that it has of these ids. A line whose number was pruned it has had. Only for
        an id that the log has with another line it is looked through for all lines of that id.
        """
        seen: dict[str, list[Event]] = {key: [one] for key, one in held.events.items()}
        unlike = {
            event.event_id
            for event in events
            if (other := held.events.get(event.event_id)) and not _is_among(event, (other,))
        }
        if unlike:
            with reading(self._folder):
                for line in lines_with(self._disk, self._folder, self._vocabulary, unlike):
                    seen[line.event_id].append(line)
        stored = [one.line + b"\n" for others in seen.values() for one in others]
        new: list[tuple[Event, bool]] = []
        known_count = 0
        for event in events:
            others = seen.setdefault(event.event_id, [])
            is_pruned = not event.is_foreign and held.pruned.holds(event.node_id, event.seq)
            if _is_among(event, others) if others else is_pruned:
                known_count += 1
            else:
                new.append((event, bool(others)))
                others.append(event)
        return new, known_count, stored

    def _write(
        self,
        events: Iterable[Event],
        stored: Iterable[bytes],
        bodies: BodySource | None,
        timeout_s: float,
    ) -> dict[Event, BadLine]:
        """Writes events, all durable then, as are stored lines; returns those that lack a value."""
        numbers = Numbering(self._disk, self._folder)
        with suppress(IndexError):
            numbers = self._numbers.pop()
        with closing(self._new_writer(numbers=numbers)) as writer:
            drafts: list[Draft] = []
            lacking: dict[Event, BadLine] = {}
            size_bytes = 0
            for event in events:
                try:
                    values = values_of(event, bodies)
                except BodyMissing as error:
                    lacking[event] = BadLine(error.code, str(error))
                    continue
                drafts.append(relayed(event.line + b"\n", values))
                size_bytes += sum(len(body.data) for body in values)
                if size_bytes >= PAYLOAD_BYTES_MAX:
                    _write_all(writer, drafts, (), timeout_s)
                    drafts, size_bytes = [], 0
            _write_all(writer, drafts, stored, timeout_s)
        self._numbers.append(numbers)
        return lacking


def _write_all(
    writer: SegmentWriter, drafts: Sequence[Draft], stored: Iterable[bytes], timeout_s: float
) -> None:
    _, error = writer.write(drafts, timeout_s)
    if error is None:
        writer.rely_on(stored)
    writer.sync()
    if error is not None:
        raise error


def _is_among(event: Event, others: Sequence[Event]) -> bool:
    if any(event.line == other.line for other in others):
        return True
    key = same_line_key(event)
    return any(key == same_line_key(other) for other in others)
