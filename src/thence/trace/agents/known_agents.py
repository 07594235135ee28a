"""The agents whose hooks thence knows, and the names that they give things: see `agents.toml`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from thence.core.ready import ready

FOREIGN = "an agent that runs Claude Code's hooks"


class KnownAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an agent looks for hooks, and which of its events are recorded; see `agents.toml`."""

    hooks: str
    users_hooks: str
    first_step: str
    events: tuple[str, ...] = ()
    variable: str = ""
    timeout: int = 10
    timeouts: Mapping[str, int] = {}
    transcripts: str = ""
    tells_its_end: bool = True


class _Table(msgspec.Struct):
    agents: dict[str, KnownAgent]
    others: dict[str, dict[str, list[str]]]
    tools: dict[str, frozenset[str]]
    mails: dict[str, str]


_FILE = Path(__file__).with_name("agents.toml")
_TABLE = msgspec.toml.decode(_FILE.read_bytes(), type=ready(_Table))
AGENTS = _TABLE.agents
SHELLS, CALLERS = _TABLE.tools["shells"], _TABLE.tools["callers"]
# Claude Code's names by those of others
EVENTS, MEMBERS, OF_SUBAGENT, OF_CALL = (
    {other: name for name, others in _TABLE.others[kind].items() for other in others}
    for kind in ("events", "members", "of_a_subagent", "of_a_call")
)
# GitHub's mails have a number before the name
_MAIL = re.compile(r"(?:\d+\+)?([^<>\s+]+@[^<>\s]+)>?\s*$")


def agent_said_by(names: Iterable[str]) -> str | None:
    """Returns the agent that authors or trailers of a commit name, which is only its own claim."""
    for name in names:
        match = _MAIL.search(name)
        said = _TABLE.mails.get(match[1].lower()) if match else None
        if said or "[bot]" in name:
            return said or "a bot"
    return None
