"""What clones share of their journals: the day files, read from git's objects.

The files in a working tree are never read, for git moves them under their readers. Read are
the tips of the default branch and of the features' target branches, each blob once: nothing of
another branch enters before it is merged there. Lines are verified, and witnessed by the journal.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.codec import BadLine
from thence.log.findings import Relayed
from thence.work.daylines import FOLDER, is_day_file, places_in
from thence.work.locks import held
from thence.work.objects import Objects, is_folder, objects
from thence.work.passed_over import Place, keep, parked, passed_over
from thence.work.project import Project
from thence.work.repository import HEADS, default_branch
from thence.work.store import EventStore

_NAME = "taken.json"
_LOCK = "taking.lock"
BLOBS_MAX = 50_000
# branches, with where they stood, if that is known, and where they stand
Moves = Mapping[str, tuple[str | None, str]]


class Taken(msgspec.Struct):
    """What has been read: the blobs, by the tips at which they were seen; `branches` are read."""

    tips: dict[str, str] = {}
    blobs: set[str] = set()
    branches: set[str] = set()


class TakenIn(NamedTuple):
    """What a look at the branches brought: new events, and lines that were passed over."""

    events: int = 0
    bad: tuple[tuple[Place, BadLine], ...] = ()
    parked: int = 0
    ours: int = 0
    twice: int = 0

    def notes(self) -> Iterator[str]:
        """Yields what a user has to know of it."""
        if self.bad:
            place, reason = self.bad[0]
            more = f", and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
            yield f"a line of {place.file} was passed over: {reason.reason}{more}"
        if self.parked:
            yield f"{self.parked} event(s) with a clock far ahead were left out, to be tried again"
        if self.ours:
            yield f"{self.ours} event(s) of our own that our journal had lost are back"
        if self.twice:
            yield (
                f"{self.twice} event(s) have a number that another event of their node has;"
                " both are kept: thence verify tells them"
            )


class _News(NamedTuple):
    """Lines that were not read before, each with its place."""

    tips: dict[str, str]
    blobs: dict[str, str]
    lines: dict[bytes, Place]


def note_branches(project: Project, branches: set[str]) -> bool:
    """Has the day files of features' target branches be read from now on.

    Tells whether any of them is new, and could be noted.
    """
    if branches <= _known(project).branches:
        return False
    with suppress(OSError), held(project.home / _LOCK):
        known = _known(project)
        known.branches |= branches
        _keep(project, known)
        return True
    return False


def take_in(
    project: Project,
    store: EventStore,
    on_moved: Callable[[Moves], None] = lambda moves: None,
) -> TakenIn:
    """Takes what others wrote, and is merged, into the journal. Raises what an append raises.

    The `store` opens the journal, if there is anything to take. `on_moved` gets the branches that
    moved; only behind it is it noted where they stand. A branch that stands where it stood costs
    two processes of git, in a repository of any size.
    """
    if project.repo is None:
        return TakenIn()
    known = _known(project)
    branches = known.branches | {default_branch(project.repo) or ""} - {""}
    with objects(project.repo) as found:
        news = _news(found, known, branches)
        if not news.tips and not parked(passed_over(project.home)):
            return TakenIn()
        with held(project.home / _LOCK):
            known = _known(project)
            news = _news(found, known, branches)
            told = TakenIn()
            left = passed_over(project.home)
            waiting = parked(left)
            if lines := {**waiting, **news.lines}:
                made = store.replica.relay(lines)
                told = _told(made, lines, waiting)
                files = {f"{FOLDER}/{name}" for name in news.blobs.values()}
                keep(project.home, left, made, lines, files)
                if told.ours:  # what is open writes under the node of the past
                    store.close()
            on_moved({name: (known.tips.get(name), at) for name, at in news.tips.items()})
            _keep(project, _with(known, news))
    return told


def note_commit(project: Project, branch: str, parent: str | None, oid: str) -> None:
    """Tells that a commit of ours is all that a branch got: it holds nothing new for us."""
    with suppress(OSError), held(project.home / _LOCK):
        known = _known(project)
        if parent is not None and known.tips.get(branch) == parent:
            known.tips[branch] = oid
            _keep(project, known)


def _news(store: Objects, known: Taken, branches: Iterable[str]) -> _News:
    news = _News({}, {}, {})
    for branch in sorted(branches):
        found = store.commit(f"{HEADS}{branch}")
        if found is None or known.tips.get(branch) == found[0]:
            continue
        news.tips[branch] = found[0]
        folder = store.find(found[1], FOLDER)
        there = store.tree(folder.oid) if folder and is_folder(folder) else {}
        for name, entry in there.items():
            if not is_day_file(name) or entry.oid in known.blobs or entry.oid in news.blobs:
                continue
            news.blobs[entry.oid] = name.decode()
            for line, place in places_in(store.blob(entry.oid), f"{FOLDER}/{name.decode()}"):
                news.lines.setdefault(line, place)
    return news


def _told(result: Relayed, lines: Mapping[bytes, Place], waiting: Container[bytes]) -> TakenIn:
    bad = tuple((lines[line], reason) for line, reason in result.bad)
    parked = sum(event.line not in waiting for event in result.parked)
    return TakenIn(len(result.taken), bad, parked, len(result.ours), len(result.twice))


def _with(known: Taken, news: _News) -> Taken:
    blobs = known.blobs | set(news.blobs)
    if len(blobs) > BLOBS_MAX:  # to read one again costs time, nothing else
        blobs = set(news.blobs)
    return Taken({**known.tips, **news.tips}, blobs, known.branches)


def _known(project: Project) -> Taken:
    try:
        return msgspec.json.decode((project.home / _NAME).read_bytes(), type=Taken)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Taken()


def _keep(project: Project, known: Taken) -> None:
    path: Path = project.home / _NAME
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(known))
    draft.replace(path)
