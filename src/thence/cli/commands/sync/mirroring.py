"""The command `sync mirror`: a team's logs in a folder, to look at."""

import signal
import sys
from pathlib import Path
from threading import Event

import click

from thence.cli.commands.sync.enable import login_with_team
from thence.cli.commands.sync.syncing import check_packages
from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.errors import SyncRefused, ThenceError

_PAUSE_S = 5.0


@click.command(
    "mirror",
    **help_with(
        "thence sync mirror https://thence.example team-logs",
        "thence sync mirror https://thence.example team-logs --follow",
    ),
)
@click.argument("url", metavar="URL")
@click.argument("root", type=click.Path(path_type=Path, file_okay=False))
@click.option("--team", metavar="TEAM", help="Default: your first team.")
@click.option("--as", "username", metavar="NAME", help="The login's name.")
@click.option(
    "-f", "--follow", "is_live", is_flag=True, help="Look for changes every 5 s until Ctrl-C."
)
@output_options
def mirror_command(
    url: str, root: Path, team: str | None, username: str | None, is_live: bool
) -> None:
    """Pull all of a team's logs that you may read into the folder ROOT, which holds nothing else.

    Redactions are followed. The logs refuse appends; one that you may no longer read stays, and
    its .thence/mirror.json says so. `thence serve ROOT` shows them. Exit code 1: a log could not be
    mirrored.
    """
    check_packages()
    from thence.sync.credentials import CredentialStore
    from thence.sync.mirror import mirror
    from thence.sync.target import SyncTarget

    login = login_with_team(url, username, team)
    target = SyncTarget(login.server, team or login.team_slug or "", login.username, "", "", "")
    out, store = current(), CredentialStore()
    out.is_endless = is_live
    if is_live:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    said: str | None = None
    while True:
        try:
            with bar(out, "lines pulled") as show:
                report = mirror(root, target, store, lambda log, pulled: show(pulled, 0, log))
            if said != "" or report.pulled or report.redacted:
                counts = report._asdict() | {
                    "unmirrored": {log: str(error) for log, error in report.unmirrored.items()}
                }
                pulled = counted(report.pulled, "event")
                out.result(
                    counts,
                    [f"mirrored {counted(report.logs, 'log')}: pulled {pulled}"],
                    [
                        *(f"not mirrored: {error}" for error in report.unmirrored.values()),
                        *(f"no longer on the server: {log}" for log in report.withdrawn),
                        f"look at them: thence serve {root}",
                    ],
                )
                out.flush()
            said = ""
        except ThenceError as error:
            if not is_live:
                raise
            if str(error) != said:  # the same is said once
                said = str(error)
                out.warn(f"note: {error}")
        if not is_live:
            break
        Event().wait(_PAUSE_S)
    if report.unmirrored:
        raise SyncRefused(
            "could not mirror all logs into",
            place=root,
            cause=f"{len(report.unmirrored):,} of {report.logs:,} are not up to date",
            hint="see the notes above, then try again",
            code="sync_error",
        )
