"""What became of hooks: when those of each tool last fired, and why they may never fire."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from thence.core.clock import timestamp_at
from thence.errors import ThenceError
from thence.trace.agents.fired import repository, spools
from thence.trace.agents.hook_script import log_here
from thence.trace.agents.installed import HookFile, hook_files, read_text, settings_of
from thence.trace.agents.intake import open_agents_log, read_spooled
from thence.trace.agents.known_agents import AGENTS

_READ_MAX = 100
# where administrators put settings of Claude Code, on Linux and macOS
_MANAGED = ("/etc/claude-code", "/Library/Application Support/ClaudeCode")
_TRUST = (
    'start codex once here, trust the folder and choose "Trust all and continue" of its hooks'
    " (later: /hooks): it runs no hook before, and `codex exec` does not ask"
)


class ToolState(NamedTuple):
    """Whether the installed hooks of an agent or of git fire.

    `state` is "fired", "never fired", or why its hooks can't: "gone", "left", "no program" of a
    file, "switched off" of the agent's settings. `last_fired` is None for a tool of which the log
    has nothing.
    """

    tool: str
    state: str
    last_fired: str | None
    hint: str

    @property
    def words(self) -> str:
        """The state in words."""
        states = {"gone": "installed and gone; ", "no program": "its program is gone; "}
        states["switched off"] = "its settings switch hooks off; "
        last = f"last fired at {self.last_fired}" if self.last_fired else "never fired here"
        return f"{self.tool}: {states.get(self.state, '')}{last}"


def tool_states() -> tuple[list[HookFile], list[ToolState]]:
    """Returns each file in which hooks of this folder may be, and the tools that have any."""
    files, times = [*hook_files()], _last_fired(log_here())
    states = []
    for tool in (*AGENTS, "git"):
        own = [file for file in files if file.tool == tool and file.state != "absent"]
        last = times.get(tool)
        for file in sorted(own, key=lambda file: file.state == "installed")[:1]:
            state, hint = file.state, file.note
            if state == "installed":
                state, hint = ("fired", "") if last else ("never fired", first_step(tool))
                if switch := switched_off(tool):
                    state, hint = "switched off", switch
            states.append(ToolState(tool, state, last, hint))
    return files, states


def first_step(tool: str) -> str:
    """Returns what makes installed hooks fire."""
    steps = {"git": "make a commit", "codex": _TRUST}
    return steps.get(tool, f"restart {tool}")


def switched_off(tool: str) -> str:
    """Returns what to do where a layer of Claude Code's settings lets no hook run, else ""."""
    if tool != "claude-code":
        return ""
    managed = [path for folder in _MANAGED for path in sorted(Path(folder).glob("managed-*.json"))]
    managed += [path for folder in _MANAGED for path in sorted(Path(folder).glob("*.d/*.json"))]
    layers = [settings_of(tool, is_users=True)]
    if repository(str(Path.cwd())):
        own = settings_of(tool, is_users=False)
        layers += [own.with_name("settings.json"), own]
    for path in (*managed, *layers):
        with suppress(ValueError, AttributeError, OSError):
            settings = json.loads(read_text(path) or "{}")
            if settings.get("allowManagedHooksOnly") is True and path in managed:
                return f"ask who manages {path}: allowManagedHooksOnly lets only their hooks run"
            if settings.get("disableAllHooks") is True:
                return f"take disableAllHooks out of {path}, then restart {tool}"
    return ""


def _last_fired(log: Path) -> dict[str, str]:
    """Returns when each tool's hooks last fired, by what waits in the spool and by the log."""
    times: dict[str, str] = {}
    for spool in map(Path, spools(str(log))):
        names = sorted(os.listdir(spool) if spool.is_dir() else (), reverse=True)
        for name in [name for name in names if name.endswith(".json")][:_READ_MAX]:
            with suppress(ValueError, OSError):
                spooled = read_spooled(spool / name)
                time = timestamp_at(spooled.time_ns // 1000)
                times[spooled.actor] = max(times.get(spooled.actor, ""), time)
    if not (log / ".thence").is_dir():
        return times
    with suppress(ThenceError), open_agents_log(log) as opened:
        for tool in {*AGENTS, "git"} - times.keys():
            types = ("commit", "rewrite") if tool == "git" else ()
            actors = () if types else (tool,)
            page = opened.query(limit=_READ_MAX, descending=True, type=types, actor=actors)
            own = [event.timestamp for event in page.events if event.header.source == tool]
            times |= {tool: own[0]} if own else {}
    return times
