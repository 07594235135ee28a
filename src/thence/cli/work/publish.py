"""The command `work publish`."""

import click

from thence.cli.work.command_runner import command, run


def _commits_nowhere(_: click.Context, __: click.Parameter, branch: str | None) -> str | None:
    """Refuses an option of the version before this one."""
    if branch is not None:
        raise click.UsageError(
            "--target-branch is gone, for events are shared by the board's branch alone: leave it"
            " out, and where git tracks day files type `thence work import` once"
        )
    return branch


@command("publish", "thence work publish")
@click.option("--target-branch", hidden=True, callback=_commits_nowhere)
def publish_command(target_branch: str | None) -> int:
    """Push events to other clones, and pull theirs.

    They go to the branch thence-board of the remote, which nothing else uses: no branch of yours
    moves. Events that others have published come with every `git fetch` too.
    """
    from thence.work.commands.publish import publish

    return run(publish)
