"""Hooks in the settings of agents and of git: put in, taken out, looked at.

An entry of ours is known again by the script that it runs, so that taking it out takes nothing
else.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from thence.agents.fired import repository, users_folder
from thence.agents.git_hooks import change_git_hooks, git_states
from thence.agents.hook_files import HookFile, changed, git_state, hide_from_git, read_text
from thence.agents.hook_script import HELPER, command, helper_of, runs_helper, write_helper
from thence.errors import ThenceError

TIMEOUT_S = 10
# Codex gives these 3 s at most, and warns of more
_SHORT_S = {"codex": {"SessionEnd": 3, "Interrupt": 3}}
# not WorktreeCreate and WorktreeRemove: Claude Code has their hooks make and remove worktrees
_CLAUDE_EVENTS = (
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    *("PostToolUseFailure", "PostToolBatch", "PermissionRequest", "PermissionDenied"),
    *("SubagentStart", "SubagentStop", "TaskCreated", "TaskCompleted", "Stop", "StopFailure"),
    *("PreCompact", "PostCompact", "Notification", "CwdChanged"),
)
_MATCHED = (
    *("PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest"),
    "PermissionDenied",
)
_CODEX_EVENTS = (
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    *("PermissionRequest", "SubagentStart", "SubagentStop", "Stop", "Interrupt"),
    *("PreCompact", "PostCompact"),
)
EVENTS = {"claude-code": _CLAUDE_EVENTS, "codex": _CODEX_EVENTS}


def install(tool: str, *, is_users: bool) -> list[HookFile]:
    """Puts hooks in for this folder's repository or for the user.

    Raises ThenceError where there is no place for them, or a file can't be written.
    """
    if tool == "git":
        return list(change_git_hooks(is_users, is_removal=False))
    path = settings_of(tool, is_users)
    other = settings_of(tool, not is_users) if repository(str(Path.cwd())) else path
    if other != path and _has_own(other, tool, not is_users):
        write_helper(helper_of(not is_users))
        note = f"{other} has them already, and both would run"
        return [HookFile(tool, path, "unchanged", note)]
    helper = helper_of(is_users)
    write_helper(helper)
    change = changed(tool, path, partial(_with_hooks, tool, command(helper, tool)))
    state = git_state(path) if change.state in ("installed", "unchanged") else ""
    if state == "??" and not is_users:
        hide_from_git(path, True)
        return [change._replace(note="it names a folder of this machine: .git/info/exclude has it")]
    note = "it names a folder of this machine: do not commit it"
    return [change._replace(note=note) if state else change]


def uninstall(tool: str, *, is_users: bool) -> list[HookFile]:
    """Takes out what `install` put in, and nothing else; raises as that does."""
    if tool == "git":
        return list(change_git_hooks(is_users, is_removal=True))
    path = settings_of(tool, is_users)
    change = changed(tool, path, _without_hooks, is_removal=True)
    if not is_users:
        hide_from_git(path, False)
    return [change]


def status() -> list[HookFile]:
    """Returns the state of each place that this folder's agents and git read."""
    in_repository = repository(str(Path.cwd())) is not None
    changes = []
    for tool in EVENTS:
        for is_users in (False, True) if in_repository else (True,):
            path = settings_of(tool, is_users)
            if _has_own(path, tool, is_users):
                changes.append(HookFile(tool, path, "installed"))
            elif _commands(path):
                note = "it runs the hooks of another folder; install again"
                changes.append(HookFile(tool, path, "left", note))
            else:
                changes.append(HookFile(tool, path, "absent"))
    return [*changes, *(git_states() if in_repository else ())]


def settings_of(tool: str, is_users: bool) -> Path:
    """Returns the file of an agent's hooks; raises ThenceError where there is no place for it.

    A project's is the one that is not shared: it holds the path of a folder on this machine.
    """
    if is_users:
        name = users_folder(*_USERS[tool])
        if not name:
            raise ThenceError(
                f"could not install hooks of {tool} for the user",
                cause="HOME is not set",
                hint="set HOME",
            )
        return Path(name)
    place = repository(str(Path.cwd()))
    if place is None:
        raise ThenceError(
            f"could not install hooks of {tool} for a project",
            place=Path.cwd(),
            cause="this folder is in no git repository",
            hint="go to one, or install them for all you do: --user",
        )
    return Path(place[0], _PROJECTS[tool])


_USERS = {
    "claude-code": ("CLAUDE_CONFIG_DIR", ".claude", "settings.json"),
    "codex": ("CODEX_HOME", ".codex", "hooks.json"),
}
_PROJECTS = {"claude-code": ".claude/settings.local.json", "codex": ".codex/hooks.json"}


def _parsed(text: str | None) -> dict[str, Any]:
    """Reads settings; raises ValueError that says what to do."""
    if text is None or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error}); correct it, then install again") from None
    hooks = value.get("hooks", {}) if isinstance(value, dict) else None
    if not isinstance(hooks, dict) or not all(
        isinstance(groups, list) for groups in hooks.values()
    ):
        raise ValueError("its hooks have no form that is known; add them by hand: see --help")
    return dict(value)


def _with_hooks(tool: str, words: str, text: str | None) -> str:
    settings = _parsed(text)
    hooks = settings.setdefault("hooks", {})
    is_changed = False
    for event in EVENTS[tool]:
        groups = hooks.setdefault(event, [])
        own = [entry for group in groups for entry in _own(group)]
        for entry in own:
            is_changed |= entry["command"] != words
            entry["command"] = words
        if not own:
            timeout_s = _SHORT_S.get(tool, {}).get(event, TIMEOUT_S)
            entry = {"type": "command", "command": words, "timeout": timeout_s}
            matcher = {"matcher": "*"} if event in _MATCHED and tool == "claude-code" else {}
            groups.append({**matcher, "hooks": [entry]})
            is_changed = True
    return _written(settings, text) if is_changed else text or ""


def _without_hooks(text: str | None) -> str | None:
    """Returns settings without the hooks of ours, and without what becomes empty by that."""
    if text is None or HELPER not in text:
        return text
    settings = _parsed(text)
    hooks = settings.get("hooks", {})
    ours = [(event, group) for event in hooks for group in hooks[event] if _own(group)]
    for event, group in ours:
        own = _own(group)
        group["hooks"] = [entry for entry in group["hooks"] if entry not in own]
        if not group["hooks"]:
            hooks[event].remove(group)
        if not hooks[event]:
            del hooks[event]
    if ours and not hooks:
        del settings["hooks"]
    rest = _written(settings, text) if settings else None
    return rest if ours else text


def _own(group: object) -> list[dict[str, Any]]:
    """Returns the entries of a group that run a script of ours."""
    entries = group.get("hooks") if isinstance(group, dict) else None
    maps = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [entry for entry in maps if runs_helper(entry.get("command"))]


def _has_own(path: Path, tool: str, is_users: bool) -> bool:
    """Reports whether an agent's settings run the script of this repository, or of the user."""
    return command(helper_of(is_users), tool) in _commands(path)


def _commands(path: Path) -> set[str]:
    """Returns the commands in an agent's settings that run a script of ours."""
    with suppress(ValueError, OSError):
        hooks = _parsed(read_text(path)).get("hooks", {})
        groups = (group for groups in hooks.values() for group in groups)
        return {entry["command"] for group in groups for entry in _own(group)}
    return set()


def _written(settings: Mapping[str, Any], text: str | None) -> str:
    """Returns settings as JSON, in the manner of the text before: its indent, its last newline."""
    lines = (text or "").splitlines()
    inner = next((line for line in lines[1:] if line.strip()), "  ")
    indent: str | int = inner[: len(inner) - len(inner.lstrip())] or 2
    fresh = json.dumps(settings, indent=indent, ensure_ascii=False)
    return fresh + ("\n" if text is None or text.endswith("\n") else "")
