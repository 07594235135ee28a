"""The log of a command of `thence sync`: a project's journal, unless another one is named."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click

from thence.cli.frame import checked_name
from thence.cli.output import Output
from thence.cli.shared.locate import find_log, is_log, named_log
from thence.errors import ExtraMissing, NotALog, SyncRefused
from thence.replica import Log, open_log
from thence.sync.target import read_target, refuse_large_values

# the counts of a round, and their names in `--json`
ROUND_COUNTS = {
    "taken": "pulled",
    "delivered": "pushed",
    "duplicate": "duplicate",
    "rejected": "rejected",
    "taken_back": "redacted",
}
_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}", re.ASCII)

synced_log_option = click.option(
    "--log",
    "log",
    metavar="LOG",
    callback=checked_name,
    help="The log: its folder, one of its files, or a run's id. Else THENCE_LOG, or the journal of"
    " this project.",
)


class NamedLog(NamedTuple):
    """A log's folder, the name that it has at a server by itself, and its kind."""

    folder: Path
    name: str
    kind: str


def find_synced_log(out: Output, log: str | None) -> Path:
    """Returns the folder of the log; raises NotALog, NotAProject."""
    if named_log(out, log) is not None:
        return find_log(out, log)
    from thence.work.project.project import find_project

    home = find_project(Path(), create=False).home
    if not is_log(home):
        raise NotALog(
            "could not find the journal of",
            place=Path().absolute(),
            cause="the project has none yet",
            hint="make it and turn sync on: thence sync enable",
        )
    return home


@contextmanager
def opened_synced_log(out: Output, log: str | None) -> Iterator[Log]:
    """Opens the log, and closes it."""
    with open_log(find_synced_log(out, log), create=False) as replica:
        yield replica


def named_for_server(out: Output, log: str | None, name: str | None) -> NamedLog:
    """Returns a log with the name that it has at a server; makes a project's missing journal.

    Without `name` it is that of the target before, else a project's journal is named by the
    project's id, another log by its own id. With `name` a log that is missing is made, for the
    second machine of a log. Raises NotALog, NotAProject, SyncRefused.
    """
    if name is not None:
        _check_name(Path(named_log(out, log) or "."), name)
    named = _project_journal(out, log, may_make=name is not None)
    if named is None:
        folder = find_log(out, log, create=name is not None)
        is_new = not is_log(folder)
        with open_log(folder, create=is_new) as replica:
            named = NamedLog(folder, replica.log_id or "", replica.vocabulary.name)
        if is_new:
            out.notice(f"made the log in {folder}, which is empty until `thence sync now`")
        if named.kind == "work" and name is None:
            raise SyncRefused(
                "could not name the log in",
                place=folder,
                cause="it is the journal of a project, which is named by the project's id",
                hint="name the project's folder: thence sync enable --log FOLDER",
            )
    refuse_large_values(named.folder)
    before = read_target(named.folder)
    named = named._replace(name=name or (before.log if before else named.name))
    _check_name(named.folder, named.name)
    return named


def _check_name(folder: Path, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SyncRefused(
            "could not name the log in",
            place=folder,
            cause=f"{name!r:.80} is no name of a log at a server",
            hint="give it one of letters, digits, . _ and -: --name NAME",
        )


def check_packages() -> None:
    """Raises ExtraMissing if a package is missing that speaks HTTP or signs."""
    for package in ("httpcore2", "nacl"):
        if find_spec(package) is None:
            raise ExtraMissing(
                "could not speak to a server",
                cause=f"{package} is not installed",
                hint="pip install 'thence[sync]'",
            )


def _project_journal(out: Output, log: str | None, *, may_make: bool) -> NamedLog | None:
    """Returns the journal of the project in a folder; None for a log that is named itself."""
    text = named_log(out, log)
    folder = Path(text or ".")
    if text and (not folder.is_dir() or is_log(folder)):
        return None
    if text and may_make and not any(folder.iterdir()):  # an empty folder for a log
        return None
    from thence.core.values.vocabulary import WORK
    from thence.work.project.project import find_project

    project = find_project(folder)
    with open_log(project.home, WORK):
        return NamedLog(project.home, project.uuid, WORK.name)
