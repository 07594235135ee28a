"""The cleanup of files that a killed git leaves behind: lock files, and half-made worktrees.

While a lock of ours is held, a marker file beside it names the files that git is about to lock or
to make. A marker that still exists when the lock is taken belongs to a command that was killed, or
whose git was, because git holds our lock as long as it lives. The named files are removed, except
those that somebody else has made since.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thence.errors import GitFailed
from thence.work.vcs.files import NotFollowed, TreeFiles
from thence.work.vcs.locks import held

INDEX_LOCK = "index.lock"  # in a working tree's own git folder
MAKING = "thence/worktrees.lock"
COMMITTING = "thence/commits.lock"
MERGING = "thence/merges.lock"
_BEGUN = b"initializing"  # why git keeps a worktree locked while it makes it
_STILL_S = 0.5  # a git lock file unchanged for this long has no holder
_PAUSE_S = 0.02
_LATEST_S = 5.0  # a lock taken later than this after the marker is of somebody else


@contextmanager
def locking(lock: Path, *files: Path) -> Iterator[None]:
    """Records the lock files that git takes meanwhile, and removes those of an older marker.

    Callers hold `lock`.
    """
    free(lock)
    marker = _marker_of(lock)
    marker.write_bytes(b"\0".join(os.fsencode(file) for file in files))
    with _removed_unless_killed(marker):
        yield


def free(lock: Path) -> None:
    """Removes the lock files that the last holder's git left when it was killed."""
    marker = _marker_of(lock)
    try:
        begun_s, names = marker.stat().st_mtime, marker.read_bytes()
    except OSError:
        return
    for name in names.split(b"\0"):
        if name.endswith(b".lock") and _is_left(name, begun_s):
            with suppress(OSError):
                os.unlink(name)
    marker.unlink(missing_ok=True)


def free_if_idle(lock: Path) -> None:
    """Calls `free`, unless somebody holds the lock: then its git may live."""
    with suppress(GitFailed, OSError), held(lock, wait_s=0.0):
        free(lock)


def ref_locks(common: Path, git_dir: Path, branch: str) -> tuple[Path, ...]:
    """Returns the lock files that moving a branch takes: of its ref, of HEAD, of packed refs."""
    return common / f"refs/heads/{branch}.lock", git_dir / "HEAD.lock", common / "packed-refs.lock"


@contextmanager
def making(common: Path, path: Path) -> Iterator[None]:
    """Records that a worktree is being made at a path; callers hold the lock MAKING."""
    marker = (common / MAKING).with_suffix(".making")
    marker.write_bytes(os.fsencode(path))
    with _removed_unless_killed(marker):
        yield


def remove_half_made(common: Path) -> None:
    """Removes a half-made worktree whose git was killed; it holds no files yet.

    Callers hold the lock MAKING.
    """
    free(common / MAKING)
    marker = (common / MAKING).with_suffix(".making")
    try:
        path = Path(os.fsdecode(marker.read_bytes()))
    except OSError:
        return
    if path.is_absolute() and _holds_nothing(path):
        import shutil  # seldom needed

        for folder in _half_made_folders(common, path):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                TreeFiles(path).unlink(".git")
    marker.unlink(missing_ok=True)


def free_worktree(common: Path, git_dir: Path, branch: str) -> None:
    """Removes the lock files of a killed git in a worktree that nobody works in any more.

    Callers hold the claim of its package.
    """
    for path in (*ref_locks(common, git_dir, branch), git_dir / INDEX_LOCK):
        if path.name != "packed-refs.lock" and _is_unchanged(os.fsencode(path)):
            path.unlink(missing_ok=True)


def remove_half_made_if_free(common: Path) -> None:
    """Calls `remove_half_made` unless a worktree is being made right now."""
    with suppress(GitFailed, OSError), held(common / MAKING, wait_s=0.0):
        remove_half_made(common)


@contextmanager
def _removed_unless_killed(marker: Path) -> Iterator[None]:
    """Removes a marker at the end, unless git alone was killed: then the next command needs it."""
    is_needed = False
    try:
        yield
    except GitFailed as error:
        is_needed = error.was_killed
        raise
    finally:
        if not is_needed:
            marker.unlink(missing_ok=True)


def _half_made_folders(common: Path, path: Path) -> list[Path]:
    """Returns the administrative folders of a half-made worktree at a path."""
    found = []
    for folder in (common / "worktrees").glob("*"):
        if not folder.name.startswith(path.name) or (folder / "index").exists():
            continue
        recorded = _read(folder / "gitdir").rstrip(b"\n")
        is_here = recorded in {
            b"",
            os.fsencode(path / ".git"),
            os.path.realpath(path / ".git").encode(),
        }
        is_begun = _read(folder / "locked").strip() in {b"", _BEGUN}
        if is_here and is_begun:
            found.append(folder)
    return found


def _holds_nothing(path: Path) -> bool:
    try:
        names = TreeFiles(path.parent).names(path.name)
        return names in ([], [".git"]) and not TreeFiles(path).is_folder(".git")
    except (NotADirectoryError, NotFollowed):
        return False
    except OSError:
        return True


def _is_left(name: bytes, begun_s: float) -> bool:
    """Reports whether a lock file was taken right after a marker and stays unchanged a while."""
    first = _look(name)
    is_of_then = first is not None and -_PAUSE_S <= first.st_mtime - begun_s <= _LATEST_S
    return is_of_then and _is_unchanged(name)


def _is_unchanged(name: bytes) -> bool:
    """Reports whether a lock file exists and stays unchanged for a while."""
    first = _look(name)
    until_s = time.monotonic() + _STILL_S
    while first is not None and time.monotonic() < until_s:
        time.sleep(_PAUSE_S)
        now = _look(name)
        if now is None or (now.st_ino, now.st_mtime_ns) != (first.st_ino, first.st_mtime_ns):
            return False
    return first is not None


def _look(name: bytes) -> os.stat_result | None:
    try:
        return os.lstat(name)
    except OSError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _marker_of(lock: Path) -> Path:
    return lock.with_suffix(".note")
