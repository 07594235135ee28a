"""The command `work release`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, force_option, reason_option, run

_EXAMPLE = """\b
Example:
  thence work release WP01"""


@click.command("release", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP")
@feature_option
@force_option
@reason_option
@common
def release_command(
    package: str,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Give back a package that you work on, so that anybody can take it.

    It goes from doing to planned; its branch and worktree stay, and who takes it next goes on
    there.
    """
    from thence.work.commands.move_task import release

    return run(
        "release",
        package,
        actor,
        lambda session: release(
            session, package, feature=feature, reason=reason or "", is_forced=is_forced
        ),
    )
