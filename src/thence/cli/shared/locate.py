"""Which log a command is about.

It is what `--log` names, else THENCE_LOG, else this folder if it is a log, else the journal of
the project that this folder belongs to, else the newest run under ./output, which is told on
stderr. A log is named by its folder, by one of its files, by a project, or by a run's id.
One that nobody named holds no symbolic link: a clone could choose where it leads.
"""

from pathlib import Path

from thence.cli.voice import Voice
from thence.errors import GitFailed, NotALog, NotAProject
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import own_folder, segments

_SHOWN_RUNS_MAX = 3


def is_log(folder: Path) -> bool:
    """Tells whether a folder holds a log: a segment, or what was made for one."""
    return (own_folder(folder) / "log.json").is_file() or bool(segments(OS_DISK, folder))


def runs(root: Path) -> list[Path]:
    """Lists the logs in a folder, the newest first: by when they were made."""
    try:
        found = [folder for folder in root.iterdir() if _is_readable_log(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda folder: (_made_ns(folder), folder.name), reverse=True)


def named_log(voice: Voice, log: str | None) -> str | None:
    """Returns what the user calls the log, None if no name was given."""
    return log or voice.settings.log


def find_log(voice: Voice, log: str | None, *, create: bool = False) -> Path:
    """Returns the folder of the log; raises NotALog with the places that were looked at.

    With `create` a named log may be missing: its folder is returned all the same.
    """
    name = named_log(voice, log)
    if name is not None:
        return _named(voice, name, create)
    here = Path()
    if is_log(here):
        _check_plain(here)
        return here
    journal = journal_of(here)
    if journal is not None:
        return journal
    root = Path(voice.settings.runs)
    found = [each for each in runs(root) if not each.is_symlink() and _link_in(each) is None]
    if found:
        voice.note(f"log: {found[0]} (the newest run)")
        return found[0]
    raise NotALog(
        "could not find a log",
        cause=f"this folder is none ({here.absolute()}), and {root.absolute()} holds no runs",
        hint="name one with --log, or make one: thence append --log FOLDER note text=hello",
    )


def _named(voice: Voice, name: str, create: bool) -> Path:
    path = Path(name)
    run = Path(voice.settings.runs) / name
    if path.is_dir() and is_log(path):
        return path
    if path.is_dir() and (journal := journal_of(path)) is not None:
        return journal
    if path.is_file():
        for folder in path.parents[:2]:
            if is_log(folder):
                return folder
    if not path.is_absolute() and ".." not in path.parts and is_log(run):
        return run
    if create and not path.is_file():
        return path
    raise _no_log(path, run)


def journal_of(folder: Path) -> Path | None:
    """Returns the journal of the project that a folder belongs to, if there is one.

    Raises PlanningError for a project that can't be used, so that its user learns why.
    """
    whole = folder.absolute()
    if not any((each / ".kittify").is_dir() for each in (whole, *whole.parents)):
        return None
    from thence.work.project.project import find_project

    try:
        home = find_project(folder, create=False).home
    except (NotAProject, GitFailed):
        return None
    return home if is_log(home) else None


def _check_plain(folder: Path) -> None:
    """Raises NotALog for a log that nobody named and that a link leads out of its folder.

    Whoever made the folder, maybe by a clone, would choose what is read and written.
    """
    link = _link_in(folder)
    if link is not None:
        raise NotALog(
            "could not use the log in",
            place=folder.absolute(),
            cause=f"{link} is a symbolic link, and only those in a log that is named are followed",
            hint="name the log if it is yours: --log .",
        )


def _link_in(folder: Path) -> Path | None:
    own = own_folder(folder)
    inside = sorted(own.iterdir()) if own.is_dir() and not own.is_symlink() else []
    paths = (own, *segments(OS_DISK, folder), *inside)
    return next((path for path in paths if path.is_symlink()), None)


def _no_log(path: Path, run: Path) -> NotALog:
    inside = [str(folder) for folder in runs(path)] if path.is_dir() else []
    if inside:
        cause = f"it is no log itself, but holds {len(inside)}"
        hint = "name one of them: " + ", ".join(inside[:_SHOWN_RUNS_MAX])
    elif path.exists():
        cause = "there is no events.jsonl"
        hint = "`thence append --log FOLDER TYPE` makes a new log"
    else:
        cause = f"there is neither {path} nor a run {run}"
        hint = "`thence sim list` lists the runs"
    return NotALog("could not find the log", place=path, cause=cause, hint=hint)


def _is_readable_log(folder: Path) -> bool:
    """Tells whether a folder holds a log; one that may not be entered hides no other."""
    try:
        return folder.is_dir() and is_log(folder)
    except OSError:
        return False


def _made_ns(folder: Path) -> int:
    for path in (own_folder(folder) / "log.json", *segments(OS_DISK, folder)):
        try:
            return path.stat().st_mtime_ns
        except OSError:
            continue
    return 0
