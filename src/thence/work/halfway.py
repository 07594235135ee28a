"""A commit whose command was killed when working trees had it, and its branch not yet.

A note says what was about to change, and lies beside the lock of commits until it has. Whoever
takes that lock next concludes the commit, or puts back what it changed if the user has worked on
since. What the user has made of it is never touched.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from thence.errors import GitFailed
from thence.work.files import NotFollowed, TreeFiles, draft_of
from thence.work.git import Git, failure
from thence.work.index_lock import IndexLock
from thence.work.landing import Change, Landing, Place, bring, names_of
from thence.work.leftovers import COMMITTING, free
from thence.work.locks import held, is_alive
from thence.work.objects import Entry, Objects, objects
from thence.work.refs import MovedMeanwhile
from thence.work.repository import (
    Checkout,
    Repository,
    checkouts,
    checkouts_of,
    operation_under_way,
    rebase_of,
    tip,
)

ATTEMPTS_MAX = 20
NAMED_MAX = 500
WAIT_S = 10.0  # a killed command's git ends when it finds nobody to talk to
_CONCLUDED = "a commit on {} that a command had begun before it was killed is concluded"
_PUT_BACK = "what a command that was killed had begun to commit on {} is put back"


class Halfway(NamedTuple):
    """A commit on its way: from `old` to `new`, and what it does in each working tree."""

    pid: int
    branch: str
    old: str | None
    new: str
    reason: str
    trees: dict[str, tuple[Place, ...]]


def note(
    repo: Repository,
    branch: str,
    old: str | None,
    new: str,
    reason: str,
    landed: Sequence[Landing],
) -> None:
    """Notes what a commit is about to do in working trees. Callers hold the lock of commits."""
    import json  # seldom needed

    trees = {os.fspath(each.tree.path): tuple(each.places) for each in landed}
    what = Halfway(os.getpid(), branch, old, new, reason, trees)
    path = _path(repo)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(what._asdict(), default=bytes.decode))
    draft.replace(path)


def forget(repo: Repository) -> None:
    """Takes the note away: the branch has moved."""
    _path(repo).unlink(missing_ok=True)


def settle(repo: Repository, lock: int, *, goes_on: bool = True) -> str | None:
    """Concludes or puts back what is halfway, and tells which; None if nothing is.

    Without `goes_on` it is put back. Callers hold the lock of commits, and give its descriptor.
    Raises a passing GitFailed, and keeps the note, if that can't be done now.
    """
    what = _read(repo)
    told = None
    try:
        if what is not None and tip(repo, what.branch) != what.new:
            told = _settled(repo, what, lock, goes_on=goes_on)
    except GitFailed as error:
        if error.recoverable:
            raise
        told = f"what a killed command has left in working trees stays there: {error.cause}"
    forget(repo)
    return told


def settled(repo: Repository) -> Iterator[str]:
    """Does what `settle` does unless the command that wrote the note runs; yields what to tell."""
    what = _read(repo)
    if what is None:
        return
    try:
        with held(repo.common / COMMITTING, 0.0 if is_alive(what.pid) else WAIT_S) as lock:
            free(repo.common / COMMITTING)
            told = settle(repo, lock)
    except (GitFailed, OSError):  # somebody commits right now, or the next one who does will tell
        return
    if told:
        yield told


def _settled(repo: Repository, what: Halfway, lock: int, *, goes_on: bool) -> str | None:
    for _ in range(ATTEMPTS_MAX):
        with suppress(MovedMeanwhile), objects(repo) as store:
            trees = {os.fspath(each.path): each for each in checkouts(repo) if not each.is_missing}
            noted = [(trees[path], each) for path, each in what.trees.items() if path in trees]
            noted = [each for each in noted if operation_under_way(each[0].git_dir) is None]
            for tree, places in noted:
                unmix(store, tree, places, what.pid, lock)
            if goes_on and _may_go_on(repo, store, what, noted):
                _land(repo, store, what, noted, lock, is_forward=True)
                return _CONCLUDED.format(what.branch)
            _land(repo, store, what, noted, lock, is_forward=False)
            return _PUT_BACK.format(what.branch)
    cause = f"it was moved or changed {ATTEMPTS_MAX} times meanwhile"
    operation = f"could not conclude a commit to {what.branch} in"
    raise failure(operation, repo.place, cause, "try again", is_passing=True)


def _may_go_on(
    repo: Repository,
    store: Objects,
    what: Halfway,
    noted: Sequence[tuple[Checkout, tuple[Place, ...]]],
) -> bool:
    """Tells whether the branch, and all that has it checked out, is as the commit expects it."""
    if tip(repo, what.branch) != what.old or rebase_of(repo, what.branch) is not None:
        return False
    there = checkouts_of(checkouts(repo), what.branch)
    if {os.fspath(each.path) for each in there} != set(what.trees) or len(noted) != len(there):
        return False
    return store.commit(what.new) is not None and all(
        _is_expected(store, tree, places) for tree, places in noted
    )


def _is_expected(store: Objects, tree: Checkout, places: Sequence[Place]) -> bool:
    index = _indexed(tree, places)
    for place in places:
        entry = index.get(place.path)
        if entry not in (place.was, place.becomes):
            return False
        if place.file == "dirty":
            data = _bytes(tree, place.path)
            if data is None or data not in (_blob(store, place.before), _blob(store, place.after)):
                return False
        if place.file == "clean" and not _is_as(tree, place.path, entry):
            return False
    return True


def unmix(store: Objects, tree: Checkout, places: Sequence[Place], pid: int, lock: int) -> None:
    """Puts files back as they were where the index is as it was: it is replaced behind them."""
    guard = IndexLock(tree.git_dir, tree.path)
    guard.take()
    files = TreeFiles(tree.path)
    try:
        index = _indexed(tree, places)
        torn: list[str] = []
        for place in places:
            if place.was == place.becomes and place.file != "dirty":
                continue
            if index.get(place.path) != place.was or place.file == "none":
                continue
            data = _bytes(tree, place.path)
            if place.file == "dirty":
                with suppress(OSError):
                    files.unlink(draft_of(place.path, pid))
                before = _blob(store, place.before)
                if before is not None and data is not None and data == _blob(store, place.after):
                    files.replace(place.path, before)
            elif _is_begun(store, tree, place, data):
                if place.was is None:
                    files.unlink(place.path)
                else:
                    torn.append(place.path)
        if torn:
            Git(tree.path, keeps=(lock,)).run(
                "checkout-index", "-f", "-q", "-z", "--stdin", stdin=names_of(torn)
            )
    finally:
        guard.release()


def _is_begun(store: Objects, tree: Checkout, place: Place, data: bytes | None) -> bool:
    """Tells whether git has begun to write a file, or has written it; it removes the old first."""
    if data is None:
        return place.was is not None
    if place.becomes is None or data == _blob(store, place.was and place.was.oid):
        return False
    whole = _blob(store, place.becomes.oid) or b""
    return whole.startswith(data) or _is_as(tree, place.path, place.becomes)


def _land(
    repo: Repository,
    store: Objects,
    what: Halfway,
    noted: Sequence[tuple[Checkout, tuple[Place, ...]]],
    lock: int,
    *,
    is_forward: bool,
) -> None:
    with ExitStack() as landings:
        landed = []
        for tree, places in noted:
            changes = list(_changes(store, tree, places, is_forward=is_forward))
            if not changes:
                continue
            landing = Landing(tree, lock)
            landings.callback(landing.end)
            landing.prepare(store, changes)
            landed.append(landing)
        if is_forward:
            ends = (what.old, what.new)
            bring(repo, what.branch, *ends, what.reason, landed, lock)
        else:
            for landing in landed:
                landing.begin()
                landing.land()


def _changes(
    store: Objects, tree: Checkout, places: Sequence[Place], *, is_forward: bool
) -> Iterator[Change]:
    index = {} if is_forward else _indexed(tree, places)
    found = None if is_forward or tree.head is None else store.commit(tree.head)
    for place in places:
        if is_forward:
            yield _change(store, place)
            continue
        entry, committed = index.get(place.path), found and store.find(found[1], place.path)
        is_ours = entry == place.becomes and entry != (committed or None)
        if is_ours and (place.was != place.becomes or place.file == "dirty"):
            back = place._replace(
                was=place.becomes, becomes=place.was, before=place.after, after=place.before
            )
            yield _change(store, back)


def _change(store: Objects, place: Place) -> Change:
    if place.file == "dirty":
        before, after = _blob(store, place.before), _blob(store, place.after)
    else:
        before = _blob(store, place.was and place.was.oid)
        after = _blob(store, place.becomes and place.becomes.oid)
    return Change(
        place.path,
        place.was,
        place.becomes,
        lambda data: after if data is not None and data == before else data,
    )


def _indexed(tree: Checkout, places: Sequence[Place]) -> dict[str, Entry]:
    paths = [place.path for place in places]
    named = paths if len(paths) <= NAMED_MAX else []  # a command line holds only so many
    out = Git(tree.path).run("ls-files", "-s", "-z", "--", *named)
    found = {}
    for line in os.fsdecode(out).split("\0"):
        if line:
            told, _, path = line.partition("\t")
            mode, oid, stage = told.split(" ")
            found[path] = Entry(mode.encode(), oid if stage == "0" else stage)
    return found


def _is_as(tree: Checkout, path: str, entry: Entry | None) -> bool:
    """Tells whether a file is as an entry, as git would take it in."""
    try:
        found = TreeFiles(tree.path).look(path)
    except OSError:  # it lies behind a link
        return False
    if found is None:
        return entry is None
    if not S_ISREG(found.st_mode):
        return False
    told = Git(tree.path).ask("hash-object", "--stdin-paths", stdin=os.fsencode(path) + b"\n")
    return entry is not None and told.out.decode().strip() == entry.oid


def _blob(store: Objects, oid: str | None) -> bytes | None:
    """Returns the bytes of an object; None without one, and if git has thrown it away since."""
    try:
        return store.blob(oid) if oid else None
    except GitFailed:
        return None


def _bytes(tree: Checkout, path: str) -> bytes | None:
    try:
        return TreeFiles(tree.path).read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotFollowed):
        return None


def _read(repo: Repository) -> Halfway | None:
    """Returns what the note says; None if there is none, or none that was written to its end."""
    try:
        data = _path(repo).read_bytes()
        import json  # seldom needed

        told = json.loads(data)
        trees = {path: tuple(map(_place, places)) for path, places in told["trees"].items()}
        return Halfway(**{**told, "trees": trees})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _place(told: list[Any]) -> Place:
    path, was, becomes, *file = told
    return Place(path, _entry(was), _entry(becomes), *file)


def _entry(told: list[str] | None) -> Entry | None:
    return Entry(told[0].encode(), told[1]) if told else None


def _path(repo: Repository) -> Path:
    return (repo.common / COMMITTING).with_suffix(".halfway")
