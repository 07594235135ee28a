"""The command `work release`."""

import click

from thence.cli.work.command_runner import command, feature_option, force_option, reason_option, run


@command("release", "thence work release WP01")
@click.argument("package", metavar="WP")
@feature_option
@force_option
@reason_option
def release_command(
    package: str,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Give back a package that you work on, so that anybody can take it.

    It goes from doing to planned; its branch and worktree stay, and who takes it next goes on
    there.
    """
    from thence.work.commands.move_task import release

    return run(
        lambda session: release(
            session, package, feature=feature, reason=reason or "", is_forced=is_forced
        ),
        entity=package,
    )
