"""The numbers that a log gives out next: seq and lamport_clock, under one node_id.

The numbers come from the segments alone: numbers that were read are taken over, written
events are counted, and a clock from elsewhere is witnessed. Relayed lines of other nodes keep
their own numbers; only their clocks count here.
"""

from collections.abc import Sequence
from pathlib import Path

from thence.core.bodies import Body
from thence.core.clock import CLOCK_MAX, exhausted
from thence.core.codec import LINE_BYTES_MAX, Draft, numbers, stamper
from thence.log.files.disk import Disk, opened_existing
from thence.log.files.segment import older_names
from thence.log.files.tail import foreign_clock, last_numbers

CLOCK_AHEAD_MAX = 2**40


def relayed(line: bytes, bodies: tuple[Body, ...] = ()) -> Draft:
    """Returns a complete line of another node as a draft, newline included, with its bodies."""
    return Draft("", b"", line, bodies)


class Numbering:
    """The last numbers of one open log, as far as its writer has read and written.

    A new node has no event yet. While its `previous_node` is set, only the clock is read, back to
    the last event of the previous node.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._stamp = stamper("")
        self._lamport_clock = 0
        self._received: list[int] = []
        self._relays = False
        self._uncounted: list[int] = []
        self.node_id = ""
        self.previous_node = ""
        self.seq = 0
        self.rejected_clocks: list[int] = []

    def begin(self, node_id: str, previous_node: str = "") -> None:
        """Starts to stamp events as this node's."""
        self.node_id = node_id
        self.previous_node = previous_node
        self.seq = 0
        self._stamp = stamper(node_id)

    def stamp(self, drafts: Sequence[Draft]) -> list[bytes]:
        """Returns the lines of events to be written; call `count` after they were written.

        Raises `clock_exhausted`.
        """
        if self._received:
            self._take_received()
        last = max(self.seq, self._lamport_clock)
        if last + len(drafts) > CLOCK_MAX and any(item.head for item in drafts):
            raise exhausted(self._folder)
        if self._relays:
            return self._stamp_some(drafts)
        return self._stamp(drafts, self.seq + 1, self._lamport_clock + 1)

    def count(self, written: int) -> None:
        """Counts the numbers of `written` events as given out."""
        if not self._relays:
            self.seq += written
            self._lamport_clock += written
            return
        for clock in self._uncounted[:written]:
            if clock:  # a relayed line
                self._lamport_clock = max(self._lamport_clock, clock)
            else:
                self.seq += 1
                self._lamport_clock += 1
        del self._uncounted[:written]

    def relay(self) -> None:
        """Lets drafts that `relayed` made pass unstamped, among others that are stamped."""
        self._relays = True

    def _stamp_some(self, drafts: Sequence[Draft]) -> list[bytes]:
        lines: list[bytes] = []
        clocks: list[int] = []
        seq, clock = self.seq, self._lamport_clock
        for draft in drafts:
            if draft.head:
                seq, clock = seq + 1, clock + 1
                lines += self._stamp((draft,), seq, clock)
                clocks.append(0)
            else:
                lines.append(draft.tail)
                stamp = numbers(draft.tail)
                clocks.append(stamp[2] if stamp else foreign_clock(draft.tail[:-1]) or 1)
                clock = max(clock, clocks[-1])
        self._uncounted = clocks
        return lines

    def witness(self, lamport_clock: int) -> None:
        """Gives all later events a larger clock than this one from elsewhere.

        A clock that exceeds by more than 2^40 how many events this node has written here is
        not taken over but added to `rejected_clocks`. Any thread may call `witness`.
        """
        self._received.append(lamport_clock)

    def _take_received(self) -> None:
        while self._received:
            clock = self._received.pop()
            if clock > self.seq + CLOCK_AHEAD_MAX:
                self.rejected_clocks.append(clock)
            else:
                self._lamport_clock = max(self._lamport_clock, clock)

    def read(self, descriptor: int, start: int, end: int) -> bool:
        """Takes over the numbers between two offsets; False if no line is of this node."""
        node_id = self.previous_node or self.node_id
        seq, clock = last_numbers(self._disk, descriptor, start, end, node_id) or (0, 0)
        if not self.previous_node:
            self.seq = max(self.seq, seq)
        self._lamport_clock = max(self._lamport_clock, clock)
        return seq > 0

    def read_older(self, is_known: bool) -> None:
        """Takes over the numbers of the older segments, back to the last event of this node.

        If the current segment holds an event of this node (`is_known`), only the end of the
        newest older segment is read: its numbers are larger if a crash cut short its copy into
        the current one.
        """
        for name in reversed(older_names(self._disk, self._folder)):
            with opened_existing(self._disk, self._folder / name) as descriptor:
                if descriptor is None:  # pruned in between
                    continue
                _, size = self._disk.file_id(descriptor)
                start = max(0, size - 2 * LINE_BYTES_MAX) if is_known else 0
                if self.read(descriptor, start, size) or is_known:
                    return
