"""The choice of the log of a command.

The log is named by `--log`, else by THENCE_LOG; else for a question about a file it is the log of
the coding agents in that file's repository; else it is this folder if it is a log, else the
log of the coding agents in this repository, else the journal of the project that this folder
belongs to, else the newest run under ./output, else the log of agents outside repositories. Which
one that is, is noted on stderr for agents and runs. A log is named by its folder, by one of its
files, by a project, or by a run's id. A log without a name may hold no symbolic link: a clone could
choose its target.

`thence doctor` looks for a log when packages are broken: no package is imported but click.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from thence.agents.fired import LOG, SPOOL, log_of
from thence.cli.output import Output
from thence.errors import NotALog, SuppressCodes, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import own_folder, segments

_SHOWN_RUNS_MAX = 3


def is_log(folder: Path) -> bool:
    """Reports whether a folder holds a log: a segment, or a log.json."""
    return (own_folder(folder) / "log.json").is_file() or bool(segments(OS_DISK, folder))


def runs(root: Path) -> list[Path]:
    """Lists the logs in a folder by the time of their creation, the newest first."""
    folders: list[Path] = []
    for folder in root.iterdir() if root.is_dir() else ():
        with suppress(OSError):  # of one that may not be entered
            if folder.is_dir() and is_log(folder):
                folders.append(folder)
    return sorted(folders, key=lambda folder: (_created_ns(folder), folder.name), reverse=True)


def named_log(out: Output, log: str | None) -> str | None:
    """Returns the user's name for the log, None if no name was given."""
    return log or out.settings.log


def find_log(
    out: Output, log: str | None, *, create: bool = False, about: Path | None = None
) -> Path:
    """Returns the folder of the log; raises NotALog with the folders that were tried.

    With `create` the folder of a named log is returned even if the log is missing. For a question
    `about` a file the log of agents in that file's repository comes first.
    """
    name = named_log(out, log)
    if name is not None:
        return _find_named(out, name, create)
    agents, is_repository = _log_of_agents(about.parent.resolve()) if about else (None, False)
    if agents is not None and is_repository:
        return _noted(out, agents)
    folder = Path()
    if is_log(folder):
        _check_plain(folder)
        return folder
    agents, is_repository = _log_of_agents(folder)
    if agents is not None and is_repository:
        return _noted(out, agents)
    journal = journal_of(folder)
    if journal is not None:
        return journal
    root = Path(out.settings.runs)
    newest = next((run for run in runs(root) if not run.is_symlink() and not _link_in(run)), None)
    if newest is not None:
        out.notice(f"log: {newest} (the newest run)")
        return newest
    if agents is not None:
        return _noted(out, agents)
    raise NotALog(
        "could not find a log",
        cause=f"this folder is none ({folder.absolute()}), and {root.absolute()} holds no runs",
        hint="name one with --log, or make one: thence append --log FOLDER note text=hello",
    )


def is_log_of_agents(folder: Path) -> bool:
    """Reports whether a folder is a place where hooks of coding agents leave what they record."""
    return folder.absolute().parts[-2:] == tuple(LOG.split("/"))


def _log_of_agents(folder: Path) -> tuple[Path | None, bool]:
    """Returns the log of agents for a folder, if hooks have one, and whether it is a repository's.

    Raises NotALog for one that holds a symbolic link.
    """
    name, root = log_of(str(folder.absolute()))
    log = Path(name)
    if not name or not (is_log(log) or (log / SPOOL).is_dir()):
        return None, root is not None
    _check_plain(log, log.parent, log, log / SPOOL)
    return log, root is not None


def logs_of_repository(folder: Path, report: Callable[[ThenceError], None]) -> dict[str, Path]:
    """Returns the logs that a folder's repository or project holds, by names for them.

    They are that of coding agents and the journal. One that can't be used is left out, and `report`
    is called with the reason.
    """
    logs: dict[str, Path] = {}
    path = folder.resolve()
    try:
        agents, is_repository = _log_of_agents(path)
        if agents is not None and is_repository:
            logs["agents"] = agents
    except ThenceError as error:
        report(error)
    try:
        if (journal := journal_of(folder)) is not None:
            tops = (one for one in (path, *path.parents) if (one / ".kittify").is_dir())
            logs[next(tops, path).name] = journal
    except ThenceError as error:
        report(error)
    return logs


def _noted(out: Output, log: Path) -> Path:
    out.notice(f"log: {log} (what hooks of coding agents recorded)")
    return log


def _find_named(out: Output, name: str, create: bool) -> Path:
    path = Path(name)
    run = Path(out.settings.runs) / name
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
    inside = [str(folder) for folder in runs(path)] if path.is_dir() else []
    if inside:
        cause = f"it is no log itself, but holds {len(inside)}"
        hint = "name one of them: " + ", ".join(inside[:_SHOWN_RUNS_MAX])
    elif path.exists():
        cause = "there is no events.jsonl"
        hint = "`thence append --log FOLDER TYPE` makes a new log"
    else:
        cause = f"there is neither {path} nor a run {run}"
        hint = "name a log's folder, or make one: `thence append --log FOLDER TYPE`"
        if run.parent.is_dir():
            hint = f"{hint}; `thence sim list` lists the runs"
    raise NotALog("could not find the log", place=path, cause=cause, hint=hint)


def journal_of(folder: Path) -> Path | None:
    """Returns the journal of the project that a folder belongs to, if there is one.

    Raises PlanningError for a project that can't be used, so that its user learns why.
    """
    path = folder.absolute()
    if not any((parent / ".kittify").is_dir() for parent in (path, *path.parents)):
        return None
    from thence.work.project.project import find_project

    with SuppressCodes("not_a_project", "git_failed"):
        home = find_project(folder, create=False).home
        return home if is_log(home) else None
    return None


def _check_plain(folder: Path, *places: Path) -> None:
    """Raises NotALog for a log without a name that holds a symbolic link, or one of the places.

    The maker of the folder, maybe of a clone, would choose the files that are read and written.
    """
    link = _link_in(folder, *places)
    if link is not None:
        raise NotALog(
            "could not use the log in",
            place=folder.absolute(),
            cause=f"{link} is a symbolic link, and only those in a log that is named are followed",
            hint=f"name the log if it is yours: --log {folder}",
        )


def _link_in(folder: Path, *places: Path) -> Path | None:
    own = own_folder(folder)
    inside = sorted(own.iterdir()) if own.is_dir() and not own.is_symlink() else []
    paths = (*places, own, *segments(OS_DISK, folder), *inside)
    return next((path for path in paths if path.is_symlink()), None)


def _created_ns(folder: Path) -> int:
    for path in (own_folder(folder) / "log.json", *segments(OS_DISK, folder)):
        try:
            return path.stat().st_mtime_ns
        except OSError:
            continue
    return 0
