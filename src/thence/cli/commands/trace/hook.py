"""The command group `hook`: records what coding agents do."""

from collections.abc import Mapping, Sequence

import click

from thence.cli import FAILED
from thence.cli.commands.trace.hook_join import join_command
from thence.cli.frame import command_group, help_with, output_options
from thence.cli.output import current
from thence.cli.shared.render import counted, table
from thence.trace.agents.git_hooks import change_git_hooks, git_helper
from thence.trace.agents.hook_script import has_git_hooks, log_here
from thence.trace.agents.hook_status import tool_states, trust_step
from thence.trace.agents.installed import HookFile, install, uninstall
from thence.trace.agents.intake import is_masked, make_log, waiting


@command_group("hook", "thence hook install claude-code", "thence hook install git")
def hook_command() -> None:
    """Record what coding agents do, through their hooks.

    Agents and git call a small program, which leaves each event in a spool; the next command that
    opens the log takes it in. The log lies in the git folder, one for all worktrees, where `thence
    log` and other commands find it.
    """


hook_command.add_command(join_command)

_tool = click.argument("tool", type=click.Choice(("claude-code", "codex", "git")))
_scope = click.option(
    "--user/--project",
    "is_users",
    default=False,
    help="Use the user's settings, for all repositories, or this repository's (the default).",
)


@hook_command.command("install", **help_with("thence hook install claude-code --user"))
@_tool
@_scope
@output_options
def install_command(tool: str, is_users: bool) -> int:
    """Add hooks to the settings of an agent, or of git.

    Existing settings are kept. Claude Code: `.claude/settings.local.json` of this worktree, which
    is not shared, or `~/.claude/settings.json`. Codex: `hooks.json` in `.codex` or `~/.codex`. Git:
    post-commit, post-rewrite and post-merge, before their own commands; worktrees share them. With
    several worktrees install an agent's hooks for the user.
    """
    is_git = tool == "git"
    changes = [*change_git_hooks(is_users)] if is_git else [install(tool, is_users)]
    folder = log_here()
    make_log(folder)
    code = _show(changes, {}, f"the log: {folder}")
    if not code:
        current().notice(f"next: {_next_step(tool, is_users, has_git_hooks(git_helper().parent))}")
    return code


def _next_step(tool: str, is_users: bool, has_git: bool) -> str:
    """Returns what to do after the hooks of a tool were installed."""
    ask = "`thence why FILE:LINE` of a line that is committed from now on"
    step = ask if has_git else "`thence hook install git`, so that commits are recorded too"
    starts = {"codex": trust_step(is_users), "claude-code": "restart claude"}
    return f"{starts[tool]}; then {step}" if tool in starts else step


@hook_command.command("uninstall", **help_with("thence hook uninstall claude-code"))
@_tool
@_scope
@output_options
def uninstall_command(tool: str, is_users: bool) -> int:
    """Remove our hooks from the settings; the log stays."""
    is_git = tool == "git"
    return _show([*change_git_hooks(is_users, True)] if is_git else [uninstall(tool, is_users)], {})


@hook_command.command("status", **help_with("thence hook status --json"))
@output_options
def status_command() -> None:
    """Show where hooks are installed, and what waits in the spool."""
    folder = log_here()
    waiting_count, refused_count = waiting(folder)
    masked = is_masked(folder)
    files, states = tool_states()
    facts = {
        "tools": [state._asdict() for state in states],
        "log": str(folder),
        "waiting": waiting_count,
        "refused": refused_count,
        "is_masked": masked,
    }
    counts = f"{counted(waiting_count, 'file')} to take in, {refused_count:,} refused"
    words = "secrets are masked" if masked else "secrets are not masked: thence doctor says more"
    lines = [
        f"{state.words}; next: {state.hint}" if state.hint else state.words for state in states
    ]
    _show(files, facts, *lines, f"the log: {folder}", counts, words)


def _show(files: Sequence[HookFile], facts: Mapping[str, object], *last: str) -> int:
    """Writes the files with their states; returns the exit code, 1 where one was left as it is."""
    hooks = [{**file._asdict(), "path": str(file.path)} for file in files]
    rows = [
        (file.state, file.tool, f"{file.path}: {file.note}" if file.note else str(file.path))
        for file in files
    ]
    lines = dict.fromkeys(line for file in files for line in file.lines)
    current().result({"hooks": hooks, **facts}, [*table(rows), *lines, *last])
    return FAILED if any(file.state == "left" for file in files) else 0
