"""The command `work prune`."""

import click

from thence.cli.work.command_runner import command, feature_option, run


@command("prune", "thence work prune --dry-run")
@feature_option
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what would go, and what stays.")
@click.option(
    "--refs", "takes_refs", is_flag=True, help="Take away too what keeps the commits reviewed."
)
def prune_command(
    feature: str | None,
    is_dry: bool,
    takes_refs: bool,
) -> int:
    """Remove worktrees and branches of packages whose code has landed.

    Nothing goes that is not committed or has not landed; what stays is reported with the reason.
    Ignored files go with the worktree's folder.
    """
    from thence.work.commands.prune import prune

    return run(
        lambda session: prune(session, feature=feature, is_dry=is_dry, takes_refs=takes_refs)
    )
