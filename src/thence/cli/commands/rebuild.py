"""The command `rebuild`: builds the index of a log again."""

from time import monotonic

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import current


@click.command("rebuild", **help_with("thence rebuild --log output/my-run"))
@log_option
@json_option
@verbosity_options
def rebuild_command(log: str | None, is_json: bool) -> None:
    """Make the index of a log again from its lines.

    It is never needed: an index that is missing, damaged or old is made again by whoever
    asks. A small log is read without one, until it has one.
    """
    from thence.cli.commands.stats import segment_sizes
    from thence.cli.shared.locate import find_log
    from thence.cli.shared.progress import bytes_read
    from thence.cli.shared.render import counted
    from thence.replica import open_log

    out = current()
    with open_log(find_log(out, log), create=False) as replica:
        size = sum(segment_sizes(replica.folder))
        out.notice(f"reading {counted(size, 'byte')} of {replica.folder}")
        begin = monotonic()
        with bytes_read(out, size) as show:
            events = replica.answers.rebuild(show)
        seconds = monotonic() - begin
    if is_json:
        out.json({"events": events, "bytes": size, "seconds": round(seconds, 3)})
    else:
        out.write(f"indexed {counted(events, 'event')} in {seconds:.1f} s")
