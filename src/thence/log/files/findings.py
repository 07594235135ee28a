"""The findings of verify, each code with its severity, and the result of relaying lines.

docs/reference/findings.md explains the meaning of each code and what to do about it.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from thence.core.codec import BadLine
from thence.core.event import Event

Severity = Literal["damaged", "lost", "torn", "absent", "noted"]
_FAILING: frozenset[Severity] = frozenset(("damaged", "lost"))

SEVERITIES: Mapping[str, Severity] = {
    "bad_line": "damaged",
    "stray_bytes": "damaged",
    "inconsistent": "damaged",
    "body_missing": "lost",
    "events_lost": "lost",
    "torn": "torn",
    "events_absent": "absent",
    "pruned": "noted",
    "cause_missing": "noted",
}
# beyond this many findings, those of one code in one segment become one finding with a count
FINDINGS_MAX = 10_000


class Finding(msgspec.Struct, frozen=True):
    """One thing that verify found. `code` is stable; offset and length are in bytes.

    `count` is more than 1 where one finding stands for many lines.
    """

    code: str
    reason: str
    file: str = ""
    offset: int = 0
    length: int = 0
    node_id: str | None = None
    seq: int | None = None
    count: int = 1

    @property
    def severity(self) -> Severity:
        """The severity of the code: a log with damaged or lost findings is not ok."""
        return SEVERITIES[self.code]


class Verification(msgspec.Struct, frozen=True):
    """The result of verify: number of events, number of unverified ones, all findings."""

    events: int
    unverified: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if nothing is damaged or lost."""
        return not self.damage

    @property
    def damage(self) -> tuple[Finding, ...]:
        """The findings that make the log not ok."""
        return tuple(f for f in self.findings if f.severity in _FAILING)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are not damage."""
        return tuple(f for f in self.findings if f.severity not in _FAILING)


class Relayed(NamedTuple):
    """The outcome of relaying lines: `taken` and `beside` are in the log and durable.

    `taken` are events that were new to the log. `beside` are lines of an id that it had, with
    another digest: kept beside the earlier line, once. `known` counts the lines that were in the
    log before, or earlier among these. `bad` are not events. `parked` carry a clock that exceeds by
    more than 2^40 how many events the log would hold with all of these lines. `ours` are those
    kept that bear a node_id of this log and were new to it. `renewed` is True if one of them bore
    the present one: numbers were given out elsewhere, as before a restore from an old copy, and
    the log is written under another node_id from now on.
    """

    taken: tuple[Event, ...]
    known: int
    bad: tuple[tuple[bytes, BadLine], ...]
    parked: tuple[Event, ...]
    ours: tuple[Event, ...]
    beside: tuple[Event, ...] = ()
    renewed: bool = False
