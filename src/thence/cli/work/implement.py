"""The command `work implement`."""

import click

from thence.cli.work.command_runner import command, feature_option, force_option, reason_option, run


@command("implement", "thence work implement WP01 --actor ada")
@click.argument("package", metavar="WP")
@click.option(
    "--take-over",
    "takes_over",
    is_flag=True,
    help="Take it from whoever has it; they are notified.",
)
@feature_option
@force_option
@reason_option
def implement_command(
    package: str,
    takes_over: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Take a package, and make the worktree that it is done in.

    The package goes from planned to doing. Its branch begins at the branches of what it depends
    on, where these are not merged yet, else at the feature's target branch.
    """
    from thence.work.commands.implement import implement

    return run(
        lambda session: implement(
            session,
            package,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            takes_over=takes_over,
        ),
        entity=package,
    )
