"""What clones share of their journals: the day files, read from git's objects.

Tracked files in a working tree are never read, for git moves them under their readers. Read are
what a fetch has brought of the board's branch, and the tips of the default branch and of the
features' target branches, each blob once: nothing of another branch enters before it is merged
there. Lines are verified, and witnessed by the journal.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import msgspec

from thence.core.values.codec import BadLine
from thence.errors import PlanningError
from thence.log.storage.findings import Relayed
from thence.work.day_lines import FOLDER, is_day_file, places_in
from thence.work.journal import seen_blobs
from thence.work.journal.seen_blobs import SeenBlobs
from thence.work.journal.sharing import board_here, board_ref
from thence.work.journal.store import EventStore
from thence.work.journal.view import ViewChanges
from thence.work.passed_over import SharedFilePosition, keep, parked, passed_over
from thence.work.project.options import read_options
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_FILE, BoardFile
from thence.work.vcs.locks import held
from thence.work.vcs.objects import Objects, is_file, is_folder, objects
from thence.work.vcs.refs import Refs
from thence.work.vcs.repository import Repository

BLOBS_MAX = 50_000
# branches, with where they stood, if that is known, and where they stand
Moves = Mapping[str, tuple[str | None, str]]


class TakenLines(NamedTuple):
    """What a look at the branches brought: new events, and lines that were passed over."""

    events: int = 0
    bad: tuple[tuple[SharedFilePosition, BadLine], ...] = ()
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
    lines: dict[bytes, SharedFilePosition]


def note_branches(project: Project, branches: set[str]) -> bool:
    """Has the day files of features' target branches be read from now on.

    Tells whether any of them is new, and could be noted.
    """
    if branches <= seen_blobs.known(project).branches:
        return False
    with suppress(OSError), held(project.home / seen_blobs.LOCK):
        known = seen_blobs.known(project)
        known.branches |= branches
        seen_blobs.keep(project, known)
        return True
    return False


def take_in(
    project: Project,
    store: EventStore,
    refs: Callable[[], Refs],
    on_moved: Callable[[Moves], None] = lambda moves: None,
) -> Iterator[TakenLines]:
    """Takes what others wrote, and shared, into the journal. Raises what an append raises.

    The `store` opens the journal, if there is anything to take; `refs` looks at git's. `on_moved`
    gets the branches that moved; only behind it is it noted where they stand. Yields what came of
    other tools in the view, then what came by git. While nothing has moved `refs` alone is asked.
    """
    if project.repo is None:
        return
    written = ViewChanges(project)
    if written.lines or parked(passed_over(project.home)):
        yield _taken_in(project, store, written.lines, ())
    written.keep()
    moved = _tips(project, project.repo, refs(), seen_blobs.known(project))
    if not moved:
        return
    with objects(project.repo) as found, held(project.home / seen_blobs.LOCK):
        known = seen_blobs.known(project)
        news = _news(project, found, known, moved)
        if news.lines:
            files = {f"{FOLDER}/{name}" for name in news.blobs.values()}
            yield _taken_in(project, store, news.lines, files)
        on_moved(
            {name: (known.tips.get(name), at) for name, at in moved.items() if is_branch(name)}
        )
        seen_blobs.keep(project, _with(known, news))


def take_commits(project: Project, store: EventStore, commits: Iterable[str]) -> TakenLines:
    """Takes in the day files of commits that are about to be merged. Raises what an append raises.

    The commits are told by any name that git knows.
    """
    if project.repo is None:
        return TakenLines()
    with objects(project.repo) as found, held(project.home / seen_blobs.LOCK):
        known = seen_blobs.known(project)
        moved = {f"{number}": name for number, name in enumerate(commits)}
        news = _news(project, found, known, moved)
        if not news.lines:
            return TakenLines()
        files = {f"{FOLDER}/{name}" for name in news.blobs.values()}
        told = _taken_in(project, store, news.lines, files)
        seen_blobs.keep(project, _with(known, news._replace(tips={})))
        return told


def note_commit(
    project: Project, name: str, parent: str | None, oid: str, blobs: Iterable[str] = ()
) -> None:
    """Tells that a commit of ours is all that a branch or ref got: it has nothing new for us."""
    with suppress(OSError), held(project.home / seen_blobs.LOCK):
        known = seen_blobs.known(project)
        if known.tips.get(name) == parent:
            known.tips[name] = oid
            known.blobs |= set(blobs)
            seen_blobs.keep(project, known)


def is_branch(name: str) -> bool:
    """Tells whether what is read by a name is a local branch, no other ref."""
    return not name.startswith(seen_blobs.OTHER)


def project_of(store: Objects, tree: str) -> str | None:
    """Returns the id of the project whose board a tree holds; None where it tells none."""
    entry = store.find(tree, BOARD_FILE)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        if entry is not None and is_file(entry):
            return msgspec.json.decode(store.blob(entry.oid), type=BoardFile).project_uuid.lower()
    return None


def _tips(project: Project, repo: Repository, refs: Refs, known: SeenBlobs) -> dict[str, str]:
    """Returns which of the refs that are read have moved, with their commits."""
    options = read_options(project)
    names = known.branches | {refs.default or ""}
    found = {name: refs.branches[name] for name in sorted(names & refs.branches.keys())}
    remote = board_here(repo, refs, options, known.branches)
    if remote is not None:
        ref = board_ref(remote, options.board_branch)
        found[ref] = refs.commits[ref]
    return {name: oid for name, oid in found.items() if known.tips.get(name) != oid}


def _news(project: Project, store: Objects, known: SeenBlobs, moved: Mapping[str, str]) -> _News:
    news = _News({}, {}, {})
    for name, oid in moved.items():
        found = store.commit(oid)
        if found is None:
            continue
        news.tips[name] = oid
        if not is_branch(name):
            check_project(project, project_of(store, found[1]), name)
        folder = store.find(found[1], FOLDER)
        there = store.tree(folder.oid) if folder and is_folder(folder) else {}
        for file, entry in there.items():
            if not is_day_file(file) or entry.oid in known.blobs or entry.oid in news.blobs:
                continue
            news.blobs[entry.oid] = file.decode()
            for line, place in places_in(store.blob(entry.oid), f"{FOLDER}/{file.decode()}"):
                news.lines.setdefault(line, place)
    return news


def check_project(project: Project, named: str | None, place: str) -> None:
    """Raises PlanningError if a board is another project's."""
    if named is not None and named not in {project.uuid, *project.aliases}:
        raise PlanningError(
            "could not share the board on",
            place=place,
            cause=f"it is the board of another project, {named!r:.50}; this one is {project.uuid}",
            hint="name another in .kittify/config.yaml (board: {branch: NAME})",
        )


def _taken_in(
    project: Project,
    store: EventStore,
    fresh: Mapping[bytes, SharedFilePosition],
    files: Collection[str],
) -> TakenLines:
    """Takes lines in, with those that were parked; all of `files` that is bad is among them."""
    left = passed_over(project.home)
    waiting = parked(left)
    lines = {**waiting, **fresh}
    made = store.relay(lines)
    keep(project.home, left, made, lines, files)
    if made.ours:  # what is open writes under the node of the past
        store.close()
    return _told(made, lines, waiting)


def _told(
    result: Relayed, lines: Mapping[bytes, SharedFilePosition], waiting: Container[bytes]
) -> TakenLines:
    bad = tuple((lines[line], reason) for line, reason in result.bad)
    parked = sum(event.line not in waiting for event in result.parked)
    return TakenLines(len(result.taken), bad, parked, len(result.ours), len(result.twice))


def _with(known: SeenBlobs, news: _News) -> SeenBlobs:
    blobs = known.blobs | set(news.blobs)
    if len(blobs) > BLOBS_MAX:  # to read one again costs time, nothing else
        blobs = set(news.blobs)
    return SeenBlobs({**known.tips, **news.tips}, blobs, known.branches)
