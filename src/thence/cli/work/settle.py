"""The command `work settle`."""

import click

from thence.cli.work.command_runner import command, feature_option, run


@command("settle", "thence work settle WP01 --winner ada --reason 'she is further'")
@click.argument("package", metavar="WP")
@click.option(
    "--winner",
    metavar="EVENT_OR_ACTOR",
    required=True,
    help="What stands: the last event of a side, or who wrote it.",
)
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept in the log.")
@feature_option
def settle_command(
    package: str,
    winner: str,
    reason: str,
    feature: str | None,
) -> int:
    """Choose which side of a conflict stands.

    The sides are what `thence work conflicts` shows. It is one event; both sides stay in the log.
    """
    from thence.work.commands.settle import settle

    return run(
        lambda session: settle(session, package, winner=winner, reason=reason, feature=feature),
        entity=package,
    )
