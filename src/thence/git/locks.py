"""Locks of a repository that threads and processes of thence take in turn.

The locks are `flock` on files below the shared git folder, where no git command looks. The system
releases them when a process ends, however it ends. A lock file is never deleted.

While git works under such a lock, a note beside it names git's own lock files, and the link of a
worktree that it makes. Git inherits the lock of the note: a note that is found, and that nobody has
locked, is of a git that was killed, and what it left is freed: a worktree that it had not made yet
is removed. The processes that a hook of the user leaves running hold a note that is gone.
"""

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from thence.errors import GitFailed, ThenceError
from thence.files import file_lock
from thence.git.files import TreeFiles
from thence.git.git import Git, failure

PLANNING = "features.lock"  # beside the home, of the numbers of features, and of adoptions
EXCHANGING = "exchange.lock"  # in the home
MAKING = "thence/worktrees.lock"
COMMITTING = "thence/git.lock"  # of commits in the main working tree, and of moves of a target
WRITING = "thence/writing.lock"  # of files that thence writes in the main working tree
INDEX_LOCK = "index.lock"  # in a working tree's own git folder
WAIT_S = 120.0
_GIT_WAIT_S = 10.0  # for the git of a command that was killed
_TAKING = "could not take the lock"
_PAUSE_S = 0.02
_STILL_S = 0.5  # a git lock file unchanged for this long has no holder
_LATEST_S = 5.0  # a lock file made later than this after the names belongs to somebody else


@contextmanager
def locked(path: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds the lock of a file, which is made if missing, with its folder.

    Lock files that a git left which was killed under this lock are removed; a git that outlived its
    command is waited for. Raises a GitFailed that can be tried again if somebody else has held the
    lock for `wait_s`, and one that can't if the file can't be locked.
    """
    with _locked(path, wait_s):
        _free(path, min(wait_s, _GIT_WAIT_S))
        yield


def take(descriptor: int, path: Path, wait_s: float) -> None:
    """Takes the lock of an open file, until it is closed; `path` names it in errors.

    Raises a GitFailed that can be tried again if somebody else has held it for `wait_s`.
    """
    until_s = time.monotonic() + wait_s
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= until_s:
            cause = f"another command of thence has held it for {wait_s:g} s"
            hint = "wait for that command or end it, then try again"
            raise failure(_TAKING, path, cause, hint, is_retryable=True)
        time.sleep(_PAUSE_S)


@contextmanager
def naming(
    path: Path, folder: Path, files: Collection[Path], paths: Collection[str] = ()
) -> Iterator[int]:
    """Notes the lock files that a git takes meanwhile, and yields the descriptor that it inherits.

    Callers hold the lock of `path`. `folder` is where git runs, `paths` are the paths of a commit
    that it makes there; the link of a worktree that it makes is among the files. The note stays if
    git is killed, with this process or alone: then the next holder frees the files.
    """
    _free(path, _GIT_WAIT_S)
    note, was_killed = path.with_suffix(".note"), False
    names: list[str | Path] = [folder, *files, "", *paths]
    with _locked(note, 0.0) as file:
        try:
            file.write(b"\0".join(map(os.fsencode, names)))
        except OSError as error:
            note.unlink(missing_ok=True)
            raise _no_lock(note, error) from error
        try:
            yield file.fileno()
        except GitFailed as error:
            was_killed = error.was_killed
            raise
        finally:
            if not was_killed:
                note.unlink(missing_ok=True)


def ref_locks(common: Path, git_dir: Path, branch: str) -> tuple[Path, ...]:
    """Returns the lock files that moving a branch takes: of its ref, of HEAD, of packed refs."""
    return common / f"refs/heads/{branch}.lock", git_dir / "HEAD.lock", common / "packed-refs.lock"


def free_worktree(common: Path, git_dir: Path, branch: str) -> None:
    """Removes the lock files of a killed git in a worktree that nobody works in any more.

    Callers hold the claim of its package.
    """
    for path in (*ref_locks(common, git_dir, branch), git_dir / INDEX_LOCK):
        if path.name != "packed-refs.lock" and _is_unchanged(os.fsencode(path)):
            path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, wait_s: float) -> Iterator[FileIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = file_lock(path, wait_s)
    except OSError as error:
        raise _no_lock(path, error) from error
    except ThenceError as error:
        is_retryable = error.code == "file_busy"
        raise failure(_TAKING, path, error.cause, error.hint, is_retryable=is_retryable) from error
    with file:
        yield file


def _no_lock(path: Path, error: OSError) -> GitFailed:
    return failure(_TAKING, path, error.strerror or str(error), "make room there, then try again")


def _free(path: Path, wait_s: float) -> None:
    """Removes the lock files that a killed git left, and completes its commit in the index.

    Git that is killed right behind a commit leaves an index without it, and the index locked: a
    commit of the user's would revert ours.
    """
    note = path.with_suffix(".note")
    if not note.exists():
        return
    import shutil  # seldom needed

    with _locked(note, wait_s) as file:
        begun_s = os.fstat(file.fileno()).st_mtime
        folder, *names = file.read().split(b"\0")
        end = names.index(b"") if b"" in names else len(names)
        for link in (name for name in names[:end] if name.endswith(b"/.git")):
            tree = Path(os.fsdecode(link)).parent  # a worktree that was being made
            for own in (path.parent.parent / "worktrees").glob("*"):
                with suppress(OSError):  # somebody else's may go meanwhile
                    held = os.listdir(own)
                    reason = (own / "locked").read_bytes().strip() if "locked" in held else None
                    is_begun = not held or (
                        reason in (b"", b"initializing") and "index" not in held
                    )
                    if own.name.startswith(tree.name) and is_begun:  # it is nothing but its link
                        TreeFiles(tree).unlink(".git")
                        shutil.rmtree(own)
        removed = list[bytes]()
        for name in names[:end]:
            state = _look(name)
            # taken right after its name was noted, and unchanged since: its git is no more
            is_of_then = state is not None and -_PAUSE_S <= state.st_mtime - begun_s <= _LATEST_S
            if name.endswith(b".lock") and is_of_then and _is_unchanged(name):
                removed.append(name)
        for name in removed:
            with suppress(OSError):
                os.unlink(name)
        paths = names[end + 1 :]
        if paths and any(name.endswith(INDEX_LOCK.encode()) for name in removed):
            Git(Path(os.fsdecode(folder))).ask("reset", "--quiet", "--", *paths)
        note.unlink(missing_ok=True)


def _is_unchanged(name: bytes) -> bool:
    """Reports whether a lock file exists and stays unchanged for a while."""
    before = _look(name)
    until_s = time.monotonic() + _STILL_S
    while before is not None and time.monotonic() < until_s:
        time.sleep(_PAUSE_S)
        now = _look(name)
        if now is None or (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns):
            return False
    return before is not None


def _look(name: bytes) -> os.stat_result | None:
    try:
        return os.lstat(name)
    except OSError:
        return None
