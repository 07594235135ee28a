"""The command `sync parked`: shows the events that stay behind."""

from contextlib import closing

import click

from thence.cli.groups import help_with, json_option, verbosity_options
from thence.cli.output import current
from thence.cli.shared.render import counted
from thence.cli.sync.synced_log import check_packages, opened_synced_log, synced_log_option


@click.command("parked", **help_with("thence sync parked", "thence sync parked retry"))
@click.argument("action", metavar="[retry]", required=False, type=click.Choice(["retry"]))
@synced_log_option
@json_option
@verbosity_options
def parked_command(action: str | None, log: str | None, is_json: bool) -> None:
    """Show the events that stay behind, with the reasons; `retry` tries them again.

    A push is one that the server refused, a pull one that this log can't take.
    """
    check_packages()
    from thence.sync.state import engine_offline

    out = current()
    with (
        opened_synced_log(out, log) as replica,
        closing(engine_offline(replica)) as engine,
    ):
        count = engine.retry_parked() if action else 0
        parked = engine.parked()
    if is_json:
        lines = [
            {"event_id": one.event_id, "direction": one.direction, "reason": one.reason}
            for one in parked
        ]
        out.json({"parked": lines, "retried": count} if action else {"parked": lines})
        return
    if action:
        out.write(f"the next round tries {counted(count, 'event')} again")
        return
    for one in parked:
        out.write(f"{one.direction}  {one.event_id}  {one.reason}")
    if not parked:
        out.notice("nothing is parked")
