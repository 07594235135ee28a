"""The check of a whole log line by line; nothing is changed.

The code of a finding determines its severity. *damaged*: bytes that are no event, ids with
two contents, numbers given twice, clocks that go back. *lost*: a hole in the numbers of this
log's own nodes. Both make the log not ok. *torn*: an unfinished last line, which the next
append quarantines, and damage recorded by a notice of this log, with the numbers missing there.
*absent*: a hole in another node's numbers. *noted*: causes that are not in this log and that no
event places in another.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import lt
from pathlib import Path

from msgspec.structs import replace

from thence.core.bodies import BODIES_SIGN
from thence.core.codec import (
    BadLine,
    RequiredFields,
    decode_required,
    have_valid_crcs,
    taken,
)
from thence.core.event import Event
from thence.core.new_event import is_within, joined_ranges, parse_cause, subtract
from thence.core.redaction import same_event_key
from thence.core.sentences.events import counted
from thence.core.vocabulary import Vocabulary
from thence.log.blobs.blob_check import NamedBody, body_findings
from thence.log.files.disk import Disk
from thence.log.files.findings import FINDINGS_MAX, Finding, Verification
from thence.log.files.identity import known_node_id, known_node_ids
from thence.log.read.reader import Block, Line, blocks, lines, lines_of
from thence.log.recovery.damage import DamageRecord


class NumberRanges:
    """The sequence numbers and the clock of one node, in the order of arrival.

    Ranges are kept, not numbers: a log without holes needs one range. `clock` is the highest
    lamport_clock so far.
    """

    def __init__(self) -> None:
        self.clock = 0
        # the first and the last number of each range; both grow
        self._ranges: list[tuple[int, int]] = []
        # numbers that came after larger ones
        self._late: set[int] = set()

    @property
    def last(self) -> int:
        """The highest number so far, 0 for none."""
        return self._ranges[-1][1] if self._ranges else 0

    def extend(self, first: int, last: int) -> None:
        """Adds consecutive numbers that are all above `last`."""
        if self._ranges and first == self.last + 1:
            first, _ = self._ranges.pop()
        self._ranges.append((first, last))

    def add(self, seq: int) -> bool:
        """Adds any number; False if the number was added before."""
        if seq > self.last:
            self.extend(seq, seq)
            return True
        if self.holds(seq):
            return False
        self._late.add(seq)
        return True

    def holds(self, seq: int) -> bool:
        """Reports whether a number was added."""
        return seq in self._late or is_within(self._ranges, seq)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Yields the first and last number of each hole, from 1 to the highest number."""
        late = ((seq, seq) for seq in self._late)
        return subtract((1, self.last), joined_ranges(chain(self._ranges, late)))


# the codes of bytes that a notice may record
_OF_BYTES = frozenset(("bad_line", "stray_bytes"))
_TAIL_KEPT = "the last line has no newline; the next append adds it"
_TAIL_MOVED = "the last line was never finished; the next append moves it aside"


def verify(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Verification:
    """Reads the whole log and returns its findings, in file order, holes last."""
    node_id = known_node_id(disk, folder)
    check = _Check(vocabulary, known_node_ids(disk, folder), node_id)
    for block in blocks(disk, folder):
        check.block(block)
    if check.repeated:
        for line in lines(disk, folder, vocabulary):
            check.compare(line)
    verification = check.result()
    of_bodies = body_findings(disk, folder, check.named)  # written before the lines
    return replace(verification, findings=(*verification.findings, *of_bodies))


class _Check:
    """The state of one pass over a log, needed to check the lines that follow.

    A block without irregularities is checked as a whole; any other line by line.
    """

    def __init__(self, vocabulary: Vocabulary, own: frozenset[str], node_id: str) -> None:
        self._vocabulary = vocabulary
        # an event of an earlier node of this log may be relayed back, as one of others may
        self._own = own
        self._in_order = frozenset((node_id,)) if node_id else own
        self._recorded = DamageRecord(vocabulary, own)
        self._files: list[str] = []
        self._ids: set[str] = set()
        self._pruned_count = 0
        self._foreign: set[str] = set()
        self._nodes: dict[str, NumberRanges] = {}
        # the first bad bytes after the last event of each own node, and the numbers missing there
        self._bad_after: dict[str, Line] = {}
        self._missing_at: list[tuple[Line, str, tuple[int, int]]] = []
        self._findings: list[Finding] = []
        self._folded: dict[tuple[str, str], int] = {}
        # causes not seen yet, with the line that named them first
        self._awaited: dict[str, tuple[str, int, int, str]] = {}
        self._elsewhere: set[str] = set()
        self.repeated: set[str] = set()
        self._contents: dict[str, bytes] = {}
        self.named: dict[str, NamedBody] = {}

    def block(self, block: Block) -> None:
        """Checks the lines of a block, which come after those of the blocks before."""
        if block.file not in self._files[-1:]:
            self._files.append(block.file)
        raw_lines = block.data.split(b"\n")
        essences = None
        if block.is_whole and not block.length and have_valid_crcs(raw_lines):
            essences = taken(block.data, raw_lines, decode_required)
        if essences is None or not self._add_run(essences):
            for line in lines_of(block, self._vocabulary):
                self._line(line)
            return
        if (
            BODIES_SIGN in block.data
            or self._recorded.may_be_notice({essence.event_type for essence in essences})
            or not self._ids.issuperset(chain.from_iterable([one.caused_by for one in essences]))
        ):
            for line in lines_of(block, self._vocabulary):
                if isinstance(line.content, Event):
                    self._names(line, line.content)

    def _add_run(self, essences: Sequence[RequiredFields]) -> bool:
        """Adds events of one node, in the order of its numbers, if all their ids are new.

        It adds all events or none, and reports whether it did.
        """
        ids = [essence.event_id for essence in essences]
        fresh = set(ids)
        if len(fresh) < len(ids) or not self._ids.isdisjoint(fresh):
            return False
        node_id = essences[0].node_id
        if len({essence.node_id for essence in essences}) > 1:
            return False
        node = self._nodes.setdefault(node_id, NumberRanges())
        first, count = essences[0].seq, len(essences)
        clocks = [essence.lamport_clock for essence in essences]
        if (
            first <= node.last
            or clocks[0] <= node.clock
            or [essence.seq for essence in essences] != list(range(first, first + count))
            or not all(map(lt, clocks, islice(clocks, 1, None)))
        ):
            return False
        self._ids |= fresh
        self._note_missing(node_id, node.last, first)
        node.extend(first, first + count - 1)
        node.clock = clocks[-1]
        return True

    def _line(self, line: Line) -> None:
        event = line.content
        if not line.is_whole:
            is_event = isinstance(event, Event)
            self._add(line, "torn", _TAIL_KEPT if is_event else _TAIL_MOVED)
            return
        if isinstance(event, BadLine):
            self._add(line, event.code, event.reason)
            for node_id in self._own:
                self._bad_after.setdefault(node_id, line)
            return
        is_first = event.event_id not in self._ids
        self._ids.add(event.event_id)
        if not is_first:
            self.repeated.add(event.event_id)
        if event.is_foreign:
            if is_first:
                self._foreign.add(event.event_id)
        else:
            self._foreign.discard(event.event_id)
            node = self._nodes.setdefault(event.node_id, NumberRanges())
            is_late = event.seq < node.last and event.node_id not in self._in_order
            self._note_missing(event.node_id, node.last, event.seq)
            if not node.add(event.seq) and is_first:
                reason = f"the number {event.seq} of node {event.node_id} is given twice"
                self._add(line, "inconsistent", reason, event)
            if event.lamport_clock <= node.clock and is_first and not is_late:
                reason = f"the clock goes back from {node.clock} to {event.lamport_clock}"
                self._add(line, "inconsistent", reason, event)
            if is_first:
                node.clock = max(node.clock, event.lamport_clock)
        self._names(line, event)

    def _note_missing(self, node_id: str, last: int, seq: int) -> None:
        """Notes the numbers missing before an event of an own node, if bad bytes lie there."""
        line = self._bad_after.pop(node_id, None)
        if line is not None and seq > last + 1:
            self._missing_at.append((line, node_id, (last + 1, seq - 1)))

    def _names(self, line: Line, event: Event) -> None:
        """Notes what a whole line names: large values, damage that it records, causes."""
        for entry in event.body_entries:
            body = NamedBody(entry, event.event_id, line.file, line.offset, line.length)
            self.named.setdefault(entry.digest, body)
        if self._recorded.may_be_notice((event.event_type,)):
            older = self._files[-2] if len(self._files) > 1 else None
            self._recorded.add(event, line.file, line.offset, older)
        if event.external_causes:
            causes = map(parse_cause, event.external_causes)
            self._elsewhere.update(cause.event_id for cause in causes if cause)
        for cause in event.caused_by:
            if cause not in self._ids and cause not in self._awaited:
                place = (line.file, line.offset, line.length, event.event_id)
                self._awaited[cause] = place

    def compare(self, line: Line) -> None:
        """Compares, in a second pass, the contents of lines whose id came twice."""
        event = line.content
        if isinstance(event, BadLine) or event.event_id not in self.repeated or not line.is_whole:
            return
        this = same_event_key(event)
        first = self._contents.setdefault(event.event_id, this)
        if first != this:
            reason = f"the id {event.event_id} belongs to two different events"
            self._add(line, "inconsistent", reason, event)

    def result(self) -> Verification:
        """Returns the result, after all lines were checked."""
        order = {name: index for index, name in enumerate(self._files)}
        findings = []
        for finding in self._findings:
            place = finding.file, finding.offset, finding.length
            if finding.code in _OF_BYTES and self._recorded.holds(*place):
                reason = f"a notice of this log records it: {finding.reason}"
                finding = replace(finding, code="torn", reason=reason)
            findings.append(finding)
        pruned = self._recorded.pruned
        cut = 0
        for cause, (file, offset, length, event_id) in self._awaited.items():
            if cause in self._ids or cause in self._elsewhere:
                continue
            if pruned.may_hold(cause):
                cut += 1
                continue
            reason = f"event {event_id} names the cause {cause}, which is not here"
            findings.append(Finding("cause_missing", reason, file, offset, length))
        findings.sort(key=lambda finding: (order[finding.file], finding.offset))
        findings += [
            finding
            for node_id, node in sorted(self._nodes.items())
            for hole in node.holes()
            for finding in self._hole(node_id, hole)
        ]
        if cut or self._pruned_count:
            holes = f"{counted(self._pruned_count, 'number')} that no event has"
            reason = f"{pruned.words}: {holes}, {counted(cut, 'cause')} that events name"
            findings.append(Finding("pruned", reason, count=self._pruned_count or cut))
        return Verification(len(self._ids), len(self._foreign), tuple(findings))

    def _hole(self, node_id: str, hole: tuple[int, int]) -> Iterator[Finding]:
        """Yields what is missing in a hole; up to a node's last pruned number nothing is."""
        (first, last), pruned = hole, self._recorded.pruned.last(node_id)
        self._pruned_count += max(0, min(last, pruned) - first + 1)
        for part in subtract(hole, [(1, pruned)]):
            if node_id not in self._own:
                yield _missing("events_absent", node_id, part)
                continue
            recorded = [
                numbers
                for line, node, numbers in self._missing_at
                if node == node_id and self._recorded.holds(line.file, line.offset, line.length)
            ]
            lost = list(subtract(part, joined_ranges(recorded)))
            for span in lost:
                yield _missing("events_lost", node_id, span)
            for span in subtract(part, lost):
                yield _missing("torn", node_id, span)

    def _add(self, line: Line, code: str, reason: str, event: Event | None = None) -> None:
        """Adds what is found at a line; beyond the limit a kind becomes one with its count."""
        kind = code, line.file
        index = self._folded.get(kind)
        if index is not None:
            earlier = self._findings[index]
            length = line.offset + line.length - earlier.offset
            self._findings[index] = replace(earlier, length=length, count=earlier.count + 1)
            return
        if len(self._findings) >= FINDINGS_MAX:
            self._folded[kind] = len(self._findings)
        place = (line.file, line.offset, line.length)
        number = (event.node_id, event.seq) if event else ()
        self._findings.append(Finding(code, reason, *place, *number))


def _missing(code: str, node_id: str, hole: tuple[int, int]) -> Finding:
    first, last = hole
    count = last - first + 1
    reason = f"{counted(count, 'event')} of node {node_id} missing: numbers {first} to {last}"
    return Finding(code, reason, node_id=node_id, seq=first, count=count)
