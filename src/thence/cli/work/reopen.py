"""The command `work reopen`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, reason_option, run

_EXAMPLE = """\b
Example:
  thence work reopen WP01 --reason reverted"""


@click.command("reopen", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP")
@feature_option
@reason_option
@common
def reopen_command(
    package: str,
    feature: str | None,
    reason: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Take up again a package that is done.

    It goes from done to doing, and is yours; `thence work implement` makes its worktree again.
    """
    from thence.work.commands.move_task import reopen

    return run(
        "reopen",
        package,
        actor,
        lambda session: reopen(session, package, feature=feature, reason=reason or ""),
    )
