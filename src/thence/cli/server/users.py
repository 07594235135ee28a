"""The commands `server user`: adds users to teams, lists them, removes them."""

import secrets
import sys

import click

from thence.cli.frame import Commands, checked_name, help_with, output_options, verbosity_options
from thence.cli.output import current
from thence.cli.server.data_folder import accounts_in, audit, data_option

ROLES = ("reader", "writer", "admin")
_PASSWORD_BYTES = 18
_TEAMS_SHOWN_MAX = 5
_PASSWORD_LINE_MAX = 4_096


@click.group(
    "user",
    cls=Commands,
    invoke_without_command=True,
    **help_with("thence server user add ada", "thence server user list"),
)
@verbosity_options
@click.pass_context
def user_command(context: click.Context) -> None:
    """Add users, list or remove them, change their roles and passwords."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@user_command.command(
    "add", **help_with("thence server user add ada", "thence server user add bob --role reader")
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="writer",
    help="What the user may do: a reader pulls events, a writer pushes them too.",
)
@click.option(
    "--team", metavar="TEAM", callback=checked_name, help="The team; else the only one there is."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, one line.")
@data_option
@output_options
def add_command(name: str, role: str, team: str | None, password_stdin: bool, data: str) -> None:
    """Add a user to a team, also while the server runs.

    Without --password-stdin a password is made and shown this once. A user who is in another team
    keeps their password.
    """
    out = current()
    passwords: list[str] = []

    def password() -> str:
        text, is_made = _new_password(password_stdin)
        passwords.extend([text] if is_made else [])
        return text

    with accounts_in(data) as accounts:
        team = team or only_team(accounts.teams())
        added = accounts.add_user(name, team, role, password)
    audit(data, "user.added", user=name, team=team, role=role, is_new=added.is_new)
    new_password = passwords[0] if passwords and added.is_new else None
    if out.is_json:
        out.json({"user": name, "team": team, "role": role, "password": new_password})
        return
    out.write(
        f"{name} is a {role} in {team}" if role != "admin" else f"{name} is an admin in {team}"
    )
    if new_password:
        out.write(f"password: {new_password}")
        out.notice("it is shown this once; the server keeps a hash")


def _new_password(from_stdin: bool) -> tuple[str, bool]:
    """Returns a password, and whether it was made here and is to be shown."""
    if from_stdin:
        return sys.stdin.readline(_PASSWORD_LINE_MAX).rstrip("\r\n"), False
    return secrets.token_urlsafe(_PASSWORD_BYTES), True


@user_command.command("role", **help_with("thence server user role bob reader"))
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@click.option(
    "--team", metavar="TEAM", callback=checked_name, help="The team; else the only one there is."
)
@data_option
@output_options
def role_command(name: str, role: str, team: str | None, data: str) -> None:
    """Change what a user or a token may do in a team, from their next request on."""
    out = current()
    with accounts_in(data) as accounts:
        team = team or only_team(accounts.teams())
        former = accounts.set_role(name, team, role)
    audit(data, "role.changed", user=name, team=team, role=role, former=former)
    if out.is_json:
        out.json({"user": name, "team": team, "role": role, "former": former})
    else:
        out.write(f"{name} has the role {role} in {team}, and had the role {former}")


@user_command.command("password", **help_with("thence server user password ada"))
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, one line.")
@data_option
@output_options
def password_command(name: str, password_stdin: bool, data: str) -> None:
    """Give a user another password, and end all their logins.

    Without --password-stdin a password is made and shown this once.
    """
    out = current()
    text, is_made = _new_password(password_stdin)
    with accounts_in(data) as accounts:
        accounts.set_password(name, text)
    audit(data, "password.changed", user=name)
    if out.is_json:
        out.json({"user": name, "password": text if is_made else None})
        return
    out.write(f"{name} has another password, and has to log in again")
    if is_made:
        out.write(f"password: {text}")
        out.notice("it is shown this once; the server keeps a hash")


def only_team(teams: list[str]) -> str:
    """Returns the one team there is; raises UsageError."""
    if len(teams) != 1:
        there_are = f"there are {', '.join(teams[:_TEAMS_SHOWN_MAX])}" if teams else "there is none"
        raise click.UsageError(f"name the team with --team; {there_are}")
    return teams[0]


@user_command.command("list", **help_with("thence server user list --json"))
@data_option
@output_options
def list_command(data: str) -> None:
    """List the users with their teams and roles."""
    out = current()
    with accounts_in(data) as accounts:
        members = accounts.members()
    if out.is_json:
        out.json({"users": [member._asdict() for member in members]})
    elif not members:
        out.notice("no users yet: thence server user add NAME")
    for member in () if out.is_json else members:
        out.write(f"{member.user}  {member.team}  {member.role}")


@user_command.command("remove", **help_with("thence server user remove ada"))
@click.argument("name")
@data_option
@output_options
def remove_command(name: str, data: str) -> None:
    """Remove a user from all teams, and end their logins; what they sent stays."""
    out = current()
    with accounts_in(data) as accounts:
        accounts.remove_user(name)
    audit(data, "user.removed", user=name)
    if out.is_json:
        out.json({"removed": name})
    else:
        out.write(f"removed {name}")
