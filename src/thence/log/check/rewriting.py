"""The rewriting of a log's lines under the append lock: redaction, and repair.

A line that is redacted is replaced by its redacted form in all segments, and in quarantine. Then
its digest is recorded, so that the whole line is not taken in again should the redacted one get
lost; until then the log knows it by its digest. Large values that no other line names are removed.
After a kill taking it back again completes it.

A repair heals what it can. Where intact events share a line with other bytes, only those bytes are
changed: carriage returns and byte order marks are removed, lost newlines restored. Other bad bytes
are copied to `.thence/quarantine/`, synced, and left out of the segment; a copy is named
`….untold` until a notice of it is durable. No line that is an event is changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thence.core.bodies import BodyMissing, BodySource
from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST, redacted, same_line_key
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.blobs.blob_check import NamedBody, note_named, sweep
from thence.log.blobs.blob_files import Bodies
from thence.log.blobs.blob_writer import BodyWriter, values_of
from thence.log.files.append_lock import WAIT_S, AppendLock
from thence.log.files.digest_files import (
    Disowned,
    read_outranked,
    read_redactions,
    record_outranked,
    record_redactions,
)
from thence.log.files.disk import Disk
from thence.log.files.disk_errors import DiskError, append_error
from thence.log.files.edits import Edit, opened, rewrite
from thence.log.files.findings import HEALS, MOVED
from thence.log.files.identity import known_node_ids
from thence.log.files.numbering import relayed
from thence.log.files.segment import (
    CURRENT,
    FILE_BYTES_MAX,
    has_bodies,
    own_folder,
    segments,
)
from thence.log.files.tail import BadRegion, copy_aside
from thence.log.read.reader import Line, lines, segment_lines
from thence.log.recovery.damage import DamageRecord
from thence.log.write.writer import Notice, SegmentWriter
from thence.wire.authorship import Redaction

# appends a notice of a kind with facts and causes, durably
Record = Callable[[str, Mapping[str, Any], Sequence[str]], Event]


class Redactions:
    """The redactions of one open log; `record` appends its notices, `renew` its index."""

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        record: Record,
        renew: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._record = record
        self._renew = renew

    def digests(self) -> frozenset[bytes]:
        """Returns the digests (D) of all lines that were redacted for good."""
        return read_redactions(self._disk, self._folder)

    def record(self, kind: str, facts: Mapping[str, Any], causes: Sequence[str] = ()) -> Event:
        """Appends a notice, such as "redacted", and returns it once it is durable.

        Raises what an append raises.
        """
        return self._record(kind, facts, causes)

    def take_back(self, redactions: Sequence[Redaction]) -> int:
        """Takes lines' bodies back wherever this log holds them; returns how many lines changed.

        Raises LogBusy, LogReadOnly, `append_failed`: then taking them back again completes it.
        """
        digests_by_id: dict[str, set[bytes]] = {}
        for redaction in redactions:
            digests_by_id.setdefault(redaction.event_id, set()).add(redaction.digest)

        def instead(event: Event) -> bytes:
            named = digests_by_id.get(event.event_id)
            return redacted(event.line) if named and same_line_key(event) in named else event.line

        with self._rewriting() as rewriting:
            for path in segments(self._disk, self._folder):
                rewriting.replace(path, instead)
            names = [name.encode("utf-8", "backslashreplace") for name in digests_by_id]
            for name in self._disk.names(rewriting.own / "quarantine"):
                rewriting.take_out(rewriting.own / "quarantine" / name, names)
            if has_bodies(self._disk, self._folder):
                rewriting.changed += sweep(self._disk, self._folder, rewriting.named)
            rewriting.lock.release()
            record_redactions(self._disk, self._folder, set().union(*digests_by_id.values()))
        return rewriting.changed

    def outrank(self, digests: Iterable[bytes]) -> bool:
        """Has lines served only where no other line of their id is; reports whether any is new.

        Raises LogBusy, LogReadOnly, `append_failed`.
        """
        new = frozenset(digests) - read_outranked(self._disk, self._folder)
        if new:
            try:
                record_outranked(self._disk, self._folder, new)
            except DiskError as error:
                raise append_error(self._folder, error) from error
            self._renew()
        return bool(new)

    def complete(self, lines: Iterable[bytes], bodies: BodySource) -> int:
        """Gives lines without a body, whose redaction does not count, their bodies again.

        `lines` are whole ones from elsewhere, `bodies` has their large values. Returns how many
        lines changed. Raises what `take_back` raises.
        """
        refused = self.digests()
        whole: dict[str, dict[bytes, bytes]] = {}
        for line in lines:
            event = parse(line, self._vocabulary)
            if isinstance(event, BadLine) or (digest := same_line_key(event)) in refused:
                continue
            if event.body_entries and not self._keep(event, bodies):
                continue  # the next call does it
            whole.setdefault(event.event_id, {})[digest] = line

        def instead(event: Event) -> bytes:
            lines = whole.get(event.event_id)
            if not lines or BODY_DIGEST not in event.members:
                return event.line
            return lines.get(same_line_key(event), event.line)

        with self._rewriting() as rewriting:
            for lines_of_id in whole.values():  # a redaction may have swept between
                for digest in [key for key, line in lines_of_id.items() if not self._holds(line)]:
                    del lines_of_id[digest]
            for path in segments(self._disk, self._folder):
                rewriting.replace(path, instead)
        return rewriting.changed

    def _keep(self, event: Event, bodies: BodySource) -> bool:
        """Keeps the large values of a line, durably; returns False where one can't be had."""
        lock = AppendLock(self._disk, own_folder(self._folder) / "lock")
        writer = BodyWriter(self._disk, self._folder, lock, FILE_BYTES_MAX)
        try:
            draft = relayed(event.line, values_of(event, bodies))
            _, error = writer.store([draft], WAIT_S)
            _check(error)
        except BodyMissing:
            return False
        finally:
            writer.close()
            lock.close()
        return True

    def _holds(self, line: bytes) -> bool:
        source = Bodies(self._disk, self._folder)
        entries = Event(line, None, self._vocabulary).body_entries
        return all(source.holds(entry.digest) for entry in entries)

    @contextmanager
    def _rewriting(self) -> Iterator["_Rewriting"]:
        """Gives the rewriting of this log's files, under the append lock; then renews the index."""
        rewriting = _Rewriting(self._disk, own_folder(self._folder), self._vocabulary)
        try:
            rewriting.lock.acquire()
            yield rewriting
        except DiskError as error:
            raise append_error(self._folder, error) from error
        finally:
            rewriting.lock.release()
            rewriting.lock.close()
        for name in rewriting.shifted:  # the places of damage that older notices record
            facts = {"file": name, "offset": 0, "bytes": 0, "healed": 0, "rewritten": True}
            self._record("recovered", facts, ())
        self._renew()


class _Rewriting:
    """The rewriting of files of a log under its append lock.

    `changed` counts lines; `shifted` names segments in which damage stands elsewhere now; `named`
    are the large values that the lines name which stay.
    """

    def __init__(self, disk: Disk, own: Path, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._vocabulary = vocabulary
        self.own = own
        self.lock = AppendLock(disk, own / "lock")
        self.changed = 0
        self.shifted: list[str] = []
        self.named: dict[str, NamedBody] = {}

    def replace(self, path: Path, instead: Callable[[Event], bytes]) -> None:
        """Replaces the lines of a segment's events by what a function returns for each."""
        edits: list[Edit] = []
        has_damage = False
        for line in segment_lines(self._disk, path, self._vocabulary):
            event = line.content
            if not isinstance(event, Event):
                has_damage = True
            elif (line_instead := instead(event)) != event.line:
                edits.append(Edit(line.offset, line.offset + line.length, line_instead, False))
            else:
                note_named(self.named, event, line.file, line.offset)
        if self._carry_out(path, edits) and has_damage:
            self.shifted.append(path.name)

    def take_out(self, path: Path, names: Iterable[bytes]) -> None:
        """Takes those lines of a file out that hold one of some names."""
        needles = tuple(names)
        edits = [
            Edit(line.offset, line.offset + line.length, b"", False)
            for line in segment_lines(self._disk, path, self._vocabulary)
            if any(name in line.data for name in needles)
        ]
        self._carry_out(path, edits)

    def _carry_out(self, path: Path, edits: Sequence[Edit]) -> bool:
        if edits:
            with opened(self._disk, path) as source:
                rewrite(self._disk, self.own, path, source, edits)
        self.changed += len(edits)
        return bool(edits)


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
    LogReadOnly, `append_failed`, OutcomeUnknown: then each segment is as it was or repaired,
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
