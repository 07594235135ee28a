"""What is played: scripts for the model, what the user does, and whose the results are.

A commit's message and a line hold `by:NAME` of the script that made them. The right owner is the
session, and the subagent, that follow the script; `owners` names the exceptions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.agents.real.model import Call, Step
from tests.agents.real.stage import Act

FILES = "mkdir src && for f in a b c; do printf 'def %s():\\n    return 1\\n' $f >src/$f.py; done"


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    title: str
    scripts: Mapping[str, Sequence[Step]]
    acts: Sequence[Act]
    owners: Mapping[str, str] = field(default_factory=dict)
    unfinished: Sequence[str] = ()


def bash(command: str, **more: Any) -> Call:
    return "Bash", {"command": command, **more}


def shell(command: str, **more: Any) -> Call:
    return "exec_command", {"cmd": command, **more}


def commit(name: str) -> str:
    return f"git add src && git commit -qm by:{name}"


def line(name: str) -> str:
    return f"return 2  # by:{name}"


def edit(name: str, path: str, root: str = "@/") -> list[Step]:
    """Claude Code's way to change a file."""
    file = f"{root}{path}"
    texts = {"old_string": "return 1", "new_string": line(name)}
    return [[("Read", {"file_path": file})], [("Edit", {"file_path": file, **texts})]]


def patch(name: str, path: str) -> list[Step]:
    """Codex's way to change a file."""
    text = f"*** Begin Patch\n*** Update File: {path}\n@@\n-    return 1\n+    {line(name)}\n"
    return [[("apply_patch", {"input": f"{text}*** End Patch"})]]


def claude_works(name: str, path: str = "src/a.py") -> list[Step]:
    return [*edit(name, path), [bash(commit(name))], f"{name} is done."]


def codex_works(name: str, path: str = "src/a.py") -> list[Step]:
    return [[shell(f"cat {path}")], *patch(name, path), [shell(commit(name))], f"{name} is done."]


def agents(*names: str) -> Step:
    return [
        ("Agent", {"description": name, "prompt": f"SCRIPT:{name} Do it", "subagent_type": "general-purpose"})
        for name in names
    ]


TRUST: Sequence[Act] = (("open", "trust", "codex"), ("leave", "trust"))

SCENARIOS: dict[str, Scenario] = {
    "claude": Scenario(
        "claude -p: edit and commit",
        {"c1": claude_works("c1")},
        [("ask", "claude -p", "SCRIPT:c1 Change a")],
    ),
    "codex": Scenario(
        "codex exec: edit and commit",
        {"x1": codex_works("x1")},
        [*TRUST, ("ask", "codex exec", "SCRIPT:x1 Change a")],
    ),
    "claude-terminal": Scenario(
        "claude in a terminal: edit and commit",
        {"c2": claude_works("c2")},
        [
            ("open", "c", "claude allowed"),
            ("say", "c", "SCRIPT:c2 Change a"),
            ("see", "c", "c2 is done"),
            ("leave", "c"),
        ],
    ),
    "codex-terminal": Scenario(
        "codex in a terminal: edit and commit",
        {"x2": codex_works("x2")},
        [
            ("open", "x", "codex"),
            ("say", "x", "SCRIPT:x2 Change a"),
            ("see", "x", "x2 is done"),
            ("leave", "x"),
        ],
    ),
}
