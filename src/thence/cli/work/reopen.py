"""The command `work reopen`."""

import click

from thence.cli.work.command_runner import command, feature_option, reason_option, run


@command("reopen", "thence work reopen WP01 --reason reverted")
@click.argument("package", metavar="WP")
@feature_option
@reason_option
def reopen_command(
    package: str,
    feature: str | None,
    reason: str | None,
) -> int:
    """Take up again a package that is done.

    It goes from done to doing, and is yours; `thence work implement` makes its worktree again.
    """
    from thence.work.commands.move_task import reopen

    return run(
        lambda session: reopen(session, package, feature=feature, reason=reason or ""),
        entity=package,
    )
