"""The prune of a log: its oldest closed segments go, into an archive or for good.

The order is that of what must survive a kill. The archive's files are on the device and read back;
then a notice of what goes is durable; then the segments go, oldest first. In between the log holds
events that its notice says are gone, which is no damage; the next prune completes it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from thence.core.event import Event
from thence.core.ids import is_ulid
from thence.core.values.codec import have_valid_crcs, parsed
from thence.core.values.pruned import (
    PRUNED,
    Pruned,
    PrunedFile,
    Ranges,
    joined_ranges,
)
from thence.core.values.vocabulary import Vocabulary
from thence.errors import LogBusy, PruneRefused
from thence.log.check.body_check import NamedBody, note_named, pieces_reached, sweep
from thence.log.read.opening import make_durable
from thence.log.read.reader import Block, Cursor, lines_of
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.archive import (
    clear_drafts,
    digest_of,
    file_data,
    holds,
    keep_info,
    pack,
)
from thence.log.storage.digest_files import Disowned
from thence.log.storage.disk import NOWHERE, Disk, FileId
from thence.log.storage.disk_errors import DiskError, append_error, reading
from thence.log.storage.segment import (
    ARCHIVED,
    CURRENT,
    has_bodies,
    older_names,
    own_folder,
    segments,
)
from thence.log.storage.tail_recovery import lines_backwards

# of one prune; the next one goes on
FILES_MAX = 1_000
# what is kept of numbers in a notice, which is one line
RANGES_MAX = 10_000
_TAIL_BYTES = 64 * 1024
_NONE_CLOSED = 'no file is closed yet; thence.open(…, rotate_after="1d") closes one a day'
_NO_MORE_FILES = f"a prune takes {FILES_MAX:,} files at most; prune again"
_TOO_SCATTERED = f"the numbers of its events lie in more than {RANGES_MAX:,} ranges"
# why a segment stays for another reason than its age or size, by its name and whether it holds
# lines of other tools; empty if it may go
HeldBack = Callable[[str, bool], str]


class PruneBounds(NamedTuple):
    """What a prune takes: segments without an event from a time on, or all but so many bytes."""

    before: str | None = None
    keep_bytes: int = 0


class PlannedSegment(NamedTuple):
    """A segment that is to go; `file` is which file it is, `open_steps` have not ended anywhere."""

    name: str
    file: FileId
    bytes: int
    events: int
    unverified: int
    bad_lines: int
    since: str
    until: str
    last_id: str
    sha256: str
    numbers: Mapping[str, Ranges]
    open_steps: int
    bodies: frozenset[str]


class PrunePlan(NamedTuple):
    """The segments that are to go; `rest` is why the first that stays does, empty by the bounds.

    `unfinished` are those that an earlier prune told of, and did not remove.
    """

    segments: tuple[PlannedSegment, ...]
    unfinished: tuple[str, ...]
    rest: str


def check_prunable(folder: Path, vocabulary: Vocabulary) -> None:
    """Raises PruneRefused for a log that is part of something else."""
    wholes = {"work": "a project's journal", "sim": "a simulation's run"}
    if whole := wholes.get(vocabulary.name):
        cause = f"it is {whole}, which is read from its first event on"
        hint = "remove the whole folder if nobody needs it"
        raise PruneRefused("could not prune", place=folder, cause=cause, hint=hint)


class Pruning:
    """The prune of one log. `earlier` is what it has pruned; `record` appends the notice."""

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        earlier: Pruned,
        record: Callable[[str, Mapping[str, Any]], Event],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._earlier = earlier
        self._record = record

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other prunes of this log out; raises LogBusy, LogReadOnly, AppendFailed."""
        with _writing(self._folder):
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
        self, bounds: PruneBounds, held_back: HeldBack, open_ids: Collection[str]
    ) -> PrunePlan:
        """Returns what would go; `open_ids` are the begins of open steps. Raises ReadFailed."""
        with reading(self._folder):
            unfinished = self._unfinished()
            paths = segments(self._disk, self._folder)
            paths = [path for path in paths if path.name not in unfinished]
            sizes = {path: _size(self._disk, path) for path in paths}
            total, planned, rest = sum(sizes.values()), list[PlannedSegment](), ""
            for path in paths:
                total -= sizes[path]
                if path.name == CURRENT or (bounds.before is None and total < bounds.keep_bytes):
                    break
                if bounds.before is not None and self._last_time(path) >= bounds.before:
                    break
                segment = self._examined(path, open_ids)
                if bounds.before is not None and segment.until >= bounds.before:
                    break
                numbers = self._numbers([*planned, segment])
                is_scattered = sum(map(len, numbers.values())) > RANGES_MAX
                rest = (
                    (_NO_MORE_FILES if len(planned) == FILES_MAX else "")
                    or (_TOO_SCATTERED if is_scattered else "")
                    or held_back(path.name, bool(segment.unverified))
                )
                if rest:
                    rest = f"{path.name} stays: {rest}"
                    break
                planned.append(segment)
            if [path.name for path in paths] == [CURRENT]:
                rest = _NONE_CLOSED
            return PrunePlan(tuple(planned), tuple(unfinished), rest)

    def run(self, plan: PrunePlan, archive: Path | None) -> Pruned:
        """Does what was planned, and returns what the notice says.

        Raises PruneRefused, LogBusy, LogFull, LogReadOnly, AppendFailed, OutcomeUnknown: the log
        is sound then, and no event is gone that the archive does not have.
        """
        if not plan.segments:
            self._remove(dict.fromkeys(plan.unfinished, NOWHERE))
            return self._earlier
        with _writing(self._folder):
            clear_drafts(self._disk, self._folder)
        if archive is not None:
            with _writing(archive):
                self._archive(plan.segments, archive)
        pruned = self._pruned(plan.segments, archive)
        self._record(PRUNED, pruned.facts())
        files = dict.fromkeys(plan.unfinished, NOWHERE)
        self._remove(files | {segment.name: segment.file for segment in plan.segments})
        return pruned

    def _unfinished(self) -> list[str]:
        """Returns the segments that the last notice tells of and that are as they were."""
        present = set(older_names(self._disk, self._folder))
        return [
            pruned.file
            for pruned in self._earlier.files
            if pruned.file in present
            if _size(self._disk, self._folder / pruned.file) == pruned.bytes
            if digest_of(file_data(self._disk, self._folder / pruned.file)) == pruned.sha256
        ]

    def _last_time(self, path: Path) -> str:
        """Returns the time of a segment's last event, empty if its end shows none."""
        descriptor = self._disk.open_read(path)
        try:
            _, size = self._disk.file_id(descriptor)
            start = max(0, size - _TAIL_BYTES)
            tail = [*lines_backwards(self._disk, descriptor, start, size)]
        finally:
            self._disk.close_quietly(descriptor)
        block = Block(path.name, 0, b"\n".join(reversed([line for line in tail if line])))
        times = [event.timestamp for event in _events(block, self._vocabulary) if event]
        return times[-1] if times else ""

    def _examined(self, path: Path, open_ids: Collection[str]) -> PlannedSegment:
        """Reads a segment whole."""
        disowned = Disowned(self._disk, self._folder)
        file, size = self._disk.path_id(str(path)) or (NOWHERE, 0)
        count = foreign = bad = open_steps = 0
        times: list[str] = []
        last_id = ""
        ranges: dict[str, list[tuple[int, int]]] = {}
        named: dict[str, NamedBody] = {}
        for block in _blocks(self._disk, path):
            lines = _events(block, self._vocabulary)
            events = [event for event in lines if event is not None]
            count, bad = count + len(events), bad + len(lines) - len(events)
            times += _extremes([event.timestamp for event in events])
            for event in events:
                note_named(named, event, path.name, 0)
                if event.event_id > last_id and is_ulid(event.event_id):
                    last_id = event.event_id
                open_steps += event.begins and event.event_id in open_ids
                foreign += event.is_foreign
                if not event.is_foreign and not (disowned and disowned.holds(event)):
                    _add(ranges.setdefault(event.node_id, []), event.seq)
        first, last = _extremes(times) or ("", "")
        numbers = {node: joined_ranges(own) for node, own in ranges.items()}
        digest = digest_of(file_data(self._disk, path))
        counts = (size, count, foreign, bad, first, last, last_id, digest)
        return PlannedSegment(path.name, file, *counts, numbers, open_steps, frozenset(named))

    def _numbers(self, planned: Sequence[PlannedSegment]) -> dict[str, Ranges]:
        """Returns the numbers that were pruned once these segments are."""
        ranges = {node: [*own] for node, own in self._earlier.numbers.items()}
        for segment in planned:
            for node, own in segment.numbers.items():
                ranges.setdefault(node, []).extend(own)
        return {node: joined_ranges(own) for node, own in ranges.items()}

    def _pruned(self, planned: Sequence[PlannedSegment], archive: Path | None) -> Pruned:
        earlier = self._earlier
        last_id = max(one.last_id for one in planned)
        return replace(
            earlier,
            files=tuple(PrunedFile(one.name, one.events, one.bytes, one.sha256) for one in planned),
            events=sum(one.events for one in planned),
            bytes=sum(one.bytes for one in planned),
            since=min((one.since for one in planned if one.since), default=""),
            open_steps=sum(one.open_steps for one in planned),
            numbers=self._numbers(planned),
            until=max(earlier.until, *(one.until for one in planned)),
            archives=earlier.with_archive(last_id, str(archive or "")),
        )

    def _archive(self, planned: Sequence[PlannedSegment], archive: Path) -> None:
        """Puts segments and the large values that they name into an archive, durably."""
        disk = self._disk
        make_durable(disk, archive)
        if disk.path_id(str(archive)) == disk.path_id(str(self._folder)):
            raise _not_this_archive(archive, "it is the log's own folder")
        if not keep_info(disk, self._folder, archive):
            raise _not_this_archive(archive, "it is the archive of another log")
        clear_drafts(disk, archive)
        for segment in planned:
            data = file_data(disk, self._folder / segment.name)
            _put(disk, data, archive / f"{segment.name}{ARCHIVED}", segment.sha256)
        named = frozenset[str]().union(*(segment.bodies for segment in planned))
        if named:
            digest = digest_of(pieces_reached(disk, self._folder, named))
            name = planned[-1].name.replace("events", "bodies", 1)
            pieces = pieces_reached(disk, self._folder, named)
            _put(disk, pieces, archive / f"{name}{ARCHIVED}", digest)

    def _remove(self, files: Mapping[str, FileId]) -> None:
        """Removes segments, oldest first, and the large values that no other line names.

        One that is another file than was read, rewritten by a redaction since, ends it.
        """
        disk, folder = self._disk, self._folder
        lock = AppendLock(disk, own_folder(folder) / "lock")
        is_bodied = bool(files) and has_bodies(disk, folder)
        with _writing(folder):
            named, read = self._named(files, {}) if is_bodied else (set(), {})
            try:
                lock.acquire()
                for name, file in sorted(files.items()):
                    path_id = disk.path_id(str(folder / name))
                    if path_id is not None and file not in (NOWHERE, path_id[0]):
                        raise _changed(folder / name)
                    if path_id is not None:
                        disk.unlink(folder / name)
                disk.sync_folder(folder)
                if is_bodied:
                    later, _ = self._named((), read)
                    sweep(disk, folder, named | later)
            finally:
                lock.release()
                lock.close()

    def _named(
        self, without: Collection[str], read: Mapping[FileId, int]
    ) -> tuple[set[str], dict[FileId, int]]:
        """Returns the large values that lines name, and how far each segment was read.

        `without` are segments that are left out; of those in `read` what follows is looked at.
        """
        named: dict[str, NamedBody] = {}
        ends: dict[FileId, int] = {}
        for path in segments(self._disk, self._folder):
            path_id = self._disk.path_id(str(path))
            if path.name in without or path_id is None:
                continue
            end = read.get(path_id[0], 0)
            for block in _blocks(self._disk, path, end):
                if block.is_whole:
                    end = block.offset + (block.length or len(block.data)) + 1
                for event in _events(block, self._vocabulary):
                    if event is not None:
                        note_named(named, event, path.name, 0)
            ends[path_id[0]] = end
        return set(named), ends


def _blocks(disk: Disk, path: Path, offset: int = 0) -> Iterator[Block]:
    """Yields the lines of a segment from an offset on, one without its newline too."""
    with closing(Cursor(disk, path.name, disk.open_read(path), offset)) as cursor:
        yield from chain(cursor.blocks(), cursor.rest())


def _events(block: Block, vocabulary: Vocabulary) -> Sequence[Event | None]:
    """Returns the events of a block, None for each range of bad bytes."""
    lines = block.data.split(b"\n")
    if block.is_whole and not block.length and have_valid_crcs(lines):
        own = parsed(block.data, lines, vocabulary)
        if own is not None:
            return own
    contents = [line.content for line in lines_of(block, vocabulary)]
    return [content if isinstance(content, Event) else None for content in contents]


def _extremes(times: Sequence[str]) -> list[str]:
    texts = [text for text in times if text]
    return [min(texts), max(texts)] if texts else []


def _add(ranges: list[tuple[int, int]], seq: int) -> None:
    if ranges and seq == ranges[-1][1] + 1:
        ranges[-1] = (ranges[-1][0], seq)
    else:
        ranges.append((seq, seq))


def _size(disk: Disk, path: Path) -> int:
    return (disk.path_id(str(path)) or (NOWHERE, 0))[1]


def _put(disk: Disk, data: Iterator[bytes], path: Path, digest: str) -> None:
    """Makes a file of an archive, unless a killed prune has made it."""
    if disk.path_id(str(path)) is None:
        pack(disk, data, path, digest)
    elif not holds(disk, path, digest):
        raise _not_this_archive(path, "it is there, and holds something else than the log does")


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except DiskError as error:
        raise append_error(place, error) from error


def _not_this_archive(place: Path, cause: str) -> PruneRefused:
    hint = "name another folder; nothing was pruned"
    return PruneRefused("could not use the archive", place=place, cause=cause, hint=hint)


def _changed(path: Path) -> PruneRefused:
    hint = "remove its file from the archive if it was redacted, then prune again"
    cause = "another process has rewritten it since it was read"
    return PruneRefused("could not remove", place=path, cause=cause, hint=hint)
