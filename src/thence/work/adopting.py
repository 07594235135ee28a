"""A project that began without git takes its journal along when it gets a repository.

Without git the home lies in `.kittify/.thence/`, in the reach of `git clean`; with it in the git
folder. Moving it is one rename, or a copy that is complete on the disk before it gets its name.
A link stays at the old place, for programs that have the journal open there.
"""

import errno
import os
from pathlib import Path

from thence.log.segment import own_folder
from thence.work.git import failure
from thence.work.locks import held

JOURNAL = "events.jsonl"
_LOCK = "adopt.lock"
_COPY = "adopted"
_LEFT = ".thence-left"


def adopt(old: Path, home: Path) -> None:
    """Moves a home into the git folder if there is one at the old place and none at the new.

    Of processes that do it at once one does. Raises GitFailed, with nothing moved, if the disk
    refuses.
    """
    if not (old / JOURNAL).exists():
        return
    with held(home.parent / _LOCK):
        if os.path.lexists(home) or not (old / JOURNAL).exists():
            return
        try:
            with held(own_folder(old) / "lock"):  # nobody appends meanwhile
                _move(old, home)
        except OSError as error:
            raise failure(
                "could not move the project's journal into",
                home.parent,
                f"{error.strerror}: {error.filename or old}",
                "make room or rights there, then try again; the journal is where it was",
            ) from error


def _move(old: Path, home: Path) -> None:
    try:
        os.rename(old, home)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(old, home)
    _sync(home.parent)
    os.symlink(os.path.relpath(home, old.parent), old)


def _copy(old: Path, home: Path) -> None:
    import shutil  # seldom needed

    copy = home.with_name(_COPY)
    shutil.rmtree(copy, ignore_errors=True)  # of a command that was killed
    shutil.copytree(old, copy, symlinks=True)
    for path in (*copy.rglob("*"), copy):
        if not path.is_symlink():
            _sync(path)
    os.rename(copy, home)
    os.rename(old, old.with_name(_LEFT))
    shutil.rmtree(old.with_name(_LEFT), ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
