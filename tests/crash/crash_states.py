"""What a power cut may leave of a disk.

The model. A call that returned is in the page cache; on the device is what a sync put there.

*A file's data.* Everything between two syncs may reach the device in any order, or not at
all. A device keeps a sector whole, so each sector, on its own, holds any content that it has
had since the last sync, that of the sync included. A sector never written reads as zeros.
*A file's size* is any that it has had since, and while it grew any sector's boundary in
between: data without its size is lost, size without its data is zeros. Dropped, reordered,
torn and zero-filled writes, and cuts that were lost, are all of this form. Sectors are of
512 bytes; states in which pages of 4 KiB go as a whole are among those, and are drawn on
purpose where not all can be visited.
*A folder's names.* Each call that changed names reaches the device as a whole or not at all,
and in any order, except that a call waits for those before it on the same name: a rename
shows the old name or the new one, a name that was made may be missing, one that was taken
away may be back. A file may lie synced under a name that never got there, and a whole
folder may be missing because its own name is.
*A sync* of a file covers its data and size, of a folder its names, and neither the other.
*A file that is written over in place and never synced* is old, new, or zeros.

Not modelled: a sector torn inside (devices keep it whole), durable data that rots (that is
damage, not a power cut), blocks with the content of deleted files (ext4 in its default mode,
XFS, btrfs and APFS never show them), a device that lies about its flush.

Sources: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014 (which orders
real filesystems give up, section 3; renames, appends and names that are not durable); Mohan
et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (CrashMonkey),
OSDI 2018 (names and links after fsync); Zheng et al., "Torturing Databases for Fun and
Profit", OSDI 2014; POSIX fsync and fdatasync; fsync(2) on folders; ext4 in the kernel's
documentation, data=ordered and delayed allocation (zero-length and zero-filled files).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, product
from math import prod

from tests.crash.images import ROOT, Change, Folder, Image, Moment, Names, Versions

SECTOR_BYTES = 512
# folders that nobody syncs and nothing acknowledged depends on: their names are old or new
UNSYNCED = ("/.thence/open", "/.thence/marks")
_CHANGES_MAX = 12


class Crashes:
    """The states that a power cut may leave of one moment; `count` is how many choices it has.

    With `block_bytes` of a page only the states are meant in which pages go as a whole.
    """

    def __init__(self, moment: Moment, block_bytes: int = SECTOR_BYTES) -> None:
        self._moment = moment
        self._names = [
            [folder.durable, folder.names]
            if path.endswith(UNSYNCED) and folder.durable != folder.names
            else folder_states(folder)
            for path, (_, folder) in moment.folders.items()
        ]
        self._files = {
            number: noted_contents(versions)
            if number in moment.noted
            else Contents(versions, block_bytes)
            for number, versions in moment.files.items()
            if len(versions) > 1
        }
        self.count = prod(map(len, self._names)) * prod(f.count for f in self._files.values())

    def every(self) -> Iterator[Image]:
        """Yield each state; some may come more than once."""
        contents = [list(found.every()) for found in self._files.values()]
        for names in product(*self._names):
            for chosen in product(*contents):
                yield image_of(self._moment, names, dict(zip(self._files, chosen, strict=True)))

    def some(self, chance: random.Random) -> Image:
        """Return one state: each part as it was, as it is, or anything in between."""
        names = [states[_leaning(len(states), chance)] for states in self._names]
        contents = {number: found.some(chance) for number, found in self._files.items()}
        return image_of(self._moment, names, contents)


def worst(moment: Moment) -> Image:
    """Return the state in which only what was synced is there."""
    return image_of(moment, [folder.durable for _, folder in moment.folders.values()], {})


def image_of(moment: Moment, chosen: Sequence[Names], contents: Mapping[int, bytes]) -> Image:
    """Return what can be reached by name; a file without a chosen content is as last synced."""
    by_number = {
        number: (path, names)
        for (path, (number, _)), names in zip(moment.folders.items(), chosen, strict=True)
    }
    folders: dict[str, tuple[int, Names]] = {}
    files: dict[int, bytes] = {}
    waiting = [ROOT]
    while waiting:
        number = waiting.pop()
        path, names = by_number[number]
        folders[path] = (number, names)
        for found in names.values():
            if found in by_number:
                waiting.append(found)
            else:
                data = contents.get(found)
                files[found] = moment.files[found][0] if data is None else data
    return Image(files, folders)


class Contents:
    """The contents that a file may have, when blocks of so many bytes are kept whole."""

    def __init__(self, versions: Versions, block_bytes: int) -> None:
        self._sizes = _sizes(versions, block_bytes)
        largest = self._sizes[-1]
        self._blocks = [
            list(
                dict.fromkeys(
                    data[at : at + block_bytes].ljust(block_bytes, b"\0") for data in versions
                )
            )
            for at in range(0, largest, block_bytes)
        ]
        self._block_bytes = block_bytes
        self.count = sum(prod(map(len, self._cut(size))) for size in self._sizes)

    def every(self) -> Iterator[bytes]:
        """Yield each content once."""
        for size in self._sizes:
            for blocks in product(*self._cut(size)):
                yield b"".join(blocks)

    def some(self, chance: random.Random) -> bytes:
        """Return one content; the blocks are all old, all new, or each what it likes."""
        size = self._sizes[_leaning(len(self._sizes), chance)]
        blocks = self._cut(size)
        kind = chance.random()
        if kind < 0.15:
            return b"".join(found[0] for found in blocks)
        if kind < 0.3:
            edge = chance.randrange(len(blocks) + 1)
            parts = [found[-1] if at < edge else found[0] for at, found in enumerate(blocks)]
            return b"".join(parts)
        likely = chance.choice((0.2, 0.5, 0.9))
        return b"".join(
            found[-1] if chance.random() < likely else chance.choice(found) for found in blocks
        )

    def _cut(self, size: int) -> list[list[bytes]]:
        whole, rest = divmod(size, self._block_bytes)
        blocks = self._blocks[:whole]
        if rest:
            blocks = [*blocks, list(dict.fromkeys(part[:rest] for part in self._blocks[whole]))]
        return blocks


class _Listed(Contents):
    """Contents that are known one by one."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self._contents = list(dict.fromkeys(contents))
        self.count = len(self._contents)

    def every(self) -> Iterator[bytes]:
        yield from self._contents

    def some(self, chance: random.Random) -> bytes:
        return chance.choice(self._contents)


def noted_contents(versions: Versions) -> Contents:
    """Return what a file that nobody syncs may hold: a few of each kind."""
    return _Listed([versions[0], versions[-1], bytes(len(versions[-1]))])


def _sizes(versions: Versions, block_bytes: int) -> list[int]:
    sizes = {len(data) for data in versions}
    for before, after in pairwise(versions):
        sizes.update(range(-(-len(before) // block_bytes) * block_bytes, len(after), block_bytes))
    return sorted(sizes)


def folder_states(folder: Folder) -> list[Names]:
    """List what names a folder may hold, from those on the device to those of now."""
    states: list[Names] = []
    for kept in islice(_subsets(folder.pending, 0, frozenset()), 2**_CHANGES_MAX):
        names: dict[str, int | None] = dict(folder.durable)
        for change in kept:
            names.update(change)
        found = {name: file for name, file in names.items() if file is not None}
        if found not in states:
            states.append(found)
    return states if folder.names in states else [*states, folder.names]


def _subsets(
    pending: tuple[Change, ...], at: int, lost: frozenset[str]
) -> Iterator[tuple[Change, ...]]:
    """Yield the changes that may be there: none follows a lost one on the same name."""
    if at == len(pending):
        yield ()
        return
    change = pending[at]
    names = frozenset(name for name, _ in change)
    for rest in _subsets(pending, at + 1, lost | names):
        yield rest
    if not names & lost:
        for rest in _subsets(pending, at + 1, lost):
            yield (change, *rest)


def _leaning(count: int, chance: random.Random) -> int:
    """Choose a place in a list, the two ends more often than what lies between."""
    if count == 1:
        return 0
    kind = chance.random()
    return 0 if kind < 0.25 else count - 1 if kind < 0.6 else chance.randrange(count)
