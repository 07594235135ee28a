"""A coding agent without a model, which plays one recorded session with real hooks and commits.

`python -m thence.trace.agents.demo_session FOLDER` stands for Claude Code in a repository: it runs
the hooks of its settings file by a shell, with the JSON of version 2.1, writes files, and commits.
At the end it is in a call of a tool that never answers; it writes WAITING, and waits to be killed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SETTINGS = ".claude/settings.local.json"
FILE = "src/pay.py"
BRANCH = "pay-once"
LINE = 14
WAITING = "waiting"
SESSION = "5f0c1c3e-7d53-4b51-9f0a-3d2b8a4f6e10"
# what the agent does, a step a line, in a repository at /W: the input of a hook, a file, a command
STEPS = Path(__file__).with_suffix(".jsonl")
# the file that the first step is about, as it was
BEFORE = str(json.loads(STEPS.read_text().partition("\n")[0])["before"])


def play(folder: Path) -> None:
    """Plays the session in a repository that holds `BEFORE`, up to the call without an answer."""
    hooks = json.loads((folder / SETTINGS).read_text())["hooks"]
    options: Any = {"text": True, "shell": True, "cwd": folder, "check": True}
    here = json.dumps(str(folder.absolute())).removesuffix('"')
    for line in STEPS.read_text().replace('"/W', here).splitlines():
        step = json.loads(line)
        if "text" in step:
            Path(step["path"]).write_text(step["text"])
        elif "command" in step:
            subprocess.run(step["command"], **options)
        for group in hooks.get(step.get("hook_event_name"), ()):
            for hook in group["hooks"]:
                subprocess.run(hook["command"], input=line, **options)


if __name__ == "__main__":
    play(Path(sys.argv[1]))
    sys.stdout.write(f"{WAITING}\n")
    sys.stdout.flush()
    sys.stdin.read()
