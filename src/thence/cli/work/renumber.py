"""The command `work renumber`."""

import click

from thence.cli.work.command_runner import command, feature_option, run


@command("renumber", "thence work renumber WP10~ab12")
@click.argument("package", metavar="WP~ID")
@click.option("--to", metavar="WP", help="Its new number; else the next that is free.")
@feature_option
def renumber_command(package: str, to: str | None, feature: str | None) -> int:
    """Give a package whose number was given twice a number of its own.

    Its planning files, its branch and its worktree follow in the clone that has them. Given again,
    with the old name or the new number, it completes what is still to do here.
    """
    from thence.work.commands.renumber import renumber

    return run(lambda session: renumber(session, package, to=to, feature=feature), entity=package)
