"""The redactions of an open log: notices about them, and the taking back of lines' bodies.

A line that is taken back is replaced by its redacted form in all segments, and in quarantine. Then
its digest is recorded, so that the whole line is not taken in again should the redacted one get
lost; until then the log knows it by its digest. After a kill taking it back again completes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.digests import BODY_DIGEST, redacted, same_line_key
from thence.core.values.vocabulary import Vocabulary
from thence.core.wire.seals import Redaction
from thence.log.check.rewriting import Edit, opened, rewrite
from thence.log.read.reader import segment_lines
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.digest_files import (
    read_outranked,
    read_redactions,
    record_outranked,
    record_redactions,
)
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError, append_error
from thence.log.storage.segment import own_folder, segments

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
        """Returns the digests (D) of all lines that were taken back for good."""
        return read_redactions(self._disk, self._folder)

    def record(self, kind: str, facts: Mapping[str, Any], causes: Sequence[str] = ()) -> Event:
        """Appends a notice, "seal" or "redacted", and returns it once it is durable.

        Raises what an append raises.
        """
        return self._record(kind, facts, causes)

    def take_back(self, redactions: Sequence[Redaction]) -> int:
        """Takes lines' bodies back wherever this log holds them; returns how many lines changed.

        Raises LogBusy, LogReadOnly, AppendFailed: then taking them back again completes it.
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
            rewriting.lock.release()
            record_redactions(self._disk, self._folder, set().union(*digests_by_id.values()))
        return rewriting.changed

    def outrank(self, digests: Iterable[bytes]) -> bool:
        """Has lines served only where no other line of their id is; reports whether any is new.

        Raises LogBusy, LogReadOnly, AppendFailed.
        """
        new = frozenset(digests) - read_outranked(self._disk, self._folder)
        if new:
            try:
                record_outranked(self._disk, self._folder, new)
            except DiskError as error:
                raise append_error(self._folder, error) from error
            self._renew()
        return bool(new)

    def complete(self, lines: Iterable[bytes]) -> int:
        """Gives redacted lines, whose bodies nobody may take back, their bodies again.

        `lines` are whole ones from elsewhere. Returns how many lines changed. Raises what
        `take_back` raises.
        """
        refused = self.digests()
        whole: dict[str, dict[bytes, bytes]] = {}
        for line in lines:
            event = parse(line, self._vocabulary)
            if isinstance(event, BadLine) or (digest := same_line_key(event)) in refused:
                continue
            whole.setdefault(event.event_id, {})[digest] = line

        def instead(event: Event) -> bytes:
            lines = whole.get(event.event_id)
            if not lines or BODY_DIGEST not in event.members:
                return event.line
            return lines.get(same_line_key(event), event.line)

        with self._rewriting() as rewriting:
            for path in segments(self._disk, self._folder):
                rewriting.replace(path, instead)
        return rewriting.changed

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

    `changed` counts lines; `shifted` names segments in which damage stands elsewhere now.
    """

    def __init__(self, disk: Disk, own: Path, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._vocabulary = vocabulary
        self.own = own
        self.lock = AppendLock(disk, own / "lock")
        self.changed = 0
        self.shifted: list[str] = []

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
