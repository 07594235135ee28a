"""Planning files that were written in the main working tree and wait for our next commit."""

import os
from collections.abc import Callable, Iterable, Mapping

from thence.work.day_lines import Splice
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.git import failure
from thence.work.vcs.locks import held
from thence.work.vcs.repository import Repository

_LOCK = "thence/writing.lock"
_PATHS = "thence/commits.waiting"  # with a zero behind each


def write_files(
    repo: Repository, changes: Mapping[str, Splice], *, is_all: bool = False
) -> list[str]:
    """Writes files for the next commit, and returns those that changed.

    With `is_all` the next commit gets unchanged files too. Raises GitFailed.
    """
    files = TreeFiles(repo.folder)
    with held(repo.common / _LOCK):
        known = waiting(repo)
        changed = [path for path, splice in changes.items() if rewrite(files, path, splice)]
        _keep(repo, [*known, *(changes if is_all else changed)])
    return changed


def waiting(repo: Repository) -> list[str]:
    """Returns the paths that were written and not committed yet."""
    try:
        return os.fsdecode((repo.common / _PATHS).read_bytes()).split("\0")[:-1]
    except FileNotFoundError:
        return []


def remove_waiting(repo: Repository, asked: set[str], left: Callable[[], Iterable[str]]) -> None:
    """Removes the paths `asked` from the waiting ones, except those that `left` returns."""
    with held(repo.common / _LOCK):
        rest = [path for path in waiting(repo) if path not in asked]
        _keep(repo, [*rest, *left()])


def rewrite(files: TreeFiles, path: str, splice: Splice) -> bool:
    """Applies a splice to a file; reports whether that changed it. Raises GitFailed."""
    try:
        while True:
            seen = files.look(path)
            data = files.read(path) if seen else None
            wanted = splice(data)
            if wanted is None or wanted == data:
                return False
            if _looks(files.look(path)) == _looks(seen):
                files.replace(path, wanted)
                return True
    except OSError as error:
        where = files.top / path
        raise failure("could not write", where, f"{error}", "make room or rights there") from error


def _looks(found: os.stat_result | None) -> tuple[int, int, int] | None:
    return found and (found.st_ino, found.st_mtime_ns, found.st_size)


def _keep(repo: Repository, paths: Iterable[str]) -> None:
    path = repo.common / _PATHS
    draft = path.with_suffix(".new")
    draft.write_bytes(b"".join(os.fsencode(each) + b"\0" for each in dict.fromkeys(paths)))
    draft.replace(path)
