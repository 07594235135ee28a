"""The commands `sync login`, `logout`, `enable` and `disable`: with whom a log is synced."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli.commands.sync.syncing import (
    check_packages,
    find_synced,
    project_at,
    project_of,
    synced_log_option,
)
from thence.cli.frame import (
    check_agreed,
    check_terminal,
    help_with,
    output_options,
    piped_password,
)
from thence.cli.output import Output, current
from thence.cli.shared.locate import find_log, is_log, named_log
from thence.cli.shared.logs import take_in_hooks
from thence.errors import SuppressCodes, SyncRefused
from thence.log.open import open_log

if TYPE_CHECKING:
    from thence.sync.credentials import Login
    from thence.sync.target import SyncTarget


class NamedLog(NamedTuple):
    """A log's folder, the name that it has at a server by itself, its kind, and its title there."""

    folder: Path
    name: str
    kind: str
    title: str


@click.command("login", **help_with("thence sync login https://thence.example --username ada"))
@click.argument("url", metavar="URL")
@click.option("--username", metavar="NAME", help="The name to log in with.")
@click.option(
    "--password-stdin", "is_piped", is_flag=True, help="Read the password from stdin, one line."
)
@output_options
def login_command(url: str, username: str | None, is_piped: bool) -> None:
    """Log in to a team's server, and keep the login for this user.

    It asks for the password on a terminal, and stores it nowhere. The tokens are stored in
    ~/.config/thence/credentials.json, which only you can read.
    """
    check_packages()
    from thence.sync.client import log_in, server_address
    from thence.sync.credentials import CredentialStore

    server = server_address(url)
    store = CredentialStore()
    store.logins()  # a file that can't be used is reported before a password is typed
    name = username or _asked("--username", "Username")
    asked = partial(_asked, "--password-stdin", "Password", is_hidden=True)
    login = log_in(server, name, piped_password() if is_piped else asked())
    store.save(login)
    team = login.team_slug
    current().result(
        {"server": login.server, "username": login.username, "team": team},
        [f"logged in at {login.server} as {login.username}{f', team {team}' if team else ''}"],
        () if team else ["you are not in a team yet: events are kept, not sent"],
    )


@click.command("logout", **help_with("thence sync logout https://thence.example"))
@click.argument("url", metavar="[URL]", required=False)
@click.option("--as", "username", metavar="NAME", help="The login's name.")
@output_options
def logout_command(url: str | None, username: str | None) -> None:
    """End a login at its server, and remove it here.

    If the server can't be reached, the login is only removed here: its tokens are valid there
    until they expire.
    """
    check_packages()
    from thence.sync.client import revoke, server_address
    from thence.sync.credentials import CredentialStore

    out = current()
    store = CredentialStore()
    login = store.login(url and server_address(url), username)
    is_revoked = True
    try:
        revoke(login)
    except SyncRefused as error:
        is_revoked = False
        out.warn(f"note: the server did not end the login: {error.cause}")
    store.remove(login)
    out.result(
        {"server": login.server, "username": login.username, "is_revoked": is_revoked},
        [f"logged out at {login.server} as {login.username}"],
    )


def _asked(option: str, text: str, *, is_hidden: bool = False) -> str:
    """Asks for a text on a terminal; raises UsageError without one."""
    check_terminal(f"give {option}")
    answer: str = click.prompt(text, hide_input=is_hidden, err=True)
    return answer


def _log_name(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    from thence.sync.wire.messages import LOG_NAME

    if name is not None and not LOG_NAME.fullmatch(name):
        text = f"{name!r:.80} is not a log's name on a server: letters, digits, . _ and -"
        raise click.BadParameter(text, context, parameter)
    return name


@click.command("enable", **help_with("thence sync enable", "thence sync enable --team atlas"))
@synced_log_option
@click.option("--server", metavar="URL", help="Default: the only server.")
@click.option("--team", metavar="TEAM", help="Default: your first team.")
@click.option("--as", "username", metavar="NAME", help="The login's name.")
@click.option(
    "--name",
    metavar="NAME",
    callback=_log_name,
    help="The log's name on the server, to join another log; a project has its own.",
)
@click.option(
    "--switch", "may_switch", is_flag=True, help="Change the target, and send it all the history."
)
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask before a switch.")
@output_options
def enable_command(
    log_name: str | None,
    server: str | None,
    team: str | None,
    username: str | None,
    name: str | None,
    may_switch: bool,
    is_sure: bool,
) -> None:
    """Name the server and team that a log is synced with; nothing is sent yet.

    It needs a login, and no network. From then on new events of a project carry the team. With
    --name a missing log is created: for the second machine of a log.
    """
    check_packages()
    from thence.sync.target import read_target, switched, write_target

    out = current()
    login = login_with_team(server, username, team)
    named = _named_log(out, log_name, name)
    before = read_target(named.folder)
    log_name = name or (before.log if before else named.name)
    title = name or (before.title if before else "") or named.title
    requested = requested_target(login, named._replace(name=log_name, title=title), before, team)
    target = switched(before, requested, may_switch=may_switch)
    if before is not None and before.key != target.key:
        out.notice(
            f"the next sync sends all events of this log to a new log, {target.log} of"
            f" {target.place}; events sent before stay where they are"
        )
        if not is_sure:
            operation = "did not switch the target of"
            check_agreed("Switch?", operation, "sync_refused", named.folder)
    write_target(named.folder, target)
    out.result(
        target,
        [f"sync is on: {target.place}"],
        [f"the log is {target.log} there; push and pull events: thence sync now"],
    )


def login_with_team(server: str | None, username: str | None, team: str | None) -> "Login":
    """Returns the login to a server; raises NotLoggedIn, and SyncRefused.

    That is for what is no address, and where there is no team.
    """
    from thence.sync.client import server_address
    from thence.sync.credentials import CredentialStore

    login = CredentialStore().login(server and server_address(server), username)
    if team is None and login.team_slug is None:
        raise SyncRefused(
            "could not enable sync with",
            place=login.server,
            cause=f"{login.username} is not in a team there",
            hint="ask a server admin for a team, then log in again",
        )
    return login


def requested_target(
    login: "Login", named: NamedLog, before: "SyncTarget | None", team: str | None
) -> "SyncTarget":
    """Returns the target of a log, with the team of the one before at the same server."""
    from thence.log.open import now
    from thence.sync.target import SyncTarget

    is_same = before is not None and (before.server, before.user) == (login.server, login.username)
    slug = team or (before.team if before and is_same else login.team_slug) or ""
    words = (login.server, slug, login.username, named.name, named.kind, now())
    return SyncTarget(*words, title=named.title)


@click.command("disable", **help_with("thence sync disable"))
@synced_log_option
@output_options
def disable_command(log_name: str | None) -> None:
    """Turn off a log's sync, and make a project's board private again.

    Events that were sent stay where they are; target and cursor are kept for the next time.
    """
    import msgspec

    from thence.sync.target import read_target, write_target
    from thence.work.session import sharing
    from thence.work.session.session import Session

    out = current()
    folder, project = find_synced(out, log_name)
    target = read_target(folder)
    if target is not None and target.is_enabled:
        write_target(folder, msgspec.structs.replace(target, is_enabled=False))
    place: str | None = None
    if project is not None:
        with Session(project.here, create=False) as session:
            session.refresh()
            if sharing.is_on_remote(session):
                place = sharing.state_of(session).place
                sharing.set_private(project, is_private=True)
    notes = [f"sent events stay on {place}, and in every clone"] if place else []
    is_known = target is not None or place is not None
    out.result({"is_enabled": False}, ["sync is off" if is_known else "sync was never on"], notes)


def _named_log(out: Output, log_name: str | None, name: str | None) -> NamedLog:
    """Returns a log with the name that it has by itself; without one, that of `thence log`.

    A project's journal is named by the project's id, and made in a clone that has no log yet;
    another log is named by its own id. With `name` a log that is missing is made, for the second
    machine of a log. Raises NotALog, PlanningError, SyncRefused.
    """
    from thence.core.vocabulary import WORK

    text, folder, project = named_log(out, log_name), None, None
    place = Path(text or ".")
    with SuppressCodes("not_a_log"):
        folder = find_log(out, log_name, create=text is not None and name is not None)
    is_new = folder is not None and not is_log(folder)
    if folder is not None and not is_new:
        project = project_of(folder)
    elif place.is_dir() and any(place.iterdir()):  # an empty folder is one for a log
        project = project_at(place)
    if project is not None:
        with open_log(project.home, WORK):
            title = project.root.resolve().name
            return NamedLog(project.home, project.uuid, WORK.name, title)
    folder = folder or find_log(out, log_name)
    take_in_hooks(folder)
    with open_log(folder, create=is_new) as log:
        named = NamedLog(folder, log.log_id or "", log.vocabulary.name, folder.resolve().name)
    if is_new:
        out.notice(f"created the log in {folder}, which is empty until `thence sync now`")
    if named.kind == WORK.name and name is None:
        raise SyncRefused(
            "could not name the log in",
            place=folder,
            cause="it is the journal of a project, which is named by the project's id",
            hint="name the project's folder: thence sync enable --log FOLDER",
        )
    return named
