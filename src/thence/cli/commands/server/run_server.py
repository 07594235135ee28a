"""The commands `server init` and `server run`: a team's server is made, and answers."""

import os
from contextlib import closing
from pathlib import Path

import click

from thence.cli.commands.server.opened_server import (
    DEFAULT,
    audit,
    data_option,
    database_place,
    unix_option,
)
from thence.cli.frame import checked_name, help_with, output_options
from thence.cli.output import current, exit_code
from thence.errors import ThenceError

_PORT_MAX = 65_535
_EPOCH_BYTES = 16
_TEAM = "team"


@click.command("init", **help_with("thence server init", "thence server init --data folder"))
@data_option
@click.option(
    "--team",
    metavar="TEAM",
    default=_TEAM,
    callback=checked_name,
    help=f"The name of the team; default: {_TEAM}.",
)
@output_options
def init_command(data: str, team: str) -> None:
    """Make the database of a server, with its first team.

    It lies in a folder that only you can read, or in an empty database of PostgreSQL.
    """
    place = database_place(data)
    from thence.server.team.accounts import check_slug
    from thence.server.team.engines import make_database, shown

    check_slug(team)
    make_database(place, os.urandom(_EPOCH_BYTES).hex(), team)
    audit(data, "server.made", team=team)
    folder = "" if data == DEFAULT else f" --data {data}"
    current().result(
        {"data": str(Path(data).absolute()), "team": team},
        [f"made a server in {shown(place)} with the team {team}"],
        [f"next: thence server user add NAME{folder}, then thence server run{folder}"],
    )


@click.command(
    "run", **help_with("thence server run", "curl http://127.0.0.1:8378/api/v1/sync/health/")
)
@data_option
@click.option("--host", default="127.0.0.1", help="The address to listen on; default: 127.0.0.1.")
@click.option(
    "--port",
    type=click.IntRange(0, _PORT_MAX),
    default=8378,
    show_default=False,
    help="The port, 0 for any; default: 8378.",
)
@unix_option
@click.option(
    "--behind-proxy",
    "is_behind_proxy",
    is_flag=True,
    help="Only a proxy with TLS reaches the address; its X-Forwarded-For is believed.",
)
@output_options
def run_command(data: str, host: str, port: int, unix: Path | None, is_behind_proxy: bool) -> None:
    """Sync the logs of a team over HTTP until a signal ends it.

    The address is the first line on stdout. TLS is the part of a proxy: another address than this
    machine's own needs --behind-proxy.
    """
    from thence.server import running

    out, folder = current(), Path(data)
    if not (is_behind_proxy or running.is_loopback(host)):
        raise click.UsageError(
            f"passwords would cross the network to {host} in the clear: put a proxy with TLS"
            " before 127.0.0.1, or give --behind-proxy where nothing else reaches the address"
        )
    database = database_place(data)
    try:
        # an error about it comes before the address is printed
        if not isinstance(database, Path):
            from thence.server.team.engines import open_database

            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            open_database(database).close()
        elif not database.is_file():
            raise ThenceError(
                "could not run the server of",
                place=data,
                cause=f"there is no {database.name} in it",
                hint="make one: thence server init",
                code="not_a_server",
            )
        running.end_on_sigterm()
        listener = running.listening_at(unix) if unix else running.listening(port, host)
        from thence.server.team.backups import serving
        from thence.server.team.sqlite import SqliteDatabase

        with serving(folder):
            if isinstance(database, Path):
                # redactions since the last time may have left copies
                with closing(SqliteDatabase(database)) as opened:
                    if opened.compact():
                        out.notice(f"wrote {database.name} anew, as lines in it were redacted")
            address = running.address_of(listener)
            out.result({"url": address, "data": str(folder.absolute())}, [address])
            out.flush()
            out.notice(f"serving {folder.absolute()}; Ctrl-C ends it")
            running.serve_team(listener, database, folder, host, is_behind_proxy=is_behind_proxy)
    except (KeyboardInterrupt, SystemExit) as ended:  # the usual end, which needs no report
        out.end_at_once(exit_code(ended))
