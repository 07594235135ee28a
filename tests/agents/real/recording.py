"""A hook that keeps what it was given: one file for each input, and one for its environment.

Run by its path: `recording.py FOLDER AGENT EVENT`, with the input on stdin.
"""

import json
import os
import shlex
import sys
import time
from pathlib import Path

EVENTS = {
    "claude": (
        *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
        *("PostToolUseFailure", "PostToolBatch", "PermissionDenied", "PermissionRequest"),
        *("SubagentStart", "SubagentStop", "Stop", "StopFailure", "PreCompact", "PostCompact"),
        *("Notification", "CwdChanged", "TaskCreated", "TaskCompleted", "UserPromptExpansion"),
        *("ConfigChange", "FileChanged", "InstructionsLoaded", "TeammateIdle"),
    ),
    "codex": (
        *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"),
        *("SubagentStart", "SubagentStop", "Interrupt", "PermissionRequest", "PreCompact"),
        "PostCompact",
    ),
}
_VARIABLES = ("AGENT", "AI_AGENT", "CLAUDE", "CODEX", "OPENCODE")
_VARIANTS = ("tool_name", "source", "reason", "trigger")


def command(folder: Path, agent: str, event: str) -> str:
    """Returns the words by which a shell calls this for an event."""
    return shlex.join((sys.executable, __file__, str(folder), agent, event))


def main(folder: str, agent: str, event: str) -> None:
    """Keeps one input."""
    data = sys.stdin.read()
    members = json.loads(data)
    words = [agent, event, *(str(members[name]) for name in _VARIANTS if members.get(name))]
    if members.get("agent_id"):
        words.append("sub")
    name = f"{time.time_ns()}-{'-'.join(words)}".replace("/", "_")
    variables = {key: value for key, value in os.environ.items() if key.startswith(_VARIABLES)}
    Path(folder, f"{name}.json").write_text(data)
    Path(folder, f"{name}.env").write_text(json.dumps({"cwd": os.getcwd(), "env": variables}))


if __name__ == "__main__":
    main(*sys.argv[1:])
