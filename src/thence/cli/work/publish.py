"""The command `work publish`."""

import click

from thence.cli.work.command_runner import command, run


@command("publish", "thence work publish")
@click.option("--target-branch", metavar="BRANCH", help="With `share: tree`: where to commit.")
def publish_command(
    target_branch: str | None,
) -> int:
    """Share events with other clones, and take in theirs.

    They go to the branch thence-board of the remote, which nothing else uses: no branch of yours
    moves. Where day files are tracked (`share: tree`) they are committed on your branch instead.
    Events that others have published come with every `git fetch` too.
    """
    from thence.work.commands.publish import publish

    return run(lambda session: publish(session, target_branch))
