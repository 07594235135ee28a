"""The damage of a log: what unclean ends leave, and what the log's own notices record of it.

After an unclean end the segments are scanned from the last known durable offset on, and each region
of bad bytes is named. Bad bytes stay where they are, and a region is reported once. All of it
happens under the append lock, when the tail is recovered.

Of notices only a verified event that this log itself wrote counts: a line of another tool, or
of another node, is ignored.
"""

from collections.abc import Container, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.codec import have_valid_crcs
from thence.core.event import Event
from thence.core.pruned import NOT_PRUNED, PRUNED, Pruned, pruned_by
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.files.disk import Disk
from thence.log.files.identity import Own
from thence.log.files.segment import CURRENT
from thence.log.read.reader import blocks_of, lines_of

TORN_NOTICES_MAX = 100
REGION_KINDS = frozenset(("torn", "segment_suspect"))


# a segment from an offset on
SegmentTail = tuple[Path, int]


class Region(NamedTuple):
    """Bad bytes of one segment, without the last newline."""

    file: str
    offset: int
    length: int
    reason: str
    regions: int = 1

    def facts(self) -> dict[str, Any]:
        """Returns the facts of the notice about this region."""
        facts = {
            "file": self.file,
            "offset": self.offset,
            "bytes": self.length,
            "reason": self.reason,
        }
        return {**facts, "regions": self.regions} if self.regions > 1 else facts


def joined(first: Region, last: Region, regions: int = 1) -> Region:
    """Returns one region that reaches from one region of a segment to a later one."""
    length = last.offset + last.length - first.offset
    return first._replace(length=length, regions=regions)


def bad_regions(disk: Disk, tails: Iterable[SegmentTail]) -> list[Region]:
    """Returns the regions of bad bytes that a crash leaves, in arrival order.

    A region reaches over all bad lines up to the next event.
    """
    regions: list[Region] = []
    for path, start in tails:
        is_in_region = False
        for block in blocks_of(disk, path, start):
            if have_valid_crcs(block.data.split(b"\n")):
                is_in_region = False
                continue
            for line in lines_of(block, PLAIN):
                if isinstance(line.content, Event):
                    is_in_region = False
                    continue
                # editors and version control put other bytes beside events; only a crash
                # puts zeros there
                if not line.length or (line.content.code != "bad_line" and b"\0" not in line.data):
                    continue
                region = Region(path.name, line.offset, line.length, line.content.code)
                regions.append(joined(regions.pop(), region) if is_in_region else region)
                is_in_region = True
    return regions


def unreported_regions(
    disk: Disk, tails: Sequence[SegmentTail], vocabulary: Vocabulary, own: Own
) -> list[Region]:
    """Returns the regions of bad bytes that no notice after them records, in arrival order.

    Beyond a limit they are one a segment. In facts `events.jsonl` means the segment that holds the
    notice. Raises DiskError.
    """
    regions = bad_regions(disk, tails)
    if not regions:
        return []
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
    regions = [region for region in regions if not recorded.holds(*region[:3])]
    few = regions[:TORN_NOTICES_MAX]
    for _, group in groupby(regions[TORN_NOTICES_MAX:], key=lambda region: region.file):
        rest = [*group]
        few.append(joined(rest[0], rest[-1], len(rest)))
    return few


def reported_sessions(
    disk: Disk, tails: Iterable[SegmentTail], vocabulary: Vocabulary, own: Own, source: str
) -> frozenset[str]:
    """Returns the sessions of whose unclean ends notices in these tails tell. Raises DiskError.

    `source` is that of such a notice; its source_id is the session.
    """
    names: set[str] = set()
    for path, start in tails:
        for block in blocks_of(disk, path, start):
            for line in lines_of(block, vocabulary) if source.encode() in block.data else ():
                event = line.content
                if not isinstance(event, Event) or event.is_foreign:
                    continue
                is_own = event.node_id in own.identity.node_ids
                if is_own and event.members.get("source") == source:
                    names.add(str(event.members.get("source_id")))
    return frozenset(names)


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
        if kind == PRUNED:
            self.pruned = pruned_by(event)
        if kind not in REGION_KINDS:
            return
        named, start, size = (event.payload.get(key) for key in ("file", "offset", "bytes"))
        if type(start) is not int or type(size) is not int or not isinstance(named, str):
            return
        if named == CURRENT:
            # the then current segment may have been rotated since: it is the segment that holds
            # the notice or, if the region ends after the notice's offset, the one before
            named = file if start + size <= offset else older or file
        if event.payload.get("rewritten") is True:
            self._regions.pop(named, None)
        self._regions.setdefault(named, []).append((start, start + size))

    def holds(self, file: str, offset: int, length: int) -> bool:
        """Reports whether bytes of a segment lie in a recorded region."""
        # a region may be recorded with its newline or without
        return any(
            start - 1 <= offset and offset + length <= end + 1
            for start, end in self._regions.get(file, ())
        )
