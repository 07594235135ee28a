"""The command `work share`."""

import click

from thence.cli.work.command_runner import command, run


@command("share", "thence work share branch")
@click.argument("mode", type=click.Choice(("branch", "tree")), metavar="branch|tree")
@click.option(
    "--anyway",
    "is_anyway",
    is_flag=True,
    help="To `branch`: though unmerged branches hold changes of day files.",
)
def share_command(mode: str, is_anyway: bool) -> int:
    """Choose how the project shares its events, and change over.

    `branch` is the remote's branch thence-board, to which `thence work publish` brings them.
    `tree` are day files on your own branches, which git merges line by line. Events shared in
    one way are still read after the other was chosen.
    """
    from thence.work.commands.share import share

    if is_anyway and mode != "branch":
        raise click.UsageError("--anyway is said of `share branch` alone: nothing stops `tree`")
    return run(lambda session: share(session, mode, is_anyway=is_anyway))
