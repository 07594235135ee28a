"""The repair of a damaged log: it heals what it can, and moves other bad bytes to quarantine.

Where intact events share a line with other bytes, only those bytes are changed: carriage
returns and byte order marks are removed, lost newlines restored. Bad bytes are copied to
`.thence/quarantine/`, synced, and left out of the segment. No line that is an event is changed.

A repair runs under the append lock. After a kill at any moment, the repair of a segment is either
done or not begun. A copy in quarantine is named `….untold` until a notice of it is durable.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from thence.core.event import Event
from thence.core.values.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.check.rewriting import Edit, opened, rewrite
from thence.log.crash.damage import DamageRecord
from thence.log.read.reader import Line, lines, segment_lines
from thence.log.storage.append_lock import WAIT_S, AppendLock
from thence.log.storage.digest_files import Disowned
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError, append_error
from thence.log.storage.findings import HEALS, MOVED
from thence.log.storage.identity import known_node_ids
from thence.log.storage.segment import CURRENT, own_folder, segments
from thence.log.storage.tail_recovery import BadRegion, copy_aside
from thence.log.write.writer import Notice, SegmentWriter


@dataclass(slots=True)
class _Plan:
    """The planned repair of one segment."""

    path: Path
    regions: list[BadRegion] = field(default_factory=list)
    healed: int = 0
    healed_bytes: int = 0
    is_due: bool = False


def repair(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    writer: SegmentWriter,
    notice: Notice,
    timeout_s: float = WAIT_S,
) -> None:
    """Heals or quarantines all bad bytes that verify finds, and writes notices about them.

    `writer` is used for this repair alone and closed at the end. Raises LogBusy, LogFull,
    LogReadOnly, AppendFailed, OutcomeUnknown: then each segment is as it was or repaired,
    and the next repair continues.
    """
    try:
        # read first: damage for which this session writes a notice now is to be repaired too
        recorded = _recorded_damage(disk, folder, vocabulary, known_node_ids(disk, folder))
        # an unfinished last line is recovered first, as by any append
        _check(writer.write([], timeout_s).error)
        own = known_node_ids(disk, folder)
        lock = AppendLock(disk, own_folder(folder) / "lock")
        try:
            lock.acquire(timeout_s)
            plans = _plans(disk, folder, vocabulary, own, recorded, writer.numbers.seq)
            for plan in plans:
                _carry_out(disk, plan, vocabulary)
        except DiskError as error:
            raise append_error(folder, error) from error
        finally:
            lock.release()
            lock.close()
        writer.close()  # opened again it writes notices of the files in quarantine too
        _check(writer.write([notice("recovered", _healing(plan)) for plan in plans]).error)
        writer.sync()
    finally:
        writer.close()


def _check(error: ThenceError | None) -> None:
    if error is not None:
        raise error


def _healing(plan: _Plan) -> dict[str, object]:
    """Returns the facts of the notice about a segment that was written anew."""
    bytes_ = sum(region.end - region.start for region in plan.regions) + plan.healed_bytes
    name = plan.path.name
    return {"file": name, "offset": 0, "bytes": bytes_, "healed": plan.healed, "rewritten": True}


def _recorded_damage(
    disk: Disk, folder: Path, vocabulary: Vocabulary, own: frozenset[str]
) -> DamageRecord:
    """Gathers the damage that a log's notices record."""
    recorded = DamageRecord(vocabulary, own, Disowned(disk, folder))
    files: list[str] = []
    for line in lines(disk, folder, vocabulary):
        if line.file not in files[-1:]:
            files.append(line.file)
        if isinstance(line.content, Event) and recorded.may_be_notice((line.content.event_type,)):
            recorded.add(line.content, line.file, line.offset, files[-2] if files[1:] else None)
    return recorded


def _plans(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    own: frozenset[str],
    recorded: DamageRecord,
    last_seq: int,
) -> list[_Plan]:
    """Returns the plans of all segments that need a repair.

    A hole in this log's numbers belongs to the first bad region within the hole. `last_seq` is
    the highest number that the log ever gave out.
    """
    plans: list[_Plan] = []
    pending: list[BadRegion] = []
    disowned = Disowned(disk, folder)
    last = 0
    for path in segments(disk, folder):
        plan = _Plan(path)
        plans.append(plan)
        for line, edit in _edited(segment_lines(disk, path, vocabulary)):
            event = line.content
            if edit is not None:
                _add_edit(plan, line, edit, recorded, pending)
            elif (
                isinstance(event, Event)
                and event.node_id in own
                and event.seq > last
                and not disowned.holds(event)
            ):
                _number(pending, last + 1, event.seq - 1)
                last = event.seq
    _number(pending, last + 1, last_seq)
    return [plan for plan in plans if plan.is_due]


def _add_edit(
    plan: _Plan, line: Line, edit: Edit, recorded: DamageRecord, pending: list[BadRegion]
) -> None:
    """Adds an edit to a plan; recorded damage alone makes no repair due."""
    plan.is_due |= not recorded.holds(line.file, line.offset, line.length)
    if not edit.is_moved:
        plan.healed += 1
        plan.healed_bytes += edit.end - edit.start
        return
    if plan.regions and plan.regions[-1].end == edit.start:
        plan.regions[-1].end = edit.end
        return
    plan.regions.append(BadRegion(edit.start, edit.end))
    pending.append(plan.regions[-1])


def _number(pending: list[BadRegion], first: int, last: int) -> None:
    if pending and first <= last:
        pending[0].numbers = (first, last)
    pending.clear()


def _edited(segment: Iterable[Line]) -> Iterator[tuple[Line, Edit | None]]:
    """Yields each line of a segment with its edit, None if the line stays."""
    behind = -1
    for line in segment:
        end = line.offset + line.length
        if isinstance(line.content, Event):
            yield line, None
        elif line.content.code in HEALS:
            yield line, Edit(line.offset, end, HEALS[line.content.code], is_moved=False)
        elif line.content.code in MOVED and (line.is_whole or line.file != CURRENT):
            # behind an event of the same line, which keeps its newline
            is_rest = line.offset == behind
            yield line, Edit(line.offset, end + 1, b"\n" if is_rest else b"", is_moved=True)
        behind = end


def _carry_out(disk: Disk, plan: _Plan, vocabulary: Vocabulary) -> None:
    """Moves the bad regions of a segment to quarantine and replaces it by a repaired one."""
    edits = (edit for _, edit in _edited(segment_lines(disk, plan.path, vocabulary)))
    with opened(disk, plan.path) as source:
        if plan.regions:
            copy_aside(disk, source, plan.path, plan.regions)
        own = own_folder(plan.path.parent)
        rewrite(disk, own, plan.path, source, (edit for edit in edits if edit is not None))
