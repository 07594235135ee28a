"""The report of a log that is opened to append: its node, and unclean ends of others.

For a log that was closed cleanly two small folders are listed; more is read only after an
unclean end. A log that has become shorter than it was, cut or restored in place from an older
copy, is detected by the mark of a clean close, and by the durable positions in the files of
openings; for that only the ends of segments are read.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from thence.core.values.codec import LINE_BYTES_MAX
from thence.core.values.vocabulary import Vocabulary
from thence.log.crash.close_marks import marked_seq
from thence.log.crash.damage_record import Notice
from thence.log.crash.openings import Opening, OpeningFile, openings, segment_id
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.identity import Own, identify, renew_shrunk
from thence.log.storage.numbering import Numbering
from thence.log.storage.segment import current_path, own_folder, segments
from thence.log.storage.tail_recovery import unreported

_STATE_PAGE = "state"  # older versions kept one
_TAIL_BYTES = 4096


class OpeningReport:
    """The notices that one opening has to write; used under the append lock."""

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, opening: OpeningFile
    ) -> None:
        self.is_finished = False
        self.has_notices = False
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._opening = opening
        self._own: Own | None = None
        self._openings: list[Opening] | None = None

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
            if not self.is_finished and self._durable_seq(numbers) == numbers.seq + 1:
                return numbers.seq + 1
        return 0

    def notices(self, numbers: Numbering) -> list[Notice]:
        """Returns the notices to write; a log that has shrunk continues under a new node.

        `numbers` are those of the own node, as far as the log has been read. Where the disk
        fails, a later opening reports the rest.
        """
        found: list[Notice] = []
        try:
            for _, facts in unreported(self._disk, self._folder):
                numbers.seq = max(numbers.seq, int(str(facts.get("last_seq", 0))))
            self._openings = self._others()
            self._find_losses(numbers, found)
        except DiskError:
            self._openings = None
        assert self._own is not None
        identity = self._own.identity
        if identity.reason and not numbers.seq:
            before = [Notice("node_changed", self._own.change())]
            if identity.shrunk:
                before.append(Notice("shrunk", dict(identity.shrunk)))
            found = before + found
        self.has_notices = bool(found)
        return found

    def finish(self) -> None:
        """Removes the files of dead openings: the notices about them are durable."""
        if self._openings is not None:
            state = own_folder(self._folder) / _STATE_PAGE
            for path in [
                state,
                *(opening.path for opening in self._openings if not opening.is_held),
            ]:
                with suppress(DiskError):
                    self._disk.unlink(path)
            self.is_finished = True

    def _others(self) -> list[Opening]:
        assert self._own is not None
        found = openings(self._disk, self._folder, self._own.is_copy)
        return [opening for opening in found if opening.name != self._opening.name]

    def _durable_seq(self, numbers: Numbering) -> int:
        return durable_seq(self._disk, self._folder, numbers.node_id, self._others())

    def _find_losses(self, numbers: Numbering, notices: list[Notice]) -> None:
        """Adds notices about missing events and about unclean ends of other openings."""
        own, found = self._own, self._openings
        assert own is not None
        assert found is not None
        if own.is_copy:  # the openings and their losses belong to the original
            return
        where = (self._disk, self._folder)
        facts = {} if own.is_new else missing(*where, numbers.node_id, numbers.seq, found)
        is_unknown = not facts and self._is_end_unknown(own, numbers, found)
        if facts:
            self._own = own = renew_shrunk(*where, own, facts)
            numbers.begin(own.identity.node_id)
        # where no own event can be read, the very first ones may be damaged
        is_spoilt = own.is_known and not numbers.seq and not found
        if facts or is_unknown or is_spoilt or any(opening.is_dead for opening in found):
            from thence.log.crash.unclean import findings  # seldom needed

            notices += findings(*where, own, self._vocabulary, numbers.seq, found, is_unknown)

    def _is_end_unknown(self, own: Own, numbers: Numbering, found: list[Opening]) -> bool:
        """Reports whether the log's end differs from its mark, though no opening left a file."""
        if own.is_new or not numbers.seq or any(not opening.is_copy for opening in found):
            return False
        is_marked = marked_seq(self._disk, self._folder, numbers.node_id) == numbers.seq
        if is_marked and not self._is_last_line_zeroed():
            return False
        state = own_folder(self._folder) / _STATE_PAGE
        return self._disk.path_id(str(state)) is None

    def _is_last_line_zeroed(self) -> bool:
        """Reports whether the last line holds zeros, which a power cut leaves for lost bytes."""
        if self._disk.path_id(str(current_path(self._folder))) is None:
            return False
        descriptor = self._disk.open_read(current_path(self._folder))
        try:
            _, size = self._disk.file_id(descriptor)
            for reach in (_TAIL_BYTES, LINE_BYTES_MAX):
                data = self._disk.read_at(descriptor, max(0, size - reach), reach)
                before, _, line = data.rstrip(b"\n").rpartition(b"\n")
                if before or b"\0" in line:
                    break
        finally:
            self._disk.close_quietly(descriptor)
        return b"\0" in line


def durable_seq(disk: Disk, folder: Path, node_id: str, found: Sequence[Opening]) -> int:
    """Returns the highest number of a node that is known to have been durable, 0 for none.

    `found` are the openings that left a file. Raises DiskError.
    """
    node = int(node_id or "0", 16)
    recorded = [o.durable.seq for o in found if not o.is_copy and o.durable.node == node]
    return max(marked_seq(disk, folder, node_id), *recorded, 0)


def missing(
    disk: Disk, folder: Path, node_id: str, seq: int, found: Sequence[Opening]
) -> dict[str, str | int]:
    """Returns the facts of a notice about missing events, none if nothing is missing.

    `seq` is the highest number of the node in the log. Raises DiskError.
    """
    facts: dict[str, str | int] = {}
    known = durable_seq(disk, folder, node_id, found)
    if known > seq:
        facts = {"first_seq": seq + 1, "last_seq": known}
    positions = [o.durable for o in found if not o.is_copy and o.durable.offset]
    for path in segments(disk, folder) if positions else ():
        inode, generation, size = segment_id(disk, path)
        here = [p.offset for p in positions if (p.inode, p.generation) == (inode, generation)]
        if size < max(here, default=0):
            facts |= {"file": path.name, "offset": size, "bytes": max(here) - size}
    return {"node_id": node_id, **facts} if facts else {}
