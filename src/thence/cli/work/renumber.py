"""The command `work renumber`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work renumber WP10~ab12"""


@click.command("renumber", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP~ID")
@click.option("--to", metavar="WP", help="Its new number; else the next that is free.")
@feature_option
@common
def renumber_command(
    package: str, to: str | None, feature: str | None, actor: str | None, is_json: bool
) -> int:
    """Give a package whose number was given twice a number of its own.

    Its planning files, its branch and its worktree follow in the clone that has them. Given again,
    with the old name or the new number, it completes what is still to do here.
    """
    from thence.work.commands.renumber import renumber

    return run(
        "renumber",
        package,
        actor,
        lambda session: renumber(session, package, to=to, feature=feature),
    )
