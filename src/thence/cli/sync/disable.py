"""The command `sync disable`: turns sync of a log off."""

import click

from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.sync.synced_log import find_synced_log, synced_log_option


@click.command("disable", **help_with("thence sync disable"))
@synced_log_option
@output_options
def disable_command(log: str | None) -> None:
    """Turn sync of a log off; target, cursor and events are kept for the next time."""
    import msgspec

    from thence.sync.target import read_target, write_target

    out = current()
    folder = find_synced_log(out, log)
    target = read_target(folder)
    if target is not None and target.is_enabled:
        write_target(folder, msgspec.structs.replace(target, is_enabled=False))
    if out.is_json:
        out.json({"is_enabled": False})
    else:
        out.write("sync is off" if target else "sync was never on")
