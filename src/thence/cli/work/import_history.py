"""The command `work import`."""

import click

from thence.cli.output import current
from thence.cli.work.command_runner import command, feature_option, run


@command("import", "thence work import --dry-run")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be imported.")
@feature_option
def import_command(is_dry: bool, feature: str | None) -> int:
    """Bring the history in planning files into the log, once.

    It reads the lanes and Activity Log lines of package files, tasks.md, meta.json, and the
    lines of day files that other tools wrote. It reports the number of parts that it can't
    read, and names them with -v; the exit code is 3 then.
    """
    from thence.work.commands.import_history import import_history

    is_detailed = current().is_verbose
    return run(
        lambda session: import_history(session, feature, is_dry=is_dry, is_detailed=is_detailed)
    )
