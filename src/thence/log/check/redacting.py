"""The redactions of an open log: notices about them, and the taking back of lines' bodies.

A line that is taken back is replaced by its redacted form in all segments, and in quarantine. Then
its digest is recorded, so that the whole line is not taken in again should the redacted one get
lost; until then the log knows it by its digest. After a kill taking it back again completes it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thence.core.event import Event
from thence.core.values.digests import redacted, same_line_key
from thence.core.values.vocabulary import Vocabulary
from thence.core.wire.seals import Redaction
from thence.log.check.rewriting import Edit, opened, rewrite
from thence.log.read.reader import segment_lines
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError, append_error
from thence.log.storage.redactions import read_redactions, record_redactions
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
        wanted: dict[str, set[bytes]] = {}
        for each in redactions:
            wanted.setdefault(each.event_id, set()).add(each.digest)
        own = own_folder(self._folder)
        lock = AppendLock(self._disk, own / "lock")
        try:
            lock.acquire()
            changed = 0
            shifted = []
            for path in segments(self._disk, self._folder):
                edits, has_damage = self._edits(path, wanted)
                changed += self._rewrite(path, edits)
                if edits and has_damage:
                    shifted.append(path.name)
            for name in self._disk.names(own / "quarantine"):
                path = own / "quarantine" / name
                changed += self._rewrite(path, self._edits_of_damage(path, wanted))
            lock.release()
            record_redactions(self._disk, self._folder, set().union(*wanted.values()))
        except DiskError as error:
            raise append_error(self._folder, error) from error
        finally:
            lock.release()
            lock.close()
        for name in shifted:  # the places of damage that older notices record
            facts = {"file": name, "offset": 0, "bytes": 0, "healed": 0, "rewritten": True}
            self._record("recovered", facts, ())
        self._renew()
        return changed

    def _rewrite(self, path: Path, edits: Sequence[Edit]) -> int:
        if edits:
            with opened(self._disk, path) as source:
                rewrite(self._disk, own_folder(self._folder), path, source, edits)
        return len(edits)

    def _edits(self, path: Path, wanted: Mapping[str, set[bytes]]) -> tuple[list[Edit], bool]:
        """Returns the edits of lines that are to be redacted, and whether others are damaged."""
        edits: list[Edit] = []
        has_damage = False
        for line in segment_lines(self._disk, path, self._vocabulary):
            event = line.content
            if not isinstance(event, Event):
                has_damage = True
            elif (named := wanted.get(event.event_id)) and same_line_key(event) in named:
                instead = redacted(event.line)
                if instead != event.line:
                    edits.append(Edit(line.offset, line.offset + line.length, instead, False))
        return edits, has_damage

    def _edits_of_damage(self, path: Path, wanted: Mapping[str, set[bytes]]) -> list[Edit]:
        """Returns the edits of a file in quarantine: bytes that name an event are taken out."""
        names = [name.encode("utf-8", "backslashreplace") for name in wanted]
        return [
            Edit(line.offset, line.offset + line.length, b"", False)
            for line in segment_lines(self._disk, path, self._vocabulary)
            if any(name in line.data for name in names)
        ]
