"""The prune of a log: its oldest closed segments go, into an archive or for good.

The order is that of what must survive a kill. The archive's files are on the device and read back;
then a notice of what goes is durable; then the segments go, oldest first. In between the log holds
events that its notice says are gone, which is no damage; the next prune takes them again.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from thence.core.codec import have_valid_crcs, parsed
from thence.core.event import Event
from thence.core.ids import is_ulid
from thence.core.new_event import joined_ranges
from thence.core.pruned import (
    NOT_PRUNED,
    PRUNED,
    Pruned,
    PrunedFile,
    Ranges,
)
from thence.core.vocabulary import Vocabulary
from thence.errors import LogBusy, ThenceError
from thence.log.blobs.blob_check import pieces_reached, sweep
from thence.log.files.append_lock import locked
from thence.log.files.archive import (
    clear_drafts,
    digest_of,
    file_data,
    holds,
    keep_info,
    pack,
)
from thence.log.files.disk import NOWHERE, Disk, FileId
from thence.log.files.disk_errors import appending, reading
from thence.log.files.segment import (
    ARCHIVED,
    BODIES,
    CURRENT,
    has_bodies,
    older_names,
    own_folder,
    segments,
)
from thence.log.read.opening import make_durable
from thence.log.read.reader import Block, Cursor, lines_of

# of one prune; the next one goes on
FILES_MAX = 1_000
# what is kept of numbers in a notice, which is one line
RANGES_MAX = 10_000
_NONE_CLOSED = 'no file is closed yet; thence.open(…, rotate_after="1d") closes one a day'
_NO_MORE_FILES = f"a prune takes {FILES_MAX:,} files at most; prune again"
_TOO_SCATTERED = f"the numbers of its events lie in more than {RANGES_MAX:,} ranges"
# why a segment stays for another reason than its age or size, by its name and whether it holds
# lines of other tools; empty if it may go
HeldBack = Callable[[str, bool], str]


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
    """The segments that are to go; `rest` is why the first that stays does, empty by the bounds."""

    segments: tuple[PlannedSegment, ...]
    rest: str

    def total(self, name: str) -> int:
        """Returns the sum of a number of the segments."""
        return sum(getattr(segment, name) for segment in self.segments)


def check_prunable(folder: Path, vocabulary: Vocabulary) -> None:
    """Raises `prune_refused` for a log that is part of something else."""
    wholes = {"work": "a project's journal", "sim": "a simulation's run"}
    if whole := wholes.get(vocabulary.name):
        cause = f"it is {whole}, which is read from its first event on"
        hint = "remove the whole folder if nobody needs it"
        raise _refused("could not prune", folder, cause, hint)


class Pruning:
    """The prune of one log. `earlier` returns what it has pruned; `record` appends the notice."""

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        earlier: Callable[[], Pruned],
        record: Callable[[str, Mapping[str, Any]], Event],
    ) -> None:
        self._disk, self._folder, self._vocabulary = disk, folder, vocabulary
        self._look, self._earlier, self._record = earlier, NOT_PRUNED, record

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
        self, before: str | None, keep_bytes: int, held_back: HeldBack, open_ids: Collection[str]
    ) -> PrunePlan:
        """Returns what would go: segments without an event from a time on, or all but some bytes.

        `open_ids` are the begins of open steps. Raises `read_failed`.
        """
        self._earlier = self._look()
        with reading(self._folder):
            paths = segments(self._disk, self._folder)
            path_ids = {path: self._disk.path_id(str(path)) for path in paths}
            sizes = {path: path_id[1] if path_id else 0 for path, path_id in path_ids.items()}
            total, planned, rest = sum(sizes.values()), list[PlannedSegment](), ""
            for path in paths:
                total -= sizes[path]
                if path.name == CURRENT or (before is None and total < keep_bytes):
                    break
                segment = self._examined(path, open_ids)
                if before is not None and segment.until >= before:
                    break
                numbers = self._numbers([*planned, segment])
                if len(planned) == FILES_MAX:
                    rest = _NO_MORE_FILES
                elif sum(map(len, numbers.values())) > RANGES_MAX:
                    rest = _TOO_SCATTERED
                else:
                    rest = held_back(path.name, bool(segment.unverified))
                if rest:
                    rest = f"{path.name} stays: {rest}"
                    break
                planned.append(segment)
            if [path.name for path in paths] == [CURRENT]:
                rest = _NONE_CLOSED
            return PrunePlan(tuple(planned), rest)

    def run(self, plan: PrunePlan, archive: Path | None) -> Pruned:
        """Does what was planned, and returns what the notice says.

        Raises `prune_refused`, `append_failed`, LogBusy, LogFull, LogReadOnly, OutcomeUnknown: the
        log is sound then, and no event is gone that the archive does not have.
        """
        if not plan.segments:
            return self._earlier
        pruned = self._pruned(plan.segments, archive)
        with appending(self._folder):
            if archive is not None:
                with appending(archive):
                    self._archive(plan.segments, archive)
            self._record(PRUNED, pruned.facts())
            self._remove({segment.name: segment.file for segment in plan.segments})
        return pruned

    def _examined(self, path: Path, open_ids: Collection[str]) -> PlannedSegment:
        """Reads a segment whole."""
        file, size = self._disk.path_id(str(path)) or (NOWHERE, 0)
        count = foreign = bad = open_steps = 0
        times: list[str] = []
        last_id = ""
        ranges: dict[str, list[tuple[int, int]]] = {}
        named = set[str]()
        for lines in self._read(path):
            events = [event for event in lines if event is not None]
            count, bad = count + len(events), bad + len(lines) - len(events)
            times += _extremes([event.timestamp for event in events])
            for event in events:
                named.update(entry.digest for entry in event.body_entries)
                if event.event_id > last_id and is_ulid(event.event_id):
                    last_id = event.event_id
                open_steps += event.begins and event.event_id in open_ids
                foreign += event.is_foreign
                if not event.is_foreign:
                    own = ranges.setdefault(event.node_id, [])
                    if own and event.seq == own[-1][1] + 1:
                        own[-1] = (own[-1][0], event.seq)
                    else:
                        own.append((event.seq, event.seq))
        first, last = _extremes(times) or ("", "")
        numbers = {node: joined_ranges(spans) for node, spans in ranges.items()}
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
            path = self._folder / segment.name
            target = archive / f"{segment.name}{ARCHIVED}"
            _put(disk, file_data(disk, path), target, segment.sha256, path)
        named = frozenset[str]().union(*(segment.bodies for segment in planned))
        if named:
            digest = digest_of(pieces_reached(disk, self._folder, named))
            name = planned[-1].name.replace("events", "bodies", 1)
            pieces = pieces_reached(disk, self._folder, named)
            _put(disk, pieces, archive / f"{name}{ARCHIVED}", digest, self._folder / BODIES)

    def _remove(self, files: Mapping[str, FileId]) -> None:
        """Removes segments, oldest first, and the large values that no other line names.

        One that is another file than was read, rewritten by a redaction since, ends it.
        """
        disk, folder = self._disk, self._folder
        is_bodied = has_bodies(disk, folder)
        rest = [path for path in segments(disk, folder) if path.name not in files]
        closed = [path for path in rest if is_bodied and path.name != CURRENT]
        named = self._named(closed)
        with locked(disk, folder):
            for name in filter(files.__contains__, older_names(disk, folder)):
                path_id = disk.path_id(str(folder / name))
                if path_id is None or files[name] != path_id[0]:
                    cause = "another process has rewritten it since it was read"
                    hint = "remove its file from the archive if it was redacted, then prune again"
                    raise _refused("could not remove", folder / name, cause, hint)
                disk.unlink(folder / name)
            disk.sync_folder(folder)
            if is_bodied:
                later = [path for path in segments(disk, folder) if path not in closed]
                sweep(disk, folder, named | self._named(later))

    def _named(self, paths: Iterable[Path]) -> set[str]:
        """Returns the large values that the lines of segments name."""
        lines = chain.from_iterable(map(self._read, paths))
        events = filter(None, chain.from_iterable(lines))
        return {entry.digest for event in events for entry in event.body_entries}

    def _read(self, path: Path) -> Iterator[Sequence[Event | None]]:
        """Yields the events of a segment, that of a line without its newline too."""
        with closing(Cursor(self._disk, path.name, self._disk.open_read(path))) as cursor:
            for block in chain(cursor.blocks(), cursor.rest()):
                yield _events(block, self._vocabulary)


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


def _put(disk: Disk, data: Iterator[bytes], path: Path, digest: str, like: Path) -> None:
    """Makes a file of an archive, unless a killed prune has made it."""
    if disk.path_id(str(path)) is None:
        pack(disk, data, path, digest, like)
    elif not holds(disk, path, digest):
        raise _not_this_archive(path, "it exists, with other content than the log's file")


def _not_this_archive(place: Path, cause: str) -> ThenceError:
    hint = "name another folder; nothing was pruned"
    return _refused("could not use the archive", place, cause, hint)


def _refused(operation: str, place: Path, cause: str, hint: str) -> ThenceError:
    return ThenceError(operation, place=place, cause=cause, hint=hint, code="prune_refused")
