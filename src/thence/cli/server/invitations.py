"""The commands `server invitation`: invite people by links, list these, revoke them."""

import click

from thence.cli.frame import Commands, checked_name, help_with, output_options, verbosity_options
from thence.cli.output import current
from thence.cli.server.data_folder import accounts_in, audit, data_option, invitations_in
from thence.cli.server.tokens import date, expires_option
from thence.cli.server.users import ROLES, only_team

DAYS_MAX = 30


@click.group(
    "invitation",
    cls=Commands,
    invoke_without_command=True,
    **help_with("thence server invitation add ada", "thence server invitation list"),
)
@verbosity_options
@click.pass_context
def invitation_command(context: click.Context) -> None:
    """Invite people by links that work once, list these or revoke them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@invitation_command.command(
    "add", **help_with("thence server invitation add ada --role writer --expires 2d")
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="writer",
    help="What the user may do: a reader pulls events, a writer pushes them too.",
)
@expires_option("2d", DAYS_MAX)
@click.option(
    "--team", metavar="TEAM", callback=checked_name, help="The team; else the only one there is."
)
@data_option
@output_options
def add_command(name: str, role: str, expires: int, team: str | None, data: str) -> None:
    """Invite somebody who is no user yet, by a link that is shown this once.

    They choose a password on its page or by the command. The link needs the server's address,
    which `thence server run --url` names; a new invitation of a name replaces the former one.
    """
    out = current()
    with accounts_in(data) as accounts:
        team = team or only_team(accounts.teams())
    with invitations_in(data) as invitations:
        token = invitations.invite(name, team, role, expires)
        record = next(one for one in invitations.all() if (one.name, one.team) == (name, team))
        url = invitations.server_url
    from thence.server.team.ways_in import invitation_link

    until = date(record.expires)
    audit(data, "invitation.made", user=name, team=team, role=role, expires=until)
    link = invitation_link(url, token) if url else None
    if out.is_json:
        words = {"name": name, "team": team, "role": role, "expires": until}
        out.json({**words, "token": token, "link": link})
        return
    out.write(f"{name} is invited to {team} with the role {role} until {until}")
    if link:
        out.write(f"link: {link}")
    out.write(f"command: thence sync login {url or 'URL'} --invitation {token}")
    out.notice("it works once and is shown this once; the server keeps a hash")


@invitation_command.command("list", **help_with("thence server invitation list --json"))
@data_option
@output_options
def list_command(data: str) -> None:
    """List the invitations that were not used; never their tokens."""
    out = current()
    with invitations_in(data) as invitations:
        rows = invitations.all()
    if out.is_json:
        out.json({"invitations": [{**row._asdict(), "expires": date(row.expires)} for row in rows]})
    elif not rows:
        out.notice("no invitations are open: thence server invitation add NAME")
    for row in () if out.is_json else rows:
        end = "has expired" if row.has_expired else f"until {date(row.expires)}"
        out.write(f"{row.name}  {row.team}  {row.role}  {end}")


@invitation_command.command("revoke", **help_with("thence server invitation revoke ada"))
@click.argument("name")
@data_option
@output_options
def revoke_command(name: str, data: str) -> None:
    """Revoke the invitations of a name, at once in all processes that serve."""
    out = current()
    with invitations_in(data) as invitations:
        invitations.revoke(name)
    audit(data, "invitation.revoked", user=name)
    if out.is_json:
        out.json({"revoked": name})
    else:
        out.write(f"revoked the invitation of {name}")
