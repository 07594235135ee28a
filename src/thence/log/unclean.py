"""What an opening finds after a process ended without closing the log.

The state page tells which processes are dead and how many queued events each had; the
segments are scanned from where they were last known to be on the device, and each region
of bad bytes is named. Bad bytes stay in place, and a region is told once. All of it
happens under the append lock, when the tail is whole. A log that was closed is not read.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.codec import event_id_of, has_valid_crc, have_valid_crcs, numbers
from thence.core.event import Event
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.disk import NOWHERE, Disk
from thence.log.identity import Own
from thence.log.reader import blocks_of, lines_of
from thence.log.recovery import lines_backwards
from thence.log.segment import CURRENT, current_path, segments
from thence.log.state import SHORT, Slot, StatePage, file_word, fingerprint
from thence.log.told import REGION_KINDS, Told

Notice = tuple[str, dict[str, Any]]
TORN_NOTICES_MAX = 100
_NOISE_BYTES = 8
# a batch is looked for behind the notices that were written with it
_SEARCH_LINES = 1_024
# what editors and version control do to a file; only a crash puts zeros there
_BY_EDITORS = frozenset(("line_ending", "byte_order_mark", "lines_joined"))


class Stretch(NamedTuple):
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
        """Returns what a notice says of it."""
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
    page: StatePage,
    own: Own,
    vocabulary: Vocabulary,
    seq: int,
    dead: Sequence[Slot],
) -> list[Notice]:
    """Returns the notices of what other openings' ends have left, as kind and facts.

    `dead` are their slots, `seq` is the highest number given under the own node so far. In
    the facts `events.jsonl` means the segment that the notice stands in. Raises OSError.
    """
    stretches = scope(disk, folder, page)
    scan = Scan(disk, folder, own, seq)
    regions = scan.regions(stretches)
    notices: list[Notice] = []
    has_news = bool(page.durable_offsets()) and (scan.has_own or bool(regions))
    is_page_new = not page.settled_mark and own.has_written(seq)
    if is_page_new or (page.settled_mark and not dead and has_news):
        notices.append(("gap", _unknown(None)))
    written = _written(disk, folder, [slot for slot in dead if slot.mark == page.mark])
    lost = [_lost(page, slot, written[slot]) for slot in dead]
    notices += [("gap", facts) for facts in lost if facts is not None]
    if regions:
        regions = _untold(disk, stretches, vocabulary, own, regions)
    return notices + [("torn", region.facts()) for region in _few(regions)]


def scope(disk: Disk, folder: Path, page: StatePage) -> list[Stretch]:
    """Lists what may hold bytes that never reached the device, in arrival order.

    That is the newest segment that the page knows, from its durable offset on, with all
    newer ones; the current one whole if the page knows none.
    """
    offsets = page.durable_offsets()
    found: list[Stretch] = []
    for path in reversed(segments(disk, folder)):
        there = disk.path_id(str(path))
        if there is None or not offsets:
            continue
        file, size = there
        offset = offsets.get(file_word(file), 0)
        found.append(Stretch(path, offset if offset <= size else 0))
        if offset:
            return found[::-1]
    return [Stretch(current_path(folder), 0)]


class Scan:
    """One pass over stretches of a log: where bytes are bad, which own numbers lie there."""

    def __init__(self, disk: Disk, folder: Path, own: Own, seq: int) -> None:
        self.has_own = False
        self._disk = disk
        self._folder = folder
        self._nodes = own.identity.node_ids
        self._end = (own.identity.node_id, seq + 1)
        self._is_tracking = False
        self._is_in_region = False
        self._before: tuple[str, int] | None = None
        self._found: list[Region] = []
        self._pending: list[Region] = []

    def regions(self, stretches: list[Stretch]) -> list[Region]:
        """Returns the regions of bad bytes, in arrival order."""
        for path, start in stretches:
            self._is_in_region = False
            for block in blocks_of(self._disk, path, start):
                lines = block.data.split(b"\n")
                if have_valid_crcs(lines):
                    self._good(lines)
                    continue
                for line in lines_of(block, PLAIN):
                    if isinstance(line.content, Event):
                        self._good([line.data])
                    elif line.length and _may_be_torn(line.content.code, line.data):
                        self._bad(path, line.offset, line.length, line.content.code)
        self._close(self._end)
        return self._found

    def _bad(self, path: Path, offset: int, length: int, code: str) -> None:
        if self._is_in_region:
            region = self._pending[-1]
            self._pending[-1] = region._replace(length=offset + length - region.offset)
            return
        if not self._is_tracking:
            self._is_tracking = True
            self._before = self._own_before(path, offset)
        self._is_in_region = True
        self._pending.append(Region(path.name, offset, length, code))

    def _good(self, lines: list[bytes]) -> None:
        self.has_own = self.has_own or any(map(self._own, lines))
        self._is_in_region = False
        if self._is_tracking:
            first = next(filter(None, map(self._own, lines)), None)
            if first is not None:
                self._close(first)
                self._before = next(filter(None, map(self._own, reversed(lines))))

    def _close(self, after: tuple[str, int]) -> None:
        """Ends the open regions: between the last own event and this one numbers are missing."""
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
        """Reads back to the last own event before an offset, through older segments too."""
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
    """Yields the whole lines of a segment from an offset on, with theirs; empty ones not."""
    for at, data, start, end in _extents(disk, path, offset):
        yield at, data[start:end]


def _extents(disk: Disk, path: Path, offset: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Yields the offset of each line and where it lies in data: none is copied unless wanted."""
    for block in blocks_of(disk, path, offset):
        data, start = block.data, 0
        while start < len(data):
            end = data.find(b"\n", start)
            end = end if end >= 0 else len(data)
            if start < end:
                yield block.offset + start, data, start, end
            start = end + 1


def _unknown(process: int | None) -> dict[str, Any]:
    return {"count": None, "is_exact": False, "reason": "unknown end", "process": process}


def _lost(page: StatePage, slot: Slot, written: int) -> dict[str, Any] | None:
    """Returns what a dead process has lost; None if it has lost nothing.

    `written` is how many events of its last batch stand in the log.
    """
    if slot.mark != page.mark:
        return _unknown(slot.process)
    count = slot.accepted - slot.committed - written
    if count <= 0:
        return None
    is_exact = page.is_boot_known and not slot.is_shared
    return {"count": count, "is_exact": is_exact, "reason": "killed", "process": slot.process}


def _written(disk: Disk, folder: Path, slots: Iterable[Slot]) -> Counter[Slot]:
    """Counts the events of the last batches of dead processes that stand in the log.

    A batch was written at one go, so its lines follow each other; they are known by the noise
    in their ids, which is that of the process. It is looked for in the file that its slot
    names, and elsewhere if that is not there any more.
    """
    wanted = [slot for slot in slots if slot.target > slot.committed]
    counts, left = _counts(disk, folder, [slot for slot in wanted if slot.batch_file], True)
    left += [slot for slot in wanted if not slot.batch_file]
    return counts + _counts(disk, folder, left, False)[0]


def _counts(
    disk: Disk, folder: Path, slots: list[Slot], is_in_its_file: bool
) -> tuple[Counter[Slot], list[Slot]]:
    """Counts batches, all in one pass, and returns the slots whose file was not met as well.

    A batch stands in no segment older than those that the process had synced before.
    """
    wanted = {slot.batch_name: slot for slot in slots}
    unmet = {name: set(slot.synced) for name, slot in wanted.items()}
    counts: Counter[Slot] = Counter()
    newer: list[Stretch] = []
    left: list[Slot] = []
    for path in reversed(segments(disk, folder)) if wanted else ():
        file, size = disk.path_id(str(path)) or (NOWHERE, 0)
        word = file_word(file)
        here = [s for s in wanted.values() if not is_in_its_file or s.batch_file == word & SHORT]
        offsets = [slot.batch_offset for slot in here if slot.batch_offset < size]
        for offset, event_id in _windows(disk, path, sorted(offsets)):
            slot = wanted.get(fingerprint(event_id))
            if slot is not None and slot.batch_offset <= offset:
                expected = slot.target - slot.committed
                counts[slot] = _counted(disk, [Stretch(path, offset), *newer], expected)
                del wanted[slot.batch_name]
        for name, slot in [*wanted.items()]:
            unmet[name].discard(word)
            is_met = is_in_its_file and slot in here
            if is_met and newer:
                behind = _behind(disk, [Stretch(path, slot.batch_offset), *newer], slot)
                counts[slot] += _counted(disk, behind, slot.target - slot.committed)
            if is_met or (slot.synced and not unmet[name]):
                del wanted[name]
                left += [] if is_met else [slot]
        if not wanted:
            break
        newer.insert(0, Stretch(path, 0))
    return counts, [*left, *wanted.values()]


def _windows(disk: Disk, path: Path, offsets: list[int]) -> Iterator[tuple[int, bytes]]:
    """Yields where lines begin and their ids, so many behind each ascending offset, and once."""
    rest = deque(offsets)
    while rest:
        left = _SEARCH_LINES
        for offset, data, start, end in _extents(disk, path, rest[0]):
            while rest and rest[0] <= offset:
                rest.popleft()
                left = _SEARCH_LINES
            if not left:
                break
            left -= 1
            yield offset, event_id_of(data, start, end)
        else:
            return


def _behind(disk: Disk, stretches: list[Stretch], slot: Slot) -> list[Stretch]:
    """Returns where a batch stands of which notices filled the segment; nothing if it does not.

    They were written with it, so all lines before it are of its process.
    """
    left = _SEARCH_LINES
    noise = b""
    for at, (path, start) in enumerate(stretches, 1):
        for offset, line in lines_from(disk, path, start):
            event_id = event_id_of(line)
            noise = noise or event_id[-_NOISE_BYTES:]
            if not left or event_id[-_NOISE_BYTES:] != noise:
                return []
            if fingerprint(event_id) == slot.batch_name:
                return [Stretch(path, offset), *stretches[at:]]
            left -= 1
    return []


def _counted(disk: Disk, stretches: list[Stretch], count_max: int) -> int:
    count = 0
    noise = b""
    for path, start in stretches:
        for _, line in lines_from(disk, path, start):
            event_id = event_id_of(line)
            noise = noise or event_id[-_NOISE_BYTES:]
            if count == count_max or event_id[-_NOISE_BYTES:] != noise or not has_valid_crc(line):
                return count
            count += 1
    return count


def _untold(
    disk: Disk, stretches: list[Stretch], vocabulary: Vocabulary, own: Own, regions: list[Region]
) -> list[Region]:
    """Leaves out the regions that notices behind them tell of."""
    identity = own.identity
    told = Told(vocabulary, frozenset(identity.earlier) if own.is_new else identity.node_ids)
    older: str | None = None
    for path, start in stretches:
        for block in blocks_of(disk, path, start):
            if not any(kind.encode() in block.data for kind in REGION_KINDS):
                continue
            for line in lines_of(block, vocabulary):
                if isinstance(line.content, Event):
                    told.hear(line.content, path.name, line.offset, older)
        older = path.name
    return [region for region in regions if not told.holds(*region[:3])]


def _few(regions: list[Region]) -> list[Region]:
    """Joins what is beyond the limit of notices into one region a segment."""
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
