"""The command `work next`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work next --actor ada --json"""


@click.command("next", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@feature_option
@common
def next_command(
    feature: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Take the next package that is ready, so that nobody else does.

    It goes from planned to doing. With nothing ready the exit code is 4.
    """
    from thence.work.commands.next_package import next_package

    return run("next", "", actor, lambda session: next_package(session, feature))
