"""The agents whose hooks thence knows, a row each: their names, and where their hooks are put."""

import re
from collections.abc import Iterable
from typing import NamedTuple

FOREIGN = "an agent that runs Claude Code's hooks"
# hooks of these never say that a session was left, or not when they were run without a terminal
SILENT_ENDS = ("codex", "opencode", "qwen-code", "cline")
# `past` reads the transcripts of these, in a folder of the user's settings
TRANSCRIPTS_OF = {"claude-code": "projects", "codex": "sessions"}


class KnownAgent(NamedTuple):
    """Where an agent looks for hooks, and which of its events are recorded.

    `project` is a file in a repository; the user's, in the home, is the same unless `user` names
    another, and `variable` may name the first folder of that: settings, a plugin, or a folder of
    scripts. `timeout` is in the agent's own unit.
    """

    project: str
    events: str
    user: str = ""
    variable: str = ""
    timeout: int = 10


_CODEX_EVENTS = (
    "SessionStart SessionEnd UserPromptSubmit PreToolUse PostToolUse PermissionRequest"
    " SubagentStart SubagentStop Stop PreCompact PostCompact"
)
_QWEN_EVENTS = f"{_CODEX_EVENTS} PostToolUseFailure StopFailure Notification"
# not WorktreeCreate and WorktreeRemove: Claude Code has their hooks make and remove worktrees
_CLAUDE_EVENTS = (
    f"{_QWEN_EVENTS} PostToolBatch PermissionDenied TaskCreated TaskCompleted CwdChanged"
)
_GEMINI_EVENTS = (
    "SessionStart SessionEnd BeforeAgent AfterAgent BeforeTool AfterTool PreCompress Notification"
)
_CLINE_SCRIPTS = (
    "TaskStart TaskResume TaskCancel TaskComplete TaskError UserPromptSubmit PreToolUse PostToolUse"
    " SessionShutdown"
)
_CLAUDES, _OPENCODES = ".claude/settings.json", ".config/opencode/plugins/thence.js"
# gemini-cli and qwen-code count a timeout in milliseconds
AGENTS = {
    "claude-code": KnownAgent(
        ".claude/settings.local.json", _CLAUDE_EVENTS, _CLAUDES, "CLAUDE_CONFIG_DIR"
    ),
    "codex": KnownAgent(".codex/hooks.json", f"{_CODEX_EVENTS} Interrupt", variable="CODEX_HOME"),
    "gemini-cli": KnownAgent(".gemini/settings.json", _GEMINI_EVENTS, timeout=10_000),
    "qwen-code": KnownAgent(".qwen/settings.json", _QWEN_EVENTS, timeout=10_000),
    "opencode": KnownAgent(".opencode/plugins/thence.js", "", _OPENCODES, "XDG_CONFIG_HOME"),
    "cline": KnownAgent(".cline/hooks", _CLINE_SCRIPTS),
}
# the mails by which agents name themselves as an author or in a trailer of a commit
_MAILS = {
    "aider@aider.chat": "aider",
    "noreply@aider.chat": "aider",
    "noreply@anthropic.com": "Claude",
    "codex@openai.com": "Codex",
    "noreply@openai.com": "Codex",
    "copilot@github.com": "Copilot",
    "copilot@users.noreply.github.com": "Copilot",
    "cursoragent@cursor.com": "Cursor",
    "gemini-cli@users.noreply.github.com": "Gemini",
    "noreply@opencode.ai": "opencode",
    "qwen-coder@alibabacloud.com": "Qwen Code",
}
# GitHub's mails have a number before the name
_MAIL = re.compile(r"(?:\d+\+)?([^<>\s+]+@[^<>\s]+)>?\s*$")


def agent_said_by(names: Iterable[str]) -> str | None:
    """Returns the agent that authors or trailers of a commit name, which is only its own claim."""
    for name in names:
        match = _MAIL.search(name)
        said = _MAILS.get(match[1].lower()) if match else None
        if said or "[bot]" in name:
            return said or "a bot"
    return None
