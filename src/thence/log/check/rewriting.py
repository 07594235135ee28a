"""The redaction of a log's lines under the append lock.

A line that is redacted is replaced by its redacted form in all segments, and in quarantine. Then
its digest is recorded, so that the whole line is not taken in again should the redacted one get
lost; until then the log knows it by its digest. Large values that no other line names are removed.
After a kill taking it back again completes it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from thence.core.bodies import BodyMissing, BodySource
from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST, Redaction, redacted, same_line_key
from thence.core.vocabulary import Vocabulary
from thence.log.blobs.blob_check import sweep
from thence.log.blobs.blob_files import Bodies, BodyWriter, values_of
from thence.log.files.disk import Disk, appending
from thence.log.files.identity import known_node_ids, read_redactions, record_redactions
from thence.log.files.segment import (
    FILE_BYTES_MAX,
    Edit,
    has_bodies,
    locked,
    own_folder,
    rewrite,
    segments,
)
from thence.log.files.sessions import WriterSession
from thence.log.read.reader import segment_lines
from thence.log.recovery.damage import DamageRecord, Region, one_a_segment


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
        """Returns the digests of all lines that were redacted for good."""
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
            source = Bodies(self._disk, self._folder)
            for lines_of_id in whole.values():  # a redaction may have swept between
                for digest, line in [*lines_of_id.items()]:
                    entries = Event(line, None, self._vocabulary).body_entries
                    if not all(source.holds(entry.digest) for entry in entries):
                        del lines_of_id[digest]
            for path in segments(self._disk, self._folder):
                rewriting.replace(path, instead)
        return rewriting.changed

    def _keep(self, event: Event, bodies: BodySource) -> bool:
        """Keeps the large values of a line, durably; returns False where one can't be had."""
        session = WriterSession(self._disk, self._folder)
        writer = BodyWriter(self._disk, self._folder, session, FILE_BYTES_MAX)
        try:
            values = values_of(event, bodies)
            with appending(self._folder), locked(self._disk, self._folder):
                _, error = writer.store([values])
        except BodyMissing:
            return False
        finally:
            session.end()
            writer.close()
        if error is not None:
            raise error
        return True

    @contextmanager
    def _rewriting(self, taken_back: Collection[bytes] = ()) -> Iterator["_Rewriting"]:
        """Gives the rewriting of this log's files, under the append lock; then renews the index.

        In between the digests of what was taken back are recorded.
        """
        rewriting = _Rewriting(self._disk, self._folder, self._vocabulary)
        with appending(self._folder):
            with locked(self._disk, self._folder):
                yield rewriting
            if taken_back:
                record_redactions(self._disk, self._folder, taken_back)
        for region in rewriting.moved_regions():
            self.record("torn", {**region.facts(), "rewritten": True})
        self._renew()


class _Rewriting:
    """The rewriting of files of a log under its append lock, the segments first, in their order.

    `changed` counts lines; `named` are the digests of the large values that the lines name which
    stay.
    """

    def __init__(self, disk: Disk, folder: Path, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._vocabulary = vocabulary
        self._recorded = DamageRecord(vocabulary, known_node_ids(disk, folder))
        self._older: str | None = None
        # bad bytes of segments that were rewritten, with the offset that they have now
        self._moved: list[tuple[Region, int]] = []
        self.own = own_folder(folder)
        self.changed = 0
        self.named: set[str] = set()

    def replace(self, path: Path, instead: Callable[[Event], bytes]) -> None:
        """Replaces the lines of a segment's events by what a function returns for each."""
        edits: list[Edit] = []
        bad: list[tuple[Region, int]] = []
        shift = 0
        for line in segment_lines(self._disk, path, self._vocabulary):
            event = line.content
            if not isinstance(event, Event):
                region = Region(path.name, line.offset, line.length, event.code)
                bad.append((region, line.offset + shift))
                continue
            self._recorded.add(event, path.name, line.offset, self._older)
            if (line_instead := instead(event)) != event.line:
                edits.append(Edit(line.offset, line.offset + line.length, line_instead))
                shift += len(line_instead) - line.length
            else:
                self.named.update(entry.digest for entry in event.body_entries)
        self._older = path.name
        if self._carry_out(path, edits):
            self._moved += bad

    def moved_regions(self) -> Iterator[Region]:
        """Returns where the recorded damage of each segment that was rewritten is now."""
        present = [
            region._replace(offset=offset)
            for region, offset in self._moved
            if self._recorded.holds(region.file, region.offset, region.length)
        ]
        return one_a_segment(present)

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
