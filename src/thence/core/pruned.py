"""The facts of a notice `log.pruned`: what was removed from a log on purpose, and where it lies."""

from bisect import bisect_right
from collections.abc import Mapping
from math import inf
from typing import Any

import msgspec

from thence.core.ids import is_ulid

PRUNED = "pruned"
# the most changes of the archive that a notice names, the newest ones
ARCHIVES_MAX = 20

# first and last number of each range, which are sorted and don't touch
Ranges = tuple[tuple[int, int], ...]


class PrunedFile(msgspec.Struct, frozen=True):
    """A segment that was removed: its name, its events, its bytes and their SHA-256 in hex."""

    file: str
    events: int
    bytes: int
    sha256: str


class Pruned(msgspec.Struct, frozen=True):
    """What a log's last prune removed, and up to where all of its prunes did.

    `files`, `events`, `bytes`, `since` and `open_steps` are of that prune alone: `since` is the
    earliest time in it, `open_steps` counts the steps that began there and have not ended. All
    prunes have a part in `numbers`, the numbers of the events by node_id; in `until`, the latest
    time; and in `archives`, in the order of the prunes: the largest ULID that was pruned until
    then, and the folder of the files, empty if they were removed for good.
    """

    files: tuple[PrunedFile, ...] = ()
    events: int = 0
    bytes: int = 0
    since: str = ""
    open_steps: int = 0
    numbers: Mapping[str, Ranges] = {}
    until: str = ""
    archives: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Pruned":
        """Reads a notice's facts; those that can't be read say nothing."""
        try:
            return msgspec.convert(facts, cls)
        except msgspec.ValidationError:
            return NOT_PRUNED

    def facts(self) -> dict[str, Any]:
        """Returns the facts of the notice."""
        facts: dict[str, Any] = msgspec.to_builtins(self)
        return facts

    def holds(self, node_id: str, seq: int) -> bool:
        """Reports whether a number was pruned."""
        ranges = self.numbers.get(node_id, ())
        index = bisect_right(ranges, (seq, inf)) - 1
        return index >= 0 and seq <= ranges[index][1]

    def last(self, node_id: str) -> int:
        """Returns the highest number of a node that was pruned, 0 for none."""
        ranges = self.numbers.get(node_id)
        return ranges[-1][1] if ranges else 0

    def may_hold(self, event_id: str) -> bool:
        """Reports whether an event that is not in the log may have been pruned, by its id."""
        return bool(self.archives) and event_id <= self.archives[-1][0] and is_ulid(event_id)

    def archive_of(self, event_id: str) -> str:
        """Returns the folder in which an event lies that may have been pruned, empty for none."""
        return next((folder for last, folder in self.archives if event_id <= last), "")

    def words(self, event_id: str = "") -> str:
        """Returns what was pruned, for people: up to when, and where an event of it may lie."""
        folder = self.archive_of(event_id)
        lies = f"; the archive lies in {folder}" if folder else ""
        return f"events up to {self.until[:16].replace('T', ' ')} were pruned{lies}"

    def with_archive(self, last_id: str, folder: str) -> tuple[tuple[str, str], ...]:
        """Returns the archives behind another prune, of events up to a ULID."""
        archives = [*self.archives]
        if archives:
            last_id = max(last_id, archives[-1][0])
            if archives[-1][1] == folder:
                archives.pop()
        return (*archives, (last_id, folder))[-ARCHIVES_MAX:]


NOT_PRUNED = Pruned()
