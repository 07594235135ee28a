"""Which session made a commit, by two witnesses.

The first are the variables that an agent sets for what it runs: their values name the session, and
Codex's the call too. The second is the chain of processes that the commit was made under. Where the
two differ, or several sessions fit, the session is unknown, and those that fit are named.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from thence.trace.agents.fired import (
    AGENT_VARIABLES,
    CLAUDE_SESSION,
    CODEX_CALL,
    CODEX_SESSION,
    CODEX_THREAD,
    NAMING_VARIABLES,
    Process,
)
from thence.trace.agents.sessions import (
    AgentSession,
    Causes,
    SessionTable,
    boot_of,
    certain,
    likely,
)

# the mails by which agents name themselves as an author or in a trailer of a commit
_MAILS = {
    "aider@aider.chat": "aider",
    "noreply@aider.chat": "aider",
    "noreply@anthropic.com": "Claude",
    "codex@openai.com": "Codex",
    "noreply@openai.com": "Codex",
    "copilot@github.com": "Copilot",
    "copilot@users.noreply.github.com": "Copilot",
    "cursoragent@cursor.com": "Cursor",
    "gemini-cli@users.noreply.github.com": "Gemini",
    "noreply@opencode.ai": "opencode",
    "qwen-coder@alibabacloud.com": "Qwen Code",
}
# GitHub's mails have a number before the name
_MAIL = re.compile(r"(?:\d+\+)?([^<>\s+]+@[^<>\s]+)>?\s*$")


def agent_said_by(names: Iterable[str]) -> str | None:
    """Returns the agent that authors or trailers of a commit name, which is only its own claim."""
    mails = (match[1].lower() for name in names if (match := _MAIL.search(name)))
    return next((_MAILS[mail] for mail in mails if mail in _MAILS), None)


class Maker(NamedTuple):
    """Who made a commit: a session with the cause, or the reason why it is not known.

    `fitting` are the sessions that may have made it. Without session and reason it was no agent.
    `is_agent_unknown` where one of the session's subagents may have made it, or the main agent.
    """

    session: str | None = None
    actor: str = "git"
    agent: str | None = None
    causes: Causes = Causes()
    is_agent_unknown: bool = False
    process: Process | None = None
    reason: str | None = None
    fitting: tuple[str, ...] = ()


def maker_of(
    table: SessionTable,
    variables: Mapping[str, str],
    chain: Sequence[Process],
    root: str | None,
) -> Maker:
    """Returns who made a commit in a worktree, under these processes with these variables."""
    named = {
        variables[name][:200]: bridge
        for name, bridge in (
            (CODEX_SESSION if variables.get(CODEX_SESSION) else CODEX_THREAD, "codex"),
            (CLAUDE_SESSION, "claude-code"),
        )
        if variables.get(name)
    }
    process = next((process for process in chain if process in table.by_process), None)
    names = table.by_process[process] if process else ()
    # those that have not ended, all if they all have
    near = [name for name in names if table.is_open(name)] or [*names]
    outer = {name for above in chain for name in table.by_process.get(above, ())} - {*near}
    inner = [name for name in named if name not in outer]
    both = [name for name in inner if name in near]
    if both or (inner and not near):
        reason, fitting = "sessions", both or inner
        if not near and len(inner) == 1 and not table.is_open(inner[0]):
            has_ended = inner[0] in table.sessions
            return Maker(reason="ended" if has_ended else "elsewhere", fitting=(inner[0],))
    elif inner:
        return Maker(reason="witnesses", fitting=(*inner, *near))
    else:
        # those whose shell works in the worktree, of which those that ask git, all if none does
        shells = {name: table.of(name).shells_in(root) for name in near}
        working = [name for name in near if shells[name]]
        asking = [name for name in working if shells[name][0].asks_git]
        reason, fitting = "sessions", asking or working or near
    if len(fitting) > 1:
        return Maker(reason=reason, fitting=tuple(sorted(fitting)))
    if not fitting:
        is_named = variables.keys() & {*AGENT_VARIABLES, *NAMING_VARIABLES}
        doubt = "processes" if not chain else "variables" if is_named else None
        is_seen = doubt or boot_of(chain[0]) in table.boots()
        return Maker(reason=doubt if is_seen else "no_session")
    name = fitting[0]
    call_id, thread = (
        (variables.get(CODEX_CALL), variables.get(CODEX_THREAD))
        if named.get(name) == "codex"
        else (None, None)
    )
    session = table.of(name)
    shell = chain[chain.index(process) - 1] if process and chain[0] != process else None
    maker = _in_session(session, root, call_id, thread if thread != name else None, shell)
    if maker.reason:
        return maker._replace(fitting=(name,))
    actor = maker.actor or session.actor or named.get(name, "unknown")
    return maker._replace(session=name, actor=actor, process=process)


def _in_session(
    session: AgentSession,
    root: str | None,
    call_id: str | None,
    thread: str | None,
    shell: Process | None,
) -> Maker:
    """Returns which agent of a session made a commit, by which call; its actor is "" if unknown.

    `shell` is the process of the commit that the agent itself began. Without an open call it may be
    the user's, whose commands Claude Code runs as it runs those of the agent.
    """
    call_event = session.use_ids.get(call_id or "")
    if thread is not None or call_event is not None:
        subagent = session.subagents.get(thread or "")
        actor = subagent.actor if subagent else ""
        return Maker(agent=thread, actor=actor, causes=certain(call_event))
    calls = session.shells_in(root)
    background = [*session.background.values()]
    started = [call for call in background if shell and call.has_begun(shell)]
    if len(started) == 1 or (len(calls) == 1 and calls[0].asks_git):
        (call,) = started or calls
        return Maker(agent=call.agent, actor=call.actor, causes=certain(call.event_id))
    calls = started or calls or session.open_calls()
    if not calls:
        return Maker(causes=likely(background), reason="background" if background else "no_call")
    agents = {call.agent for call in calls}
    return Maker(actor="", causes=likely(calls), is_agent_unknown=agents != {None})
