"""The commands `server backup`, `verify`, `restore` and `copy`: copies of what is kept."""

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.server.opened_server import (
    audit,
    database_file,
    database_place,
    folder_option,
    only_team,
    shown,
    target_place,
    team_option,
)
from thence.cli.shared.progress import parts_done
from thence.errors import NotAServer

if TYPE_CHECKING:
    from thence.server.team.backups import Contents


@click.command("backup", **help_with("thence server backup copy.db"))
@click.argument("copy", metavar="FILE")
@folder_option
@output_options
def backup_command(copy: str, data: str) -> None:
    """Copy all that a server keeps into one file, also while it runs.

    The file must not exist yet; only you may read it. It holds password hashes too.
    """
    out = current()
    database = _file(data)
    from thence.server.team.backups import back_up

    with parts_done(out, "copying") as show:
        back_up(database, Path(copy), _now(), show)
    audit(data, "server.copied", copy=str(Path(copy).absolute()))
    size_bytes = Path(copy).stat().st_size
    out.result(
        {"copy": str(Path(copy).absolute()), "bytes": size_bytes},
        [f"copied {database} to {copy}, {size_bytes:,} bytes"],
        [f"next: thence server verify {copy}"],
    )


@click.command("verify", **help_with("thence server verify", "thence server verify copy.db"))
@click.argument("copy", metavar="[FILE]", required=False)
@folder_option
@output_options
def verify_command(copy: str | None, data: str) -> None:
    """Read each line that a server keeps, or that a copy holds, and check its digest.

    Nothing is changed. The first that is wrong is named, with exit code 3.
    """
    out = current()
    database = _file(data)
    from thence.server.team.backups import verify

    with parts_done(out, "checking") as show:
        contents = verify(Path(copy) if copy else database, show)
    out.result(asdict(contents), [f"whole: {_counts(contents)}"])


@click.command("restore", **help_with("thence server restore copy.db"))
@click.argument("copy", metavar="FILE")
@folder_option
@output_options
def restore_command(copy: str, data: str) -> None:
    """Verify a copy and put it in the place of what a server keeps; end the server first.

    What was there is moved into a folder beside it. The copy stays as it is. Clones bring again
    what came after the copy was made.
    """
    out = current()
    database = _file(data)
    from thence.server.team.backups import restore

    aside = database.with_name(f"replaced-{_now('milliseconds').replace(':', '')}")
    with parts_done(out, "checking") as show:
        contents = restore(Path(copy), database, aside, show)
    audit(data, "server.restored", copy=str(Path(copy).absolute()), copied_at=contents.copied_at)
    replaced = str(aside.absolute()) if aside.exists() else None
    notes = [f"what was there is in {aside}"] if replaced else []
    out.result(
        {**asdict(contents), "replaced": replaced},
        [f"restored {_counts(contents)}"],
        [*notes, "next: thence server run; clones bring again what came after the copy"],
    )


@click.command("copy", **help_with("thence server copy postgresql:///thence --team docs"))
@click.argument("target", metavar="TARGET")
@team_option
@folder_option
@output_options
def copy_command(target: str, team: str | None, data: str) -> None:
    """Copy a team to another server's database, also to one in PostgreSQL.

    TARGET is an address of PostgreSQL or the folder of another server, which `server init` has
    made. The server of the team must not run. A copy that was ended goes on when it is typed again;
    at the end both sides are compared.
    """
    out = current()
    source = database_file(data)
    place = target_place(target)
    if isinstance(place, Path) and place.resolve() == source.resolve():
        raise click.UsageError("the team is in that server already: name another one")
    if not source.is_file():
        raise NotAServer(
            "could not copy a team of",
            place=data,
            cause=f"there is no {source.name} in it",
            hint="name the folder of the server that has the team by --data",
        )
    from thence.server.team.accounts import Accounts
    from thence.server.team.backups import serving
    from thence.server.team.engines import open_database
    from thence.server.team.team_copies import copy_team

    with (
        serving(source.parent),
        closing(open_database(source)) as ours,
        closing(open_database(place)) as theirs,
    ):
        team = team or only_team(Accounts(ours, str).teams())
        with parts_done(out, "copying") as show:
            copied = copy_team(ours, theirs, team, show)
    audit(data, "team.copied", team=team, target=shown(place))
    counts = f"{copied.members:,} members, {copied.logs:,} logs, {copied.events:,} events"
    out.result(
        {"team": team, **copied._asdict()},
        [f"copied {team}: {counts}"],
        ["its members and machines log in to the other server; nothing was removed here"],
    )


def _file(data: str) -> Path:
    """Returns the file of a server's database; raises UsageError where it is in PostgreSQL."""
    place = database_place(data)
    if isinstance(place, Path):
        return place
    raise click.UsageError(
        "THENCE_DATABASE names a database in PostgreSQL: pg_dump copies it, pg_restore puts it back"
    )


def _counts(contents: "Contents") -> str:
    ending = f", copied at {contents.copied_at}" if contents.copied_at else ""
    return f"teams {contents.teams:,}, logs {contents.logs:,}, events {contents.events:,}{ending}"


def _now(precision: str = "seconds") -> str:
    return datetime.now(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
