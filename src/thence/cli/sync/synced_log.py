"""The log of a command of `thence sync`: a project's journal, unless another one is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from thence.cli.frame import checked_name, require_packages
from thence.cli.output import Output
from thence.cli.shared.locate import find_log, is_log, named_log
from thence.errors import NotALog
from thence.open_log.log import Log, open_log

# the counts of a round, and their names in `--json`
ROUND_COUNTS = {
    "taken": "pulled",
    "delivered": "pushed",
    "duplicate": "duplicate",
    "rejected": "rejected",
    "taken_back": "redacted",
}

synced_log_option = click.option(
    "--log",
    "log",
    metavar="LOG",
    callback=checked_name,
    help="The log: its folder, one of its files, or a run's id. Else THENCE_LOG, or the journal of"
    " this project.",
)


def find_synced_log(out: Output, log: str | None) -> Path:
    """Returns the folder of the log; raises NotALog, `not_a_project`."""
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


def check_packages() -> None:
    """Raises ExtraMissing if a package is missing that speaks HTTP or signs."""
    require_packages("could not speak to a server", "sync", "httpcore2", "nacl")
