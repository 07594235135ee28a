"""The command group `hook`: records what coding agents do."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote

import click

from thence.cli import FAILED
from thence.cli.commands.sync.enable import (
    NamedLog,
    login_with_team,
    requested_target,
)
from thence.cli.commands.sync.syncing import check_packages, drained
from thence.cli.frame import command_group, help_with, output_options
from thence.cli.output import current
from thence.cli.shared.logs import dated_time
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted, table
from thence.core.query.filter import moments
from thence.errors import GitFailed, SyncRefused
from thence.git.repository import repository
from thence.trace.agents import fired
from thence.trace.agents.fired import log_of
from thence.trace.agents.installed import (
    HookFile,
    has_git_hooks,
    helper_of,
    install,
    log_here,
    switched_off,
    tool_states,
    uninstall,
)
from thence.trace.agents.intake import (
    is_masked,
    last_fired,
    make_log,
    open_agents_log,
    take_in,
    waiting,
)
from thence.trace.agents.known_agents import AGENTS


@command_group("hook", "thence hook install claude-code", "thence hook install git")
def hook_command() -> None:
    """Record what coding agents do, through their hooks.

    Agents and git call a small program, which leaves each event in a spool; the next command that
    opens the log imports it. The log is in the git folder, one for all worktrees, where `thence
    log` and other commands find it.
    """


_tool = click.argument("tool", metavar="AGENT|git", type=click.Choice((*AGENTS, "git")))
_scope = click.option(
    "--user/--project",
    "is_users",
    default=False,
    help="Use the user's settings, for all repositories, or this repository's (the default).",
)


@hook_command.command("install", **help_with("thence hook install claude-code --user"))
@_tool
@_scope
@click.option(
    "--trailer", "has_trailer", is_flag=True, help="Git: name the session in each agent's commit."
)
@output_options
def install_command(tool: str, is_users: bool, has_trailer: bool) -> int:
    """Add hooks to an agent's settings, or to git.

    Existing settings are kept. Claude Code: `.claude/settings.local.json` of this worktree, which
    is not shared, or `~/.claude/settings.json`. Codex: `hooks.json` in `.codex` or `~/.codex`.
    gemini-cli, qwen-code: `settings.json` in `.gemini`, `.qwen`. opencode: a plugin. cline: scripts
    in `.cline/hooks`. Git: post-commit, post-rewrite and post-merge, before their own commands;
    worktrees share them. With several worktrees install an agent's hooks for the user. Any other
    agent: see `thence hook event --help`.
    """
    if has_trailer and tool != "git":
        raise click.UsageError("--trailer is for git: thence hook install git --trailer")
    changes = [*install(tool, is_users, has_trailer)]
    folder = log_here()
    make_log(folder)
    code = _show(changes, {}, f"the log: {folder}")
    if not code:
        step = "`thence hook install git`, so that commits are recorded too"
        if has_git_hooks(helper_of("git").parent):
            step = "`thence why FILE:LINE` of a line that is committed from now on"
        switch = switched_off(tool)
        start = AGENTS[tool].first_step if tool != "git" else ""
        current().notice(f"next: {'; then '.join(filter(None, (switch, start, step)))}")
        if tool in AGENTS and AGENTS[tool].transcripts:
            current().notice("earlier sessions: thence hook past reads their transcripts")
    return code


@hook_command.command("uninstall", **help_with("thence hook uninstall claude-code"))
@_tool
@_scope
@output_options
def uninstall_command(tool: str, is_users: bool) -> int:
    """Remove thence's hooks from the settings; the log stays."""
    return _show([*uninstall(tool, is_users)], {})


@hook_command.command("event", **help_with("thence hook event my-agent < event.json"))
@click.argument("name", metavar="NAME")
def event_command(name: str) -> None:
    """Record one event of the agent NAME, as JSON on stdin.

    The form is that of Claude Code's hooks: `session_id`, `hook_event_name` (SessionStart,
    UserPromptSubmit, PreToolUse, PostToolUse, PostToolUseFailure, SubagentStart, SubagentStop,
    Stop, SessionEnd; others are notices), `cwd`, and with them `prompt`; `tool_name`, `tool_input`,
    `tool_use_id`, `tool_response`; `agent_id`. An edit is a `tool_input` with `file_path` and
    `content`, or `old_string` and `new_string`. Camel case and the names that gemini-cli, opencode
    and cline use are read too. Like the hooks, it prints nothing and exits with 0, whatever it is
    given; `thence doctor` reports what went wrong.
    """
    with suppress(Exception):  # boundary: it may never stop or disturb an agent
        fired.fire(["unknown" if name == "git" else name])


@hook_command.command("status", **help_with("thence hook status --json"))
@output_options
def status_command() -> None:
    """Show where hooks are installed, and what waits in the spool."""
    folder = log_here()
    waiting_count, refused_count = waiting(folder)
    masked = is_masked(folder)
    files, states = tool_states(last_fired(folder))
    facts = {
        "tools": [state._asdict() for state in states],
        "log": str(folder),
        "waiting": waiting_count,
        "refused": refused_count,
        "is_masked": masked,
    }
    counts = f"{counted(waiting_count, 'file')} to import, {refused_count:,} refused"
    words = "secrets are masked" if masked else "secrets are not masked: thence doctor says more"
    lines = [
        f"{state.words}; next: {state.hint}" if state.hint else state.words for state in states
    ]
    if not files:
        lines = ["no hooks are installed here; next: `thence hook install --help` names the agents"]
    _show(files, facts, *lines, f"the log: {folder}", counts, words)


@hook_command.command("past", **help_with("thence hook past --since 30d --dry-run"))
@click.option(
    "--since",
    metavar="TIME",
    callback=dated_time,
    help="Only sessions that were active after this time, in UTC: 30d (ago), 2026-11-20.",
)
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Count what would be imported.")
@output_options
def past_command(since: str | None, is_dry_run: bool) -> None:
    """Import what agents did here before, from the transcripts that they keep.

    These are Claude Code's (`~/.claude/projects`, or CLAUDE_CONFIG_DIR) and Codex's
    (`~/.codex/sessions`, or CODEX_HOME), of sessions that worked in this repository. They go only
    into its log, with secrets masked, and once however often this runs. An edit counts where its
    old text fits its file as git or an earlier edit has it. A line is then an agent's, or unknown
    as before.
    """
    from thence.trace.agents.past import take_in_past

    out, folder = current(), log_here()
    since_us, _ = moments("since", since)
    with bar(out, "sessions read:") as show:
        taken = take_in_past(folder, (since_us or 0) / 1e6, show, is_dry_run=is_dry_run)
    counts, left_out = taken
    done = "would be imported" if is_dry_run else "imported"
    words = [
        (counts["sessions"], "session"),
        (counts["prompt"], "prompt"),
        (counts["edits"], "edit"),
    ]
    lines = [f"{done}: {', '.join(counted(*pair) for pair in words)}"]
    lines += [f"left out: {count:,} {reason}" for reason, count in left_out.items() if count]
    if counts["edits"] and not is_dry_run:
        lines.append("next: thence blame FILE")
    facts = {"log": str(folder), "is_dry_run": is_dry_run}
    out.result(facts | taken._asdict(), lines)


def _show(files: Sequence[HookFile], facts: Mapping[str, object], *last: str) -> int:
    """Writes the files with their states; returns the exit code, 1 where one was left as it is."""
    hooks = [{**file._asdict(), "path": str(file.path)} for file in files]
    rows = [
        (file.state, file.tool, f"{file.path}: {file.note}" if file.note else str(file.path))
        for file in files
    ]
    current().result({"hooks": hooks, **facts}, [*table(rows), *last])
    return FAILED if any(file.state == "left" for file in files) else 0


@hook_command.command("join", **help_with("thence hook join https://thence.example", extra="sync"))
@click.argument("url", metavar="URL")
@click.option("--team", metavar="TEAM", help="Default: your first team.")
@click.option("--as", "username", metavar="NAME", help="The login's name.")
@output_options
def join_command(url: str, team: str | None, username: str | None) -> None:
    """Share the agents' log of this repository with your team, through its server.

    It pulls the events of other members' agents, and pushes yours; `thence sync now` repeats that.
    All clones find the same log, since the repository's first commit names it. It needs a login
    (`thence sync login URL`), and refuses while secrets are not masked. Nothing goes through git.
    """
    check_packages()
    from thence.sync.target import read_target, switched, write_target

    out = current()
    folder, title, name = _agents_log()
    login = login_with_team(url, username, team)
    if not is_masked(folder):
        raise SyncRefused(
            "could not share",
            place=folder,
            cause="secret masking is off in it",
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
    write_target(folder, target)
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


def _agents_log() -> tuple[Path, str, str]:
    """Returns the agents' log of this folder's repository, a title for it, and its name there.

    All clones have the first commit, along first parents, and so the name; a fork shares it. Raises
    SyncRefused.
    """
    name, top = log_of(str(Path.cwd()))
    cause, hint, root = "no git repository is here", "go into a clone of the team's repository", ""
    try:
        git = repository(Path()).git
        if top and git.run("rev-parse", "--is-shallow-repository").strip() == b"true":
            cause = "this is a shallow clone, without the first commit, which names the log"
            hint = "git fetch --unshallow"
        elif top:
            cause = "no commit is here yet"
            answer = git.ask("rev-list", "--first-parent", "--max-parents=0", "HEAD", "--")
            root = "" if answer.status else answer.out.decode().strip()
    except GitFailed as error:
        raise SyncRefused("could not name the agents' log", cause=error.cause, hint=hint) from error
    if not top or not root:
        raise SyncRefused("could not name the agents' log", cause=cause, hint=hint)
    return Path(name), Path(top).name, f"agents-{root}"
