"""The command `work add-history`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.door import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work add-history WP01 'It locks too long'"""


@click.command("add-history", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP")
@click.argument("text")
@click.option(
    "--type",
    "kind",
    type=click.Choice(("note", "review", "error", "comment")),
    default="note",
    show_default=True,
    help="What kind of entry it is.",
)
@feature_option
@common
def add_history_command(
    package: str,
    text: str,
    kind: str,
    feature: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Keep what you have to say about a package.

    It is one event; nothing is committed now.
    """
    from thence.work.commands.add_history import add_history

    return run(
        "add-history",
        package,
        actor,
        lambda desk: add_history(desk, package, text, kind=kind, feature=feature),
    )
