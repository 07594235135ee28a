"""The commands `server team`: adds teams, lists them, gives their nodes to keys."""

import click

from thence.cli.frame import Commands, help_with, output_options, verbosity_options
from thence.cli.output import current
from thence.cli.server.data_folder import accounts_in, audit, data_option, keys_in


@click.group(
    "team",
    cls=Commands,
    invoke_without_command=True,
    **help_with("thence server team add docs", "thence server team list"),
)
@verbosity_options
@click.pass_context
def team_command(context: click.Context) -> None:
    """Add teams, list them, or give a node to another key."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@team_command.command("add", **help_with("thence server team add docs"))
@click.argument("name")
@data_option
@output_options
def add_command(name: str, data: str) -> None:
    """Add a team; its logs are seen by its users alone."""
    out = current()
    with accounts_in(data) as accounts:
        accounts.add_team(name)
    audit(data, "team.added", team=name)
    if out.is_json:
        out.json({"team": name})
    else:
        out.write(f"added the team {name}")


@team_command.command("list", **help_with("thence server team list --json"))
@data_option
@output_options
def list_command(data: str) -> None:
    """List the teams."""
    out = current()
    with accounts_in(data) as accounts:
        teams = accounts.teams()
    if out.is_json:
        out.json({"teams": teams})
    else:
        for team in teams:
            out.write(team)


@team_command.command("claim", **help_with("thence server team claim docs 0123456789ab KEY"))
@click.argument("team")
@click.argument("node")
@click.argument("key")
@data_option
@output_options
def claim_command(team: str, node: str, key: str, data: str) -> None:
    """Give a node of a team to a key, whoever had it, also while the server runs.

    The key may then redact the lines of the node. A key has 64 hex digits.
    """
    out = current()
    with keys_in(data) as keys:
        former = keys.claim(team, node, key)
    audit(data, "node.claimed", team=team, nodes=[node], public_key=key, former=former)
    if out.is_json:
        out.json({"team": team, "node": node, "public_key": key, "former": former})
    else:
        out.write(f"the node {node} of {team} belongs to the key {key}")
        if former not in (None, key):
            out.write(f"before it belonged to {former}")
