"""The command `work settle`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work settle WP01 --winner ada --reason 'she is further'"""


@click.command("settle", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("package", metavar="WP")
@click.option(
    "--winner",
    metavar="EVENT_OR_ACTOR",
    required=True,
    help="What stands: the last event of a side, or who wrote it.",
)
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept in the log.")
@feature_option
@common
def settle_command(
    package: str,
    winner: str,
    reason: str,
    feature: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Choose which side of a conflict stands.

    The sides are what `thence work conflicts` shows. It is one event; both sides stay in the log.
    """
    from thence.work.commands.settle import settle

    return run(
        "settle",
        package,
        actor,
        lambda session: settle(session, package, winner=winner, reason=reason, feature=feature),
    )
