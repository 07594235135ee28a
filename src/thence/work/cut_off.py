"""A merge whose command was killed: what it left in working trees, and what it did not tell.

A note remembers a merge from before it changes anything until the target has moved. One that is
there when nobody merges is of a command that was killed: its files are put back unless the target
has them, and whoever looks at the board is told how to conclude it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from thence.errors import GitFailed
from thence.work.advancing import carry, free_trees
from thence.work.git import failure
from thence.work.halfway import Place, unmix
from thence.work.leftovers import COMMITTING, INDEX_LOCK, free, locking
from thence.work.locks import held
from thence.work.naming import package_of
from thence.work.objects import Entry, is_file, objects
from thence.work.repository import Repository, is_ancestor, tip

_NOTES = "merge-*.json"
_NO_OBJECT = "0"


class Unfinished(NamedTuple):
    """A merge that was begun: where the target stood, where we moved it, what remains.

    `conflict` is the branch whose merge is open in the working tree `tree`; None says that a
    command ended before it had moved the target.
    """

    target: str
    begin: str
    end: str
    remaining: tuple[str, ...]
    conflict: str | None
    tree: str | None


def unfinished(note: Path) -> Unfinished | None:
    """Returns the merge that a note tells of; None if there is no note."""
    try:
        data = note.read_bytes()
        import json  # seldom needed

        told = json.loads(data)
        return Unfinished(**{**told, "remaining": tuple(told["remaining"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        hint = "git log tells what was merged; remove the file, then merge again"
        raise failure("could not read", note, str(error), hint) from error


def put_back(repo: Repository, before: Unfinished, lock: int) -> None:
    """Takes back what a killed command did to files before it had moved the target."""
    if before.conflict is not None or tip(repo, before.target) != before.begin:
        return
    places = _places(repo, before)
    for tree in free_trees(repo, before.target):
        with objects(repo) as store:
            unmix(store, tree, places, lock)
        with locking(repo.common / COMMITTING, tree.git_dir / INDEX_LOCK):
            carry(tree.path, before.end, before.begin, lock)


def put_all_back(repo: Repository, lock: int) -> None:
    """Does it for all merges of the repository, before something else moves their target.

    Callers hold the lock of commits. What can't be put back now stays.
    """
    for before in _all(repo):
        with suppress(GitFailed):
            put_back(repo, before, lock)


def cut_off(repo: Repository) -> Iterator[str]:
    """Settles merges whose command was killed; yields what their user has to know."""
    if not any(_folder(repo).glob(_NOTES)):
        return
    with suppress(GitFailed, OSError):  # somebody merges or commits right now
        with held(repo.common / COMMITTING, 0.0) as lock:
            free(repo.common / COMMITTING)
            put_all_back(repo, lock)
            told = [_told(repo, each) for each in _all(repo) if each.conflict is None]
        yield from told


def _told(repo: Repository, before: Unfinished) -> str:
    found = [package_of(name) for name in before.remaining]
    names = [each[1] for each in found if each]
    command = f"thence work merge {' '.join(names)}"
    what = f"the merge of {', '.join(names)} into {before.target}"
    at = tip(repo, before.target)
    if at is not None and is_ancestor(repo, before.end, at):
        return (
            f"{what} was done by a command that was killed before it told: {command} concludes it"
        )
    return f"{what} was cut off and is put back: {command} concludes it"


def _all(repo: Repository) -> Iterator[Unfinished]:
    for path in sorted(_folder(repo).glob(_NOTES)):
        with suppress(GitFailed, OSError):
            before = unfinished(path)
            if before is not None:
                yield before


def _places(repo: Repository, before: Unfinished) -> tuple[Place, ...]:
    """Returns what the merge does at each path where it changes a plain file."""
    arguments = ("diff-tree", "-r", "-z", "--no-renames", before.begin, before.end)
    told = os.fsdecode(repo.git.run(*arguments)).split("\0")
    places = []
    for line, path in zip(told[::2], told[1::2], strict=False):
        modes, oids = line.removeprefix(":").split(" ")[:2], line.split(" ")[2:4]
        was, becomes = (
            Entry(mode.encode(), oid) if oid.strip(_NO_OBJECT) else None
            for mode, oid in zip(modes, oids, strict=True)
        )
        if all(each is None or is_file(each) for each in (was, becomes)):
            places.append(Place(path, was, becomes))
    return tuple(places)


def _folder(repo: Repository) -> Path:
    return (repo.common / COMMITTING).parent
