"""The log of a command of `thence sync`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from thence.cli.frame import checked_name, require_packages
from thence.cli.output import Output
from thence.cli.shared.locate import find_log, named_log, places
from thence.cli.shared.logs import take_in_hooks
from thence.log.open import Log, open_log

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
    "log_name",
    metavar="LOG",
    callback=checked_name,
    help="The log: its folder, one of its files, or a run's id. Default: THENCE_LOG, or the one"
    " that `thence log` shows; all but enable prefer the first for which sync was enabled.",
)


def find_synced_log(out: Output, log_name: str | None) -> Path:
    """Returns the folder of the log; raises NotALog, PlanningError.

    Without a name it is the first of this folder's logs that sync was enabled for, else the one
    that `thence log` shows.
    """
    if named_log(out, log_name) is None:
        from thence.sync.target import target_path

        for number, place in enumerate(places(out)):
            if target_path(place.folder).is_file():
                if number or place.is_noted:
                    place.note(out)
                return place.folder
    return find_log(out, log_name)


@contextmanager
def opened_synced_log(out: Output, log_name: str | None) -> Iterator[Log]:
    """Opens the log, with what hooks of agents left for it, and closes it."""
    folder = find_synced_log(out, log_name)
    take_in_hooks(folder)
    with open_log(folder, create=False) as log:
        yield log


def check_packages() -> None:
    """Raises ExtraMissing if a package is missing that speaks HTTP or signs."""
    require_packages("could not speak to a server", "sync", "httpcore2", "nacl")
