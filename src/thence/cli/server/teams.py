"""The commands `server team`: adds teams, lists them."""

import click

from thence.cli.groups import Commands, help_with, json_option, verbosity_options
from thence.cli.output import current
from thence.cli.server.data_folder import accounts_in, data_option


@click.group(
    "team",
    cls=Commands,
    invoke_without_command=True,
    **help_with("thence server team add docs", "thence server team list"),
)
@verbosity_options
@click.pass_context
def team_command(context: click.Context) -> None:
    """Add teams, or list them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@team_command.command("add", **help_with("thence server team add docs"))
@click.argument("name")
@data_option
@json_option
@verbosity_options
def add_command(name: str, data: str, is_json: bool) -> None:
    """Add a team; its logs are seen by its users alone."""
    out = current()
    with accounts_in(data) as accounts:
        accounts.add_team(name)
    if is_json:
        out.json({"team": name})
    else:
        out.write(f"added the team {name}")


@team_command.command("list", **help_with("thence server team list --json"))
@data_option
@json_option
@verbosity_options
def list_command(data: str, is_json: bool) -> None:
    """List the teams."""
    out = current()
    with accounts_in(data) as accounts:
        teams = accounts.teams()
    if is_json:
        out.json({"teams": teams})
    else:
        for team in teams:
            out.write(team)
