"""The command `work mark-status`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.door import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work mark-status T001 T002"""


@click.command("mark-status", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("subtasks", metavar="T...", nargs=-1, required=True)
@feature_option
@common
def mark_status_command(
    subtasks: tuple[str, ...],
    feature: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Tick the boxes of subtasks in tasks.md.

    The changed tasks.md is committed on the feature's target branch.
    """
    from thence.work.commands.mark_status import mark_status

    return run(
        "mark-status",
        "",
        actor,
        lambda desk: mark_status(desk, subtasks, feature=feature),
    )
