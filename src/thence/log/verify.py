"""A whole log checked line by line; nothing is changed.

Findings have a severity. *damaged*: bytes that are no event, ids with two contents, numbers
given twice, clocks that go back. *lost*: a hole in the numbers of this log's own node. Both
make the log not ok. *torn*: an unfinished last line, which the next append moves aside.
*absent*: a hole in another node's numbers. *noted*: causes that stand nowhere in this log,
and that no event says to lie in another.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from thence.core.codec import BadLine, essence
from thence.core.event import Event
from thence.core.handing import handed
from thence.core.vocabulary import Vocabulary
from thence.log.disk import Disk
from thence.log.identity import known_node_id
from thence.log.reader import Line, lines

Severity = Literal["damaged", "lost", "torn", "absent", "noted"]
_FAILING: frozenset[Severity] = frozenset(("damaged", "lost"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verify found. `code` is stable; offset and length are in bytes."""

    code: str
    severity: Severity
    reason: str
    file: str = ""
    offset: int = 0
    length: int = 0
    node_id: str | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What verify found: how many events, how many of them unverified, what is wrong."""

    events: int
    unverified: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or lost."""
        return not self.damage

    @property
    def damage(self) -> tuple[Finding, ...]:
        """The findings that make the log not ok."""
        return tuple(f for f in self.findings if f.severity in _FAILING)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are worth knowing and no damage."""
        return tuple(f for f in self.findings if f.severity not in _FAILING)


def verify(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Verification:
    """Reads the whole log and returns what it found, in file order, holes last."""
    check = _Check(known_node_id(disk, folder))
    for line in lines(disk, folder, vocabulary):
        check.line(line)
    check.holes()
    check.causes()
    return Verification(len(check.contents), check.unverified, tuple(check.findings))


@dataclass(slots=True)
class _Check:
    """One pass over a log: what it must remember to judge the lines that follow."""

    own_node: str
    unverified: int = 0
    findings: list[Finding] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, set[int]] = field(default_factory=dict)
    named: dict[str, Finding] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)

    def line(self, line: Line) -> None:
        content = line.content
        if isinstance(content, BadLine):
            self._bad(line, content)
            return
        is_first = content.event_id not in self.contents
        self._identity(line, content)
        if content.is_foreign:
            self.unverified += is_first
        elif is_first:
            self._order(line, content)
        else:
            self.numbers.setdefault(content.node_id, set()).add(content.seq)
        if content.external_causes:
            known = map(handed, content.external_causes)
            self.elsewhere.update(cause.event_id for cause in known if cause)
        for cause in content.caused_by:
            if cause not in self.named:
                reason = f"event {content.event_id} names the cause {cause}, which is not here"
                self.named[cause] = self._at(line, "cause_missing", "noted", reason)

    def _bad(self, line: Line, bad: BadLine) -> None:
        if line.is_whole:
            self.findings.append(self._at(line, bad.code, "damaged", bad.reason))
        else:
            reason = "the last line was never finished; the next append moves it aside"
            self.findings.append(self._at(line, "torn_tail", "torn", reason))

    def _identity(self, line: Line, event: Event) -> None:
        content = essence(event.line)
        known = self.contents.setdefault(event.event_id, content)
        if known != content:
            reason = f"the id {event.event_id} stands for two different events"
            self.findings.append(self._at(line, "two_contents", "damaged", reason, event))

    def _order(self, line: Line, event: Event) -> None:
        numbers = self.numbers.setdefault(event.node_id, set())
        if event.seq in numbers:
            reason = f"the number {event.seq} of node {event.node_id} is given twice"
            self.findings.append(self._at(line, "number_repeated", "damaged", reason, event))
        numbers.add(event.seq)
        clock = self.clocks.get(event.node_id, 0)
        if event.lamport_clock <= clock:
            reason = f"the clock goes back from {clock} to {event.lamport_clock}"
            self.findings.append(self._at(line, "clock_back", "damaged", reason, event))
        self.clocks[event.node_id] = max(clock, event.lamport_clock)

    def holes(self) -> None:
        for node_id, numbers in sorted(self.numbers.items()):
            is_own = node_id == self.own_node
            expected = 1
            for seq in sorted(numbers):
                if seq > expected:
                    self._hole(node_id, expected, seq - 1, is_own)
                expected = seq + 1

    def _hole(self, node_id: str, first: int, last: int, is_own: bool) -> None:
        count = last - first + 1
        reason = f"{count} event(s) of node {node_id} are missing, numbers {first} to {last}"
        severity: Severity = "lost" if is_own else "absent"
        finding = Finding(f"events_{severity}", severity, reason, node_id=node_id, seq=first)
        self.findings.append(finding)

    def causes(self) -> None:
        known = self.contents.keys() | self.elsewhere
        self.findings += [found for cause, found in self.named.items() if cause not in known]

    def _at(
        self, line: Line, code: str, severity: Severity, reason: str, event: Event | None = None
    ) -> Finding:
        return Finding(
            code,
            severity,
            reason,
            line.file,
            line.offset,
            len(line.data),
            event.node_id if event else None,
            event.seq if event else None,
        )
