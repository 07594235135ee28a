"""The scenarios of `scenarios.toml`, with what their steps mean to each agent."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.trace.agents.real.model import Call, Step

FILES = "mkdir src && for f in a b c; do printf 'def %s():\\n    return 1\\n' $f >src/$f.py; done"
COMMIT = "git add {paths} && git commit -qm by:{me} {paths}"
# the shell commands of steps that begin with these words; at once: the calls of c2 and c3, or of
# x2 and x3, are both open when each commit is made
SHELL = {
    "bash": "{rest}",
    "commit": COMMIT.replace("{paths}", "src"),
    "commit at once": (
        "touch ../{me} && while test $(ls .. | grep -c '^[cx][23]$') != 2; do sleep 0.1; done &&"
        f" until {COMMIT.replace('{paths}', '{rest}')}; do sleep 0.2; done && sleep 2"
    ),
    "commit detached": (
        f"nohup setsid sh -c 'sleep 1; {COMMIT.replace('{paths}', 'src')}; touch detached'"
        " >/dev/null 2>&1 &"
    ),
}
LONG = """\
    doubled_{0} = [2 * number for number in range(40)]
    if sum(doubled_{0}) > 1_000:  # by:{0}
        raise ValueError("too much in {0}")
    return doubled_{0}"""
# by the first letter of a script: where the hooks of its agent are put
HOOKS = {
    "c": "claude-code --user",
    "x": "codex --user",
    "g": "gemini-cli",
    "q": "qwen-code",
    "o": "opencode",
    "l": "cline",
}
# by the same: the tool of each verb, and what it calls the command, or the path
# and the texts
TOOLS = {
    "c": {
        "bash": "Bash command",
        "read": "Read file_path",
        "edit": "Edit file_path old_string new_string",
        "write": "Write file_path content",
    },
    "x": {"bash": "exec_command cmd"},
    "g": {
        "bash": "run_shell_command command",
        "read": "read_file file_path",
        "edit": "replace file_path old_string new_string",
        "write": "write_file file_path content",
    },
    "q": {
        "bash": "run_shell_command command",
        "read": "read_file file_path",
        "edit": "edit file_path old_string new_string",
        "write": "write_file file_path content",
    },
    "o": {
        "bash": "bash command",
        "read": "read filePath",
        "edit": "edit filePath oldString newString",
        "write": "write filePath content",
    },
    "l": {
        "bash": "run_commands commands",
        "read": "read_files files",
        "edit": "editor path old_text new_text",
        "write": "editor path new_text",
    },
}
# what tools ask for besides
ALWAYS = {
    "replace": {"instruction": "Do it"},
    "run_shell_command": {"is_background": False},
    "bash": {"description": "Do it"},
}
LISTED = {"commands": str, "files": lambda path: {"path": path}}
PATCH = "*** Begin Patch\n*** Update File: {}\n@@\n-{}\n+{}\n*** End Patch"


class Scenario(NamedTuple):
    """One row: `owners` are those that are not the script's, `in_flight` what is unfinished."""

    title: str
    scripts: Mapping[str, Sequence[Step]]
    acts: Sequence[Sequence[str]]
    owners: Mapping[str, str]
    in_flight: Sequence[str]


def prompt(script: str) -> str:
    """Returns a text that has the model follow a script."""
    return f"SCRIPT:{script} Do it"


def _call(script: str, words: str) -> Call:
    """Returns the call of a verb with its words; `@/` is the repository's folder."""
    verb = max((verb for verb in SHELL if words.startswith(verb)), key=len, default="")
    agent = script[0]
    if verb:
        command = SHELL[verb].format(me=script, rest=words[len(verb) + 1 :].format(me=script))
        later = {"run_in_background": True} if command.startswith("later ") else {}
        return _told(agent, "bash", command.removeprefix("later "), **later)
    verb, _, rest = words.partition(" ")
    old, new = "    return 1", f"    return 2  # by:{script}"
    if verb == "long":
        new = LONG.format(script)
        verb, _, rest = rest.partition(" ")
    path = rest if rest.startswith("/") else f"@/{rest}"
    match verb:
        case "agent" if agent == "c":
            name, is_later = rest.removeprefix("later "), rest.startswith("later ")
            task = {"description": name, "prompt": prompt(name), "run_in_background": is_later}
            return "Agent", {**task, "subagent_type": "general-purpose"}
        case "agent" if agent == "x":
            return "multi_agent_v1.spawn_agent", {"message": prompt(rest)}
        case "agent" if agent == "l":
            return "spawn_agent", {"systemPrompt": "You help", "task": prompt(rest)}
        case "agent":
            task = {"description": rest, "prompt": prompt(rest), "subagent_type": "general"}
            return "task", task
        case "edit" if agent == "x":
            return "apply_patch", {"input": PATCH.format(rest, old, new.replace("\n", "\n+"))}
        case "edit":
            return _told(agent, verb, path, old, new)
        case "read" | "write":
            return _told(agent, verb, path, new)
        case "enter":
            return "EnterWorktree", {"name": rest}
        case "keep":
            return "ExitWorktree", {"action": "keep"}
    raise ValueError(f"no step is called {words!r}")


def _told(agent: str, verb: str, *values: str, **more: object) -> Call:
    tool, *names = TOOLS[agent][verb].split()
    told = {
        name: [LISTED[name](value)] if name in LISTED else value
        for name, value in zip(names, values, strict=False)
    }
    return tool, {**told, **ALWAYS.get(tool, {}), **more}


def _scenario(table: dict[str, Any]) -> Scenario:
    others = [table.pop(name, default) for name, default in (("owners", {}), ("in_flight", ()))]
    title, acts = table.pop("title"), table.pop("acts")
    scripts = {
        name: [
            step if isinstance(step, str) else [_call(name, one) for one in step] for step in steps
        ]
        for name, steps in table.items()
    }
    return Scenario(title, scripts, acts, *others)


_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
SCENARIOS = {name: _scenario(table) for name, table in _TABLES.items()}
