"""What a log tells of the sessions before it that ended uncleanly, and what they may have lost."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.codec import LINE_BYTES_MAX
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk, DiskError, opened, opened_existing
from thence.log.files.identity import Own, identify
from thence.log.files.segment import current_path, own_folder, segments
from thence.log.files.sessions import DurablePosition, SessionRecord, WriterSession, session_records
from thence.log.files.tail import lines_backwards

OPENING_SOURCE = "thence.open"


class Notice(NamedTuple):
    """A notice that a log has to write: kind, facts, the session that the notice is about."""

    kind: str
    facts: dict[str, Any]
    session: str = ""


def scope(disk: Disk, folder: Path, durable: DurablePosition) -> list[tuple[Path, int]]:
    """Lists the segment tails whose bytes may not have reached the device, in arrival order.

    The first is the segment of the durable position, from its offset on; all newer segments
    follow. Where no segment has the position the list is the whole current segment.
    """
    newer: list[tuple[Path, int]] = []
    for path in reversed(segments(disk, folder)) if durable.inode else ():
        with opened(disk, path) as descriptor:
            (_, inode), size = disk.file_id(descriptor)
            segment = (inode, disk.generation(descriptor))
        if segment == (durable.inode, durable.generation) and durable.offset <= size:
            return [(path, durable.offset), *newer]
        newer.insert(0, (path, 0))
    return [(current_path(folder), 0)]


def loss(session: SessionRecord) -> dict[str, Any]:
    """Returns the facts about what a dead session may have lost, empty for nothing.

    Those are the events that it had queued after its last durable one.
    """
    if not session.is_whole:
        return {"reason": "unknown end"}
    if not session.has_queue:
        return {}
    facts: dict[str, Any] = {"reason": "killed"}
    last = session.durable
    if last.seq:
        facts |= {"node_id": f"{last.node:012x}", "durable_seq": last.seq}
    return facts


class SessionReport:
    """The notices about the sessions before one, which its first append writes under the lock.

    A session's file that no process holds was left by a writer that ended without closing. For a
    log that was closed cleanly two small folders are listed; else the damage is looked for
    (`thence.log.recovery.damage`).
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, session: WriterSession
    ) -> None:
        self.is_finished = False
        self.has_looked = False  # an earlier writer of this process, for damage to what was there
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._session = session
        self._own: Own | None = None
        self._others: list[SessionRecord] | None = None

    def begin(self) -> tuple[str, str]:
        """Finds the node of this log; returns its node_id and that of the one before, if any.

        The notices of a node that began while the log was open are written too.
        """
        self.is_finished = False
        self._own = identify(self._disk, self._folder)
        return self._own.identity.node_id, self._own.previous_node

    def failed_tails(self) -> Iterator[tuple[Path, int]]:
        """Looks for other sessions; yields where what they could not sync stands: segment, offset.

        A living session writes again what stands in an older segment by itself.
        """
        self._others = None
        with suppress(DiskError):
            records = session_records(self._disk, self._folder)
            self._others = [record for record in records if record.name != self._session.name]
        for durable, is_held in [(one.durable, one.is_held) for one in self._others or ()]:
            if durable.has_failed:
                (path, offset), *newer = scope(self._disk, self._folder, durable)
                path_id = self._disk.path_id(str(path))
                is_there = path_id is not None and path_id[0][1] == durable.inode
                if is_there and not (newer and is_held):
                    yield path, offset

    def notices(self, seq: int) -> list[Notice]:
        """Returns the notices to write about the sessions that were found.

        `seq` is the last number of the own node. Where the disk fails, a later session reports
        the rest.
        """
        assert self._own is not None
        notices: list[Notice] = []
        if self._own.identity.reason and not seq:
            notices.append(Notice("node_changed", self._own.change()))
        others, self._others = self._others, None
        with suppress(DiskError):
            if others is not None and not self._own.is_copy:  # those belong to the original
                notices += self._losses(self._own, seq, others)
            self._others = others
        return notices

    @property
    def has_lost_values(self) -> bool:
        """True if a dead session may have left large values that are not on the device."""
        return any(record.is_dead and record.has_doubtful_values for record in self._others or ())

    def finish(self) -> None:
        """Removes the files of dead sessions: the notices about them are durable."""
        if self._others is not None:
            for record in self._others:
                if not record.is_held:
                    with suppress(DiskError):
                        self._disk.unlink(record.path)
            self.is_finished = True

    def _losses(self, own: Own, seq: int, others: list[SessionRecord]) -> list[Notice]:
        """Returns the notices about unclean ends of other sessions."""
        has_file = not all(record.is_draft for record in others)
        is_unknown = not (own.is_new or has_file or not seq) and self._is_end_unknown(own, seq)
        # where no own event can be read, the very first ones may be damaged
        is_known = own.previous_node != "" or not own.is_new
        is_spoilt = is_known and not (seq or has_file or self.has_looked)
        dead = [record for record in others if record.is_dead]
        if not (is_unknown or is_spoilt or dead):
            return []
        # after an unclean end alone
        from thence.log.recovery.damage import unreported

        # who reported one of them may have been killed before its file was removed; the notice is
        # after the durable end of the dead one or, where that is unknown, in the current segment
        places = {record.durable for record in dead} or {DurablePosition()}
        begins = [scope(self._disk, self._folder, place) for place in places]
        tails = max(begins, key=lambda tails: (len(tails), -tails[0][1]))
        regions, reported = unreported(self._disk, tails, self._vocabulary, own)
        notices = [Notice("gap", {"reason": "unknown end"})] if is_unknown else []
        notices += [
            Notice("gap", facts, record.name)
            for record in dead
            if record.name not in reported and (facts := loss(record))
        ]
        return notices + [Notice("torn", region.facts()) for region in regions]

    def _is_end_unknown(self, own: Own, seq: int) -> bool:
        """Reports whether the log's end differs from its mark.

        Zeros in the last line, which a power cut leaves for lost bytes, differ from any mark.
        """
        mark = own_folder(self._folder) / "marks" / f"{own.identity.node_id}-{seq}"
        if self._disk.path_id(str(mark)) is None:
            return True
        with opened_existing(self._disk, current_path(self._folder)) as descriptor:
            if descriptor is None:
                return False
            _, size = self._disk.file_id(descriptor)
            lines = lines_backwards(self._disk, descriptor, 0, size, LINE_BYTES_MAX)
            return b"\0" in next(filter(None, lines), b"")
