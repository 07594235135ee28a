"""The command group `hook`: records what coding agents do."""

from collections.abc import Mapping, Sequence

import click

from thence.agents.installed import HookFile, install, log_here, status, uninstall
from thence.agents.intake import is_masked, make_log, waiting
from thence.cli import FAILED
from thence.cli.commands.hook_join import join_command
from thence.cli.frame import command_group, help_with, output_options
from thence.cli.output import current
from thence.cli.shared.render import counted, table


@command_group("hook", "thence hook install claude-code", "thence hook install git")
def hook_command() -> None:
    """Record what coding agents do, by their hooks.

    Agents and git call a small program, which leaves each event in a spool; whoever opens the log
    next takes it in. The log lies in the git folder, one for all worktrees, and is found from
    there: `thence log`, `thence unfinished`.
    """


hook_command.add_command(join_command)

_tool = click.argument("tool", type=click.Choice(("claude-code", "codex", "git")))
_scope = click.option(
    "--user/--project",
    "is_users",
    default=False,
    help="In the user's settings, for all repositories, or in this repository's; the default.",
)


@hook_command.command("install", **help_with("thence hook install claude-code --user"))
@_tool
@_scope
@output_options
def install_command(tool: str, is_users: bool) -> int:
    """Put hooks into the settings of an agent, or of git.

    What is there is kept. Claude Code: `.claude/settings.local.json` of this worktree, which is
    not shared, or `~/.claude/settings.json`. Codex: `hooks.json` in `.codex` or `~/.codex`. Git:
    post-commit, post-rewrite and post-merge, before what these do already; worktrees share them.
    With several worktrees install an agent's hooks for the user.
    """
    changes = install(tool, is_users=is_users)
    folder = log_here()
    make_log(folder)
    code = _show(changes, {}, f"the log: {folder}")
    if tool == "codex":
        current().notice(
            "some versions want `codex_hooks = true` below `[features]` in config.toml"
        )
    return code


@hook_command.command("uninstall", **help_with("thence hook uninstall claude-code"))
@_tool
@_scope
@output_options
def uninstall_command(tool: str, is_users: bool) -> int:
    """Take our hooks out of the settings again; the log stays."""
    return _show(uninstall(tool, is_users=is_users), {})


@hook_command.command("status", **help_with("thence hook status --json"))
@output_options
def status_command() -> None:
    """Show where hooks are installed, and what waits to be taken in."""
    folder = log_here()
    waiting_count, refused_count = waiting(folder)
    masked = is_masked(folder)
    facts = {"log": str(folder), "waiting": waiting_count, "refused": refused_count}
    counts = f"{counted(waiting_count, 'file')} to take in, {refused_count:,} refused"
    words = "secrets are masked" if masked else "secrets are not masked: thence doctor says more"
    _show(status(), {**facts, "is_masked": masked}, f"the log: {folder}", counts, words)


def _show(files: Sequence[HookFile], facts: Mapping[str, object], *last: str) -> int:
    """Writes the files with their states; returns the exit code, 1 where one was left as it is."""
    hooks = [{**file._asdict(), "path": str(file.path)} for file in files]
    rows = [
        (file.state, file.tool, f"{file.path}: {file.note}" if file.note else str(file.path))
        for file in files
    ]
    current().result({"hooks": hooks, **facts}, [*table(rows), *last])
    return FAILED if any(file.state == "left" for file in files) else 0
