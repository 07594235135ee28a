"""The damage of a log: what unclean ends leave, and what the log's own notices record of it.

After an unclean end the segments are scanned from the last known durable offset on, and the bad
bytes of each are named. They stay where they are, and are reported once. All of it happens under
the append lock, when the tail is recovered.

Of notices only a verified event that this log itself wrote counts: a line of another tool, or
of another node, is ignored.
"""

from collections.abc import Container, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.codec import have_valid_crcs
from thence.core.event import Event
from thence.core.pruned import NOT_PRUNED, PRUNED, Pruned, pruned_by
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk
from thence.log.files.identity import Own
from thence.log.files.segment import CURRENT
from thence.log.read.reader import blocks_of, lines_of

REGION_KINDS = frozenset(("torn", "segment_suspect"))
_ENDS = "gap"


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


def one_a_segment(regions: Iterable[Region]) -> Iterator[Region]:
    """Yields the regions of each segment as one, which reaches from the first to the last."""
    for _, group in groupby(regions, key=lambda region: region.file):
        first, *others = group
        last = others[-1] if others else first
        length = last.offset + last.length - first.offset
        yield first._replace(length=length, regions=1 + len(others))


def unreported(
    disk: Disk, tails: Iterable[tuple[Path, int]], vocabulary: Vocabulary, own: Own
) -> tuple[list[Region], frozenset[str]]:
    """Returns what a crash left that no notice after it records, and which sessions' ends one does.

    The tails are segments, each from an offset on, in arrival order. A region of bad bytes reaches
    over all bad lines up to the next event. In facts `events.jsonl` means the segment that holds
    the notice. Raises DiskError.
    """
    identity = own.identity
    nodes = frozenset(identity.earlier) if own.is_new else identity.node_ids
    recorded = DamageRecord(vocabulary, nodes)
    signs = [kind.encode() for kind in (*REGION_KINDS, _ENDS)]
    regions: list[Region] = []
    older: str | None = None
    for path, start in tails:
        is_in_region = False
        for block in blocks_of(disk, path, start):
            has_notice = any(sign in block.data for sign in signs)
            if not has_notice and have_valid_crcs(block.data.split(b"\n")):
                is_in_region = False
                continue
            for line in lines_of(block, vocabulary):
                if isinstance(line.content, Event):
                    is_in_region = False
                    recorded.add(line.content, path.name, line.offset, older)
                    continue
                # editors and version control put other bytes beside events; only a crash
                # puts zeros there
                if not line.length or (line.content.code != "bad_line" and b"\0" not in line.data):
                    continue
                region = Region(path.name, line.offset, line.length, line.content.code)
                if is_in_region:
                    first = regions.pop()
                    length = region.offset + region.length - first.offset
                    region = first._replace(length=length)
                regions.append(region)
                is_in_region = True
        older = path.name
    untold = [region for region in regions if not recorded.holds(*region[:3])]
    return list(one_a_segment(untold)), frozenset(recorded.sessions)


class DamageRecord:
    """The recorded damage, gathered from notices while a log is read in arrival order.

    `pruned` is what was removed on purpose, by the latest notice of that; `sessions` are those of
    whose unclean ends notices tell.

    `own` are the nodes under which this log is or was written; where none is known, every
    verified notice counts.
    """

    def __init__(self, vocabulary: Vocabulary, own: Container[str]) -> None:
        self._vocabulary = vocabulary
        self._own = own
        self._regions: dict[str, list[tuple[int, int]]] = {}
        self.pruned: Pruned = NOT_PRUNED
        self.sessions: set[str] = set()

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
        if kind == _ENDS:
            self.sessions.add(str(event.members.get("source_id")))
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
