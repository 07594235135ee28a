"""The command `work add`."""

import click

from thence.cli.frame import checked_name
from thence.cli.work.command_runner import command, feature_option, run


@command("add", 'thence work add "Read the spec again" --owns docs/spec.md')
@click.argument("title")
@click.option(
    "--owns",
    multiple=True,
    metavar="PATH",
    callback=checked_name,
    help="A path that it alone works on.",
)
@click.option("--after", multiple=True, metavar="WP", help="A package that it depends on.")
@feature_option
def add_command(
    title: str,
    owns: tuple[str, ...],
    after: tuple[str, ...],
    feature: str | None,
) -> int:
    """Add a package without a spec.

    It goes to the feature that is named, else to 000-general, which is made at first use.
    """
    from thence.work.commands.add import add

    return run(lambda session: add(session, title, owns=owns, after=after, feature=feature))
