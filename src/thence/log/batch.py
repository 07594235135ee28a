"""What lies in the queue of a log, and how the outcome of a write is handed out to it."""

from pathlib import Path
from typing import cast

from thence.core.codec import Draft
from thence.errors import AppendFailed, ThenceError, WriterClosed
from thence.log.gate import Gate
from thence.log.writer import Notice


class Waiting:
    """An append whose caller waits at a gate; without a draft, a flush."""

    __slots__ = ("draft", "error", "gate", "line", "tail")

    def __init__(self, draft: Draft | None) -> None:
        self.draft = draft
        self.tail = draft.tail if draft else b""
        self.gate = Gate()
        self.line = b""
        self.error: ThenceError | None = None

    def result(self) -> bytes:
        """Returns the line, or raises what kept it from being written."""
        if self.error is not None:
            raise self.error
        return self.line


Item = Draft | Waiting
_DRAFTS_ALONE = {Draft}


class Refused:
    """The events that the disk refused since the last write that went through."""

    def __init__(self) -> None:
        self.count = 0
        self.error: ThenceError = AppendFailed("could not append", cause="the log was closed")

    def notices(self, notice: Notice) -> list[Draft]:
        """Returns the notice that the log owes its reader, none when nothing was refused."""
        if not self.count:
            return []
        return [notice("write_failed", {"count": self.count, "reason": str(self.error)})]


def drafts_of(items: list[Item]) -> list[Draft]:
    """Returns the events among the items, in order."""
    if set(map(type, items)) == _DRAFTS_ALONE:
        return cast(list[Draft], items)
    drafts = [item.draft if isinstance(item, Waiting) else item for item in items]
    return [draft for draft in drafts if draft is not None]


def emitted(items: list[Item]) -> list[Draft]:
    """Returns the events among the items that nobody waits for, in order."""
    if set(map(type, items)) == _DRAFTS_ALONE:
        return cast(list[Draft], items)
    return [item for item in items if not isinstance(item, Waiting)]


def split(items: list[Item], durable: int) -> tuple[list[Item], list[Item]]:
    """Parts items behind the first `durable` events; a flush belongs to what it waits for."""
    count = 0
    for position, item in enumerate(items):
        if count == durable and (not isinstance(item, Waiting) or item.draft is not None):
            return items[:position], items[position:]
        count += not isinstance(item, Waiting) or item.draft is not None
    return items, []


def answer(items: list[Item], lines: list[bytes]) -> None:
    """Gives those who wait their lines and lets them go on."""
    if Waiting not in set(map(type, items)):
        return
    remaining = iter(lines)
    for item in items:
        if isinstance(item, Waiting):
            if item.draft is not None:
                item.line = next(remaining)
            item.gate.open()
        else:
            next(remaining)


def closed(folder: Path) -> WriterClosed:
    """Returns the error for a use after the end."""
    return WriterClosed(
        "could not append to",
        place=folder,
        cause="it was closed before",
        hint="open it again, or close it later",
    )
