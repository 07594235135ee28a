"""The command `work implement`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, force_option, reason_option, run

_EXAMPLE = """\b
Example:
  thence work implement WP01 --actor ada"""


@click.command("implement", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP")
@click.option(
    "--take-over", "takes_over", is_flag=True, help="Take it from who has it; they are told."
)
@feature_option
@force_option
@reason_option
@common
def implement_command(
    package: str,
    takes_over: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Take a package, and make the worktree that it is done in.

    The package goes from planned to doing. Its branch begins at the branches of what it depends
    on, where these are not merged yet, else at the feature's target branch.
    """
    from thence.work.commands.implement import implement

    return run(
        "implement",
        package,
        actor,
        lambda session: implement(
            session,
            package,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            takes_over=takes_over,
        ),
    )
