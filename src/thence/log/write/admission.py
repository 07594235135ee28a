"""Conditional appends judged under the append lock, before any number is taken.

A guarded event is refused when its guard no longer holds; an event whose id its caller
chose is not appended again when the log holds it. The journal is read backwards from its
end, as far as it takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thence.core.event import Event
from thence.core.values.codec import Draft, event_id_of, parse, unnumbered
from thence.core.values.vocabulary import Vocabulary
from thence.errors import HeadsMoved, IdReused, ThenceError
from thence.log.storage.disk import Disk
from thence.log.storage.recovery import lines_backwards
from thence.log.storage.segment import segments

if TYPE_CHECKING:
    from thence.core.values.guard import Unchanged


class Condition(NamedTuple):
    """What an event needs to be appended: an unbroken guard, an id that is not there yet.

    The guard holds for it and those right before it, `span` in all: none of them is
    appended when it is broken.
    """

    guard: "Unchanged | None" = None
    is_named: bool = False
    span: int = 1

    @classmethod
    def of(cls, guard: "Unchanged | None", event_id: str | None) -> "Condition | None":
        """Returns the condition that a guard and a chosen id make, None without both."""
        if guard is None and event_id is None:
            return None
        return cls(guard, event_id is not None)


class AlreadyStored(NamedTuple):
    """The stored line of an event that need not be appended, newline included.

    It stands at an offset of a file; `is_current` tells whether that is appended to.
    """

    line: bytes
    file: str
    offset: int
    is_current: bool


class Same(NamedTuple):
    """An event that stands earlier in its own batch, at this place."""

    place: int


class WriteOutcome(NamedTuple):
    """What became of a batch, in order, up to where an error ended it.

    An outcome is the line that stands in the file, or why its condition was not met.
    """

    outcomes: list[bytes | ThenceError]
    error: ThenceError | None


Verdict = AlreadyStored | Same | ThenceError | None


def verdicts(
    disk: Disk,
    folder: Path,
    node_id: str,
    vocabulary: Vocabulary,
    drafts: Sequence[Draft],
    conditions: Mapping[int, Condition],
) -> list[Verdict]:
    """Judges a batch in its order; None lets an event in. `conditions` are by place."""
    judge = _Judge(disk, folder, node_id, vocabulary)
    lasts = {place - known.span + 1: place for place, known in conditions.items()}
    refusal, last = None, -1
    for place, draft in enumerate(drafts):
        if place in lasts:
            last = lasts[place]
            refusal = judge.refusal(drafts[last], conditions[last])
        is_named = place == last and conditions[last].is_named
        judge.take(place, draft, is_named, refusal if place <= last else None)
    return judge.found


def merged(
    found: Sequence[Verdict], lines: Sequence[bytes | ThenceError]
) -> list[bytes | ThenceError]:
    """Returns the outcomes of a batch, up to the first event let in that was not written."""
    fresh = iter(lines)
    outcomes: list[bytes | ThenceError] = []
    for verdict in found:
        outcome: bytes | ThenceError | None
        if isinstance(verdict, AlreadyStored):
            outcome = verdict.line
        elif isinstance(verdict, Same):
            outcome = outcomes[verdict.place]
        else:
            outcome = verdict or next(fresh, None)
        if outcome is None:
            break
        outcomes.append(outcome)
    return outcomes


class _Judge:
    """One batch under judgement, with what was let in of it so far."""

    def __init__(self, disk: Disk, folder: Path, node_id: str, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._folder = folder
        self._node_id = node_id
        self._vocabulary = vocabulary
        self._admitted: dict[int, Event] = {}
        self.found: list[Verdict] = []

    def refusal(self, draft: Draft, condition: Condition) -> ThenceError | None:
        """Returns why none of the events that end in a draft may be appended."""
        if condition.guard is None:
            return None
        if condition.is_named and self._known(unnumbered(draft, self._vocabulary)) is not None:
            return None
        return self._moved(condition.guard)

    def take(self, place: int, draft: Draft, is_named: bool, refusal: ThenceError | None) -> None:
        event = unnumbered(draft, self._vocabulary)
        verdict: Verdict = refusal
        if verdict is None and is_named:
            verdict = self._known(event)
        if verdict is None:
            self._admitted[place] = event
        self.found.append(verdict)

    def _known(self, event: Event) -> Verdict:
        for place, earlier in self._admitted.items():
            if earlier.event_id == event.event_id:
                return Same(place) if earlier.says_the_same_as(event) else self._reused(event)
        wanted = event.event_id.encode()
        for line, file, offset, is_current in lines_of_the_log(self._disk, self._folder):
            if wanted in line and event_id_of(line) == wanted:
                stored = parse(line, self._vocabulary)
                if isinstance(stored, Event) and not stored.is_foreign:
                    if stored.says_the_same_as(event):
                        return AlreadyStored(line + b"\n", file, offset, is_current)
                    return self._reused(event)
        return None

    def _moved(self, guard: "Unchanged") -> ThenceError | None:
        for earlier in self._admitted.values():
            if guard.is_broken_by(earlier):
                return self._heads_moved(earlier)
        for line, *_ in lines_of_the_log(self._disk, self._folder):
            event = parse(line, self._vocabulary)
            if not isinstance(event, Event):
                continue
            if guard.reaches_back_to(event, self._node_id):
                return None
            if guard.is_broken_by(event):
                return self._heads_moved(event)
        return None

    def _heads_moved(self, event: Event) -> HeadsMoved:
        return HeadsMoved(
            "could not append to",
            place=self._folder,
            cause=f"{event.event_type} {event.event_id} about {event.subject} came in between",
            hint="read the log again, decide again, then append with a new guard",
        )

    def _reused(self, event: Event) -> IdReused:
        return IdReused(
            "could not append to",
            place=self._folder,
            cause=f"the id {event.event_id} stands for an event with another content",
            hint="leave event_id out for a new event, or pass the same content for a retry",
        )


def lines_of_the_log(disk: Disk, folder: Path) -> Iterator[tuple[bytes, str, int, bool]]:
    """Yields the whole lines of a log, the last first.

    With each come its file, its offset, and whether that is the last segment. Call it under
    the append lock, with the end of the log whole.
    """
    for number, path in enumerate(reversed(segments(disk, folder))):
        descriptor = disk.open_read(path)
        try:
            _, size = disk.file_id(descriptor)
            end = size + 1
            for place, line in enumerate(lines_backwards(disk, descriptor, 0, size)):
                end -= len(line) + 1
                if place and line:
                    yield line, path.name, end, number == 0
        finally:
            disk.let_go(descriptor)  # the collector may be who ends this
