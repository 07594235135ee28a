"""Worktrees of packages that a killed git has left half made; they hold no files yet."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from thence.errors import GitFailed
from thence.work.vcs.files import NotFollowed, TreeFiles
from thence.work.vcs.locks import MAKING, held

_BEGUN = b"initializing"  # why git keeps a worktree locked while it makes it
_OURS = re.compile(r".+-WP[0-9]+.*")


def remove_half_made(common: Path) -> None:
    """Removes half-made worktrees of packages.

    Callers hold the lock MAKING, so that no git is alive that makes one of these.
    """
    for folder, path in _half_made(common):
        import shutil  # seldom needed

        shutil.rmtree(folder, ignore_errors=True)
        if path is not None:
            with suppress(OSError):
                TreeFiles(path).unlink(".git")


def remove_half_made_if_free(common: Path) -> None:
    """Calls `remove_half_made` unless a worktree is being made right now."""
    with suppress(GitFailed, OSError), held(common / MAKING, wait_s=0.0):
        remove_half_made(common)


def _half_made(common: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yields the administrative folders of half-made worktrees, with their paths if git wrote it.

    A worktree of another name, which the user may be making right now, is none.
    """
    for folder in (common / "worktrees").glob("*"):
        locked = folder / "locked"
        is_begun = _read(locked).strip() in {b"", _BEGUN} if locked.exists() else _is_empty(folder)
        if not is_begun or (folder / "index").exists():
            continue
        recorded = os.fsdecode(_read(folder / "gitdir").rstrip(b"\n"))
        path = Path(recorded).parent if recorded else None
        if _OURS.fullmatch((path or folder).name) and (path is None or _holds_nothing(path)):
            yield folder, path


def _holds_nothing(path: Path) -> bool:
    try:
        names = TreeFiles(path.parent).names(path.name)
        return names in ([], [".git"]) and not TreeFiles(path).is_folder(".git")
    except (NotADirectoryError, NotFollowed):
        return False
    except OSError:
        return True


def _is_empty(folder: Path) -> bool:
    with suppress(OSError):
        return not os.listdir(folder)
    return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
