"""The command `hook join`: the agents' log of a repository, shared through a team's server."""

from pathlib import Path
from shlex import quote

import click

from thence.cli.commands.sync.enable import (
    NamedLog,
    login_with_team,
    requested_target,
    store_target,
)
from thence.cli.commands.sync.now import drained
from thence.cli.commands.sync.synced_log import check_packages
from thence.cli.frame import checked_name, help_with, output_options
from thence.cli.output import current
from thence.cli.shared.render import counted
from thence.errors import GitFailed, SyncRefused, ThenceError
from thence.git.repository import Repository, repository
from thence.trace.agents.fired import log_of
from thence.trace.agents.intake import is_masked, make_log, open_agents_log, take_in


@click.command("join", **help_with("thence hook join https://thence.example", extra="sync"))
@click.argument("url", metavar="URL")
@click.option("--team", metavar="TEAM", callback=checked_name, help="Default: your first team.")
@click.option("--as", "username", metavar="NAME", callback=checked_name, help="The login's name.")
@output_options
def join_command(url: str, team: str | None, username: str | None) -> None:
    """Share the agents' log of this repository with your team, through its server.

    It pulls the events of other members' agents, and pushes yours; `thence sync now` repeats that.
    All clones find the same log, since the repository's first commit names it. It needs a login
    (`thence sync login URL`), and refuses while secrets are not masked. Nothing goes through git.
    """
    check_packages()
    from thence.sync.connection import server_address
    from thence.sync.target import read_target, switched

    out = current()
    folder, title, name = _place()
    login = login_with_team(server_address(url), username, team)
    if not is_masked(folder):
        raise SyncRefused(
            "could not share",
            place=folder,
            cause="masking of secrets is off in it",
            hint=f"turn it on: a table [redact] in {folder / '.thence' / 'settings.toml'}",
        )
    make_log(folder)
    take_in(folder)
    before = read_target(folder)
    named = NamedLog(folder, name, "plain", title)
    try:
        target = switched(before, requested_target(login, named, before, team), may_switch=False)
    except SyncRefused as error:
        error.hint = f"change it: thence sync enable --log {quote(str(folder))} --name {name}"
        error.hint += f" --server {login.server} --switch"
        raise
    store_target(folder, target)
    with open_agents_log(folder) as log:
        counts = drained(out, log)
        events = log.query(limit=1).total
        sessions = log.query(type="session.begun", limit=1).total
    moved = f"pulled {counts['pulled']:,}, pushed {counts['pushed']:,}"
    size = f"{counted(events, 'event')} of {counted(sessions, 'session')}"
    facts = {"log": str(folder), "name": name, **counts, "events": events, "sessions": sessions}
    out.result(
        facts,
        [
            f"joined: {target.place}, the log {name}",
            f"{moved}: the log holds {size}",
            "next: thence why FILE:LINE; later on: thence sync now",
        ],
    )


def _place() -> tuple[Path, str, str]:
    """Returns the agents' log of this folder's repository, a title for it, and its name there.

    All clones have the first commit, and so the name; a fork shares it. Raises SyncRefused.
    """
    name, top = log_of(str(Path.cwd()))
    try:
        repo = repository(Path())
        root = _first_commit(repo) if top else ""
    except GitFailed as error:
        raise _no_repository(error.cause) from error
    if not top or not root:
        raise _no_repository("no commit is here yet" if top else "no git repository is here")
    return Path(name), Path(top).name, f"agents-{root}"


def _first_commit(repo: Repository) -> str:
    """Returns the id of the first commit, along first parents; "" before there is one."""
    if repo.git.run("rev-parse", "--is-shallow-repository").strip() == b"true":
        cause = "this is a shallow clone, without the first commit, which names the log"
        raise _no_repository(cause, "git fetch --unshallow")
    answer = repo.git.ask("rev-list", "--first-parent", "--max-parents=0", "HEAD", "--")
    return "" if answer.status else answer.out.decode().strip()


def _no_repository(
    cause: str, hint: str = "go into a clone of the team's repository"
) -> ThenceError:
    return SyncRefused("could not name the agents' log", cause=cause, hint=hint)
