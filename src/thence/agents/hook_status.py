"""What became of hooks: when each tool's last fired, and why one may never fire.

Codex runs a hook once its user trusts it. A key in its settings is a hint of that alone: what
fired is the proof.
"""

import os
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from thence.agents.fired import spools, users_folder
from thence.agents.hook_files import HookFile, readable_text
from thence.agents.hook_script import helper_of, log_here, starts
from thence.agents.installed import EVENTS, settings_of
from thence.agents.intake import open_agents_log, read_spooled
from thence.core.clock import timestamp_at
from thence.errors import SuppressCodes

_GIT_TYPES = ("commit", "rewrite")
_READ_MAX = 100
_INSTALL = "thence hook install {}"


class ToolState(NamedTuple):
    """Whether the hooks of an agent or of git fire.

    `state` is "absent", "fired", "never fired", "gone" or "no program", of which the last three
    have a `hint`; `last_fired` is a time, None for a tool of which the log has nothing.
    """

    tool: str
    state: str
    last_fired: str | None
    hint: str = ""

    @property
    def words(self) -> str:
        """The state in words."""
        last = f"last fired at {self.last_fired}" if self.last_fired else "never fired here"
        gone = {"gone": "installed and gone; ", "no program": "its program is gone; "}
        return f"{self.tool}: {gone.get(self.state, '')}{last}"


def tool_states(files: list[HookFile]) -> Iterator[ToolState]:
    """Yields the state of each tool, by what `status` returned; their programs are started."""
    log = log_here()
    times = _last_fired(log)
    for tool in (*EVENTS, "git"):
        own = [file for file in files if file.tool == tool]
        installed = [file for file in own if file.state == "installed"]
        last = times.get(tool)
        if any(file.state in ("gone", "left") for file in own):
            note = next(file.note for file in own if file.state in ("gone", "left"))
            yield ToolState(tool, "gone", last, _INSTALL.format(tool) if tool == "git" else note)
        elif not installed:
            yield ToolState(tool, "absent", last)
        elif not all(map(starts, {helper_of(_is_users(file)) for file in installed})):
            yield ToolState(tool, "no program", last, _INSTALL.format(tool))
        elif last is None:
            yield ToolState(tool, "never fired", last, _first_step(tool, installed))
        else:
            yield ToolState(tool, "fired", last)


def _is_users(file: HookFile) -> bool:
    return file.tool != "git" and file.path == settings_of(file.tool, is_users=True)


def trust_step(is_users: bool) -> str:
    """Returns what Codex needs before it runs a hook."""
    folder = "" if is_users else "here, trust the folder, "
    return (
        f'start codex {folder}once and choose "Trust all and continue" of its hooks (later: /hooks);'
        " before that it runs none, and `codex exec` does not ask"
    )


def _first_step(tool: str, files: list[HookFile]) -> str:
    """Returns what makes the hooks of a tool fire."""
    if tool != "codex":
        return {"git": "make a commit"}.get(tool, "start a session of it; one that runs has none")
    config = Path(users_folder("CODEX_HOME", ".codex", "config.toml"))
    with suppress(ValueError, LookupError, TypeError, AttributeError):  # of another form
        keys = tomllib.loads(readable_text(config))["hooks"]["state"].keys()
        if any(key.startswith(f"{file.path}:") for key in keys for file in files):
            return "it is trusted by its config: start a session of it"
    return trust_step(all(map(_is_users, files)))


def _last_fired(log: Path) -> dict[str, str]:
    """Returns when each tool's hooks last fired, by what waits in the spool and by the log."""
    times: dict[str, str] = {}
    for spool in map(Path, spools(str(log))):
        names = sorted(os.listdir(spool) if spool.is_dir() else (), reverse=True)
        for name in [name for name in names if name.endswith(".json")][:_READ_MAX]:
            with suppress(ValueError, OSError):
                spooled = read_spooled(spool / name)
                time = timestamp_at(spooled.time_ns // 1000)
                times[spooled.bridge] = max(times.get(spooled.bridge, ""), time)
    if not (log / ".thence").is_dir():
        return times
    with SuppressCodes("not_a_log"), open_agents_log(log) as opened:
        for tool in {*EVENTS, "git"} - times.keys():
            keys = {"type": _GIT_TYPES} if tool == "git" else {"actor": tool}
            page = opened.query(limit=_READ_MAX, descending=True, **keys)
            for event in page.events:
                if event.header.source == tool:
                    times[tool] = max(times.get(tool, ""), event.timestamp)
    return times
