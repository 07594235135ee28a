"""The damage of a log: what unclean ends leave, and what the log's own notices record of it.

After an unclean end the segments are scanned from the last known durable offset on, and each region
of bad bytes is named. Bad bytes stay where they are, and a region is reported once. All of it
happens under the append lock, when the tail is recovered.

Of notices only a verified event that this log itself wrote counts: a line of another tool, or
of another node, is ignored.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thence.core.codec import has_valid_crc, have_valid_crcs, numbers
from thence.core.event import Event
from thence.core.pruned import NOT_PRUNED, PRUNED, Pruned, pruned_by
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.files.disk import Disk, opened
from thence.log.files.identity import Own
from thence.log.files.segment import CURRENT, current_path, segments
from thence.log.files.tail import lines_backwards
from thence.log.read.reader import blocks_of, lines_of
from thence.log.recovery.sessions import OPENING_SOURCE, Notice, SessionRecord, segment_id

TORN_NOTICES_MAX = 100
REGION_KINDS = frozenset(("torn", "segment_suspect"))
_NUMBER_KINDS = frozenset(("torn", "recovered", "shrunk"))
_SOURCE = OPENING_SOURCE.encode()


class SegmentTail(NamedTuple):
    """A segment from an offset on."""

    path: Path
    offset: int


class Region(NamedTuple):
    """Bad bytes of one segment, without the last newline, and own numbers missing there."""

    file: str
    offset: int
    length: int
    reason: str
    first_seq: int = 0
    last_seq: int = 0
    regions: int = 1

    def facts(self) -> dict[str, Any]:
        """Returns the facts of the notice about this region."""
        facts = {
            "file": self.file,
            "offset": self.offset,
            "bytes": self.length,
            "reason": self.reason,
        }
        if self.first_seq:
            facts |= {"first_seq": self.first_seq, "last_seq": self.last_seq}
        if self.regions > 1:
            facts["regions"] = self.regions
        return facts


def findings(
    disk: Disk,
    folder: Path,
    own: Own,
    vocabulary: Vocabulary,
    seq: int,
    sessions: Sequence[SessionRecord],
    is_unknown: bool = False,
) -> list[Notice]:
    """Returns the notices about the unclean ends of other sessions.

    `sessions` are those that left a file, the dead among them; `seq` is the highest number
    given under the own node so far; `is_unknown` means that a session has ended without
    leaving a file. In the facts `events.jsonl` means the segment that holds the notice.
    Raises DiskError.
    """
    tails = scope(disk, folder, sessions)
    regions = DamageScan(disk, folder, own, seq).regions(tails)
    notices = [Notice("gap", {"reason": "unknown end"})] if is_unknown else []
    losers = [session for session in sessions if session.is_dead and loss(session)]
    reported = _reported(disk, folder, vocabulary, own, losers)
    losers = [session for session in losers if session.name not in reported]
    notices += [Notice("gap", loss(session), session.name) for session in losers]
    if regions:
        regions = _unreported(disk, tails, vocabulary, own, regions)
    return notices + [Notice("torn", region.facts()) for region in _limited(regions)]


def scope(disk: Disk, folder: Path, sessions: Iterable[SessionRecord]) -> list[SegmentTail]:
    """Lists the segment tails whose bytes may not have reached the device, in arrival order.

    The first is the newest segment with a recorded durable offset, from that offset on; all
    newer segments follow. Without such an offset the list is the whole current segment.
    """
    positions = [session.durable for session in sessions if not session.is_copy]
    newer: list[SegmentTail] = []
    for path in reversed(segments(disk, folder)) if any(positions) else ():
        inode, generation, size = segment_id(disk, path)
        here = [p.offset for p in positions if (p.inode, p.generation) == (inode, generation)]
        offset = max((offset for offset in here if offset <= size), default=0)
        newer.insert(0, SegmentTail(path, offset))
        if offset:
            return newer
    return [SegmentTail(current_path(folder), 0)]


def loss(session: SessionRecord) -> dict[str, Any]:
    """Returns the facts about what a dead session may have lost, empty for nothing.

    That are the events which it had queued behind its last durable one.
    """
    if not session.is_whole:
        return {"reason": "unknown end"}
    if not session.has_queue:
        return {}
    facts: dict[str, Any] = {"reason": "killed"}
    last = session.durable
    if last.seq:
        facts |= {"node_id": f"{last.node:012x}", "durable_seq": last.seq}
    return facts


def _reported(
    disk: Disk, folder: Path, vocabulary: Vocabulary, own: Own, dead: Sequence[SessionRecord]
) -> frozenset[str]:
    """Returns the dead sessions that have a notice already, but whose files were not removed.

    That happens when the reporting session was killed in between. Such a notice is behind the
    durable position of the dead session or, where that is unknown, in the current segment.
    """
    begins = [scope(disk, folder, [session]) for session in dead]
    names: set[str] = set()
    for path, start in max(begins, key=lambda begin: (len(begin), -begin[0].offset), default=[]):
        for block in blocks_of(disk, path, start):
            for line in lines_of(block, vocabulary) if _SOURCE in block.data else ():
                event = line.content
                if not isinstance(event, Event) or event.is_foreign:
                    continue
                if event.node_id not in own.identity.node_ids:
                    continue
                if event.members.get("source") == OPENING_SOURCE:
                    names.add(str(event.members.get("source_id")))
    return frozenset(names)


class DamageScan:
    """One pass over segment tails that finds bad bytes and the own numbers missing there."""

    def __init__(self, disk: Disk, folder: Path, own: Own, seq: int) -> None:
        self._disk = disk
        self._folder = folder
        self._nodes = own.identity.node_ids
        self._end = (own.identity.node_id, seq + 1)
        self._is_tracking = False
        self._is_in_region = False
        self._before: tuple[str, int] | None = None
        self._closed: list[Region] = []
        self._pending: list[Region] = []

    def regions(self, tails: list[SegmentTail]) -> list[Region]:
        """Returns the regions of bad bytes, in arrival order."""
        for path, start in tails:
            self._is_in_region = False
            for block in blocks_of(self._disk, path, start):
                lines = block.data.split(b"\n")
                if have_valid_crcs(lines):
                    self._add_good(lines)
                    continue
                for line in lines_of(block, PLAIN):
                    if isinstance(line.content, Event):
                        self._add_good([line.data])
                    # editors and version control put other bytes beside events; only a crash
                    # puts zeros there
                    elif line.length and (line.content.code == "bad_line" or b"\0" in line.data):
                        self._add_bad(path, line.offset, line.length, line.content.code)
        self._close(self._end)
        return self._closed

    def _add_bad(self, path: Path, offset: int, length: int, code: str) -> None:
        if self._is_in_region:
            region = self._pending[-1]
            self._pending[-1] = region._replace(length=offset + length - region.offset)
            return
        if not self._is_tracking:
            self._is_tracking = True
            self._before = self._own_before(path, offset)
        self._is_in_region = True
        self._pending.append(Region(path.name, offset, length, code))

    def _add_good(self, lines: list[bytes]) -> None:
        self._is_in_region = False
        if self._is_tracking:
            first = next(filter(None, map(self._own, lines)), None)
            if first is not None:
                self._close(first)
                self._before = next(filter(None, map(self._own, reversed(lines))))

    def _close(self, after: tuple[str, int]) -> None:
        """Ends the open regions: the numbers between the last own event and this are missing."""
        node, seq = self._before or (after[0], 0)
        for region in self._pending:
            if node == after[0] and after[1] - seq > 1:
                region = region._replace(first_seq=seq + 1, last_seq=after[1] - 1)
            self._closed.append(region)
        self._pending = []

    def _own(self, line: bytes) -> tuple[str, int] | None:
        place = numbers(line)
        return place[:2] if place is not None and place[0] in self._nodes else None

    def _own_before(self, path: Path, offset: int) -> tuple[str, int] | None:
        """Returns the last own event before an offset; reads older segments too."""
        for older in reversed(segments(self._disk, self._folder)):
            if path.name != CURRENT and (older.name == CURRENT or older.name > path.name):
                continue
            with opened(self._disk, older) as descriptor:
                end = offset if older == path else self._disk.file_id(descriptor)[1]
                for line in lines_backwards(self._disk, descriptor, 0, end):
                    own = self._own(line) if has_valid_crc(line) else None
                    if own is not None:
                        return own
        return None


def _unreported(
    disk: Disk,
    tails: list[SegmentTail],
    vocabulary: Vocabulary,
    own: Own,
    regions: list[Region],
) -> list[Region]:
    """Returns the regions that no notice behind them records."""
    identity = own.identity
    nodes = frozenset(identity.earlier) if own.is_new else identity.node_ids
    recorded = DamageRecord(vocabulary, nodes)
    older: str | None = None
    for path, start in tails:
        for block in blocks_of(disk, path, start):
            if not any(kind.encode() in block.data for kind in REGION_KINDS):
                continue
            for line in lines_of(block, vocabulary):
                if isinstance(line.content, Event):
                    recorded.add(line.content, path.name, line.offset, older)
        older = path.name
    return [region for region in regions if not recorded.holds(*region[:3])]


def _limited(regions: list[Region]) -> list[Region]:
    """Joins the regions beyond the limit of notices into one region per segment."""
    few = regions[:TORN_NOTICES_MAX]
    for _, group in groupby(regions[TORN_NOTICES_MAX:], key=lambda region: region.file):
        rest = list(group)
        numbered = [region for region in rest if region.first_seq]
        few.append(
            rest[0]._replace(
                length=rest[-1].offset + rest[-1].length - rest[0].offset,
                first_seq=numbered[0].first_seq if numbered else 0,
                last_seq=numbered[-1].last_seq if numbered else 0,
                regions=len(rest),
            )
        )
    return few


class DamageRecord:
    """The recorded damage, gathered from notices while a log is read in arrival order.

    `pruned` is what was removed on purpose, by the latest notice of that.

    `own` are the nodes under which this log is or was written; where none is known, every
    verified notice counts.
    """

    def __init__(self, vocabulary: Vocabulary, own: Container[str]) -> None:
        self._vocabulary = vocabulary
        self._own = own
        self._regions: dict[str, list[tuple[int, int]]] = {}
        self.numbers: dict[str, list[tuple[int, int]]] = {}
        self.pruned: Pruned = NOT_PRUNED

    def may_be_notice(self, event_types: Iterable[str]) -> bool:
        """Reports whether one of these event types may be that of a notice."""
        notice_type = self._vocabulary.notice_type
        if notice_type is not None:
            return notice_type in event_types
        return any(event_type.startswith("log.") for event_type in event_types)

    def add(self, event: Event, file: str, offset: int, older: str | None) -> None:
        """Adds an event at an offset if it is a notice; `older` is the segment before `file`."""
        kind = self._vocabulary.notice_kind(event)
        if kind is None or event.is_foreign or not (event.node_id in self._own or not self._own):
            return
        facts = event.payload
        if kind == PRUNED:
            self.pruned = pruned_by(event)
        elif kind in REGION_KINDS:
            self._add_region(facts, file, offset, older)
        elif facts.get("rewritten") is True:
            self._forget(facts.get("file"), file)
        if kind == "recovered":
            for node_id, ranges in _numbers(facts).items():
                self.numbers.setdefault(node_id, []).extend(ranges)
        if kind in _NUMBER_KINDS:
            first, last = _number(facts, "first_seq"), _number(facts, "last_seq")
            if first and last:
                node_id = str(facts.get("node_id")) if kind == "shrunk" else event.node_id
                self.numbers.setdefault(node_id, []).append((first, last))

    def _forget(self, rewritten: object, file: str) -> None:
        """Forgets the regions of a segment, or of all: they were rewritten since."""
        if rewritten is None:
            self._regions.clear()
        else:
            self._regions.pop(file if rewritten == CURRENT else str(rewritten), None)

    def _add_region(
        self, facts: Mapping[str, Any], file: str, offset: int, older: str | None
    ) -> None:
        """Adds a region under the present name of its segment."""
        start, size = _number(facts, "offset"), _number(facts, "bytes")
        named = facts.get("file")
        if start is None or size is None or not isinstance(named, str):
            return
        if named == CURRENT:
            # the then current segment may have been rotated since: it is the segment that holds
            # the notice or, if the region ends behind the notice's offset, the one before
            named = file if start + size <= offset else older or file
        self._regions.setdefault(named, []).append((start, start + size))

    def holds(self, file: str, offset: int, length: int) -> bool:
        """Reports whether bytes of a segment lie in a recorded region."""
        # a region may be recorded with its newline or without
        return any(
            start - 1 <= offset and offset + length <= end + 1
            for start, end in self._regions.get(file, ())
        )


def _numbers(facts: Mapping[str, Any]) -> dict[str, list[tuple[int, int]]]:
    """Returns the ranges of numbers by node that the notice of a repair names."""
    try:
        return msgspec.convert(facts.get("numbers", {}), dict[str, list[tuple[int, int]]])
    except msgspec.ValidationError:
        return {}


def _number(facts: Mapping[str, Any], key: str) -> int | None:
    value = facts.get(key)
    return value if type(value) is int and value >= 0 else None
