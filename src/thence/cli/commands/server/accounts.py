"""The commands of `thence server` about who uses it: teams, users, tokens."""

import secrets
from datetime import UTC, datetime

import click

from thence.cli.commands.server.opened_server import OpenedServer, server_command, team_option
from thence.cli.frame import command_group, piped_password
from thence.cli.output import current

_ROLES = ("reader", "writer", "admin")
_PASSWORD_BYTES = 18
_TOKEN_DAYS_MAX = 3_650
_DAY_S = 24 * 3_600
_ONCE = "it is shown only once; the server keeps a hash"


_role_option = click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="writer",
    help="The role: a reader pulls events, a writer pushes them too.",
)


_password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin, one line."
)


@command_group("team", "thence server team add docs", "thence server team list")
def team_command() -> None:
    """Add teams, and list them."""


@server_command(team_command, "add", "thence server team add docs")
@click.argument("name")
def add_team(server: OpenedServer, name: str) -> None:
    """Add a team; only its users see its logs."""
    server.accounts.add_team(name)
    server.audit("team.added", team=name)
    current().result({"team": name}, [f"added the team {name}"])


@server_command(team_command, "list", "thence server team list --json")
def list_teams(server: OpenedServer) -> None:
    """List the teams."""
    teams = server.accounts.teams()
    current().result({"teams": teams}, teams)


@command_group("user", "thence server user add ada", "thence server user list")
def user_command() -> None:
    """Add users, list or remove them, change their roles and passwords."""


@server_command(
    user_command, "add", "thence server user add ada", "thence server user add bob --role reader"
)
@click.argument("name")
@_role_option
@team_option
@_password_option
def add_user(
    server: OpenedServer, name: str, role: str, team: str | None, password_stdin: bool
) -> None:
    """Add a user to a team, even while the server runs.

    Without --password-stdin a password is generated and shown once. A user who is in another team
    keeps their password.
    """
    text, new_password = _password(password_stdin)
    team = server.team(team)
    is_new = server.accounts.add_user(name, team, role, lambda: text)
    server.audit("user.added", user=name, team=team, role=role, is_new=is_new)
    article = "an" if role == "admin" else "a"
    _show(
        {"user": name, "team": team, "role": role},
        [f"{name} is {article} {role} in {team}"],
        new_password if is_new else None,
    )


def _password(from_stdin: bool) -> tuple[str, str | None]:
    """Returns a password, and again if it was made here and is to be shown."""
    if from_stdin:
        return piped_password(), None
    text = secrets.token_urlsafe(_PASSWORD_BYTES)
    return text, text


def _show(value: dict[str, object], lines: list[str], new_password: str | None) -> None:
    """Shows a result, with a password that was made here."""
    last, notes = ([f"password: {new_password}"], [_ONCE]) if new_password else ([], [])
    current().result({**value, "password": new_password}, [*lines, *last], notes)


@server_command(
    user_command,
    "set",
    "thence server user set bob --role reader",
    "thence server user set ada --password",
)
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), help="The role from the next request on.")
@click.option("--password", "is_made", is_flag=True, help="Generate a new password, and show it.")
@_password_option
@team_option
def set_user(
    server: OpenedServer,
    name: str,
    role: str | None,
    is_made: bool,
    password_stdin: bool,
    team: str | None,
) -> None:
    """Change the role of a user or a token in a team, or a user's password.

    A new password ends all the user's logins.
    """
    if not (role or is_made or password_stdin):
        raise click.UsageError("give --role, --password or --password-stdin")
    change: dict[str, object] = {"user": name}
    lines: list[str] = []
    new_password: str | None = None
    if role:
        team = server.team(team)
        former = server.accounts.set_role(name, team, role)
        change |= {"team": team, "role": role, "former": former}
        server.audit("role.changed", **change)
        lines.append(f"{name} has the role {role} in {team}, and had the role {former}")
    if is_made or password_stdin:
        text, new_password = _password(password_stdin)
        server.accounts.set_password(name, text)
        server.audit("password.changed", user=name)
        lines.append(f"{name} has a new password, and must log in again")
    _show(change, lines, new_password)


@server_command(user_command, "list", "thence server user list --json")
def list_users(server: OpenedServer) -> None:
    """List the users with their teams and roles."""
    members = server.accounts.members()
    current().result(
        {"users": [member._asdict() for member in members]},
        [f"{member.user}  {member.team}  {member.role}" for member in members],
        () if members else [f"no users yet: thence server user add NAME{server.options}"],
    )


# what somebody who was removed may still do
_STILL_WORKS = (
    "their logins have ended; their events, clones and mirrors stay",
    "a board shared through git still accepts their pushes: stop that where the repository is",
    "machine tokens that they know still work: thence server token list{options}",
)


@server_command(user_command, "remove", "thence server user remove ada")
@click.argument("name")
def remove_user(server: OpenedServer, name: str) -> None:
    """Remove a user from all teams, and end their logins; their events stay."""
    server.accounts.remove_user(name)
    server.audit("user.removed", user=name)
    current().result(
        {"removed": name},
        [f"removed {name}"],
        [note.format(options=server.options) for note in _STILL_WORKS],
    )


@command_group("token", "thence server token add ci --role reader", "thence server token list")
def token_command() -> None:
    """Add, list or revoke tokens for machines such as CI."""


@server_command(token_command, "add", "thence server token add ci --role writer --expires 90")
@click.argument("name")
@_role_option
@click.option(
    "--expires",
    "days",
    metavar="DAYS",
    type=click.IntRange(1, _TOKEN_DAYS_MAX),
    default=90,
    help="The number of days; default: 90.",
)
@team_option
def add_token(server: OpenedServer, name: str, role: str, days: int, team: str | None) -> None:
    """Create a token and show it once, even while the server runs.

    A program sends it as Authorization: Bearer TOKEN. It is listed among the users by its name.
    """
    team = server.team(team)
    server.accounts.add_machine(name, team, role)
    token = server.logins.machine_token(name, days * _DAY_S)
    (record,) = (one for one in server.logins.machine_tokens() if one.name == name)
    until = _date(record.expires)
    server.audit("token.made", token=name, team=team, role=role, expires=until)
    value = {"name": name, "team": team, "role": role, "expires": until, "token": token}
    lines = [f"{name} has the role {role} in {team} until {until}", f"token: {token}"]
    current().result(value, lines, [_ONCE])


@server_command(token_command, "list", "thence server token list --json")
def list_tokens(server: OpenedServer) -> None:
    """List the tokens with their teams, roles and expiry dates; never the tokens themselves."""
    tokens = server.logins.machine_tokens()
    lines = []
    for row in tokens:
        end = "has expired" if row.has_expired else f"until {_date(row.expires)}"
        lines.append(f"{row.name}  {row.team}  {row.role}  {end}")
    current().result(
        {"tokens": [{**row._asdict(), "expires": _date(row.expires)} for row in tokens]},
        lines,
        () if tokens else [f"no tokens yet: thence server token add NAME{server.options}"],
    )


@server_command(token_command, "revoke", "thence server token revoke ci")
@click.argument("name")
def revoke_token(server: OpenedServer, name: str) -> None:
    """Revoke a token, immediately in all serving processes; the events it pushed stay."""
    server.accounts.remove_machine(name)
    server.audit("token.revoked", token=name)
    current().result({"revoked": name}, [f"revoked {name}"])


def _date(seconds: float) -> str:
    """Returns a time in seconds since 1970 as the second of a day, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
