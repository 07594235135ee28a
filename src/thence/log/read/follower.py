"""The follower of a growing log: it serves each event once, in arrival order.

A follower takes no lock and writes nothing. It checks the current segment every 30 ms, which
works on every filesystem and costs two stats. Only complete lines are served: an unfinished
one is read again from its start, as recovery may cut and overwrite it.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from threading import Event as Signal

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.read.reader import Cursor, Line, lines_of
from thence.log.storage.disk import Disk, FileId
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.segment import CURRENT, current_path, older_names
from thence.log.storage.tail_recovery import lines_backwards

POLL_S = 0.03
_BEGINNING_BYTES = 256


class LiveCursor(Cursor):
    """The reading position in one segment that may still grow, or be replaced."""

    synced_bytes = 0

    @property
    def size(self) -> int:
        """The segment's present size in bytes, also after its name was removed."""
        return self._disk.file_id(self._descriptor)[1]

    @property
    def is_unfinished(self) -> bool:
        """True if the last read found bytes behind the last newline."""
        return self._rest is not None

    @property
    def beginning(self) -> bytes:
        """The segment's first bytes, the first event's id among them."""
        return self._disk.read_at(self._descriptor, 0, _BEGINNING_BYTES)

    def check(self) -> None:
        """Starts again from offset 0 if the read part was cut: it ends in no newline any more."""
        if self._offset and self._disk.read_at(self._descriptor, self._offset - 1, 1) != b"\n":
            self._offset = self.synced_bytes = 0

    def sync(self, end: int) -> None:
        """Returns when the bytes up to an offset are on the device."""
        if end > self.synced_bytes:
            size = self.size
            self._disk.sync_data(self._descriptor)
            self.synced_bytes = size

    def skip_to_last(
        self, count: int, vocabulary: Vocabulary, matches: Callable[[Event], bool] | None = None
    ) -> int:
        """Moves before the last `count` events, or to the start; returns how many are missing.

        Only events that `matches` accepts are counted.
        """
        self._offset = self.size
        lines = lines_backwards(self._disk, self._descriptor, 0, self._offset)
        self._offset -= len(next(lines))
        for line in lines:
            if not count:
                break
            self._offset -= len(line) + 1
            event = parse(line, vocabulary)
            count -= isinstance(event, Event) and (matches is None or matches(event))
        return count


class Follower:
    """The reading position of one follower of a log. It holds files open, so close it.

    A follower remembers the ids that it has served, about 100 bytes each. With `is_durable` it
    serves an event only when its bytes are on the device, for a caller that sends events
    elsewhere or acts on them.
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, is_durable: bool = False
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._is_durable = is_durable
        self._cursor: LiveCursor | None = None
        self._following: LiveCursor | None = None
        self._read_bytes = 0
        self._served: set[str] = set()
        # the segments read to their end, with their names when they were last checked
        self._finished: dict[FileId, tuple[str, bytes]] = {}

    def events(self) -> Iterator[Event]:
        """Yields the present events that were not served yet; bad bytes are left out.

        If lines share an id, the first that arrived is served. Raises OutcomeUnknown when
        `is_durable` is set and the sync fails.
        """
        for line in self._lines():
            event = line.content
            if isinstance(event, BadLine) or event.event_id in self._served:
                continue
            self._served.add(event.event_id)
            yield event

    def wait(self, stop: Signal) -> bool:
        """Returns True when there may be new lines, False as soon as `stop` is set."""
        while not stop.wait(POLL_S):
            if self._has_news():
                return True
        return False

    def follow(self, stop: Signal) -> Iterator[Event]:
        """Yields the events of `events` as they come, until `stop` is set."""
        while not stop.is_set():
            for event in self.events():
                if stop.is_set():
                    return
                yield event
            self.wait(stop)

    def skip_to_last(self, count: int, matches: Callable[[Event], bool] | None = None) -> None:
        """Skips all before the last `count` events, or the last that `matches` accepts.

        It is for a follower that has served none.
        """
        # opened before the older ones are listed, so that a rotation in between hides nothing
        self._following = self._open_unread(current_path(self._folder))
        names = older_names(self._disk, self._folder)
        paths = [self._folder / name for name in names]
        for path in [None, *reversed(paths)]:
            cursor = self._following if path is None else self._open_unread(path)
            if cursor is None:
                continue
            self._following = None
            self.close()
            self._cursor = cursor
            count = cursor.skip_to_last(count, self._vocabulary, matches)
            if not count:
                break
        for path in paths:
            path_id = self._disk.path_id(str(path))
            if self._cursor is None or (path_id is not None and path_id[0] == self._cursor.file):
                break
            if path_id is not None:  # else the segment was deleted in between
                self._finished[path_id[0]] = (path.name, b"")

    def sync(self) -> None:
        """Returns when all that was skipped is on the device, for a durable follower.

        Older segments were synced before they got their names. Raises OutcomeUnknown.
        """
        if self._is_durable and self._cursor is not None:
            self._sync(self._cursor, self._cursor.size)

    def forget(self) -> None:
        """Forgets the ids served so far; its caller recognises repeated ids itself."""
        self._served.clear()

    def close(self) -> None:
        """Closes the files; a later read opens them again."""
        for cursor in (self._cursor, self._following):
            if cursor is not None:
                cursor.close()
        self._cursor = self._following = None

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lines(self) -> Iterator[Line]:
        """Yields the new lines; leaves a segment only when the next one is open."""
        while True:
            if self._following is None:
                self._following = self._open_next()
            if self._cursor is not None:
                yield from self._new_lines(self._cursor)
                if self._following is None:
                    return
                self._finished[self._cursor.file] = ("", self._cursor.beginning)
                self._cursor.close()
            elif self._following is None:
                return
            self._cursor, self._following = self._following, None

    def _new_lines(self, cursor: LiveCursor) -> Iterator[Line]:
        self._read_bytes = cursor.size
        cursor.check()
        for block in chain(cursor.blocks(), cursor.rest()):
            if self._is_durable:
                self._sync(cursor, block.offset + len(block.data))
            for line in lines_of(block, self._vocabulary):
                if line.is_whole:
                    yield line

    def _sync(self, cursor: LiveCursor, end: int) -> None:
        try:
            cursor.sync(end)
        except DiskError as error:
            raise OutcomeUnknown(
                "could not sync the events just read from",
                place=self._folder / cursor.name,
                cause=error.strerror or error,
                hint="check the device; these events may be lost with the next power cut",
            ) from error

    def _has_news(self) -> bool:
        current = self._disk.path_id(str(current_path(self._folder)))
        if self._cursor is None or (current is not None and current[0] != self._cursor.file):
            return current is not None
        # an unfinished line may have been cut and overwritten to the same size
        return self._cursor.size != self._read_bytes or self._cursor.is_unfinished

    def _open_next(self) -> LiveCursor | None:
        """Opens the first segment that was not read yet.

        The current one is opened before the older ones are listed, so that the list holds
        every segment that was rotated before the current one.
        """
        current = self._open_unread(current_path(self._folder))
        try:
            names = older_names(self._disk, self._folder)
            unread = (self._open_unread(self._folder / name) for name in names)
            older = next(filter(None, unread), None)
        except BaseException:
            if current is not None:
                current.close()
            raise
        if older is not None and current is not None:
            current.close()
        return older or current

    def _open_unread(self, path: Path) -> LiveCursor | None:
        """Opens a segment unless it is being read or was read to its end.

        A new segment may get the inode of a deleted one, so a file is identified by its
        beginning too.
        """
        path_id = self._disk.path_id(str(path))
        if path_id is None or (self._cursor is not None and self._cursor.file == path_id[0]):
            return None
        if path.name != CURRENT and self._finished.get(path_id[0], ("",))[0] == path.name:
            return None
        descriptor = self._disk.open_existing(path)
        if descriptor is None:  # renamed by a rotation in between: now listed as an older segment
            return None
        try:
            cursor = LiveCursor(self._disk, path.name, descriptor)
            if not self._is_known(cursor):
                return cursor
        except BaseException:
            self._disk.close_quietly(descriptor)
            raise
        cursor.close()
        return None

    def _is_known(self, cursor: LiveCursor) -> bool:
        if self._cursor is not None and self._cursor.file == cursor.file:
            return True
        if cursor.file not in self._finished:
            return False
        _, beginning = self._finished[cursor.file]
        if cursor.beginning != beginning:
            return False
        self._finished[cursor.file] = (cursor.name, beginning)
        return True
