"""The findings after a process ended without closing the log.

The files left by openings give the most queued events that each can have lost. The segments
are scanned from the last known durable offset, and each region of bad bytes is named. Bad
bytes stay where they are, and a region is reported once. The scan runs under the append lock,
when the tail is recovered. A log that was closed is not read.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.values.codec import event_id_of, has_valid_crc, have_valid_crcs, numbers
from thence.core.values.vocabulary import PLAIN, Vocabulary
from thence.log.crash.damage_record import OPENING_SOURCE, REGION_KINDS, DamageRecord, Notice
from thence.log.crash.openings import Opening, segment_id
from thence.log.read.reader import blocks_of, lines_of
from thence.log.storage.disk import Disk
from thence.log.storage.disowned import Disowned
from thence.log.storage.identity import Own
from thence.log.storage.segment import CURRENT, current_path, segments
from thence.log.storage.tail_recovery import lines_backwards

TORN_NOTICES_MAX = 100
_SOURCE = OPENING_SOURCE.encode()
# the changes that editors and version control make; only a crash puts zeros into a file
_BY_EDITORS = frozenset(("line_ending", "byte_order_mark", "lines_joined"))


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
    found: Sequence[Opening],
    is_unknown: bool = False,
) -> list[Notice]:
    """Returns the notices about the unclean ends of other openings.

    `found` are the openings that left a file, the dead among them; `seq` is the highest number
    given under the own node so far; `is_unknown` means that an opening has ended without
    leaving a file. In the facts `events.jsonl` means the segment that holds the notice.
    Raises DiskError.
    """
    tails = scope(disk, folder, found)
    regions = DamageScan(disk, folder, own, seq).regions(tails)
    notices = [Notice("gap", {"count": None, "reason": "unknown end"})] if is_unknown else []
    ends = [(opening, lost(disk, folder, opening)) for opening in found if opening.is_dead]
    losers = [opening for opening, facts in ends if facts is not None]
    known = _reported(disk, folder, vocabulary, own, losers)
    for opening, facts in ends:
        if facts is not None and opening.name not in known:
            notices.append(Notice("gap", facts, opening.name))
    if regions:
        regions = _unreported(disk, tails, vocabulary, own, regions)
    return notices + [Notice("torn", region.facts()) for region in _limited(regions)]


def scope(disk: Disk, folder: Path, found: Iterable[Opening]) -> list[SegmentTail]:
    """Lists the segment tails whose bytes may not have reached the device, in arrival order.

    The first is the newest segment with a recorded durable offset, from that offset on; all
    newer segments follow. Without such an offset the list is the whole current segment.
    """
    positions = [opening.durable for opening in found if not opening.is_copy]
    newer: list[SegmentTail] = []
    for path in reversed(segments(disk, folder)) if any(positions) else ():
        inode, generation, size = segment_id(disk, path)
        here = [p.offset for p in positions if (p.inode, p.generation) == (inode, generation)]
        offset = max((offset for offset in here if offset <= size), default=0)
        newer.insert(0, SegmentTail(path, offset))
        if offset:
            return newer
    return [SegmentTail(current_path(folder), 0)]


def lost(disk: Disk, folder: Path, opening: Opening) -> dict[str, Any] | None:
    """Returns the facts about the most queued events that an opening has lost; None for none."""
    if not opening.is_whole:
        return {"count": None, "reason": "unknown end"}
    count = opening.accepted - opening.committed
    if count > 0:
        count -= _stored_count(disk, folder, opening)
    return {"count": count, "reason": "killed"} if count > 0 else None


def _stored_count(disk: Disk, folder: Path, opening: Opening) -> int:
    """Returns the least number of emitted events of the last batch that are in the log."""
    batch = opening.batch
    writer = f"{batch.node:012x}"
    numbered = range(batch.first, batch.first + batch.events)
    there: set[int] = set()
    for path, offset in (
        _tails_from(disk, folder, batch.inode, batch.offset) if batch.emitted else ()
    ):
        for _, line in lines_from(disk, path, offset):
            node_id, seq, _ = numbers(line) or ("", 0, 0)
            if node_id != writer or not has_valid_crc(line):
                continue
            if seq in numbered and event_id_of(line).endswith(opening.noise):
                there.add(seq)
            if seq >= numbered.stop:
                break
    return max(0, len(there) - (batch.events - batch.emitted))


def _tails_from(disk: Disk, folder: Path, inode: int, offset: int) -> list[SegmentTail]:
    """Returns the segment tails from an offset on, none if its segment is missing."""
    newer: list[SegmentTail] = []
    for path in reversed(segments(disk, folder)):
        there = disk.path_id(str(path))
        if there is not None and there[0][1] == inode:
            return [SegmentTail(path, offset), *newer]
        newer.insert(0, SegmentTail(path, 0))
    return []


def _reported(
    disk: Disk, folder: Path, vocabulary: Vocabulary, own: Own, dead: Sequence[Opening]
) -> frozenset[str]:
    """Returns the dead openings that have a notice already, but whose files were not removed.

    That happens when the reporting opening was killed in between. Such a notice is behind the
    durable position of the dead opening or, where that is unknown, in the current segment.
    """
    whole = [SegmentTail(current_path(folder), 0)]
    begins = [_tails_from(disk, folder, o.durable.inode, o.durable.offset) or whole for o in dead]
    found: set[str] = set()
    disowned = Disowned(disk, folder)
    for path, start in max(begins, key=lambda begin: (len(begin), -begin[0].offset), default=[]):
        for block in blocks_of(disk, path, start):
            for line in lines_of(block, vocabulary) if _SOURCE in block.data else ():
                event = line.content
                if not isinstance(event, Event) or event.is_foreign:
                    continue
                if event.node_id not in own.identity.node_ids or disowned.holds(event):
                    continue
                if event.members.get("source") == OPENING_SOURCE:
                    found.add(str(event.members.get("source_id")))
    return frozenset(found)


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
        self._found: list[Region] = []
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
                    elif line.length and _may_be_torn(line.content.code, line.data):
                        self._add_bad(path, line.offset, line.length, line.content.code)
        self._close(self._end)
        return self._found

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
            self._found.append(region)
        self._pending = []

    def _own(self, line: bytes) -> tuple[str, int] | None:
        found = numbers(line)
        return found[:2] if found is not None and found[0] in self._nodes else None

    def _own_before(self, path: Path, offset: int) -> tuple[str, int] | None:
        """Returns the last own event before an offset; reads older segments too."""
        for older in reversed(segments(self._disk, self._folder)):
            if path.name != CURRENT and (older.name == CURRENT or older.name > path.name):
                continue
            descriptor = self._disk.open_read(older)
            try:
                end = offset if older == path else self._disk.file_id(descriptor)[1]
                for line in lines_backwards(self._disk, descriptor, 0, end):
                    own = self._own(line) if has_valid_crc(line) else None
                    if own is not None:
                        return own
            finally:
                self._disk.close(descriptor)
        return None


def _may_be_torn(code: str, data: bytes) -> bool:
    return code not in _BY_EDITORS or not data.strip(b"\0")


def lines_from(disk: Disk, path: Path, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yields the complete, non-empty lines of a segment from an offset on, with offsets."""
    for block in blocks_of(disk, path, offset):
        at = block.offset
        for line in block.data.split(b"\n"):
            if line:
                yield at, line
            at += len(line) + 1


def _unreported(
    disk: Disk,
    tails: list[SegmentTail],
    vocabulary: Vocabulary,
    own: Own,
    regions: list[Region],
) -> list[Region]:
    """Returns the regions that no notice behind them records."""
    identity = own.identity
    recorded = DamageRecord(
        vocabulary,
        frozenset(identity.earlier) if own.is_new else identity.node_ids,
        Disowned(disk, tails[0].path.parent) if tails else None,
    )
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
