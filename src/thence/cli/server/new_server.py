"""The command `server init`: makes the folder and the database of a team's server."""

import os
from pathlib import Path

import click

from thence.cli.frame import help_with, output_options
from thence.cli.output import current
from thence.cli.server.data_folder import (
    accounts_in,
    audit,
    data_option,
    database_place,
    shown,
    team_option,
)

_EPOCH_BYTES = 16


@click.command("init", **help_with("thence server init", "thence server init --data folder"))
@data_option
@team_option
@click.option(
    "--reader-role",
    metavar="ROLE",
    help="The role that reads for one team in PostgreSQL; else thence_reader.",
)
@output_options
def init_command(data: str, team: str, reader_role: str | None) -> None:
    """Make the database of a server, with its first team.

    It lies in a folder that only you may read, or in a database of PostgreSQL that is empty yet.
    """
    out = current()
    place = database_place(data)
    from thence.server.team.accounts import check_slug
    from thence.server.team.engines import make_database

    check_slug(team)
    make_database(place, os.urandom(_EPOCH_BYTES).hex(), reader_role)
    with accounts_in(data) as accounts:
        accounts.add_team(team)
    audit(data, "server.made", team=team)
    if out.is_json:
        out.json({"data": str(Path(data).absolute()), "team": team})
    else:
        out.write(f"made a server in {shown(place)} with the team {team}")
        folder = "" if data == "thence-server" else f" --data {data}"
        out.notice(f"next: thence server user add NAME{folder}, then thence server run{folder}")
