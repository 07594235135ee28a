"""The commands `server token`: let machines in by tokens, list these, revoke them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from thence.cli.frame import Commands, checked_name, help_with, output_options, verbosity_options
from thence.cli.output import current
from thence.cli.server.data_folder import accounts_in, audit, data_option, logins_in
from thence.cli.server.users import ROLES, only_team

DAYS_MAX = 3_650
_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)
_DAY_S = 24 * 3_600
_F = TypeVar("_F", bound=Callable[..., object])


def expires_option(default: str, days_max: int) -> Callable[[_F], _F]:
    """Returns the option --expires, a number of days, which the command gets in seconds."""

    def lifetime_s(context: click.Context, option: click.Parameter, text: str) -> int:
        days = _DAYS.fullmatch(text)
        if days is None or int(days[1]) > days_max:
            raise click.BadParameter(f"it is not 1d to {days_max}d")
        return int(days[1]) * _DAY_S

    words = f"In days; else {default}."
    return click.option(
        "--expires", metavar="DAYS", callback=lifetime_s, default=default, help=words
    )


def date(seconds: float) -> str:
    """Returns a time in seconds since 1970 as the second of a day, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@click.group(
    "token",
    cls=Commands,
    invoke_without_command=True,
    **help_with("thence server token add ci --role reader", "thence server token list"),
)
@verbosity_options
@click.pass_context
def token_command(context: click.Context) -> None:
    """Let a machine such as CI in by a token, list or revoke tokens."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@token_command.command("add", **help_with("thence server token add ci --role writer --expires 90d"))
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="writer",
    help="What the machine may do: a reader pulls events, a writer pushes them too.",
)
@expires_option("90d", DAYS_MAX)
@click.option(
    "--team", metavar="TEAM", callback=checked_name, help="The team; else the only one there is."
)
@data_option
@output_options
def add_command(name: str, role: str, expires: int, team: str | None, data: str) -> None:
    """Make a token and show it this once, also while the server runs.

    A program sends it as Authorization: Bearer TOKEN. Its name stands for it among the users.
    """
    out = current()
    with accounts_in(data) as accounts:
        team = team or only_team(accounts.teams())
        accounts.add_machine(name, team, role)
    with logins_in(data) as logins:
        token = logins.machine_token(name, expires)
        record = next(one for one in logins.machine_tokens() if one.name == name)
    until = date(record.expires)
    audit(data, "token.made", token=name, team=team, role=role, expires=until)
    if out.is_json:
        out.json({"name": name, "team": team, "role": role, "expires": until, "token": token})
        return
    out.write(f"{name} has the role {role} in {team} until {until}")
    out.write(f"token: {token}")
    out.notice("it is shown this once; the server keeps a hash")


@token_command.command("list", **help_with("thence server token list --json"))
@data_option
@output_options
def list_command(data: str) -> None:
    """List the tokens with their teams, roles and ends; never the tokens themselves."""
    out = current()
    with logins_in(data) as logins:
        tokens = logins.machine_tokens()
    if out.is_json:
        rows = [{**token._asdict(), "expires": date(token.expires)} for token in tokens]
        out.json({"tokens": rows})
    elif not tokens:
        out.notice("no tokens yet: thence server token add NAME")
    for token in () if out.is_json else tokens:
        end = "has expired" if token.has_expired else f"until {date(token.expires)}"
        out.write(f"{token.name}  {token.team}  {token.role}  {end}")


@token_command.command("revoke", **help_with("thence server token revoke ci"))
@click.argument("name")
@data_option
@output_options
def revoke_command(name: str, data: str) -> None:
    """Revoke a token, at once in all processes that serve; what it brought stays."""
    out = current()
    with accounts_in(data) as accounts:
        accounts.remove_machine(name)
    audit(data, "token.revoked", token=name)
    if out.is_json:
        out.json({"revoked": name})
    else:
        out.write(f"revoked {name}")
