"""The command `sync parked`: shows the events that stay behind."""

from contextlib import closing

import click

from thence.cli.commands.sync.synced_log import check_packages, opened_synced_log, synced_log_option
from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.shared.render import counted
from thence.errors import SyncRefused


@click.command(
    "parked",
    **help_with(
        "thence sync parked",
        "thence sync parked retry",
        "thence sync parked send 01JQXW5D8GSCGYB15ZC3R10NTF",
    ),
)
@click.argument(
    "action",
    metavar="[retry | send EVENT_ID]",
    required=False,
    type=click.Choice(["retry", "send"]),
)
@click.argument("event_id", metavar="", required=False)
@synced_log_option
@output_options
def parked_command(action: str | None, event_id: str | None, log_name: str | None) -> None:
    """Show parked events with the reasons; `retry` tries them again.

    A parked push was refused by the server, or seems to hold a secret: then it was never sent, and
    `retry` skips it; `send EVENT_ID` has the next round send it as it is. A parked pull is an event
    that this log can't take.
    """
    check_packages()
    if (action == "send") != (event_id is not None):
        raise click.UsageError("name the event with `send` only")
    from thence.sync.rounds import engine_offline

    out = current()
    count = 0
    with (
        opened_synced_log(out, log_name) as log,
        closing(engine_offline(log)) as engine,
    ):
        if event_id is not None:
            count = engine.send_parked(event_id)
            if not count:
                raise SyncRefused(
                    "could not send",
                    place=event_id,
                    cause="no event with this id is parked for a secret",
                    hint="see what is parked: thence sync parked",
                )
        elif action:
            count = engine.retry_parked()
        parked = engine.parked()
    value = {"parked": [one._asdict() for one in parked]}
    if action:
        text = f"the next round tries {counted(count, 'event')} again"
        out.result({**value, "retried": count}, [text])
        return
    out.result(
        value,
        [f"{one.direction}  {one.event_id}  {one.reason}" for one in parked],
        () if parked else ["nothing is parked"],
    )
