"""The commands `server init`, `run`, `backup` and `restore`: a server, and its copies."""

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from thence.cli.commands.server.opened_server import (
    audit,
    data_option,
    database_place,
    options_here,
    unix_option,
)
from thence.cli.frame import PATH, help_with, output_options
from thence.cli.output import current
from thence.cli.shared.progress import bar
from thence.errors import ThenceError

if TYPE_CHECKING:
    from thence.server.team.backups import Contents

_PORT_MAX = 65_535
_EPOCH_BYTES = 16
_TEAM = "team"


@click.command("init", **help_with("thence server init", "thence server init --data folder"))
@data_option
@click.option(
    "--team",
    metavar="TEAM",
    default=_TEAM,
    help=f"The name of the team; default: {_TEAM}.",
)
@output_options
def init_command(data: str, team: str) -> None:
    """Create a server's database, with its first team.

    It is in a folder that only you can read, or in an empty PostgreSQL database.
    """
    place = database_place(data)
    from thence.server.team.accounts import check_slug
    from thence.server.team.engines import make_database, shown

    check_slug(team)
    make_database(place, os.urandom(_EPOCH_BYTES).hex(), team)
    audit(data, "server.made", team=team)
    options = options_here(data)
    current().result(
        {"data": str(Path(data).absolute()), "team": team},
        [f"created a server in {shown(place)} with the team {team}"],
        [f"next: thence server user add NAME{options}, then thence server run{options}"],
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
    """Sync a team's logs over HTTP until a signal stops it.

    The address is the first line on stdout. TLS is left to a proxy: any address but loopback needs
    --behind-proxy.
    """
    from thence.server import running

    out, folder = current(), Path(data)
    if not (is_behind_proxy or running.is_loopback(host)):
        raise click.UsageError(
            f"passwords would cross the network to {host} in the clear: put a proxy with TLS"
            " in front of 127.0.0.1, or give --behind-proxy if nothing else reaches the address"
        )
    database = database_place(data)
    try:
        # an error about it comes before the address is printed
        if not isinstance(database, Path):
            from thence.server.team.engines import open_database

            open_database(database).close()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not database.is_file():
            raise ThenceError(
                "could not run the server of",
                place=data,
                cause=f"there is no {database.name} in it",
                hint=f"create one: thence server init --data {quote(data)}",
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
                        out.notice(f"rewrote {database.name}, because lines in it were redacted")
            address = running.address_of(listener)
            out.result({"url": address, "data": str(folder.absolute())}, [address])
            out.flush()
            out.notice(f"serving {folder.absolute()}; Ctrl-C stops it")
            running.serve_team(listener, database, folder, host, is_behind_proxy=is_behind_proxy)
    except (KeyboardInterrupt, SystemExit) as ended:  # the usual end, which needs no report
        out.end_at_once(ended)


@click.command(
    "backup", **help_with("thence server backup copy.db", "thence server backup --check copy.db")
)
@click.argument("copy", metavar="[FILE]", required=False, type=PATH)
@click.option("--check", "is_check", is_flag=True, help="Copy nothing: check FILE, or the data.")
@data_option
@output_options
def backup_command(copy: str | None, is_check: bool, data: str) -> None:
    """Copy a server's data into one file, even while it runs, and check it.

    The file must not exist yet; only you can read it. It holds password hashes too. A check
    compares each line and large value with its digest. A server on PostgreSQL is copied with
    pg_dump.
    """
    out = current()
    if is_check:
        place = Path(copy) if copy else database_place(data)
        from thence.server.team.backups import check

        with bar(out, "checking every line"):
            contents = check(place)
        out.result(contents._asdict(), [f"intact: {_counts(contents)}"])
        return
    if copy is None:
        raise click.UsageError("name the FILE, or give --check")
    database = _file(data)
    from thence.server.team.backups import back_up

    with bar(out, "checking every line"):
        contents = back_up(database, Path(copy))
    audit(data, "server.copied", copy=str(Path(copy).absolute()))
    size_bytes = Path(copy).stat().st_size
    out.result(
        {"copy": str(Path(copy).absolute()), "bytes": size_bytes, **contents._asdict()},
        [f"copied {database} to {copy}, {size_bytes:,} bytes, intact: {_counts(contents)}"],
    )


@click.command("restore", **help_with("thence server restore copy.db"))
@click.argument("copy", metavar="FILE", type=PATH)
@data_option
@output_options
def restore_command(copy: str, data: str) -> None:
    """Check a backup and restore it; stop the server first.

    The present data is kept in a file next to it. The backup stays as it is. Clones push again what
    is newer than the backup.
    """
    out = current()
    database = _file(data)
    from thence.server.team.backups import restore

    aside = database.with_name(f"replaced-{datetime.now(UTC):%Y-%m-%dT%H%M%S.%f}.db")
    with bar(out, "checking every line"):
        contents = restore(Path(copy), database, aside)
    audit(data, "server.restored", copy=str(Path(copy).absolute()))
    replaced = str(aside.absolute()) if aside.exists() else None
    options = options_here(data)
    notes = [f"the previous data is in {aside}"] if replaced else []
    out.result(
        {**contents._asdict(), "replaced": replaced},
        [f"restored {_counts(contents)}"],
        [*notes, f"next: thence server run{options}; clones push again what came after the copy"],
    )


def _file(data: str) -> Path:
    """Returns the file of a server's database; raises UsageError where it is in PostgreSQL."""
    place = database_place(data)
    if isinstance(place, Path):
        return place
    raise click.UsageError(
        "the database is in PostgreSQL: pg_dump copies it, pg_restore restores it"
    )


def _counts(contents: "Contents") -> str:
    return f"teams {contents.teams:,}, logs {contents.logs:,}, events {contents.events:,}"
