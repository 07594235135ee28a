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
    is_claude = script.startswith("c")
    if verb:
        command = SHELL[verb].format(me=script, rest=words[len(verb) + 1 :].format(me=script))
        if not is_claude:
            return "exec_command", {"cmd": command}
        later = {"run_in_background": command.startswith("later ")}
        return "Bash", {"command": command.removeprefix("later "), **later}
    verb, _, rest = words.partition(" ")
    old, new = "    return 1", f"    return 2  # by:{script}"
    if verb == "long":
        new = LONG.format(script)
        verb, _, rest = rest.partition(" ")
    path = rest if rest.startswith("/") else f"@/{rest}"
    match verb:
        case "agent" if is_claude:
            name, is_later = rest.removeprefix("later "), rest.startswith("later ")
            task = {"description": name, "prompt": prompt(name), "run_in_background": is_later}
            return "Agent", {**task, "subagent_type": "general-purpose"}
        case "agent":
            return "multi_agent_v1.spawn_agent", {"message": prompt(rest)}
        case "edit" if is_claude:
            return "Edit", {"file_path": path, "old_string": old, "new_string": new}
        case "edit":
            return "apply_patch", {"input": PATCH.format(rest, old, new.replace("\n", "\n+"))}
        case "read":
            return "Read", {"file_path": path}
        case "write":
            return "Write", {"file_path": path, "content": new}
        case "enter":
            return "EnterWorktree", {"name": rest}
        case "keep":
            return "ExitWorktree", {"action": "keep"}
    raise ValueError(f"no step is called {words!r}")


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
