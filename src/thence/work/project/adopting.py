"""The move of a project's home into the git folder, when a project without git gets a repository.

Without git the home is in `.kittify/.thence/`, in the reach of `git clean`; with git it is in the
git folder. The home is moved by one rename, or by a copy that is complete on the disk before it is
renamed. A link stays at the old path, for programs that have the journal open there.

A home in a working tree may also come from a stranger's clone or archive. A home that git tracks,
that holds a link, or whose journal another machine wrote is refused.
"""

import errno
import os
from pathlib import Path

from thence.errors import PlanningError
from thence.inspection.log_folder import IDENTITY, has_events, is_of_this_machine, own_folder
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.git import Git, failure
from thence.work.vcs.locks import held
from thence.work.vcs.repository import Repository

OWN_HOME = ".kittify/.thence"
JOURNAL = "events.jsonl"
_LOCK = "adopt.lock"
_COPY = "adopted"
_LEFT = f"{OWN_HOME}-left"
_DOING = "could not use the journal in"


def check_home(files: TreeFiles) -> None:
    """Raises PlanningError if the home in a working tree may be a stranger's.

    A broken link in its place is removed: its target was a git folder that is gone.
    """
    if files.target_of(OWN_HOME) is not None:
        if (files.top / OWN_HOME).exists():
            hint = f"without git the journal lies there itself: rm {OWN_HOME}, or move it back"
            raise _refused(files, "it is a symbolic link, and none is followed", hint)
        files.unlink(OWN_HOME)
    if not files.is_folder(OWN_HOME):
        return
    odd = files.first_irregular(OWN_HOME)
    if odd is not None:
        path, reason = odd
        raise _refused(files, f"{path}: {reason}", f"see what it is (ls -l {path}), take it out")
    home = files.top / OWN_HOME
    if has_events(home) and not _is_of_this_machine(files):
        raise _refused(
            files,
            "another machine wrote it, or nobody can tell who did",
            f"move it away: mv {OWN_HOME} ..; then `thence work import` takes in the day files",
        )


def adopt(files: TreeFiles, repo: Repository, home: Path) -> None:
    """Moves a home into the git folder if there is one at the old path and none at the new.

    One of several concurrent processes does it. Raises GitFailed, with nothing moved, if the disk
    refuses, and PlanningError if the home may be a stranger's.
    """
    if not _has_journal(files):
        return
    with held(home.parent / _LOCK):
        if os.path.lexists(home) or not _has_journal(files):
            return
        _check_untracked(files)
        check_home(files)
        try:
            with held(own_folder(files.top / OWN_HOME) / "lock"):  # nobody appends meanwhile
                _move(files, home)
        except OSError as error:
            raise failure(
                "could not move the project's journal into",
                home.parent,
                f"{error.strerror}: {error.filename or OWN_HOME}",
                "make room or rights there, then try again; the journal is where it was",
            ) from error


def _has_journal(files: TreeFiles) -> bool:
    is_link = files.target_of(OWN_HOME) is not None
    return not is_link and files.look(f"{OWN_HOME}/{JOURNAL}") is not None


def _check_untracked(files: TreeFiles) -> None:
    """Raises PlanningError if git tracks a file of the home: the commit's author wrote it."""
    listed = Git(files.top).run("ls-files", "-z", "--", OWN_HOME)
    if listed:
        raise _refused(
            files,
            f"git tracks {os.fsdecode(listed).split(chr(0))[0]}, so that it may be a stranger's",
            f"git rm -r --cached {OWN_HOME}, commit that, then try again",
        )


def _is_of_this_machine(files: TreeFiles) -> bool:
    try:
        identity = files.read(f"{OWN_HOME}/{own_folder(Path()).name}/{IDENTITY}")
    except OSError:
        return False
    return is_of_this_machine(files.top / OWN_HOME, identity)


def _refused(files: TreeFiles, cause: str, hint: str) -> PlanningError:
    return PlanningError(_DOING, place=files.top / OWN_HOME, cause=cause, hint=hint)


def _move(files: TreeFiles, home: Path) -> None:
    try:
        files.move_out(OWN_HOME, home)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(files, home)
    _sync(home.parent)
    files.link(OWN_HOME, os.path.relpath(home, (files.top / OWN_HOME).parent))


def _copy(files: TreeFiles, home: Path) -> None:
    import shutil  # seldom needed

    old, left = files.top / OWN_HOME, files.top / _LEFT
    copy = home.with_name(_COPY)
    shutil.rmtree(copy, ignore_errors=True)  # of a command that was killed
    shutil.copytree(old, copy, symlinks=True)
    for path in (*copy.rglob("*"), copy):
        if not path.is_symlink():
            _sync(path)
    os.rename(copy, home)
    os.rename(old, left)
    shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
