"""The rewriting of a log's lines under the append lock: redaction, and repair.

A line that is redacted is replaced by its redacted form in all segments, and in quarantine. Then
its digest is recorded, so that the whole line is not taken in again should the redacted one get
lost; until then the log knows it by its digest. Large values that no other line names are removed.
After a kill taking it back again completes it.

A repair copies bad lines, and bytes that stand beside events, to `.thence/quarantine/`, synced, and
leaves them out of the segments; before, a notice of the numbers that are missing there is durable.
No line that is an event is changed.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from thence.core.bodies import BodyMissing, BodySource
from thence.core.codec import JOINED, BadLine, parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST, Redaction, redacted, same_line_key
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.blobs.blob_check import sweep
from thence.log.blobs.blob_files import Bodies, BodyWriter, values_of
from thence.log.check.verify import NumberRanges, verify
from thence.log.files.disk import WAIT_S, AppendLock, Disk, appending, opened
from thence.log.files.identity import (
    known_node_id,
    known_node_ids,
    read_redactions,
    record_redactions,
)
from thence.log.files.segment import (
    CURRENT,
    FILE_BYTES_MAX,
    Edit,
    has_bodies,
    locked,
    own_folder,
    rewrite,
    segments,
)
from thence.log.files.tail import copy_aside
from thence.log.read.reader import NEWLINE_LOST, Line, lines, segment_lines
from thence.log.write.writer import Notice, SegmentWriter, relayed

# what the notice of a repair names of numbers; beyond that the last range grows
RANGES_MAX = 10_000


class Redactions:
    """The redactions of one open log; `renew` makes its index anew.

    `record` appends a notice of a kind, such as "redacted", with facts and causes, and returns it
    once it is durable; it raises what an append raises.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        record: Callable[..., Event],
        renew: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self.record = record
        self._renew = renew

    def digests(self) -> frozenset[bytes]:
        """Returns the digests (D) of all lines that were redacted for good."""
        return read_redactions(self._disk, self._folder)

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

        with self._rewriting(set().union(*digests_by_id.values())) as rewriting:
            for path in segments(self._disk, self._folder):
                rewriting.replace(path, instead)
            names = [name.encode("utf-8", "backslashreplace") for name in digests_by_id]
            for name in self._disk.names(rewriting.own / "quarantine"):
                rewriting.take_out(rewriting.own / "quarantine" / name, names)
            if has_bodies(self._disk, self._folder):
                rewriting.changed += sweep(self._disk, self._folder, rewriting.named)
        return rewriting.changed

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
    def _rewriting(self, taken_back: Collection[bytes] = ()) -> Iterator["_Rewriting"]:
        """Gives the rewriting of this log's files, under the append lock; then renews the index.

        In between the digests of what was taken back are recorded.
        """
        rewriting = _Rewriting(self._disk, own_folder(self._folder), self._vocabulary)
        with appending(self._folder):
            with locked(self._disk, self._folder):
                yield rewriting
            if taken_back:
                record_redactions(self._disk, self._folder, taken_back)
        for name in rewriting.shifted:  # the places of damage that older notices record
            self.record("recovered", {"file": name, "rewritten": True})
        self._renew()


class _Rewriting:
    """The rewriting of files of a log under its append lock.

    `changed` counts lines; `shifted` names segments in which damage stands elsewhere now; `named`
    are the digests of the large values that the lines name which stay.
    """

    def __init__(self, disk: Disk, own: Path, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._vocabulary = vocabulary
        self.own = own
        self.changed = 0
        self.shifted: list[str] = []
        self.named: set[str] = set()

    def replace(self, path: Path, instead: Callable[[Event], bytes]) -> None:
        """Replaces the lines of a segment's events by what a function returns for each."""
        edits: list[Edit] = []
        has_damage = False
        for line in segment_lines(self._disk, path, self._vocabulary):
            event = line.content
            if not isinstance(event, Event):
                has_damage = True
            elif (line_instead := instead(event)) != event.line:
                edits.append(Edit(line.offset, line.offset + line.length, line_instead))
            else:
                self.named.update(entry.digest for entry in event.body_entries)
        if self._carry_out(path, edits) and has_damage:
            self.shifted.append(path.name)

    def take_out(self, path: Path, names: Iterable[bytes]) -> None:
        """Takes those lines of a file out that hold one of some names."""
        needles = tuple(names)
        edits = [
            Edit(line.offset, line.offset + line.length, b"")
            for line in segment_lines(self._disk, path, self._vocabulary)
            if any(name in line.data for name in needles)
        ]
        self._carry_out(path, edits)

    def _carry_out(self, path: Path, edits: Sequence[Edit]) -> bool:
        if edits:
            rewrite(self._disk, self.own, path, edits)
        self.changed += len(edits)
        return bool(edits)


def repair(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    writer: SegmentWriter,
    notice: Notice,
    timeout_s: float = WAIT_S,
) -> None:
    """Moves all bad bytes to quarantine, if verify finds any that no notice records.

    `writer` is used for this repair alone and closed at the end. Raises LogBusy, LogFull,
    LogReadOnly, `append_failed`, OutcomeUnknown: then each segment is as it was or repaired,
    and the next repair continues.
    """
    with closing(writer), appending(folder):
        # read first: damage for which this session writes a notice now is to be repaired too
        is_due = any(one.is_repairable for one in verify(disk, folder, vocabulary).findings)
        # an unfinished last line is recovered first, as by any append
        _check(writer.write([], timeout_s).error)
        if not is_due:
            return
        facts = _repair_facts(disk, folder, vocabulary, writer.numbers.seq)
        _check(writer.write([notice("recovered", facts)], timeout_s).error)
        writer.sync()
        with locked(disk, folder, timeout_s):
            for path in segments(disk, folder):
                _move_bad_bytes(disk, path, vocabulary)


def _check(error: ThenceError | None) -> None:
    if error is not None:
        raise error


def _repair_facts(
    disk: Disk, folder: Path, vocabulary: Vocabulary, last_seq: int
) -> dict[str, object]:
    """Returns the facts of the notice of a repair: what it moves, and which numbers are missing.

    A hole in the numbers of a node of this log counts if bad bytes lie within it. `last_seq` is
    the highest number that the log ever gave out.
    """
    node_id, own = known_node_id(disk, folder), known_node_ids(disk, folder)
    places = size = 0
    nodes = {node: NumberRanges() for node in own}
    # between which numbers of each node bad bytes lie, and the nodes with bad bytes behind the last
    spans: dict[str, list[tuple[int, int]]] = {node: [] for node in own}
    pending = set[str]()
    for line in lines(disk, folder, vocabulary):
        event = line.content
        if isinstance(event, BadLine):
            if not line.is_whole and line.file == CURRENT:
                continue  # another process is writing it
            places, size = places + 1, size + line.length
            pending |= own if event.code == "bad_line" else set()
        elif event.node_id in own:
            node = nodes[event.node_id]
            if event.seq > node.last and event.node_id in pending:
                spans[event.node_id].append((node.last, event.seq))
                pending.discard(event.node_id)
            node.add(event.seq)
    numbers = {}
    for node_name, node in nodes.items():
        holes = list(node.holes())
        if node_name == node_id and node_name in pending and last_seq > node.last:
            spans[node_name].append((node.last, last_seq + 1))
            holes.append((node.last + 1, last_seq))
        if named := _within(spans[node_name], holes):
            numbers[node_name] = named
    missing = sum(last - first + 1 for ranges in numbers.values() for first, last in ranges)
    facts = {"rewritten": True, "places": places, "bytes": size, "missing": missing}
    return {**facts, "numbers": numbers}


def _within(
    spans: Sequence[tuple[int, int]], holes: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Returns the holes that lie within spans, which grow; beyond RANGES_MAX the last one grows."""
    named: list[tuple[int, int]] = []
    for first, last in holes:
        index = bisect_left(spans, (first, 0)) - 1
        if index >= 0 and last < spans[index][1]:
            if len(named) == RANGES_MAX:
                first = named.pop()[0]
            named.append((first, last))
    return named


def _move_bad_bytes(disk: Disk, path: Path, vocabulary: Vocabulary) -> None:
    """Moves the bad bytes of a segment to quarantine and replaces it by a repaired one."""

    def edits() -> Iterator[Edit]:
        return _repairs(segment_lines(disk, path, vocabulary))

    if any(True for _ in edits()):
        ranges = ((edit.start, edit.end) for edit in edits() if edit.start < edit.end)
        with opened(disk, path) as source:
            copy_aside(disk, source, path, ranges)
        rewrite(disk, own_folder(path.parent), path, edits())


def _repairs(segment: Iterable[Line]) -> Iterator[Edit]:
    """Yields the edits that leave each event of a segment on a line of its own."""
    behind = -1
    for line in segment:
        end = line.offset + line.length
        content = line.content
        if isinstance(content, BadLine) and (line.is_whole or line.file != CURRENT):
            if content.code == "stray_bytes":
                has_newline = content not in (JOINED, NEWLINE_LOST)
                yield Edit(line.offset, end, b"" if has_newline else b"\n")
            else:  # behind an event of the same line, the newline is the event's
                yield Edit(line.offset, end + 1, b"\n" if line.offset == behind else b"")
        behind = end
