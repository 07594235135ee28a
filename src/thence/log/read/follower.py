"""The follower of a growing log: it serves each event once, in arrival order.

A follower takes no lock and writes nothing. It checks the current segment every 30 ms, which
works on every filesystem and costs two stats. Only complete lines are served: an unfinished
one is read again from its start, as recovery may cut and overwrite it.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from threading import Event as Signal

from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.files.disk import Disk, DiskError
from thence.log.files.segment import current_path
from thence.log.read.reader import Cursor, LastPrune, SegmentWalk, lines_of, never_pruned

POLL_S = 0.03


class Follower:
    """The reading position of one follower of a log. It holds files open, so close it.

    A follower remembers the ids that it has served, about 100 bytes each. With `is_durable` it
    serves an event only when its bytes are on the device, for a caller that sends events
    elsewhere or acts on them. Where a prune overtakes it, the notice comes first.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        is_durable: bool = False,
        last_prune: LastPrune = never_pruned,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._is_durable = is_durable
        self._last_prune = last_prune
        self._walk = SegmentWalk(disk, folder)
        self._read_bytes = 0
        self._served: set[str] = set()

    def events(self) -> Iterator[Event]:
        """Yields the present events that were not served yet; bad bytes are left out.

        If lines share an id, the first that arrived is served. Raises OutcomeUnknown when
        `is_durable` is set and the sync fails.
        """
        for event in self._present():
            if event.event_id not in self._served:
                self._served.add(event.event_id)
                yield event

    def take(self, event: Event) -> None:
        """Takes an event for served."""
        self._served.add(event.event_id)

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
        with closing(self._walk.backwards()) as cursors:
            for cursor in cursors:
                for line in cursor.backwards():
                    if not count:
                        break
                    event = parse(line, self._vocabulary)
                    count -= isinstance(event, Event) and (matches is None or matches(event))
                if not count:
                    break

    def sync(self) -> None:
        """Returns when all that was skipped is on the device, for a durable follower.

        Older segments were synced before they got their names. Raises OutcomeUnknown.
        """
        cursor = self._walk.cursor
        if self._is_durable and cursor is not None:
            self._sync(cursor, cursor.size)

    def close(self) -> None:
        """Closes the files; a later read opens them again."""
        self._walk.close()

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _present(self) -> Iterator[Event]:
        """Yields the events of the new lines, behind the notice of a prune that took some."""
        for cursor in self._walk.cursors():
            if self._walk.is_overtaken and (notice := self._last_prune()):
                yield notice
            self._read_bytes = cursor.size
            cursor.check()
            for block in chain(cursor.blocks(), cursor.rest()):
                if self._is_durable:
                    self._sync(cursor, block.offset + len(block.data))
                for line in lines_of(block, self._vocabulary):
                    if line.is_whole and not isinstance(line.content, BadLine):
                        yield line.content

    def _sync(self, cursor: Cursor, end: int) -> None:
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
        cursor = self._walk.cursor
        current = self._disk.path_id(str(current_path(self._folder)))
        if cursor is None or (current is not None and current[0] != cursor.file):
            return current is not None
        # an unfinished line may have been cut and overwritten to the same size
        return cursor.size != self._read_bytes or cursor.is_unfinished
