"""The prune of a log: its oldest closed segments go, into an archive or for good.

The order is that of what must survive a kill. The archive's files are on the device; then a notice
of what goes is durable; then the segments go, oldest first. In between the log holds events that
its notice says are gone, which is no damage; the next prune takes them.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.new_event import Intervals, Position
from thence.core.pruned import PRUNED, Pruned
from thence.core.sentences.events import counted
from thence.core.vocabulary import Vocabulary
from thence.errors import LogBusy, ThenceError
from thence.log.blobs.blob_check import pieces_reached, sweep
from thence.log.files.disk import (
    NOWHERE,
    READ_BYTES,
    Disk,
    FileId,
    appending,
    new_file,
    opened,
    reading,
)
from thence.log.files.segment import BODIES, CURRENT, has_bodies, locked, own_folder, segments
from thence.log.read.opening import make_durable
from thence.log.read.reader import segment_events

# measured on events (decision 0057): a tenth less room than level 3, at 67 MB a second
_LEVEL = 6
_GZIP = 31  # zlib's window bits for a file of gzip
_NONE_CLOSED = 'no file is closed yet; thence.open(…, rotate_after="1d") closes one a day'
_OTHER_TOOLS = "it holds lines of other tools, without numbers that a notice could tell"


class PlannedSegment(NamedTuple):
    """A segment that is to go; `file` is which file it is, `until` the latest time in it."""

    name: str
    file: FileId
    bytes: int
    events: int
    until: str
    numbers: Mapping[str, Intervals]
    values: frozenset[str]
    has_foreign: bool


class PrunePlan(NamedTuple):
    """The segments that are to go, with what their notice says.

    `rest` is why the first that stays does, empty by the bounds.
    """

    segments: tuple[PlannedSegment, ...]
    pruned: Pruned
    rest: str


class Pruning:
    """The prune of one log; `earlier` returns what it has pruned, `record` appends the notice.

    Raises `prune_refused` for a log that is read from its first event on.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        earlier: Callable[[], Pruned],
        record: Callable[[str, Mapping[str, Any]], Event],
    ) -> None:
        self._disk, self._folder, self._vocabulary = disk, folder, vocabulary
        self._earlier, self._record = earlier, record
        wholes = {"work": "a project's journal", "sim": "a simulation's run"}
        if whole := wholes.get(self._vocabulary.name):
            cause = f"it is {whole}, which is read from its first event on"
            hint = "remove the whole folder if no one needs it"
            raise _refused("could not prune", self._folder, cause, hint)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other prunes of this log out; raises LogBusy, LogReadOnly, `append_failed`."""
        with appending(self._folder):
            self._disk.make_folder(own_folder(self._folder))
            lock = self._disk.open_lock(own_folder(self._folder) / "prune.lock")
        try:
            if not self._disk.try_lock(lock):
                cause = f"{self._disk.lock_holder(lock)} is pruning it"
                hint = "wait for that process, then try again"
                raise LogBusy("could not prune", place=self._folder, cause=cause, hint=hint)
            yield
        finally:
            self._disk.close_quietly(lock)

    def plan(
        self, before: str | None, keep_bytes: int, undelivered: Mapping[str, int]
    ) -> PrunePlan:
        """Returns what would go: segments without an event from a time on, or all but some bytes.

        What a killed prune has told of goes too. `undelivered` are how many lines of a segment a
        server may lack. Raises `read_failed`.
        """
        earlier = self._earlier()
        numbers, until = earlier.numbers, earlier.until
        with reading(self._folder):
            paths = segments(self._disk, self._folder)
            path_ids = [self._disk.path_id(str(path)) or (NOWHERE, 0) for path in paths]
            later_bytes = sum(size for _, size in path_ids)
            planned, rest = list[PlannedSegment](), ""
            for path, (file, size) in zip(paths, path_ids, strict=True):
                later_bytes -= size
                if path.name == CURRENT:
                    rest = "" if len(paths) > 1 else _NONE_CLOSED
                    break
                segment = self._read(path, file, size)
                is_chosen = later_bytes >= keep_bytes if before is None else segment.until < before
                own = Pruned(numbers=segment.numbers)
                is_told = bool(own.numbers) and own.is_held_by(Position(earlier.numbers))
                if not is_chosen and not is_told:
                    break
                if count := undelivered.get(path.name):
                    lines = f"{counted(count, 'line')} of it"
                    rest = f"the server is not known to hold {lines}: thence sync now"
                elif segment.has_foreign:
                    rest = _OTHER_TOOLS
                if rest:
                    rest = f"{path.name} stays: {rest}"
                    break
                planned.append(segment)
                numbers = own.with_numbers(numbers)
                until = max(until, segment.until)
        events, size = sum(one.events for one in planned), sum(one.bytes for one in planned)
        return PrunePlan(tuple(planned), Pruned(len(planned), events, size, until, numbers), rest)

    def run(self, plan: PrunePlan, archive: Path | None) -> None:
        """Does what was planned.

        Raises `prune_refused`, `append_failed`, LogBusy, LogFull, LogReadOnly, OutcomeUnknown: the
        log is sound then, and no event is gone that its notice does not tell of.
        """
        with appending(self._folder):
            if archive is not None:
                with appending(archive):
                    self._archive(plan.segments, archive)
            self._record(PRUNED, plan.pruned.facts())
            self._remove(plan.segments)

    def _read(self, path: Path, file: FileId, size: int) -> PlannedSegment:
        count, until, position, values = 0, "", Position(), set[str]()
        for events in segment_events(self._disk, path, self._vocabulary):
            count += len(events)
            until = max((until, *(event.timestamp for event in events)))
            position = position.after(events)
            values |= _values(events)
        told = (count, until, position.intervals, frozenset(values), bool(position.foreign))
        return PlannedSegment(path.name, file, size, *told)

    def _archive(self, planned: Sequence[PlannedSegment], archive: Path) -> None:
        """Puts segments and the large values that they name into an archive, durably."""
        disk, folder = self._disk, self._folder
        make_durable(disk, archive)
        for segment in planned:
            path = folder / segment.name
            target = archive / f"{segment.name}.gz"
            draft = _packed(disk, _data(disk, path), target, path)
            if disk.path_id(str(target)) is not None:  # of a prune that was killed
                both = zip_longest(_data(disk, draft), _data(disk, target))
                if any(new != old for new, old in both):
                    disk.unlink(draft)
                    cause = "it exists, with other content than the log's file"
                    hint = "name another folder; nothing was pruned"
                    raise _refused("could not use the archive", target, cause, hint)
            disk.rename(draft, target)
        if values := frozenset[str]().union(*(segment.values for segment in planned)):
            # by the first segment, which no later prune takes
            name = planned[0].name.replace("events", "bodies", 1)
            target = archive / f"{name}.gz"
            pieces = pieces_reached(disk, folder, values)
            disk.rename(_packed(disk, pieces, target, folder / BODIES), target)
        disk.sync_folder(archive)

    def _remove(self, planned: Sequence[PlannedSegment]) -> None:
        """Removes segments, oldest first, and the large values that no other line names.

        One that is another file than was read, rewritten by a redaction since, ends it.
        """
        disk, folder = self._disk, self._folder
        gone = {segment.name for segment in planned}
        values, read = set[str](), set[str]()
        is_bodied = has_bodies(disk, folder)
        for path in segments(disk, folder):
            if is_bodied and path.name not in gone and path.name != CURRENT:
                values |= self._values(path)
                read.add(path.name)
        with locked(disk, folder):
            for segment in planned:
                path = folder / segment.name
                path_id = disk.path_id(str(path))
                if path_id is None or path_id[0] != segment.file:
                    cause = "another process has rewritten it since it was read"
                    hint = "remove its file from the archive if it was redacted, then prune again"
                    raise _refused("could not remove", path, cause, hint)
                disk.unlink(path)
                # one by one: a power cut must leave none out in the middle, whose large values an
                # archive made anew from the first would not have
                disk.sync_folder(folder)
            if is_bodied:
                for path in segments(disk, folder):
                    if path.name not in read:
                        values |= self._values(path)
                sweep(disk, folder, values)

    def _values(self, path: Path) -> set[str]:
        """Returns the large values that the lines of a segment name."""
        events = segment_events(self._disk, path, self._vocabulary)
        return set[str]().union(*map(_values, events))


def _values(events: Iterable[Event]) -> set[str]:
    return {entry.digest for event in events for entry in event.body_entries}


def _data(disk: Disk, path: Path) -> Iterator[bytes]:
    with opened(disk, path) as descriptor:
        offset = 0
        while data := disk.read_at(descriptor, offset, READ_BYTES):
            offset += len(data)
            yield data


def _packed(disk: Disk, data: Iterable[bytes], path: Path, like: Path) -> Path:
    """Compresses data into a draft of a file, which is on the device; returns the draft's path.

    It may be read by whoever may read the file `like`.
    """
    draft = path.with_name(f"{path.name}.new")
    if disk.path_id(str(draft)) is not None:
        disk.unlink(draft)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with new_file(disk, draft) as target:
        with opened(disk, like) as source:
            disk.copy_access(source, target)
        for part in data:
            disk.write_all(target, compressor.compress(part))
        disk.write_all(target, compressor.flush())
    return draft


def _refused(operation: str, place: Path, cause: str, hint: str) -> ThenceError:
    return ThenceError(operation, place=place, cause=cause, hint=hint, code="prune_refused")
