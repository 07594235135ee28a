"""A coding agent without a model, which plays one written session with real hooks and commits.

`python -m thence.trace.agents.demo_session FOLDER` stands for Claude Code in a repository: it runs
the hooks of its settings file by a shell, with the JSON of version 2.1, edits files, and commits.
At the end it is in a call of a tool that never answers; it writes WAITING, and waits to be killed.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

SETTINGS = ".claude/settings.local.json"
FILE = "src/pay.py"
BRANCH = "pay-once"
LINE = 14
WAITING = "waiting"
BEFORE = '''"""Pays orders through the gateway."""

import gateway


class Till:
    """Charges the card of an order."""

    def __init__(self, journal):
        self.journal = journal

    def pay(self, order):
        """Charges the card, and returns the receipt."""
        receipt = gateway.charge(order.card, order.amount)
        self.journal.note(order.id, receipt)
        return receipt
'''
_OLD = "        receipt = gateway.charge(order.card, order.amount)\n"
_NEW = "        receipt = gateway.charge(order.card, order.amount, once=order.id)\n"
AFTER = BEFORE.replace(_OLD, _NEW)
ASK = (
    "A customer was charged twice, because the gateway answered late and we tried again."
    " Make pay() safe to try again."
)
_TASK = (
    "In src/pay.py give gateway.charge() a key that is the same at each try of an order, so that"
    " the gateway charges once. Commit it."
)
_COMMIT = "git commit --quiet --all --message 'Charge an order once, however often it is tried'"
SESSION = "5f0c1c3e-7d53-4b51-9f0a-3d2b8a4f6e10"
_SUBAGENT = {"agent_id": "a4c81b2f", "agent_type": "implementer"}


def play(folder: Path) -> None:
    """Plays the session in a repository that holds `BEFORE`, up to the call without an answer."""
    hooks = json.loads((folder / SETTINGS).read_text())["hooks"]
    transcript = str(folder / "transcript.jsonl")
    common = {"session_id": SESSION, "transcript_path": transcript, "cwd": str(folder)}
    numbers = count(1)

    def fire(event: str, **members: Any) -> None:
        told = json.dumps({**common, "hook_event_name": event, **members})
        options: Any = {"text": True, "shell": True, "cwd": folder, "check": True}
        for hook in (hook for group in hooks.get(event, ()) for hook in group["hooks"]):
            subprocess.run(hook["command"], input=told, **options)

    def begin(tool: str, told: Mapping[str, Any], **members: Any) -> dict[str, Any]:
        """Fires what comes before a call of a tool, and returns what its end must tell too."""
        use_id = f"toolu_{next(numbers):02}"
        call = {"tool_name": tool, "tool_input": told, "tool_use_id": use_id, **members}
        fire("PreToolUse", **call)
        return call

    fire("SessionStart", source="startup", model="example")
    fire("UserPromptSubmit", prompt=ASK, prompt_id="prompt-1")
    task = begin("Task", {"subagent_type": "implementer", "prompt": _TASK})
    fire("SubagentStart", **_SUBAGENT)
    path = folder / FILE
    told = {"file_path": str(path), "old_string": _OLD, "new_string": _NEW}
    edit = begin("Edit", told, **_SUBAGENT)
    path.write_text(AFTER)
    fire("PostToolUse", **edit, tool_response={"filePath": str(path)})
    commit = begin("Bash", {"command": _COMMIT}, **_SUBAGENT)
    subprocess.run(_COMMIT, shell=True, cwd=folder, check=True)
    fire("PostToolUse", **commit, tool_response={"stdout": "", "stderr": ""})
    message = "pay() hands the order's id to the gateway as the key of the charge."
    fire("SubagentStop", last_assistant_message=message, **_SUBAGENT)
    fire("PostToolUse", **task, tool_response={"content": message})
    fire("Stop", last_assistant_message="Done: an order is charged once.")
    fire("UserPromptSubmit", prompt="Now try it with 10,000 orders.", prompt_id="prompt-2")
    begin("Bash", {"command": "python load_test.py --orders 10000"})


if __name__ == "__main__":
    play(Path(sys.argv[1]))
    sys.stdout.write(f"{WAITING}\n")
    sys.stdout.flush()
    sys.stdin.read()
