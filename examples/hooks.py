"""What hooks of an agent record in a repository, and the answer to why.

A repository is made in a temporary folder, and the hooks of one short session are fired as
Claude Code fires them: what the user asks, a subagent for it, an edit. What they left is taken in
when `thence` reads the log. Run it: `python examples/hooks.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

THENCE = [sys.executable, "-m", "thence"]
EDIT = {"file_path": "pay.py", "old_string": "", "new_string": "def pay(order): ...\n"}
SUBAGENT = {"agent_id": "a-1", "agent_type": "coder"}
TASK = {"tool_name": "Task", "tool_use_id": "t-1", "tool_input": {"prompt": "Write pay.py"}}
CHANGE = {"tool_name": "Edit", "tool_use_id": "t-2", "tool_input": EDIT, **SUBAGENT}


def run(*words: str, cwd: Path, stdin: str = "") -> str:
    """Runs a program to its end and returns what it wrote."""
    done = subprocess.run(words, cwd=cwd, input=stdin, check=True, capture_output=True, text=True)
    return done.stdout


def fire(repository: Path, name: str, **members: object) -> None:
    """Fires a hook as the agent does: by the command of its settings, with JSON on stdin."""
    settings = json.loads((repository / ".claude" / "settings.local.json").read_text())
    command = settings["hooks"][name][0]["hooks"][0]["command"]
    record = {"session_id": "s-1", "prompt_id": "p-1", "hook_event_name": name, **members}
    run("sh", "-c", command, cwd=repository, stdin=json.dumps(record))


def main() -> None:
    """Plays the session and asks."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder  # where an uninstall looks for what was there before
        repository = Path(folder, "shop")
        os.environ["CLAUDE_PROJECT_DIR"] = str(repository)  # as Claude Code sets it for its hooks
        run("git", "init", "-q", str(repository), cwd=Path(folder))
        run(*THENCE, "hook", "install", "claude-code", cwd=repository)
        fire(repository, "SessionStart", source="startup")
        fire(repository, "UserPromptSubmit", prompt="Let orders be paid")
        fire(repository, "PreToolUse", **TASK)
        fire(repository, "SubagentStart", **SUBAGENT)
        fire(repository, "PreToolUse", **CHANGE)
        print("in flight:")
        print(run(*THENCE, "unfinished", cwd=repository), end="")
        fire(repository, "PostToolUse", **CHANGE, tool_response={"success": True})
        print("why was pay.py edited?")
        print(run(*THENCE, "why", "tool/t-2", cwd=repository), end="")


if __name__ == "__main__":
    main()
