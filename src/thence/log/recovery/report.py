"""What the first append of a session notes of those before it.

It looks at the files of all others: one that no process holds was left by a writer that ended
without closing. For a log that was closed cleanly two small folders are listed; else the damage is
looked for (`thence.log.recovery.damage`). All of it happens under the append lock.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from thence.core.codec import LINE_BYTES_MAX
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk, DiskError, opened
from thence.log.files.identity import Own, identify, renew_shrunk
from thence.log.files.segment import current_path
from thence.log.files.tail import unreported
from thence.log.recovery.sessions import (
    Notice,
    SessionRecord,
    WriterSession,
    durable_seq,
    marked_seq,
    missing,
    session_records,
)

_TAIL_BYTES = 4096


class Numbering(Protocol):
    """The last numbers of a log under a node."""

    node_id: str
    seq: int

    def begin(self, node_id: str) -> None:
        """Starts to number events as this node's."""


class SessionReport:
    """The notices that one session has to write at its begin; used under the append lock."""

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, session: WriterSession
    ) -> None:
        self.is_finished = False
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

    def tail_seq(self, numbers: Numbering) -> int:
        """Returns the durable number that the unfinished last line holds, 0 if none."""
        with suppress(DiskError):
            where = (self._disk, self._folder, numbers.node_id)
            if not self.is_finished and durable_seq(*where, self._read()) == numbers.seq + 1:
                return numbers.seq + 1
        return 0

    def notices(self, numbers: Numbering) -> list[Notice]:
        """Returns the notices to write; a log that has shrunk continues under a new node.

        `numbers` are those of the own node, as far as the log has been read. Where the disk
        fails, a later session reports the rest.
        """
        notices: list[Notice] = []
        try:
            for _, facts in unreported(self._disk, self._folder):
                numbers.seq = max(numbers.seq, int(str(facts.get("last_seq", 0))))
            self._others = self._read()
            self._find_losses(numbers, notices, self._others)
        except DiskError:
            self._others = None
        assert self._own is not None
        identity = self._own.identity
        if identity.reason and not numbers.seq:
            before = [Notice("node_changed", self._own.change())]
            if identity.shrunk:
                before.append(Notice("shrunk", dict(identity.shrunk)))
            notices = before + notices
        return notices

    def finish(self) -> None:
        """Removes the files of dead sessions: the notices about them are durable."""
        if self._others is not None:
            dead = [record.path for record in self._others if not record.is_held]
            for path in dead:
                with suppress(DiskError):
                    self._disk.unlink(path)
            self.is_finished = True

    def _read(self) -> list[SessionRecord]:
        assert self._own is not None
        records = session_records(self._disk, self._folder, self._own.is_copy)
        return [record for record in records if record.name != self._session.name]

    def _find_losses(
        self, numbers: Numbering, notices: list[Notice], others: list[SessionRecord]
    ) -> None:
        """Adds notices about missing events and about unclean ends of other sessions."""
        own = self._own
        assert own is not None
        if own.is_copy:  # the sessions and their losses belong to the original
            return
        where = (self._disk, self._folder)
        facts = {} if own.is_new else missing(*where, numbers.node_id, numbers.seq, others)
        is_unknown = not facts and self._is_end_unknown(own, numbers, others)
        if facts:
            self._own = own = renew_shrunk(*where, own, facts)
            numbers.begin(own.identity.node_id)
        # where no own event can be read, the very first ones may be damaged
        is_spoilt = own.is_known and not numbers.seq and not others
        if facts or is_unknown or is_spoilt or any(record.is_dead for record in others):
            from thence.log.recovery.damage import findings  # after an unclean end alone

            notices += findings(*where, own, self._vocabulary, numbers.seq, others, is_unknown)

    def _is_end_unknown(
        self, own: Own, numbers: Numbering, others: Sequence[SessionRecord]
    ) -> bool:
        """Reports whether the log's end differs from its mark, though no session left a file."""
        if own.is_new or not numbers.seq or any(not record.is_copy for record in others):
            return False
        is_marked = marked_seq(self._disk, self._folder, numbers.node_id) == numbers.seq
        return not is_marked or self._is_last_line_zeroed()

    def _is_last_line_zeroed(self) -> bool:
        """Reports whether the last line holds zeros, which a power cut leaves for lost bytes."""
        if self._disk.path_id(str(current_path(self._folder))) is None:
            return False
        with opened(self._disk, current_path(self._folder)) as descriptor:
            _, size = self._disk.file_id(descriptor)
            for reach in (_TAIL_BYTES, LINE_BYTES_MAX):
                data = self._disk.read_at(descriptor, max(0, size - reach), reach)
                before, _, line = data.rstrip(b"\n").rpartition(b"\n")
                if before or b"\0" in line:
                    break
        return b"\0" in line
