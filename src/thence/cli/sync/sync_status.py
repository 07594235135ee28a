"""The command `sync status`: shows the state of a log's sync."""

from typing import TYPE_CHECKING

import click

from thence.cli import FAILED
from thence.cli.frame import help_with, output_options
from thence.cli.output import Output, current
from thence.cli.shared.render import counted
from thence.cli.sync.synced_log import (
    ROUND_COUNTS,
    check_packages,
    opened_synced_log,
    synced_log_option,
)

if TYPE_CHECKING:
    from thence.sync.state import Differences, SyncState
    from thence.sync.target import SyncReport


@click.command("status", **help_with("thence sync status", "thence sync status --check"))
@synced_log_option
@click.option(
    "--check", "is_checked", is_flag=True, help="Ask the server; exit 1 if anything differs."
)
@output_options
def status_command(log: str | None, is_checked: bool) -> int:
    """Show the queue, the connection and the last sync of any process.

    Without --check no network is used.
    """
    check_packages()
    from thence.sync.credentials import CredentialStore
    from thence.sync.state import differences, sync_state

    out, store = current(), CredentialStore()
    differing: Differences | None = None
    with opened_synced_log(out, log) as replica:
        state = sync_state(replica, store)
        if is_checked:
            differing = differences(replica, store)
    if out.is_json:
        out.json(_as_json(state, differing))
    else:
        _write(out, state, differing)
    return FAILED if differing or (is_checked and state.parked) else 0


def _as_json(state: "SyncState", differing: "Differences | None") -> dict[str, object]:
    fields: dict[str, object] = {
        "is_enabled": state.target is not None and state.target.is_enabled,
        "target": state.target,
        "login": state.login,
        "connection": state.connection,
        "pending": state.pending,
        "parked": state.parked,
        "failures": state.failures,
        "background": "running" if state.is_service_running else "stopped",
        "last": None if state.last is None else _last_as_json(state.last),
        "public_key": state.public_key or None,
        "node_id": state.node_id,
    }
    if differing is not None:
        fields |= {
            "is_in_sync": not differing and not state.parked,
            "missing_there": differing.missing_there,
            "missing_here": differing.missing_here,
        }
    return fields


def _last_as_json(last: "SyncReport") -> dict[str, object]:
    import msgspec

    return {
        ROUND_COUNTS.get(name, name): value
        for name, value in msgspec.structs.asdict(last).items()
        if name != "error"
    }


def _write(out: Output, state: "SyncState", differing: "Differences | None") -> None:
    from thence.sync.target import connection_words

    target = state.target
    if target is None:
        out.write("target      none: thence sync enable")
    else:
        off_text = "" if target.is_enabled else " (turned off)"
        out.write(f"target      {target.place}{off_text}", f"log         {target.log}")
    if state.public_key:
        out.write(f"key         {state.public_key}", f"node        {state.node_id or 'none yet'}")
    words = connection_words(state.connection, is_service_running=state.is_service_running)
    out.write(f"login       {state.login}", f"connection  {words}")
    if state.pending is not None:
        out.write(f"queue       {counted(state.pending, 'event')}")
    out.write(f"parked      {counted(state.parked, 'event')}", f"last sync   {_last(state.last)}")
    if state.last is not None and state.last.error_text:
        out.write(
            f"failed      {counted(state.failures, 'time')} in a row: {state.last.error_text}"
        )
    out.write(f"background  {'a service runs' if state.is_service_running else 'no service runs'}")
    if differing is not None:
        far, near = (
            counted(differing.missing_there, "line"),
            counted(differing.missing_here, "line"),
        )
        text = f"{far} missing there, {near} missing here" if differing else "the same as here"
        out.write(f"server      {text}")


def _last(last: "SyncReport | None") -> str:
    if last is None:
        return "never"
    service_text = " by the background service" if last.is_background else ""
    return f"{last.at}{service_text}: pulled {last.taken:,}, pushed {last.delivered:,}"
