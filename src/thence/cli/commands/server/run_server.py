"""The commands `server init` and `server run`: a team's server is made, and answers."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.commands.server.opened_server import (
    DEFAULT,
    audit,
    data_option,
    database_place,
)
from thence.cli.frame import checked_name, help_with, output_options
from thence.cli.output import Output, current, exit_code
from thence.errors import ThenceError

if TYPE_CHECKING:
    from ssl import SSLContext

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
@click.option(
    "--reader-role",
    metavar="ROLE",
    help="The PostgreSQL role that reads for one team; default: thence_reader.",
)
@output_options
def init_command(data: str, team: str, reader_role: str | None) -> None:
    """Make the database of a server, with its first team.

    It lies in a folder that only you can read, or in an empty database of PostgreSQL.
    """
    place = database_place(data)
    from thence.server.team.accounts import check_slug
    from thence.server.team.engines import make_database, shown

    check_slug(team)
    make_database(place, os.urandom(_EPOCH_BYTES).hex(), reader_role, team)
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
@click.option("--tls-cert", metavar="FILE", help="The certificate chain, in PEM, for HTTPS.")
@click.option("--tls-key", metavar="FILE", help="The key of the certificate, in PEM.")
@output_options
def run_command(data: str, host: str, port: int, tls_cert: str | None, tls_key: str | None) -> None:
    """Serve the logs of a team over HTTP until a signal ends it.

    The address is the first line on stdout. Another address than this machine's own needs TLS: by
    --tls-cert, or by a proxy before it.
    """
    out = current()
    try:
        _serve(out, data, (host, port), (tls_cert, tls_key))
    except (KeyboardInterrupt, SystemExit) as ended:  # the usual end, which needs no report
        out.end_at_once(exit_code(ended))


def _serve(
    out: Output,
    data: str,
    endpoint: tuple[str, int],
    tls_files: tuple[str | None, str | None],
) -> None:
    from thence.server import running

    host, port = endpoint
    tls = _tls(host, *tls_files)
    database, folder = database_place(data), Path(data)
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
    listener = running.listening(port, host)
    from thence.server.team.backups import serving
    from thence.server.team.sqlite import SqliteDatabase

    with serving(folder):
        if isinstance(database, Path):
            # redactions since the last time may have left copies
            with closing(SqliteDatabase(database)) as opened:
                if opened.compact():
                    out.notice(f"wrote {database.name} anew, as lines in it were redacted")
        url_host = f"[{host}]" if ":" in host else host
        address = f"{'https' if tls else 'http'}://{url_host}:{listener.getsockname()[1]}"
        out.result({"url": address, "data": str(folder.absolute())}, [address])
        out.flush()
        out.notice(f"serving {folder.absolute()}; Ctrl-C ends it")
        running.serve_team(listener, database, folder, host, out.settings.metrics_token, tls)


def _tls(host: str, certificate: str | None, key: str | None) -> "SSLContext | None":
    """Returns the TLS of two files; raises UsageError for an address that must not be without."""
    from thence.server import running

    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key are given together")
    if certificate and key:
        return running.tls_context(Path(certificate), Path(key))
    if not running.is_loopback(host):
        raise click.UsageError(
            f"passwords would cross the network to {host} in the clear: give --tls-cert and"
            " --tls-key, or put a proxy with TLS before 127.0.0.1"
        )
    return None
