"""The reader of a log: each line is an event or a range of bad bytes, in arrival order.

Reading changes nothing and takes no lock. Segments are listed again until no new one appears,
so that a rotation in between loses nothing. Each event_id is served once, at the position of
its first line. If its lines differ, the one that counts is served (`redaction.claim_order`).
"""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from threading import Event as Signal
from typing import NamedTuple

from thence.core.codec import (
    GROUP_LINES,
    LINE_BYTES_MAX,
    LINE_START,
    BadLine,
    event_id_of,
    grouped,
    have_valid_crcs,
    is_framed,
    parse,
    parsed,
    pieces,
)
from thence.core.event import Event
from thence.core.redaction import claim_order
from thence.core.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.files.disk import READ_BYTES, Disk, DiskError, FileId, FileState, opened, reading
from thence.log.files.segment import CURRENT, current_path, older_names
from thence.log.files.tail import lines_backwards

# the bytes kept of a line that is too long to be an event
OVERLONG_BYTES = 64 * 1024
POLL_S = 0.03
_BEGINNING_BYTES = 256
_TOO_LONG = BadLine("bad_line", f"more than {LINE_BYTES_MAX} bytes without a newline")


# returns the last notice of a prune that the log wrote itself
LastPrune = Callable[[], Event | None]


def never_pruned() -> None:
    """Returns that the log was never pruned, for a reader that need not be told."""


class Line(NamedTuple):
    """The bytes of one segment between two newlines, or a part of them, with their content.

    `offset` and `length` are in bytes, without the newline; `is_whole` is False for the bytes
    behind the last newline of the segment. If a line is too long to be an event, `data` is its
    beginning.
    """

    file: str
    offset: int
    data: bytes
    content: Event | BadLine
    is_whole: bool
    length: int


class Block(NamedTuple):
    """Consecutive lines of one segment, without the last line's newline.

    `length` is 0, except for a single line that is longer than any event may be, or that is
    not complete: then it is that line's length.
    """

    file: str
    offset: int
    data: bytes
    is_whole: bool = True
    length: int = 0


class Cursor:
    """The reading position in one open segment, which may still grow, or be replaced."""

    def __init__(self, disk: Disk, name: str, descriptor: int, offset: int = 0) -> None:
        self.name = name
        self.synced_bytes = 0
        self._disk = disk
        self._descriptor = descriptor
        self.file, _ = disk.file_id(descriptor)
        self._offset = offset
        # the bytes behind the last newline, if the last read found any
        self.unfinished: Block | None = None

    @property
    def size(self) -> int:
        """The segment's present size in bytes, also after its name was removed."""
        return self._disk.file_id(self._descriptor)[1]

    @property
    def beginning(self) -> bytes:
        """The segment's first bytes, the first event's id among them."""
        return self._disk.read_at(self._descriptor, 0, _BEGINNING_BYTES)

    def blocks(self) -> Iterator[Block]:
        """Yields the lines up to the last newline that the file holds now.

        A line is read again from its start until its newline is written: the bytes behind the
        last newline may have been cut and overwritten in between.
        """
        self.unfinished = None
        while True:
            data = self._disk.read_at(self._descriptor, self._offset, READ_BYTES)
            end = data.rfind(b"\n")
            if end >= 0:
                offset, self._offset = self._offset, self._offset + end + 1
                yield Block(self.name, offset, data[:end])
                continue
            length, is_whole = len(data), False
            if length == READ_BYTES:
                data = data[:OVERLONG_BYTES]
                length, is_whole = self._length()
            block = Block(self.name, self._offset, data, is_whole, length)
            if not is_whole:
                self.unfinished = block if length else None
                return
            self._offset += length + 1
            yield block

    def _length(self) -> tuple[int, bool]:
        """Measures an overlong line without keeping it; False if it has no newline yet."""
        length = READ_BYTES
        while True:
            data = self._disk.read_at(self._descriptor, self._offset + length, READ_BYTES)
            end = data.find(b"\n")
            if end >= 0:
                return length + end, True
            if not data:
                return length, False
            length += len(data)

    def rest(self) -> Iterator[Block]:
        """Yields the bytes behind the last newline, if any."""
        if self.unfinished is not None:
            yield self.unfinished

    def sync(self) -> None:
        """Returns when the bytes that the segment has now are on the device."""
        size = self.size
        if size > self.synced_bytes:
            self._disk.sync_data(self._descriptor)
            self.synced_bytes = size

    def backwards(self) -> Iterator[bytes]:
        """Yields the lines from the last complete one on; the position is behind the last."""
        self._offset = self.size
        lines = lines_backwards(self._disk, self._descriptor, 0, self._offset)
        self._offset -= len(next(lines))
        for line in lines:
            yield line
            self._offset -= len(line) + 1

    def close(self) -> None:
        """Closes the segment only once: its descriptor may belong to another file later."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._disk.close_quietly(descriptor)


class SegmentWalk:
    """The way through the segments of a log in arrival order, each once, whatever its name is then.

    A walk holds two of them open at most, so close it; it can be gone on with when the log has
    grown. `cursor` is the segment that is being read. `is_overtaken` while all that was read before
    it is gone: a prune may have taken segments in between.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._listed: deque[str] = deque()
        self._following: Cursor | None = None
        # the segments read to their end, with their names when they were last checked
        self._finished: dict[FileId, tuple[str, bytes]] = {}
        self.cursor: Cursor | None = None
        self.is_overtaken = False

    def cursors(self) -> Iterator[Cursor]:
        """Yields the segments to be read to their present end, the one being read first.

        A segment is left only when the next one is open: lines appended to it before the rotation
        are read first.
        """
        while True:
            if self._following is None:
                self._following = self._open_next()
            if self.cursor is not None:
                yield self.cursor
                self.is_overtaken = False
                if self._following is None:
                    return
                # what was read had its place before it, and prunes take the oldest first
                oldest = next(iter(older_names(self._disk, self._folder)), CURRENT)
                path_id = self._disk.path_id(str(self._folder / oldest))
                is_overtaken = path_id is not None and path_id[0] == self._following.file
                self._finished[self.cursor.file] = ("", self.cursor.beginning)
                self.cursor.close()
                self.is_overtaken = is_overtaken
            elif self._following is None:
                return
            self.cursor, self._following = self._following, None

    def backwards(self) -> Generator[Cursor]:
        """Yields the segments from the current one on, each as `cursor`, before any was read.

        Where the caller stops, the walk goes on; those before are never read.
        """
        # opened before the older ones are listed, so that a rotation in between hides nothing
        self._following = self._open_unread(current_path(self._folder))
        paths = [self._folder / name for name in older_names(self._disk, self._folder)]
        try:
            for path in [None, *reversed(paths)]:
                cursor = self._following if path is None else self._open_unread(path)
                if cursor is not None:
                    self._following = None
                    self.close()
                    self.cursor = cursor
                    yield cursor
        finally:
            for path in paths:  # those before the present one are taken for read
                path_id = self._disk.path_id(str(path))
                if self.cursor is None or (path_id is not None and path_id[0] == self.cursor.file):
                    break
                if path_id is not None:  # else the segment was deleted in between
                    self._finished[path_id[0]] = (path.name, b"")

    def close(self) -> None:
        """Closes the files; a later read opens them again."""
        for cursor in (self.cursor, self._following):
            if cursor is not None:
                cursor.close()
        self.cursor = self._following = None

    def _open_next(self) -> Cursor | None:
        """Opens the first segment that was not read yet.

        When no listed one is left the current one is opened before the older ones are listed, so
        that the list holds every segment that was rotated before the current one.
        """
        older = self._open_listed()
        if older is not None:
            return older
        current = self._open_unread(current_path(self._folder))
        try:
            self._listed += older_names(self._disk, self._folder)
            older = self._open_listed()
        except BaseException:
            if current is not None:
                current.close()
            raise
        if older is not None and current is not None:
            current.close()
        return older or current

    def _open_listed(self) -> Cursor | None:
        while self._listed:
            cursor = self._open_unread(self._folder / self._listed[0])
            self._listed.popleft()  # only now: a failed call is to hide nothing from the next one
            if cursor is not None:
                return cursor
        return None

    def _open_unread(self, path: Path) -> Cursor | None:
        """Opens a segment unless it is being read or was read to its end.

        A new segment may get the inode of a deleted one, so a file is identified by its
        beginning too.
        """
        path_id = self._disk.path_id(str(path))
        if path_id is None or (self.cursor is not None and self.cursor.file == path_id[0]):
            return None
        if path.name != CURRENT and self._finished.get(path_id[0], ("",))[0] == path.name:
            return None
        descriptor = self._disk.open_existing(path)
        if descriptor is None:  # renamed by a rotation in between: now listed as an older segment
            return None
        try:
            cursor = Cursor(self._disk, path.name, descriptor)
            beginning = cursor.beginning if cursor.file in self._finished else None
            if beginning is None or self._finished[cursor.file][1] != beginning:
                return cursor
            self._finished[cursor.file] = (path.name, beginning)
        except BaseException:
            self._disk.close_quietly(descriptor)
            raise
        cursor.close()
        return None


def blocks(disk: Disk, folder: Path) -> Iterator[Block]:
    """Yields the lines of a log in arrival order, many at a time."""
    with closing(SegmentWalk(disk, folder)) as walk:
        for cursor in walk.cursors():
            yield from chain(cursor.blocks(), cursor.rest())


def blocks_of(disk: Disk, path: Path, offset: int = 0) -> Iterator[Block]:
    """Yields the complete lines of one segment, from the line that begins at an offset on."""
    with opened(disk, path) as descriptor:
        yield from Cursor(disk, path.name, descriptor, offset).blocks()


def lines(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields every line with its content, repeated ids too, in arrival order.

    A line that holds intact events beside other bytes is split.
    """
    for block in blocks(disk, folder):
        yield from lines_of(block, vocabulary)


def segment_lines(disk: Disk, path: Path, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields every line of one segment as it is now."""
    with closing(Cursor(disk, path.name, disk.open_read(path))) as cursor:
        for block in chain(cursor.blocks(), cursor.rest()):
            yield from lines_of(block, vocabulary)


def segment_events(disk: Disk, path: Path, vocabulary: Vocabulary) -> Iterator[list[Event]]:
    """Yields the events of one older segment, many at a time."""
    with closing(Cursor(disk, path.name, disk.open_read(path))) as cursor:
        for block in chain(cursor.blocks(), cursor.rest()):
            yield _events_of(block, vocabulary)


def lines_of(block: Block, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields the lines of a block with their content.

    Older segments are never appended to: their last line is complete without a newline.
    """
    if not block.is_whole and block.file == CURRENT:
        content = _TOO_LONG if block.length > len(block.data) else parse(block.data, vocabulary)
        yield Line(block.file, block.offset, block.data, content, False, block.length)
        return
    offset = block.offset
    for line in block.data.split(b"\n"):
        size = block.length or len(line)
        content = parse(line, vocabulary) if size == len(line) else _TOO_LONG
        if isinstance(content, Event) or size > len(line):
            yield Line(block.file, offset, line, content, True, size)
        elif line:
            for start, data, part in pieces(line, vocabulary):
                yield Line(block.file, offset + start, data, part, True, len(data))
        offset += size + 1


def events(
    disk: Disk, folder: Path, vocabulary: Vocabulary, last_prune: LastPrune = never_pruned
) -> Iterator[Event]:
    """Yields each event once, in arrival order; bad bytes are left out.

    An unfinished last line is left out too, until its newline is written. Where a prune overtakes
    the reader its notice comes first.
    """
    seen, repeated = set[bytes](), set[str]()
    for block in blocks(disk, folder):
        event_ids = _ids(block, vocabulary)
        if len({*event_ids}) == len(event_ids) and seen.isdisjoint(event_ids):
            seen.update(event_ids)
            continue
        for event_id in event_ids:
            if event_id in seen:
                repeated.add(event_id.decode())
            seen.add(event_id)
    counting = events_with(disk, folder, vocabulary, repeated) if repeated else {}
    with Follower(disk, folder, vocabulary, last_prune) as follower:
        for event in follower.events():
            yield counting.get(event.event_id, event) if counting else event


def all_events(disk: Disk, folder: Path, vocabulary: Vocabulary) -> list[Event]:
    """Returns the events that `events` yields; reads each line only once."""
    events_of_lines = [
        event for block in blocks(disk, folder) for event in _events_of(block, vocabulary)
    ]
    if len({event.header.event_id for event in events_of_lines}) == len(events_of_lines):
        return events_of_lines
    return list(_counting(events_of_lines).values())


def events_with(
    disk: Disk, folder: Path, vocabulary: Vocabulary, ids: Collection[str]
) -> dict[str, Event]:
    """Returns the events of some ids that the log holds, by one look through it."""
    return _counting(lines_with(disk, folder, vocabulary, ids))


def lines_with(
    disk: Disk, folder: Path, vocabulary: Vocabulary, ids: Collection[str]
) -> Iterator[Event]:
    """Yields the events of all lines that have one of some ids, by one look through the log."""
    names = {event_id.encode(errors="replace") for event_id in ids}
    for block in blocks(disk, folder):
        if not names.isdisjoint(_ids(block, vocabulary)):
            yield from (one for one in _events_of(block, vocabulary) if one.event_id in ids)


def _counting(events: Iterable[Event]) -> dict[str, Event]:
    """Returns of the events of each id the one that counts, in the order of the first ones."""
    counting: dict[str, Event] = {}
    for event in events:
        other = counting.setdefault(event.header.event_id, event)
        if other.line != event.line and claim_order(event) < claim_order(other):
            counting[event.event_id] = event
    return counting


def _events_of(block: Block, vocabulary: Vocabulary) -> list[Event]:
    """Returns the events of a block; lines that are all thence's own are decoded at once."""
    lines = block.data.split(b"\n")
    if block.is_whole and not block.length:
        if have_valid_crcs(lines) and (own := parsed(block.data, lines, vocabulary)) is not None:
            return own
        if len(lines) > GROUP_LINES:  # lines near others alone are decoded one by one
            parts = [block._replace(data=data) for data in grouped(lines)]
            return [event for part in parts for event in _events_of(part, vocabulary)]
    whole = (line.content for line in lines_of(block, vocabulary) if line.is_whole)
    return [content for content in whole if isinstance(content, Event)]


def _ids(block: Block, vocabulary: Vocabulary) -> list[bytes]:
    """Returns the ids of a block's lines, by their offset if all lines have thence's form."""
    lines = block.data.split(b"\n")
    if block.data.count(LINE_START) == len(lines) and all(map(is_framed, lines)):
        return [line[13:39] for line in lines]
    return [event.event_id.encode() for event in _events_of(block, vocabulary)]


class Watch:
    """The watch of the file that a log appends to, for a reader that goes on. Close it.

    It looks every 30 ms, which works on every filesystem and costs one stat.
    """

    def __init__(self, disk: Disk, folder: Path, is_durable: bool = False) -> None:
        self._disk = disk
        self._path = current_path(folder)
        self._is_durable = is_durable
        self._cursor: Cursor | None = None
        self._seen: FileState | None = None

    def look(self) -> None:
        """Looks at the file before it is read: what is appended from now on is a change."""
        self._seen = self._disk.path_state(str(self._path))
        if self._is_durable and self._seen is not None:
            self._open(self._seen.file)

    def wait(self, stop: Signal, *, again: bool = False) -> bool:
        """Returns True when there may be new lines, False as soon as `stop` is set.

        With `again` there may be some at the next look.
        """
        while not stop.wait(POLL_S):
            if again or self._disk.path_state(str(self._path)) != self._seen:
                return True
        return False

    def sync(self) -> None:
        """Returns when all that was read is on the device, for a durable reader.

        Raises OutcomeUnknown.
        """
        try:
            path_id = self._disk.path_id(str(self._path)) if self._is_durable else None
            if path_id is not None:
                self._open(path_id[0])
            if self._cursor is not None:
                self._cursor.sync()
        except DiskError as error:
            raise OutcomeUnknown(
                "could not sync what was just read from",
                place=self._path,
                cause=error.strerror or error,
                hint="check the device; it may be lost with the next power cut",
            ) from error

    def close(self) -> None:
        """Closes the file; a later look opens it again."""
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = None

    def _open(self, file: FileId) -> None:
        """Has the present file open, from before it is read: a failed sync is told once a file."""
        if self._cursor is None or self._cursor.file != file:
            if self._cursor is not None:  # it may have been set aside unsynced
                self._cursor.sync()
            self.close()
            descriptor = self._disk.open_existing(self._path)
            if descriptor is None:
                return
            try:
                self._cursor = Cursor(self._disk, CURRENT, descriptor)
            except BaseException:
                self._disk.close_quietly(descriptor)
                raise


class Follower:
    """The follower of a growing log: it serves each event once, in arrival order.

    It holds files open, so close it. It takes no lock and writes nothing. Only complete lines are
    served: an unfinished one is read again from its start, as recovery may cut and overwrite it.
    The ids of what was served are remembered, about 100 bytes each. Where a prune overtakes it, the
    notice comes first.
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, last_prune: LastPrune = never_pruned
    ) -> None:
        self._disk = disk
        self._vocabulary = vocabulary
        self._last_prune = last_prune
        self._walk = SegmentWalk(disk, folder)
        self._watch = Watch(disk, folder)
        self._served: set[str] = set()

    def events(self) -> Iterator[Event]:
        """Yields the present events that were not served yet; bad bytes are left out.

        If lines share an id, the first that arrived is served.
        """
        self._watch.look()
        for cursor in self._walk.cursors():
            notice = self._last_prune() if self._walk.is_overtaken else None
            blocks = chain(cursor.blocks(), cursor.rest())
            several = (_events_of(block, self._vocabulary) for block in blocks)
            for event in chain([notice] if notice else [], chain.from_iterable(several)):
                event_id = event.event_id
                if event_id not in self._served:
                    self._served.add(event_id)
                    yield event

    def wait(self, stop: Signal) -> bool:
        """Returns True when there may be new lines, False as soon as `stop` is set."""
        cursor = self._walk.cursor
        # recovery may have cut an unfinished line, and another be written to the same size
        return self._watch.wait(stop, again=cursor is not None and cursor.unfinished is not None)

    def skip_to_last(self, count: int, matches: Callable[[Event], bool] | None = None) -> None:
        """Skips all before the last `count` events, or the last that `matches` accepts.

        It is for a follower that has served none.
        """
        with closing(self._walk.backwards()) as cursors:
            for cursor in cursors:
                for line in cursor.backwards():
                    if not count:
                        break
                    event = parse(line, self._vocabulary)
                    count -= isinstance(event, Event) and (matches is None or matches(event))
                if not count:
                    break

    def close(self) -> None:
        """Closes the files; a later read opens them again."""
        self._walk.close()
        self._watch.close()

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def durable_event(disk: Disk, folder: Path, vocabulary: Vocabulary, event_id: str) -> Event:
    """Returns the event of the newest line with an id once the line is on the device.

    The writer of the line may not have synced it yet. Older segments were synced before they
    got their names. Raises EventNotFound, `read_failed`, and OutcomeUnknown when the sync fails.
    """
    id_bytes = event_id.encode("utf-8", "replace")
    walk, watch = SegmentWalk(disk, folder), Watch(disk, folder, is_durable=True)
    with reading(folder), closing(walk), closing(watch), closing(walk.backwards()) as cursors:
        watch.look()
        for cursor in cursors:
            for line in cursor.backwards():
                event = parse(line, vocabulary) if event_id_of(line) == id_bytes else None
                if isinstance(event, Event):
                    watch.sync()
                    return event
    from thence.core.query.why import not_found  # an append needs none of it

    raise not_found(folder, event_id)
