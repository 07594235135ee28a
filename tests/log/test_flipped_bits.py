"""Every bit, every byte and every cut of a small segment: told, and nobody else is hurt.

What is read must be events byte for byte as they were written, never more and never others,
and all those that a change did not reach.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tiers import seed, tenth

import thence
from thence.core.event import Event
from thence.core.vocabulary import PLAIN
from thence.log.check.verify import verify
from thence.log.files.disk import OS_DISK, Disk, FileId, FileState
from thence.log.files.segment import CURRENT
from thence.log.open import Log
from thence.log.read.reader import events

APPENDS = 120


class BytesDisk(Disk):
    """A folder with nothing but one segment and the identity, both held as bytes."""

    def __init__(self, identity: bytes) -> None:
        self.identity = identity
        self.data = b""

    def path_state(self, path: str) -> FileState | None:
        return FileState((1, 1), len(self.data), 1) if path.endswith(CURRENT) else None

    def open_read(self, path: Path) -> int:
        return 1

    def close(self, descriptor: int) -> None:
        return

    def file_id(self, descriptor: int) -> tuple[FileId, int]:
        return (1, 1), len(self.data)

    def read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]

    def read_whole(self, path: Path) -> bytes | None:
        return self.identity

    def names(self, folder: Path) -> list[str]:
        return []


class Sample:
    """A log of six events, as bytes; reads and verifies changed copies of them."""

    def __init__(self, folder: Path) -> None:
        with Log(folder, PLAIN) as log:
            first = log.append("order.placed", {"amount": 12, "note": 'é "ü" \n\\ 鱼 🦀'})
            whole = {
                "map": {"a": [1, -2.5, None, True, {}], "crc": "00000000"},
                "text": ',"crc":"00000000"}{"event_id":"',
            }
            second = log.append(
                "order.paid", whole, subject="order/1", actor="ada", stream="s", caused_by=[first]
            )
            log.append("a")
            log.append("note", {"was": dict(first.members["payload"])}, caused_by=[first, second])
            log.append("é", {"ß": "ﬁ"})
            log.append("last", {"n": 2**64 - 1})
        self.data = (folder / CURRENT).read_bytes()
        self.lines = self.data.splitlines(keepends=True)
        self.disk = BytesDisk((folder / ".thence/identity.json").read_bytes())

    def read(self, data: bytes) -> list[bytes]:
        self.disk.data = data
        found = []
        for event in events(self.disk, Path("log"), PLAIN):
            assert isinstance(event, Event)
            found.append(event.line)
        return found

    def untouched(self, first: int, last: int) -> list[bytes]:
        """Return the events none of whose bytes, newline aside, lie in [first, last)."""
        kept = []
        offset = 0
        for line in self.lines:
            end = offset + len(line) - 1
            if last <= offset or first >= end:
                kept.append(line[:-1])
            offset = end + 1
        return kept


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Sample:
    return Sample(tmp_path_factory.mktemp("sample"))


def flips(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield each copy with one bit flipped, with the bytes that it reaches."""
    changed = bytearray(data)
    for place in range(len(data)):
        for bit in range(8):
            changed[place] ^= 1 << bit
            yield place, place + 1, bytes(changed)
            changed[place] ^= 1 << bit


def deletions(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    for place in range(len(data)):
        yield place, place + 1, data[:place] + data[place + 1 :]


def insertions(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    chance = random.Random(7)
    # what stands before an object inside of another hides the event behind it
    others = [byte for byte in range(256) if byte not in b":,["]
    for place in range(len(data) + 1):
        for byte in (b"\n", b"\0", b"}", bytes([chance.choice(others)])):
            yield place, place, data[:place] + byte + data[place:]


@pytest.mark.promise("W12")
@pytest.mark.parametrize("changes", [flips, deletions])
@pytest.mark.whole
def test_every_changed_or_missing_byte_is_told_and_its_neighbours_are_served(sample, changes):
    disk = sample.disk
    each = tenth(1, 5)  # of so many bytes, one
    at = seed(changes.__name__) % each
    for first, last, data in changes(sample.data):
        if first % each != at:
            continue
        found = sample.read(data)
        kept = sample.untouched(first, last)
        if len(found) < len(kept):
            # the newline of the last line is no damage: the line is not finished
            assert (found, first) == (kept[:-1], len(sample.data) - 1)
        else:
            assert found == kept, first
        result = verify(disk, Path("log"), PLAIN)
        assert result.findings, (first, data[first : first + 1])
        assert result.ok == (first == len(sample.data) - 1), first


@pytest.mark.promise("W12")
def test_every_inserted_byte_is_told_unless_it_is_an_empty_line(sample):
    for place, _, data in insertions(sample.data):
        found = sample.read(data)
        # a byte like its neighbour may as well stand behind the line: then that is whole
        every = [line[:-1] for line in sample.lines]
        assert found in (every, sample.untouched(place, place)), place
        reached = len(every) - len(found)
        result = verify(sample.disk, Path("log"), PLAIN)
        starts_line = (
            place == 0 or data[place - 1 : place] == b"\n" or data[place + 1 :][:1] == b"\n"
        )
        if data[place : place + 1] == b"\n" and starts_line:
            assert (reached, result.findings) == (0, ()), place
        else:
            assert result.findings, place
            assert result.ok == (place == len(sample.data)), place


@pytest.mark.promise("W12")
def test_every_cut_keeps_the_lines_before_it(sample):
    for size in range(len(sample.data)):
        data = sample.data[:size]
        whole = [line[:-1] for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        assert sample.read(data) == whole
        result = verify(sample.disk, Path("log"), PLAIN)
        assert result.ok
        has_tail = size > 0 and not data.endswith(b"\n")
        assert [f.code for f in result.findings] == ["torn"] * has_tail


@pytest.mark.promise("W12")
def test_next_append_after_a_change_works_and_spreads_nothing(sample, tmp_path):
    seed = random.randrange(10**9)
    print("seed", seed)
    chance = random.Random(seed)
    changes = [*flips(sample.data), *deletions(sample.data), *insertions(sample.data)]
    changes += [(size, len(sample.data), sample.data[:size]) for size in range(len(sample.data))]
    folder = tmp_path / "log"
    (folder / ".thence").mkdir(parents=True)
    (folder / ".thence" / "identity.json").write_bytes(sample.disk.identity)
    path = folder / CURRENT
    # those at the end, where the appended lines join, are tried each time
    end = [change for change in changes if change[0] >= len(sample.data) - 2]
    for first, _, data in [*end, *chance.sample(changes, APPENDS)]:
        path.write_bytes(data)
        earlier = set(folder.glob(".thence/quarantine/*"))
        before = sample.read(data)
        damage = verify(sample.disk, Path("log"), PLAIN).damage
        with thence.open(folder) as log:
            appended = [log.append("after", {"n": n}).line for n in range(2)]
        found = [event.line for event in log.read()]
        assert found[: len(before)] == before, first
        assert found[-2:] == appended, first
        # what the opening told in a notice is no damage any more; nothing is added to it
        now = verify(OS_DISK, folder, PLAIN)
        told = {(f.offset, f.length) for f in now.findings if f.code == "torn"}
        assert [f for f in now.damage if f.code != "events_lost"] == [
            f for f in damage if f.code != "events_lost" and (f.offset, f.length) not in told
        ], first
        after = path.read_bytes()
        # all is still there: in its place, or its unfinished end, event apart, set aside
        assert after.startswith(data[: data.rfind(b"\n") + 1]), first
        new = set(folder.glob(".thence/quarantine/*")) - earlier
        aside = b"".join(file.read_bytes() for file in new)
        assert len(new) <= 1, first
        assert data.endswith(aside), first
        assert after.startswith(data[: len(data) - len(aside)]), first
