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
        (
            "Agent",
            {
                "description": name,
                "prompt": f"SCRIPT:{name} Do it",
                "subagent_type": "general-purpose",
            },
        )
        for name in names
    ]


def spawn(*names: str) -> Step:
    return [("multi_agent_v1.spawn_agent", {"message": f"SCRIPT:{name} Do it"}) for name in names]


def until(command: str) -> str:
    return f"until {command}; do sleep 0.2; done"


def meet(name: str, other: str, path: str) -> str:
    """A commit that waits for another's: both calls are open when they are made."""
    words = f"touch ../{name} && until test -e ../{other}; do sleep 0.1; done"
    return f"{words} && {until(f'git add {path} && git commit -qm by:{name} {path}')} && sleep 2"


def detached(command: str) -> str:
    return f"nohup setsid sh -c 'sleep 1; {command}; touch ../detached' >/dev/null 2>&1 &"


SAVE = """\
printf '#!/bin/sh\\ngit commit -qam "$1"\\n' >save.sh && chmod +x save.sh
git add . && git commit -qm Save && git worktree add -q ../tree
"""
SUBMODULE = """\
git clone -q . ../other
git -c protocol.file.allow=always submodule --quiet add ../other lib && git commit -qm Lib
"""
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
    "refused": Scenario(
        "claude -p: a call denied, an edit that fails",
        {
            "c3": [
                [bash("python3 -c pass")],
                [("Edit", {"file_path": "@/src/a.py", "old_string": "no", "new_string": "yes"})],
                [("Write", {"file_path": "/proc/no", "content": "no"})],
                "c3 is done.",
            ]
        },
        [("ask", "claude -p strict", "SCRIPT:c3 Try it")],
    ),
    "claude-esc": Scenario(
        "claude in a terminal: Esc in a call, at a question",
        {
            "c4": [[bash("touch begun && sleep 60")], "c4 went on."],
            "c5": [[("Write", {"file_path": "/proc/no", "content": "no"})], "c5 went on."],
            "c6": claude_works("c6"),
        },
        [
            ("open", "c", "claude allowed"),
            ("say", "c", "SCRIPT:c4 Wait"),
            ("wait_for", "begun"),
            ("press", "c", "Escape"),
            ("see", "c", "Interrupted"),
            ("say", "c", "SCRIPT:c5 Ask"),
            ("see", "c", "Do you want to"),
            ("press_until", "c", "Escape", "User rejected"),
            ("say", "c", "SCRIPT:c6 Change a"),
            ("see", "c", "c6 is done"),
            ("leave", "c"),
        ],
    ),
    "codex-esc": Scenario(
        "codex in a terminal: Esc in a call",
        {"x3": [[shell("touch begun; sleep 60")], "x3 went on."], "x4": codex_works("x4")},
        [
            ("open", "x", "codex"),
            ("say", "x", "SCRIPT:x3 Wait"),
            ("wait_for", "begun"),
            ("press", "x", "Escape"),
            ("see", "x", "interrupted"),
            ("say", "x", "SCRIPT:x4 Change a"),
            ("see", "x", "x4 is done"),
            ("leave", "x"),
        ],
    ),
    "subagents": Scenario(
        "claude: two subagents of one type, an edit each",
        {
            "c7": [agents("c7a", "c7b"), [bash(commit("c7"))], "c7 is done."],
            "c7a": [*edit("c7a", "src/a.py"), "a is done."],
            "c7b": [*edit("c7b", "src/b.py"), "b is done."],
        },
        [("ask", "claude -p", "SCRIPT:c7 Change a and b")],
    ),
    "committing": Scenario(
        "claude: two subagents that commit at once",
        {
            "c8": [agents("c8a", "c8b"), "c8 is done."],
            "c8a": [*edit("c8a", "src/a.py"), [bash(meet("c8a", "c8b", "src/a.py"))], "a is done."],
            "c8b": [*edit("c8b", "src/b.py"), [bash(meet("c8b", "c8a", "src/b.py"))], "b is done."],
        },
        [("ask", "claude -p", "SCRIPT:c8 Change a and b")],
        {"c8a": "uncertain", "c8b": "uncertain"},
    ),
    "codex-subagents": Scenario(
        "codex: two subagents at once, edit and commit",
        {
            "x5": [
                spawn("x5a", "x5b"),
                [shell(until("git log | grep by:x5a && git log | grep by:x5b") + "; sleep 3")],
                "x5 is done.",
            ],
            "x5a": codex_works("x5a"),
            "x5b": codex_works("x5b", "src/b.py"),
        },
        [*TRUST, ("ask", "codex exec", "SCRIPT:x5 Change a and b")],
    ),
    "fork": Scenario(
        "claude -p: continued, and forked",
        {
            "c9": claude_works("c9"),
            "c10": claude_works("c10", "src/b.py"),
            "c11": claude_works("c11", "src/c.py"),
        },
        [
            ("ask", "claude -p", "SCRIPT:c9 Change a"),
            ("ask", "claude -p", "SCRIPT:c10 Change b", "--continue"),
            ("ask", "claude -p", "SCRIPT:c11 Change c", "--continue", "--fork-session"),
        ],
    ),
    "resume": Scenario(
        "codex exec: resumed",
        {"x6": codex_works("x6"), "x7": codex_works("x7", "src/b.py")},
        [
            *TRUST,
            ("ask", "codex exec", "SCRIPT:x6 Change a"),
            ("ask", "codex exec resume", "SCRIPT:x7 Change b"),
        ],
    ),
    "windows": Scenario(
        "codex: two terminals, a commit by a script in one",
        {
            "x8": [*patch("x8", "src/a.py"), [shell("./save.sh by:x8")], "x8 is done."],
            "x9": [[shell("cat src/b.py")], "x9 is done."],
            "x11": ["x11 is done."],
        },
        [
            (
                "sh",
                "printf '#!/bin/sh\\ngit commit -qam \"$1\"\\n' >save.sh && chmod +x save.sh &&"
                " git add . && git commit -qm Save && git worktree add -q ../tree",
            ),
            ("open", "x8", "codex"),
            ("open", "x9", "codex", "tree"),
            ("say", "x8", "SCRIPT:x11 Nothing"),
            ("see", "x8", "x11 is done"),
            ("say", "x9", "SCRIPT:x9 Look at b"),
            ("see", "x9", "x9 is done"),
            ("say", "x8", "SCRIPT:x8 Change a"),
            ("see", "x8", "x8 is done"),
            ("leave", "x8"),
            ("leave", "x9"),
        ],
    ),
    "detached": Scenario(
        "claude -p: a commit by a detached shell",
        {
            "c12": [
                *edit("c12", "src/a.py"),
                [bash(detached(commit("c12")))],
                [bash(until("test -e ../detached"))],
                "c12 is done.",
            ]
        },
        [("ask", "claude -p", "SCRIPT:c12 Change a")],
    ),
    "codex-detached": Scenario(
        "codex exec: a commit by a detached shell",
        {
            "x10": [
                *patch("x10", "src/a.py"),
                [shell(detached(commit("x10")))],
                [shell(until("test -e ../detached"))],
                "x10 is done.",
            ]
        },
        [*TRUST, ("ask", "codex exec", "SCRIPT:x10 Change a")],
    ),
    "submodule": Scenario(
        "claude -p: edit and commit in a submodule",
        {
            "c13": [
                [bash("cd lib")],
                *edit("c13", "src/a.py", "@/lib/"),
                [bash(commit("c13"))],
                "c13 is done.",
            ]
        },
        [
            ("sh", SUBMODULE),
            ("sh", "thence hook install git", "shop/lib"),
            ("ask", "claude -p", "SCRIPT:c13 Change a of lib"),
        ],
    ),
    "worktree": Scenario(
        "claude -p: edit and commit in a worktree of its own",
        {
            "c15": [
                [("EnterWorktree", {"name": "w"})],
                *edit("c15", "src/a.py", "@/.claude/worktrees/w/"),
                [bash(commit("c15"))],
                [("ExitWorktree", {"action": "keep"})],
                "c15 is done.",
            ]
        },
        [("ask", "claude -p", "SCRIPT:c15 Change a")],
    ),
    "another": Scenario(
        "a commit by an agent without hooks (AGENT=1)",
        {"c14": claude_works("c14")},
        [
            ("ask", "claude -p", "SCRIPT:c14 Change a"),
            (
                "sh",
                "echo '# by:another' >>src/b.py && AGENT=1 OPENCODE=1 git commit -qam by:another",
            ),
            ("sh", "echo '# by:ada' >>src/c.py && git commit -qam by:ada"),
        ],
        {"another": "unknown", "ada": "person"},
    ),
}
