"""The commands `server backup` and `server restore`: copies of what a server keeps."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.commands.server.opened_server import audit, data_option, database_place
from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.shared.progress import bar

if TYPE_CHECKING:
    from thence.server.team.backups import Contents


@click.command(
    "backup", **help_with("thence server backup copy.db", "thence server backup --check copy.db")
)
@click.argument("copy", metavar="[FILE]", required=False)
@click.option("--check", "is_check", is_flag=True, help="Copy nothing: check FILE, or the data.")
@data_option
@output_options
def backup_command(copy: str | None, is_check: bool, data: str) -> None:
    """Copy a server's data into one file, also while it runs, and check it.

    The file must not exist yet; only you can read it. It holds password hashes too. A check
    compares each line and large value with its digest. A server on PostgreSQL is copied by pg_dump.
    """
    out = current()
    if is_check:
        place = Path(copy) if copy else database_place(data)
        from thence.server.team.backups import check

        with bar(out, "checking every line"):
            contents = check(place)
        out.result(contents._asdict(), [f"whole: {_counts(contents)}"])
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
        [f"copied {database} to {copy}, {size_bytes:,} bytes, whole: {_counts(contents)}"],
    )


@click.command("restore", **help_with("thence server restore copy.db"))
@click.argument("copy", metavar="FILE")
@data_option
@output_options
def restore_command(copy: str, data: str) -> None:
    """Check a backup and restore it; end the server first.

    The present data is kept in a file beside it. The backup stays as it is. Clones push again what
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
    notes = [f"what was there is in {aside}"] if replaced else []
    out.result(
        {**contents._asdict(), "replaced": replaced},
        [f"restored {_counts(contents)}"],
        [*notes, "next: thence server run; clones push again what came after the copy"],
    )


def _file(data: str) -> Path:
    """Returns the file of a server's database; raises UsageError where it is in PostgreSQL."""
    place = database_place(data)
    if isinstance(place, Path):
        return place
    raise click.UsageError(
        "the database is in PostgreSQL: pg_dump copies it, pg_restore puts it back"
    )


def _counts(contents: "Contents") -> str:
    return f"teams {contents.teams:,}, logs {contents.logs:,}, events {contents.events:,}"
