"""The command group `hook`: records what coding agents do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from thence.cli.frame import command_group, help_with, output_options
from thence.cli.output import current
from thence.cli.shared.render import counted, table

if TYPE_CHECKING:
    from thence.agents.installed import HookFile


@command_group("hook", "thence hook install claude-code", "thence hook install git")
def hook_command() -> None:
    """Record what coding agents do, by their hooks.

    Agents and git call a small program, which leaves each event in a spool; whoever opens the log
    next takes it in. The log lies in the git folder, one for all worktrees, and is found from
    there: `thence log`, `thence unfinished`.
    """


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
def install_command(tool: str, is_users: bool) -> None:
    """Put hooks into the settings of an agent, or of git.

    What is there is kept. Claude Code: `.claude/settings.local.json` of this worktree, which is
    not shared, or `~/.claude/settings.json`. Codex: `hooks.json` in `.codex` or `~/.codex`. Git:
    post-commit, post-rewrite and post-merge, before what these do already; worktrees share them.
    With several worktrees install an agent's hooks for the user.
    """
    from thence.agents.installed import install, log_here
    from thence.agents.intake import make_log

    changes = install(tool, is_users=is_users)
    folder = log_here()
    make_log(folder)
    _show(changes, {}, f"the log: {folder}")
    if tool == "codex":
        current().notice(
            "some versions want `codex_hooks = true` below `[features]` in config.toml"
        )
    _check_done(changes)


@hook_command.command("uninstall", **help_with("thence hook uninstall claude-code"))
@_tool
@_scope
@output_options
def uninstall_command(tool: str, is_users: bool) -> None:
    """Take our hooks out of the settings again; the log stays."""
    from thence.agents.installed import uninstall

    changes = uninstall(tool, is_users=is_users)
    _show(changes, {})
    _check_done(changes)


@hook_command.command("status", **help_with("thence hook status --json"))
@output_options
def status_command() -> None:
    """Show where hooks are installed, and what waits to be taken in."""
    from thence.agents.installed import log_here, status
    from thence.agents.intake import is_masked, waiting

    folder = log_here()
    waiting_count, refused_count = waiting(folder)
    masked = is_masked(folder)
    facts = {"log": str(folder), "waiting": waiting_count, "refused": refused_count}
    counts = f"{counted(waiting_count, 'file')} to take in, {refused_count:,} refused"
    words = "secrets are masked" if masked else "secrets are not masked: thence doctor says more"
    _show(status(), {**facts, "is_masked": masked}, f"the log: {folder}", counts, words)


def _show(changes: "Sequence[HookFile]", facts: Mapping[str, object], *last: str) -> None:
    hooks = [{**change._asdict(), "path": str(change.path)} for change in changes]
    notes = [f": {change.note}" if change.note else "" for change in changes]
    rows = [
        (change.state, change.tool, f"{change.path}{note}")
        for change, note in zip(changes, notes, strict=True)
    ]
    current().result({"hooks": hooks, **facts}, [*table(rows), *last])


def _check_done(changes: "Sequence[HookFile]") -> None:
    """Ends the command with 1 where a file was left as it is."""
    if any(change.state == "left" for change in changes):
        raise click.exceptions.Exit(1)
