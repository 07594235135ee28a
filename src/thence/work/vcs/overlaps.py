"""Overlaps: packages at work that change the same files, found before they are merged.

Branches are compared by git alone, without a working tree: uncommitted changes don't count.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import combinations, islice
from pathlib import PurePosixPath
from threading import Thread
from typing import NamedTuple

from thence.errors import ThenceError
from thence.work.board.state import DOING, FOR_REVIEW, FeatureState
from thence.work.day_lines import FOLDER
from thence.work.vcs.repository import HEADS, Repository, branches

PAIRS_MAX = 500
FILES_SHOWN_MAX = 3
EVERY_S = 5.0
SHARE_MAX = 0.05  # largest part of the time that forecasts may take
_ENDS_WELL = frozenset((0, 1))  # merged, merged with conflicts
_GONE = "D"
_NEW = "A"

# the change of each file: git's letter for it, and the file's new blob
_Changes = Mapping[str, tuple[str, str]]


class Overlap(NamedTuple):
    """Two packages that changed the same files, in order of their names.

    `conflicts` is whether git can't merge their branches by itself.
    """

    first: str
    second: str
    files: tuple[str, ...]
    conflicts: bool


class Meeting(NamedTuple):
    """The result of a trial merge of two commits: the files merged, and those in conflict."""

    files: frozenset[str]
    conflicts: frozenset[str]


class Memory:
    """A cache of git's answers about commits, which never change, for repeated forecasts.

    It holds only the answers that the last forecast needed.
    """

    def __init__(self) -> None:
        self.changes: dict[tuple[str, str], _Changes] = {}
        self.meetings: dict[tuple[str, str], Meeting] = {}


class Forecast:
    """The overlaps of packages at work, for repeated looks.

    Git runs on a thread of its own, so that a slow git blocks nobody: only when one of the branches
    has moved, at most every EVERY_S, and for no more than SHARE_MAX of the time. If git fails the
    last result stays.
    """

    def __init__(self) -> None:
        self.found: tuple[Overlap, ...] = ()
        self._memory = Memory()
        self._thread: Thread | None = None
        self._last_refs: object = None
        self._next_s = 0.0
        self._reported: set[tuple[str, str, bool]] = set()

    def look(
        self, repo: Repository, target: str, packages: Mapping[str, str], now_s: float
    ) -> None:
        """Starts a comparison if it is due; its result is in `found` a moment later."""
        if now_s < self._next_s or (self._thread is not None and self._thread.is_alive()):
            return
        self._next_s = now_s + EVERY_S
        if len(packages) < 2:
            self._last_refs, self.found = None, ()
            return
        seen = (dict(packages), target, _refs_state(repo, (target, *packages.values())))
        if seen == self._last_refs:
            return
        self._last_refs = seen
        self._thread = Thread(
            target=self._ask, args=(repo, target, packages), name="thence-overlaps", daemon=True
        )
        self._thread.start()

    def news(self) -> tuple[Overlap, ...]:
        """Returns the overlaps not returned before; again once an overlap becomes a conflict."""
        new = [each for each in self.found if _key(each) not in self._reported]
        self._reported.update(map(_key, new))
        return tuple(new)

    def wait(self, timeout_s: float) -> None:
        """Waits until the comparison has ended, `timeout_s` at most."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _ask(self, repo: Repository, target: str, packages: Mapping[str, str]) -> None:
        start_s = time.monotonic()
        try:
            self.found = overlaps(repo, target, packages, self._memory)
        except (ThenceError, OSError):
            self._last_refs = None  # to be asked again
        now_s = time.monotonic()
        self._next_s = max(self._next_s, now_s + (now_s - start_s) / SHARE_MAX)


def at_work(feature: FeatureState) -> dict[str, str]:
    """Returns the branches of the packages that somebody works on or reviews."""
    return {
        package.wp_id: package.workspace.branch
        for package in feature.packages.values()
        if package.workspace and package.lane in (DOING, FOR_REVIEW)
    }


def sentence(overlap: Overlap) -> str:
    """Returns an overlap as a sentence."""
    files = ", ".join(overlap.files[:FILES_SHOWN_MAX])
    more = len(overlap.files) - FILES_SHOWN_MAX
    what = "will conflict in" if overlap.conflicts else "both change"
    fields = f"{overlap.first} and {overlap.second} {what} {files}"
    return f"{fields} and {more} more" if more > 0 else fields


def overlaps(
    repo: Repository,
    target: str,
    packages: Mapping[str, str],
    memory: Memory | None = None,
    tips: Mapping[str, str] | None = None,
) -> tuple[Overlap, ...]:
    """Returns the packages whose branches changed the same files since they left the target.

    `packages` maps packages to their branches; missing branches, and those that have no history in
    common with the target, are left out. Equal changes are no overlap, nor are changes that both
    have from a third branch. Beyond PAIRS_MAX pairs with files in common the rest is returned
    without a check for conflicts. Raises GitFailed if git can't be asked.
    """
    if len(packages) < 2:
        return ()
    tips = branches(repo) if tips is None else tips
    old, new_cache = memory or Memory(), Memory()
    begin = tips.get(target)
    changes: dict[str, _Changes] = {}
    for name in sorted(packages):
        tip = tips.get(packages[name])
        if begin is not None and tip is not None:
            key = (begin, tip)
            there = old.changes.get(key)
            new_cache.changes[key] = _changes(repo, *key) if there is None else there
            changes[name] = new_cache.changes[key]
    found = []
    for first, second in combinations(changes, 2):
        shared = _shared(changes[first], changes[second])
        conflicts: frozenset[str] = frozenset()
        if not shared and not _is_suspect(changes[first], changes[second]):
            continue
        if len(new_cache.meetings) < PAIRS_MAX:
            both = (tips[packages[first]], tips[packages[second]])
            meeting = new_cache.meetings[both] = old.meetings.get(both) or _meeting(repo, *both)
            conflicts = meeting.conflicts
            shared = shared & meeting.files | conflicts
        if shared:
            found.append(Overlap(first, second, tuple(sorted(shared)), bool(conflicts)))
    if memory is not None:
        memory.changes, memory.meetings = new_cache.changes, new_cache.meetings
    return tuple(found)


def _key(overlap: Overlap) -> tuple[str, str, bool]:
    return overlap.first, overlap.second, overlap.conflicts


def _refs_state(repo: Repository, names: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    """Returns a value that changes when one of the branches moves, without asking git.

    Git rewrites the file of a moved ref: the ref's own file, packed-refs, or the list of reftables.
    """
    files = ("packed-refs", "reftable/tables.list", *(HEADS + name for name in names))
    found = []
    for file in files:
        with suppress(OSError):
            there = (repo.common / file).stat()
            found.append((file, there.st_ino, there.st_mtime_ns))
    return tuple(found)


def _changes(repo: Repository, target: str, tip: str) -> _Changes:
    """Returns the files that a branch has changed since it left its target; not our day files."""
    arguments = ("diff", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=dirty")
    answer = repo.git.ask(*arguments, f"{target}...{tip}")
    if answer.status:  # such as for want of a common history
        return {}
    fields = iter(os.fsdecode(answer.out).split("\0"))
    found = {}
    for head in fields:
        if head:
            *_, blob, letter = head.split()
            found[next(fields)] = (letter, blob)
    return {name: what for name, what in found.items() if not name.startswith(f"{FOLDER}/")}


def _shared(one: _Changes, other: _Changes) -> frozenset[str]:
    """Returns the files that both changed, with different results."""
    return frozenset(name for name in one.keys() & other.keys() if one[name] != other[name])


def _is_suspect(one: _Changes, other: _Changes) -> bool:
    """Reports whether two may conflict though they share no file.

    They may if one has a file where the other has a folder, or has removed a folder to which the
    other has added a file.
    """
    for these, those in ((one, other), (other, one)):
        gone = {str(PurePosixPath(name).parent) for name, (how, _) in these.items() if how == _GONE}
        for name in (name for name, (how, _) in those.items() if how == _NEW):
            folders = {str(folder) for folder in PurePosixPath(name).parents}
            if folders & gone or folders & these.keys():
                return True
    return False


def _meeting(repo: Repository, one: str, other: str) -> Meeting:
    """Merges two commits as a trial; only objects are written."""
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--messages", one, other)
    answer = repo.git.ask(*arguments)
    if answer.status not in _ENDS_WELL or not answer.out:
        raise repo.git.failed(answer, arguments, doing="could not compare branches in")
    head, _, messages = os.fsdecode(answer.out).partition("\0\0")
    conflicts = frozenset(head.split("\0")[1:])
    if answer.status and not conflicts:  # a conflict without files
        conflicts = frozenset("?")
    return Meeting(frozenset(_files_named(messages)), conflicts)


def _files_named(messages: str) -> Iterator[str]:
    """Yields the files that a merge's messages name.

    Each message is a number of files, the files, the kind of message, its text.
    """
    words = iter(messages.split("\0"))
    for count in words:
        if count.isdigit():
            yield from islice(words, int(count))
            next(words), next(words)
