"""The check of conditional appends, under the append lock, before any number is given out.

A guarded event is refused when its guard no longer holds. An event whose id the caller
chose is not appended again when the log holds it. The log is read backwards from its end,
as far as necessary.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thence.core.codec import Draft, event_id_of, parse, unnumbered
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import HeadsMoved, IdReused, ThenceError
from thence.log.files.disk import Disk
from thence.log.files.tail import lines_of_the_log

if TYPE_CHECKING:
    from thence.core.new_event import Unchanged


class Condition(NamedTuple):
    """The condition of an append: an unbroken guard, an id that is not in the log yet.

    The guard covers the event and those directly before it, `span` in all: none of these
    events is appended when the guard is broken.
    """

    guard: "Unchanged | None" = None
    is_named: bool = False
    span: int = 1


class Same(NamedTuple):
    """An event that occurs earlier in its own batch, at this index."""

    batch_index: int


class WriteOutcome(NamedTuple):
    """The outcomes of a batch, in order, as far as it was written before an error.

    An outcome is the line in the file, or the error if its condition was not met.
    """

    outcomes: list[bytes | ThenceError]
    error: ThenceError | None


def first_of(
    drafts: Sequence[Draft], conditions: Mapping[int, Condition], count: int
) -> Sequence[Draft]:
    """Returns the first `count` events of a batch, no part of a condition's span."""
    for index, condition in conditions.items():
        begin = index - condition.span + 1
        if begin < count <= index:
            count = begin
    return drafts[:count]


# the stored line, newline included, of an event that need not be appended; or why it is not
Verdict = bytes | Same | ThenceError | None


def verdicts(
    disk: Disk,
    folder: Path,
    node_id: str,
    vocabulary: Vocabulary,
    drafts: Sequence[Draft],
    conditions: Mapping[int, Condition],
) -> list[Verdict]:
    """Judges a batch in its order; None admits an event. `conditions` are by index."""
    judge = _Judge(disk, folder, node_id, vocabulary)
    lasts = {index - condition.span + 1: index for index, condition in conditions.items()}
    refusal, last = None, -1
    for index, draft in enumerate(drafts):
        if index in lasts:
            last = lasts[index]
            refusal = judge.refusal(drafts[last], conditions[last])
        is_named = index == last and conditions[last].is_named
        judge.add(index, draft, is_named, refusal if index <= last else None)
    return judge.verdicts


def merged(
    judged: Sequence[Verdict], lines: Sequence[bytes | ThenceError]
) -> list[bytes | ThenceError]:
    """Returns the outcomes of a batch, as far as the admitted events were written."""
    fresh = iter(lines)
    outcomes: list[bytes | ThenceError] = []
    for verdict in judged:
        outcome: bytes | ThenceError | None
        if isinstance(verdict, Same):
            outcome = outcomes[verdict.batch_index]
        else:
            outcome = verdict or next(fresh, None)
        if outcome is None:
            break
        outcomes.append(outcome)
    return outcomes


class _Judge:
    """The judge of one batch, with the events admitted so far."""

    def __init__(self, disk: Disk, folder: Path, node_id: str, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._folder = folder
        self._node_id = node_id
        self._vocabulary = vocabulary
        self._admitted: dict[int, Event] = {}
        self.verdicts: list[Verdict] = []

    def refusal(self, draft: Draft, condition: Condition) -> ThenceError | None:
        """Returns why none of the events of a condition may be appended; `draft` is the last."""
        if condition.guard is None:
            return None
        if (
            condition.is_named
            and self._find_stored(unnumbered(draft, self._vocabulary)) is not None
        ):
            return None
        return self._guard_refusal(condition.guard)

    def add(self, index: int, draft: Draft, is_named: bool, refusal: ThenceError | None) -> None:
        event = unnumbered(draft, self._vocabulary)
        verdict: Verdict = refusal
        if verdict is None and is_named:
            verdict = self._find_stored(event)
        if verdict is None:
            self._admitted[index] = event
        self.verdicts.append(verdict)

    def _find_stored(self, event: Event) -> Verdict:
        for index, earlier in self._admitted.items():
            if earlier.event_id == event.event_id:
                return Same(index) if earlier.says_the_same_as(event) else self._reused(event)
        id_bytes = event.event_id.encode()
        for line in lines_of_the_log(self._disk, self._folder):
            if id_bytes in line and event_id_of(line) == id_bytes:
                stored = parse(line, self._vocabulary)
                if isinstance(stored, Event) and not stored.is_foreign:
                    if stored.says_the_same_as(event):
                        return line + b"\n"
                    return self._reused(event)
        return None

    def _guard_refusal(self, guard: "Unchanged") -> ThenceError | None:
        for earlier in self._admitted.values():
            if guard.is_broken_by(earlier):
                return self._heads_moved(earlier)
        for line in lines_of_the_log(self._disk, self._folder):
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
            cause=f"{event.event_type} {event.event_id} about {event.subject} arrived in between",
            hint="read the log again, decide again, then append with a new guard",
        )

    def _reused(self, event: Event) -> IdReused:
        return IdReused(
            "could not append to",
            place=self._folder,
            cause=f"the id {event.event_id} belongs to an event with other content",
            hint="leave event_id out for a new event, or pass the same content for a retry",
        )
