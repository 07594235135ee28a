"""The record of an unfinished merge, and the recovery of a merge whose command was killed.

A record exists from the beginning of a merge until its command has finished. A record without an
open conflict, while nobody merges, belongs to a killed command: the working tree is restored unless
the target has the merge, and the next look at the board warns the user how to finish it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from thence.errors import GitFailed
from thence.work.naming import package_of
from thence.work.vcs.advancing import restore_tree
from thence.work.vcs.git import failure
from thence.work.vcs.killed_git import MERGING, free
from thence.work.vcs.locks import held
from thence.work.vcs.repository import Repository, is_ancestor, tip
from thence.work.vcs.worktrees import discard

_RECORDS = "merge-*.json"
# tries to remove a tree, five seconds long
_REMOVALS_MAX = 100
_PAUSE_S = 0.05


class Unfinished(NamedTuple):
    """A merge that was begun: its branches with their commits, its target and that one's commit.

    `end` is the commit that the target was about to be moved to, None before that. `conflict` is
    the branch whose merge is open in the private working tree of the record.
    """

    target: str
    begin: str
    branches: tuple[tuple[str, str], ...]
    end: str | None = None
    conflict: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The branches."""
        return tuple(name for name, _ in self.branches)


def unfinished(record: Path) -> Unfinished | None:
    """Returns the merge in a record; None if there is no record."""
    try:
        data = record.read_bytes()
        import json  # seldom needed

        values = json.loads(data)
        branches = tuple((name, tip) for name, tip in values.pop("branches"))
        return Unfinished(branches=branches, **values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        hint = "git log tells what was merged; remove the file, then merge again"
        raise failure("could not read", record, str(error), hint) from error


def write_record(record: Path, what: Unfinished) -> None:
    """Writes a record, atomically and durably."""
    import json  # seldom needed

    record.parent.mkdir(parents=True, exist_ok=True)
    beside = record.with_name(f".{record.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(json.dumps(what._asdict(), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, record)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def tree_of(record: Path) -> Path:
    """Returns the path of a merge's private working tree."""
    return record.with_suffix("")


def end_merge(repo: Repository, record: Path) -> None:
    """Ends a merge: restores the user's working tree, removes the private one and the record.

    Callers hold the lock MERGING. Raises GitFailed if the user's files are in the way.
    """
    import shutil  # seldom needed

    before = unfinished(record)
    if before is not None:
        _restore(repo, record, before)
    tree = tree_of(record)
    for _ in range(_REMOVALS_MAX):
        shutil.rmtree(tree, ignore_errors=True)  # git does not remove a partial worktree
        if not tree.exists():
            break
        time.sleep(_PAUSE_S)  # the git of a killed merge still writes there
    discard(repo, tree)
    record.unlink(missing_ok=True)


def _restore(repo: Repository, record: Path, before: Unfinished) -> None:
    if before.end is None or tip(repo, before.target) != before.begin:
        return
    since_ns = record.stat().st_mtime_ns
    restore_tree(repo, before.target, before.begin, before.end, tree_of(record), since_ns)


def recover_merges(repo: Repository) -> Iterator[str]:
    """Recovers merges whose command was killed; yields warnings for the user."""
    folder = (repo.common / MERGING).parent
    if not any(folder.glob(_RECORDS)):
        return
    values: list[str] = []
    with suppress(GitFailed, OSError), held(repo.common / MERGING, 0.0):  # nobody merges now
        free(repo.common / MERGING)
        for record in sorted(folder.glob(_RECORDS)):
            with suppress(GitFailed, OSError):
                before = unfinished(record)
                if before is not None and before.conflict is None:
                    values.append(_report(repo, before))
                    _restore(repo, record, before)
    yield from values


def _report(repo: Repository, before: Unfinished) -> str:
    found = [package_of(name) for name in before.names]
    names = [each[1] for each in found if each]
    command = f"thence work merge {' '.join(names)}"
    what = f"the merge of {', '.join(names)} into {before.target}"
    at = tip(repo, before.target)
    if before.end is not None and at is not None and is_ancestor(repo, before.end, at):
        return (
            f"{what} was done by a command that was killed before it told: {command} concludes it"
        )
    return f"{what} was cut off and is put back: {command} concludes it"
