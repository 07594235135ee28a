"""The state page of a log: how far each process that appends has got, for the next opening.

`.thence/state` is one page of 8-byte words, mapped by every opening that appends, never
synced and never needed: whatever is wrong with it, there is no page and appending goes on.
A header is followed by 31 slots, one for each opening: who it is, how many emitted events
it has accepted and committed, which batch it is writing, how far a file is on the device.
What outlives a process tells the next opening what its end has lost; `log/unclean` reads it.

A slot is taken under a `flock` of the page that nobody waits for. Its words are written by
its owner alone, without a lock.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Lock, get_ident
from zlib import crc32

import msgspec

from thence.log.disk import NOWHERE, Disk, FileId, process_id
from thence.log.segment import own_folder

PAGE_BYTES = 4096
SLOTS = 31
MAGIC = int.from_bytes(b"thence\0p", "little")
VERSION = 1
_SLOT_WORDS = 16
_WORDS = PAGE_BYTES // 8
_BASES = range(_SLOT_WORDS, (SLOTS + 1) * _SLOT_WORDS, _SLOT_WORDS)  # where slots begin
_HEADER_BYTES = 24
_MAGIC, _VERSION, _SETTLED = range(3)
_PID, _START, _SPACE, _MARK, _ACCEPTED, _COMMITTED, _SHARED = range(7)
_TARGET, _BATCH_OFFSET, _BATCH_NAME = range(7, 10)
# file, offset, check; twice, in turns: a kill between two words leaves the other one
_DURABLE = (10, 13)
_MASK = 2**64 - 1
_NAMES = 2**33  # all fingerprints are below
SHORT = 2**31 - 1  # as much of a file's word as has room beside a fingerprint
_ODD = 0x9E3779B97F4A7C15  # spreads small numbers over a word


class Slot(msgspec.Struct, frozen=True):
    """What one process, dead or alive, has left in the page.

    `target` is what `committed` becomes with the batch that was being written. That begins with
    the fingerprint `batch_name`, behind `batch_offset` in the file whose word ends in `batch_file`
    (0: not known). `synced` are the files of the last two syncs, one before it, if both are known.
    """

    number: int
    process: int
    mark: int
    accepted: int
    committed: int
    is_shared: bool
    synced: frozenset[int]
    target: int
    batch_offset: int
    batch_name: int
    batch_file: int


class StatePage:
    """This opening's slot in the page of its log, and what the other slots say.

    One producer's `accept` counts exactly. When several threads call it the slot says so,
    and the count is about right. No method raises for the page's sake.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._path = own_folder(folder) / "state"
        self.accept: Callable[[], None] = self._accept_early
        self._accepted = 0
        self._committed = 0
        self._mark = 0
        self._is_boot_known = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._words: memoryview | None = None
        self._base = 0
        self._taking = Lock()
        self._attempts = 0
        self._is_hopeless = False
        self._producer = 0
        self._is_shared = False
        self._intended = 0
        self._name = 0
        self._turn = 0
        self._safe = (NOWHERE, 0)

    @property
    def is_mapped(self) -> bool:
        """Whether this opening has a slot."""
        return self._words is not None

    @property
    def is_boot_known(self) -> bool:
        """Whether one boot of this machine can be told from another."""
        return self._is_boot_known

    @property
    def mark(self) -> int:
        """A number for this boot and this very file, by which slots of others are known."""
        return self._mark

    @property
    def settled_mark(self) -> int:
        """The mark under which an opening last looked at all slots; 0 for a page made anew."""
        return self._words[_SETTLED] if self._words is not None else 0

    def begin(self) -> None:
        """Takes a slot if there is none yet and one can be had at once."""
        if self._words is not None or self._is_hopeless or not self._taking.acquire(blocking=False):
            return
        try:
            self._take()
        except (OSError, ValueError):  # ValueError: somebody has cut the file short
            self._give_up()
        finally:
            self._taking.release()

    def _begin_seldom(self) -> None:
        """Does so at the 1st, 2nd, 4th, 8th … call: to try costs more than an event may."""
        self._attempts += 1
        if not self._attempts & self._attempts - 1:
            self.begin()

    def intend(self, emitted: int, event_id: str) -> None:
        """Says that the next write holds so many emitted events, the first with this id."""
        self._intended = emitted
        self._name = fingerprint(event_id.encode())

    def writing(self, offset: int, file: FileId = NOWHERE) -> None:
        """Says where the write begins that was announced, if one was."""
        if self._intended and self._words is not None:
            words, base = self._words, self._base
            words[base + _BATCH_OFFSET] = offset
            words[base + _BATCH_NAME] = self._name + (file_word(file) & SHORT) * _NAMES
            words[base + _TARGET] = self._committed + self._intended
        self._intended = 0

    def commit(self, count: int) -> None:
        """Says that so many emitted events are durable, or told as failed."""
        self._committed += count
        self._begin_seldom()
        if self._words is not None:
            self._words[self._base + _COMMITTED] = self._committed

    def durable(self, file: FileId, offset: int) -> None:
        """Says that all of a file up to an offset is on the device."""
        self._safe = (file, offset)
        if self._words is None:
            self._begin_seldom()
            if self._words is None:
                return
        words, at = self._words, self._base + _DURABLE[self._turn]
        self._turn ^= 1
        words[at] = file_word(file)
        words[at + 1] = offset
        words[at + 2] = crc32(words[at : at + 2])

    def durable_offset(self, file: FileId) -> int:
        """Returns up to where a file is known to be on the device, 0 if nothing is known."""
        return self.durable_offsets().get(file_word(file), 0)

    def durable_offsets(self) -> dict[int, int]:
        """Returns the highest offset known of each file, by the file's word."""
        found: dict[int, int] = {}
        for _, file, offset in self._durables():
            found[file] = max(offset, found.get(file, 0))
        return found

    def safe_offset(self, file: FileId) -> int:
        """Returns up to where a file is on the device by what this opening has synced itself.

        What it has not, it believes as it stood in the page when the file was first seen. A
        later word of others may be wrong once a sync has failed: who opened the file after
        that is told nothing, and its own sync returns without the pages given up.
        """
        return self._safe[1] if self._safe[0] == file else 0

    def seen(self, file: FileId, size: int, has_grown: bool = False) -> None:
        """Voids what is said of a file beyond its size: another file had this number before.

        One that is known and has only grown is not looked up.
        """
        if has_grown:
            return
        wanted = file_word(file)
        for at, name, offset in self._durables():
            if name == wanted and offset > size and self._words is not None:
                self._words[at + 2] = 0
        if self._safe[0] != file or self._safe[1] > size:
            self._safe = (file, self.durable_offset(file))
            for _ in _DURABLE if self._safe[1] else ():  # it writes into no older file than this
                self.durable(*self._safe)

    def dead(self) -> list[Slot]:
        """Lists the slots of openings that have ended without freeing them.

        A process in another namespace can't be judged, so it counts as alive.
        """
        space = self._disk.process_space()
        return [
            slot
            for slot, start, slot_space in self._taken()
            if slot.mark != self._mark or (slot_space == space and not self._is_alive(slot, start))
        ]

    def living(self) -> list[Slot]:
        """Lists the slots of openings that go on."""
        dead = self.dead()
        return [slot for slot, _, _ in self._taken() if slot not in dead]

    def look(self) -> bool:
        """Takes over what the page says now, for `dead` and `living`; takes no slot.

        False where there is no page that this version reads. The words are a copy that can't
        be written, so this page is of no other use.
        """
        there = self._disk.path_id(str(self._path))
        words = memoryview(self._disk.read_whole(self._path) or b"")
        if there is None or len(words) != PAGE_BYTES:
            return False
        if words.cast("Q")[:2].tolist() != [MAGIC, VERSION]:
            return False
        self._remember_boot(there[0])
        self._words = words.cast("Q")
        return True

    def settle(self, dead: list[Slot]) -> None:
        """Frees the slots of the dead, when what they tell is durable in the log."""
        if self._words is None:
            return
        for slot in dead:
            self._words[_BASES[slot.number]] = 0
        self._words[_SETTLED] = self._mark

    def end(self) -> None:
        """Frees the slot; its durable words stay. A later `begin` takes another."""
        words, base = self._words, self._base
        self.accept = self._accept_early
        accepted = words[base + _ACCEPTED] if words is not None else self._accepted
        self._begin_anew()
        self._accepted = accepted
        if words is not None:
            words[base] = 0

    def after_fork(self) -> None:
        """Forgets the parent's slot and counts, in a child."""
        self.accept = self._accept_early
        self._accepted = self._committed = 0
        self._begin_anew()

    def _accept_early(self) -> None:
        """Counts an event while there is no slot, and tries to take one."""
        thread = get_ident()
        self._is_shared = self._is_shared or self._producer not in (0, thread)
        self._producer = thread
        self._accepted += 1
        self._begin_seldom()
        if self._words is not None and self._is_shared:
            self._words[self._base + _SHARED] = 1

    def _counting(self, words: memoryview, base: int) -> Callable[[], None]:
        """Returns the `accept` of a slot: a few words at hand, no attribute looked up."""
        next_number = count(self._accepted + 1).__next__
        accepted, shared = base + _ACCEPTED, base + _SHARED
        producer = self._producer
        thread = get_ident

        def accept() -> None:
            nonlocal producer
            words[accepted] = next_number()
            if thread() != producer:
                if producer:
                    words[shared] = 1
                producer = thread()

        return accept

    def _take(self) -> None:
        descriptor = self._disk.open_lock(self._path)
        try:
            if self._disk.try_lock(descriptor):
                try:
                    self._take_locked(descriptor)
                finally:
                    self._disk.unlock(descriptor)  # a mapping would keep the lock
        finally:
            self._disk.close(descriptor)

    def _take_locked(self, descriptor: int) -> None:
        file, size = self._disk.file_id(descriptor)
        header = self._disk.read_at(descriptor, 0, _HEADER_BYTES)
        if size != PAGE_BYTES or int.from_bytes(header[:8], sys.byteorder) != MAGIC:
            self._make(descriptor, size)
        elif int.from_bytes(header[8:16], sys.byteorder) != VERSION:
            self._give_up()
            return
        words = self._disk.map_words(descriptor, _WORDS)
        self._remember_boot(file)
        for base in _BASES:
            if not words[base + _PID]:
                self._fill(words, base)
                return

    def _remember_boot(self, file: FileId) -> None:
        boot = self._disk.boot()
        self._is_boot_known = boot > 0
        self._mark = (boot ^ file[1] * _ODD) & _MASK or 1

    def _fill(self, words: memoryview, base: int) -> None:
        process = process_id()
        words[base + _START] = self._disk.process_start(process) or 0
        words[base + _SPACE] = self._disk.process_space()
        words[base + _MARK] = self._mark
        words[base + _ACCEPTED] = self._accepted
        words[base + _COMMITTED] = self._committed
        words[base + _SHARED] = self._is_shared
        words[base + _TARGET] = 0
        words[base + _PID] = process
        self._base = base
        self._words = words
        self.accept = self._counting(words, base)

    def _give_up(self) -> None:
        self._is_hopeless = True
        self.accept = lambda: None  # counts no event

    def _make(self, descriptor: int, size: int) -> None:
        """Makes the page anew in place; real bytes, for a hole might find no room later.

        It is never shorter than a page on the way: another process may have it mapped.
        """
        page = memoryview(bytearray(PAGE_BYTES)).cast("Q")
        page[_MAGIC], page[_VERSION] = MAGIC, VERSION
        self._disk.write_all(descriptor, page.tobytes())
        if size > PAGE_BYTES:
            self._disk.truncate(descriptor, PAGE_BYTES)

    def _taken(self) -> Iterator[tuple[Slot, int, int]]:
        """Yields each slot that has an owner, with the owner's start and namespace."""
        if self._words is None:
            return
        for index, base in enumerate(_BASES):
            words = self._words[base : base + _SLOT_WORDS].tolist() if self._words[base] else [0]
            if words[_PID]:
                synced = [file for _, file, _ in _durables_of(self._words, base)]
                slot = Slot(
                    index,
                    words[_PID],
                    words[_MARK],
                    words[_ACCEPTED],
                    words[_COMMITTED],
                    bool(words[_SHARED]),
                    frozenset(synced if len(synced) == len(_DURABLE) else ()),
                    words[_TARGET],
                    words[_BATCH_OFFSET],
                    words[_BATCH_NAME] % _NAMES,
                    words[_BATCH_NAME] // _NAMES,
                )
                yield slot, words[_START], words[_SPACE]

    def _is_alive(self, slot: Slot, start: int) -> bool:
        if slot.process >= 2**31:
            return False
        found = self._disk.process_start(slot.process)
        return found is not None and (not found or not start or found == start)

    def _durables(self) -> Iterator[tuple[int, int, int]]:
        """Yields where each valid durable triple stands, its file word and its offset."""
        if self._words is not None:
            said = self._words.tolist()  # most are empty: one look at all costs less than at each
            for base in _BASES:
                if said[base + _DURABLE[0] + 2] or said[base + _DURABLE[1] + 2]:
                    yield from _durables_of(self._words, base)


def _durables_of(words: memoryview, base: int) -> Iterator[tuple[int, int, int]]:
    for at in (base + place for place in _DURABLE):
        file, offset, check = words[at : at + 3].tolist()
        if check and check == crc32(words[at : at + 2]):
            yield at, file, offset


def fingerprint(event_id: bytes) -> int:
    """Returns a number that tells an event's id from others, never 0."""
    return crc32(event_id) | 1 << 32


def file_word(file: FileId) -> int:
    """Returns the number by which the page names a file."""
    device, inode = file
    return (device * _ODD ^ inode) & _MASK
