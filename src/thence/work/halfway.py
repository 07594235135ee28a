"""Files that a killed command had begun to bring into a working tree, put back as they were."""

import os
from collections.abc import Sequence
from stat import S_ISREG
from typing import NamedTuple

from thence.errors import GitFailed
from thence.work.files import NotFollowed, TreeFiles
from thence.work.git import Git
from thence.work.index_lock import IndexLock
from thence.work.objects import Entry, Objects
from thence.work.repository import Checkout

NAMED_MAX = 500


class Place(NamedTuple):
    """What a move of a branch does at one path, whose file was as the index had it."""

    path: str
    was: Entry | None
    becomes: Entry | None


def unmix(store: Objects, tree: Checkout, places: Sequence[Place], lock: int) -> None:
    """Puts files back as they were where the index is as it was: it is replaced behind them."""
    guard = IndexLock(tree.git_dir, tree.path)
    guard.take()
    files = TreeFiles(tree.path)
    try:
        index = _indexed(tree, places)
        torn: list[str] = []
        for place in places:
            if place.was == place.becomes or index.get(place.path) != place.was:
                continue
            if _is_begun(store, tree, place, _bytes(tree, place.path)):
                if place.was is None:
                    files.unlink(place.path)
                else:
                    torn.append(place.path)
        if torn:
            names = b"".join(os.fsencode(path) + b"\0" for path in torn)
            Git(tree.path, keeps=(lock,)).run(
                "checkout-index", "-f", "-q", "-z", "--stdin", stdin=names
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
