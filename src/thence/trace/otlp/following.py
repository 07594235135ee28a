"""The spans of a growing log: which of them were sent, by a cursor that outlives the process.

A cursor holds events by their numbers, so that it stays true when segments rotate, are rewritten
or pruned. A new process reads the log from its first event, since links name what came before, and
takes what the cursor does not hold. It writes the cursor behind each sending: a kill in between
sends a batch again, with the same ids.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from thence.core.event import Event
from thence.core.new_event import Position
from thence.core.ready import ready
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.files import FileBusy, file_lock, replace_file
from thence.log.files.disk import cache_folder
from thence.log.files.segment import own_folder
from thence.trace.otlp.encoding import Json, LogSpans
from thence.trace.otlp.sending import BATCH_BYTES_MAX, SPANS_MAX


class SpanCursor(msgspec.Struct, frozen=True):
    """The events whose spans were sent, and of these the begins that await their ends."""

    position: Position = Position()
    open: frozenset[str] = frozenset()


class CursorFile:
    """The file of a cursor, locked by one follower; in the cache of the user where it must be."""

    def __init__(self, folder: Path, log_id: str, target: str) -> None:
        """Opens the cursor of what follows the log in a folder for a target.

        Raises FileBusy where another process has it, ThenceError where no file can be written.
        """
        name = f"otlp-{sha256(target.encode()).hexdigest()[:16]}"
        places = [own_folder(folder) / "followers"]
        if log_id and (cache := cache_folder()):
            places.append(cache / log_id / "followers")
        for place in places:
            try:
                place.mkdir(parents=True, exist_ok=True)
                self.path = place / name
                self._lock = file_lock(place / f"{name}.lock")
                break
            except FileBusy:
                raise
            except (OSError, ThenceError):
                if place == places[-1]:
                    raise
        self.cursor = SpanCursor()  # where there is none, or none that is whole
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            self.cursor = msgspec.json.decode(self.path.read_bytes(), type=ready(SpanCursor))

    def write(self, cursor: SpanCursor) -> None:
        """Replaces the cursor where it has moved; then the new one is on the device."""
        if cursor != self.cursor:
            replace_file(self.path, msgspec.json.encode(cursor))
            self.cursor = cursor

    def close(self) -> None:
        """Releases the lock."""
        self._lock.close()


class SpanFeed:
    """The spans that are still to be sent, of events in the order of their arrival."""

    def __init__(
        self, vocabulary: Vocabulary, matches: Callable[[Event], bool], cursor: SpanCursor
    ) -> None:
        self.log = LogSpans(vocabulary)
        self._matches = matches
        self._sent = cursor
        self._taken: list[Event] = []
        self._size_bytes = 0
        self.spans: list[Json] = []

    @property
    def is_full(self) -> bool:
        """True when it is time to send."""
        return len(self._taken) >= SPANS_MAX or self._size_bytes >= BATCH_BYTES_MAX

    def take(self, event: Event) -> None:
        """Takes the next event, which completes a span or none."""
        if self._sent.position.holds(event):
            self.log.take(event, event.event_id in self._sent.open)
            return
        self._taken.append(event)
        span = self.log.take(event, self._matches(event))
        if span is not None:
            self.spans.append(span)
            self._size_bytes += len(msgspec.json.encode(span))

    def sent(self) -> SpanCursor:
        """Empties the spans, which were sent, and returns the cursor behind them."""
        position = self._sent.position.after(self._taken)
        self._sent = SpanCursor(position, frozenset(self.log.awaited))
        self._size_bytes = 0
        self.spans.clear()
        self._taken.clear()
        return self._sent
