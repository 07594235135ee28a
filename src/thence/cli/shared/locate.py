"""The choice of the log of a command, in the order that `LOG_ORDER` describes.

A log is named by its folder, by one of its files, by a project, or by a run's id. A log without a
name may hold no symbolic link: a clone could choose its target.

`thence doctor` looks for a log when packages are broken: no package is imported but click.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from thence.cli.output import Output, relative_path
from thence.errors import NotALog, SuppressCodes, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import own_folder, segments
from thence.trace.agents.fired import LOG, SPOOL, log_of, spools

_SHOWN_LOGS_MAX = 3
_AGENTS = "the agents' log"


def is_log(folder: Path) -> bool:
    """Reports whether a folder holds a log: a segment, or a log.json."""
    return (own_folder(folder) / "log.json").is_file() or bool(segments(OS_DISK, folder))


def runs(root: Path) -> list[Path]:
    """Lists the logs in a folder by the time of their creation, the newest first."""
    folders: list[tuple[int, str, Path]] = []
    for folder in root.iterdir() if root.is_dir() else ():
        with suppress(OSError):  # of one that may not be entered
            if folder.is_dir() and is_log(folder):
                settings = own_folder(folder) / "log.json"
                paths = (settings, *segments(OS_DISK, folder))
                created_ns = next((p.stat().st_mtime_ns for p in paths if p.exists()), 0)
                folders.append((created_ns, folder.name, folder))
    return [folder for _, _, folder in sorted(folders, reverse=True)]


def named_log(out: Output, log_name: str | None) -> str | None:
    """Returns the user's name for the log, None if no name was given."""
    return log_name or out.settings.log


class Place(NamedTuple):
    """A log that a command may mean, and what it is; `is_noted` where stderr always names it."""

    folder: Path
    words: str
    is_noted: bool = True

    def note(self, out: Output, *others: "Place") -> None:
        """Names the log on stderr, and the others that hold what was asked for."""
        too = f"; it is also in {options(place.folder for place in others)}" if others else ""
        out.notice(f"log: {self.folder} ({self.words}){too}")


def find_log(
    out: Output,
    log_name: str | None,
    *,
    create: bool = False,
    may_be_empty: bool = False,
    about: Path | None = None,
) -> Path:
    """Returns the folder of the log; raises NotALog with the folders that were tried.

    Without a name it is the first of `places` that has an event, else the first; with `create` and
    where it `may_be_empty` it is the first. With `create` the folder of a named log is returned
    even if the log is missing. `about` is the folder of a file or repository that is asked about.
    """
    name = named_log(out, log_name)
    if name is not None:
        return _find_named(out, name, create)
    first: Place | None = None
    for place in places(out, about):
        first = first or place
        if create or may_be_empty or _has_event(place.folder):
            first = place
            break
    if first is None:
        raise _no_log(out, about)
    if first.is_noted:
        first.note(out)
    return first.folder


def find_run(out: Output, run: str) -> Path:
    """Returns the folder of a run, named by its id or a path; raises NotALog."""
    return _find_named(out, run, create=False, is_run=True)


def places(out: Output, about: Path | None = None) -> Iterator[Place]:
    """Yields the logs that a command may mean where none is named, in their order, each once.

    For a question `about` a folder they are that of agents in its repository, and the journal.
    Raises NotALog, PlanningError.
    """
    seen: set[Path] = set()
    for place in _of_folder(about.resolve()) if about else _of_all(out):
        path = place.folder.resolve()
        if path not in seen:
            seen.add(path)
            yield place


def _of_folder(folder: Path) -> Iterator[Place]:
    if (agents := _log_of_agents(folder)[0]) is not None:
        yield Place(agents, _AGENTS)
    if (journal := journal_of(folder)) is not None:
        yield Place(journal, "the journal of this project", is_noted=False)


def _of_all(out: Output) -> Iterator[Place]:
    folder = Path()
    if is_log(folder):
        _check_plain(folder)
        yield Place(folder, "this folder", is_noted=False)
    agents, is_repository = _log_of_agents(folder)
    outside = agents if not is_repository else None
    yield from (place for place in _of_folder(folder) if place.folder != outside)
    if (newest := _newest(out)) is not None:
        yield Place(newest, "the newest run")
    if outside is not None:
        yield Place(outside, _AGENTS)


def _newest(out: Output) -> Path | None:
    folders = runs(Path(out.settings.runs))
    return next((run for run in folders if not run.is_symlink() and not _link_in(run)), None)


def newest_run(out: Output) -> str | None:
    """Returns the newest run under ./output, noted, where this folder is no log; else None."""
    newest = None if is_log(Path()) else _newest(out)
    if newest is not None:
        Place(newest, "the newest run").note(out)
    return str(newest) if newest else None


def _has_event(folder: Path) -> bool:
    """Reports whether a log has an event, or hooks have left one for it."""
    if any(path.stat().st_size for path in segments(OS_DISK, folder)):
        return True
    files = (Path(spool).glob("[0-9]*.json") for spool in spools(str(folder.absolute())))
    return is_log_of_agents(folder) and any(True for _ in chain.from_iterable(files))


def _no_log(out: Output, about: Path | None = None) -> NotALog:
    """Returns the error that no log is there, with the next step for the question."""
    if about is not None:
        cause = "no coding agent's hook recorded anything in its repository"
        hint = "to record from now on: thence hook install claude-code (or codex), and"
        hint += " thence hook install git; to get a team's events: thence hook join URL"
        if log_of(str(about.resolve()))[1] is None:
            cause = "it is not in a working tree of a git repository, and no hook recorded there"
            hint = "ask about a file of a working tree, or record: thence hook install claude-code"
        return NotALog("could not find a log for", place=about.resolve(), cause=cause, hint=hint)
    root = Path(out.settings.runs)
    others = other_logs(out, ())
    return NotALog(
        "could not find a log",
        cause=f"not a log: {Path().absolute()}; no hooks recorded in its repository,"
        f" and {root.absolute()} holds no runs",
        hint=f"name one that is here: {others}"
        if others
        else "name one with --log, or create one: thence append --log FOLDER note text=hello;"
        " thence sim run EXAMPLE; thence hook install claude-code",
    )


def options(folders: Iterable[Path], option: str = "--log ") -> str:
    """Returns the options that name some logs, for a shell in this folder; three at most."""
    names = [relative_path(folder.resolve()) for folder in folders]
    rest = [f"and {len(names) - _SHOWN_LOGS_MAX} more"] * (len(names) > _SHOWN_LOGS_MAX)
    words = [option + shlex.quote(str(name)) for name in names[:_SHOWN_LOGS_MAX]]
    return ", ".join([*words, *rest])


def other_logs(out: Output, tried: Iterable[Path], option: str = "--log ") -> str:
    """Returns the options that name the logs here that were not tried, "" without any.

    With an empty `option` it returns only their names, for a log that is named by an argument too.
    """
    folders: list[Path] = []
    with suppress(ThenceError):  # of a log that can't be used
        folders += [place.folder for place in places(out)]
    folders += [*runs(Path(out.settings.runs)), *runs(Path())]
    paths = dict.fromkeys(folder.resolve() for folder in folders)
    tried_paths = {folder.resolve() for folder in tried}
    return options((path for path in paths if path not in tried_paths), option)


def is_log_of_agents(folder: Path) -> bool:
    """Reports whether a folder is a place where hooks of coding agents leave what they record."""
    return folder.absolute().parts[-2:] == tuple(LOG.split("/"))


def _log_of_agents(folder: Path) -> tuple[Path | None, bool]:
    """Returns the log of agents for a folder, if hooks have one, and whether it is a repository's.

    Raises NotALog for one that holds a symbolic link.
    """
    name, root = log_of(str(folder.absolute()))
    log = Path(name)
    if not (is_log(log) or (log / SPOOL).is_dir()):
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


def _find_named(out: Output, name: str, create: bool, is_run: bool = False) -> Path:
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
    what = "run" if is_run else "log"
    inside = [str(folder) for folder in runs(path)] if path.is_dir() else []
    if inside:
        cause = f"it is not a {what} itself, but holds {len(inside)}"
        hint = "name one of them: " + ", ".join(inside[:_SHOWN_LOGS_MAX])
    else:
        is_there = "there is no events.jsonl" if path.exists() else ""
        cause = is_there or f"there is neither {path} nor a run {run}"
        hint = "name a log's folder, or create one: `thence append --log FOLDER TYPE`"
        if is_run:
            hint = "`thence sim list` shows the runs"
        elif others := other_logs(out, (), option=""):
            hint = f"name one that is here: {others}"
    raise NotALog(f"could not find the {what}", place=path, cause=cause, hint=hint)


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
            cause=f"{link} is a symbolic link; thence follows one only in a log that you name",
            hint=f"name the log if it is yours: --log {folder}",
        )


def _link_in(folder: Path, *places: Path) -> Path | None:
    own = own_folder(folder)
    inside = sorted(own.iterdir()) if own.is_dir() and not own.is_symlink() else []
    paths = (*places, own, *segments(OS_DISK, folder), *inside)
    return next((path for path in paths if path.is_symlink()), None)
