"""The command `work add-history`."""

import click

from thence.cli.work.command_runner import command, feature_option, run


@command("add-history", "thence work add-history WP01 'It locks too long'")
@click.argument("package", metavar="WP")
@click.argument("text", metavar="TEXT", required=False)
@click.option("--note", metavar="TEXT", help="Another way to pass TEXT.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(("note", "review", "error", "comment")),
    default="note",
    show_default=True,
    help="What kind of entry it is.",
)
@feature_option
def add_history_command(
    package: str,
    text: str | None,
    note: str | None,
    kind: str,
    feature: str | None,
) -> int:
    """Keep what you have to say about a package.

    It is one event; nothing is committed now.
    """
    from thence.work.commands.add_history import add_history

    if text is not None and note is not None:
        raise click.UsageError("TEXT and --note say the same: give one of them")
    entry = note if text is None else text
    if entry is None:
        raise click.UsageError("Missing argument 'TEXT'")
    return run(
        lambda session: add_history(session, package, entry, kind=kind, feature=feature),
        entity=package,
    )
