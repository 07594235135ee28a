"""The agents whose hooks thence knows, a row each: their names, and where their hooks are put."""

from typing import NamedTuple

from thence.core.sentences.events import AGENT_SOURCES

FOREIGN = "an agent that runs Claude Code's hooks"
# hooks of these never say that a session was left, or not when they were run without a terminal
SILENT_ENDS = ("codex", "opencode", "qwen-code", "cline")
# `past` reads the transcripts of these
TRANSCRIPTS_OF = ("claude-code", "codex")


class KnownAgent(NamedTuple):
    """Where an agent looks for hooks, and which of its events are recorded.

    `project` is a file in a repository, or a folder of scripts; `user` the same of the user's by a
    variable, a folder of the home and a name. `start` makes installed hooks fire.
    """

    form: str
    project: str
    user: tuple[str, str, str]
    start: str
    events: tuple[str, ...] = ()
    timeout: int = 10


# not WorktreeCreate and WorktreeRemove: Claude Code has their hooks make and remove worktrees
_CLAUDE_EVENTS = (
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    *("PostToolUseFailure", "PostToolBatch", "PermissionRequest", "PermissionDenied"),
    *("SubagentStart", "SubagentStop", "TaskCreated", "TaskCompleted", "Stop", "StopFailure"),
    *("PreCompact", "PostCompact", "Notification", "CwdChanged"),
)
_CODEX_EVENTS = (
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    *("PermissionRequest", "SubagentStart", "SubagentStop", "Stop", "Interrupt"),
    *("PreCompact", "PostCompact"),
)
_GEMINI_EVENTS = (
    *("SessionStart", "SessionEnd", "BeforeAgent", "AfterAgent", "BeforeTool", "AfterTool"),
    *("PreCompress", "Notification"),
)
_QWEN_EVENTS = (
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    *("PostToolUseFailure", "PermissionRequest", "SubagentStart", "SubagentStop", "Stop"),
    *("StopFailure", "PreCompact", "PostCompact", "Notification"),
)
_CLINE_SCRIPTS = (
    *("TaskStart", "TaskResume", "TaskCancel", "TaskComplete", "TaskError", "UserPromptSubmit"),
    *("PreToolUse", "PostToolUse", "SessionShutdown"),
)
# gemini-cli and qwen-code count a timeout in milliseconds
AGENTS = {
    "claude-code": KnownAgent(
        "settings",
        ".claude/settings.local.json",
        ("CLAUDE_CONFIG_DIR", ".claude", "settings.json"),
        "restart claude",
        _CLAUDE_EVENTS,
    ),
    "codex": KnownAgent(
        "settings",
        ".codex/hooks.json",
        ("CODEX_HOME", ".codex", "hooks.json"),
        "",  # it depends on the folder
        _CODEX_EVENTS,
    ),
    "gemini-cli": KnownAgent(
        "settings",
        ".gemini/settings.json",
        ("", ".gemini", "settings.json"),
        "restart gemini, in a folder that it trusts",
        _GEMINI_EVENTS,
        10_000,
    ),
    "qwen-code": KnownAgent(
        "settings",
        ".qwen/settings.json",
        ("", ".qwen", "settings.json"),
        "restart qwen",
        _QWEN_EVENTS,
        10_000,
    ),
    "opencode": KnownAgent(
        "plugin",
        ".opencode/plugins/thence.js",
        ("XDG_CONFIG_HOME", ".config", "opencode/plugins/thence.js"),
        "restart opencode",
    ),
    "cline": KnownAgent(
        "scripts", ".cline/hooks", ("", ".cline", "hooks"), "restart cline", _CLINE_SCRIPTS
    ),
}


def actor_of(bridge: str, runner: str | None) -> str:
    """Returns the actor of a hook; `runner` is who runs Claude Code's without being it."""
    return bridge if runner is None else runner or FOREIGN


def source_of(bridge: str) -> str:
    """Returns the source of a hook's events: agents without a row share one."""
    return bridge if bridge in AGENT_SOURCES else "hook"
