"""The command `work setup-spec`."""

import click

from thence.cli.work.command_runner import command, run


@command("setup-spec", 'thence work setup-spec "Sync in the background"')
@click.argument("title")
@click.option("--mission", default="software-dev", show_default=True, help="The kind of work.")
@click.option(
    "--target-branch",
    metavar="BRANCH",
    help="Where its packages are merged; else the branch that is checked out.",
)
def setup_spec_command(title: str, mission: str, target_branch: str | None) -> int:
    """Begin a feature: its folder, its spec, the branch it goes to.

    The folder kitty-specs/NNN-title/ with spec.md, plan.md and meta.json is committed on the
    branch that is checked out. Write the spec, then tasks.md, then run finalize-tasks.
    """
    from thence.work.commands.setup_spec import setup_spec

    return run(
        lambda session: setup_spec(session, title, mission=mission, target_branch=target_branch)
    )
