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
    codex = variables.get(CODEX_SESSION) or variables.get(CODEX_THREAD)
    pairs = ((codex, "codex"), (variables.get(CLAUDE_SESSION), "claude-code"))
    named = {session[:200]: bridge for session, bridge in pairs if session}
    process = next((process for process in chain if process in table.by_process), None)
    names = table.by_process[process] if process else ()
    # those that have not ended, all if they all have
    near = [name for name in names if table.is_open(name)] or [*names]
    outer = {name for above in chain for name in table.by_process.get(above, ())} - {*near}
    inner = [name for name in named if name not in outer]
    both = [name for name in inner if name in near]
    if inner and near and not both:
        return Maker(reason="witnesses", fitting=(*inner, *near))
    if inner:
        fitting = both or inner
        if not near and len(inner) == 1 and not table.is_open(inner[0]):
            reason = "ended" if inner[0] in table.sessions else "elsewhere"
            return Maker(reason=reason, fitting=(inner[0],))
    else:
        # those whose shell works in the worktree, of which those that ask git, all if none does
        shells = {name: table.of(name).shells_in(root) for name in near}
        working = [name for name in near if shells[name]]
        asking = [name for name in working if shells[name][0].asks_git]
        fitting = asking or working or near
    if len(fitting) > 1:
        return Maker(reason="sessions", fitting=tuple(sorted(fitting)))
    if not fitting:
        is_named = variables.keys() & {*AGENT_VARIABLES, *NAMING_VARIABLES}
        doubt = "processes" if not chain else "variables" if is_named else None
        is_seen = doubt or boot_of(chain[0]) in {boot_of(process) for process in table.by_process}
        return Maker(reason=doubt if is_seen else "no_session")
    name = fitting[0]
    session, own = table.of(name), variables if named.get(name) == "codex" else {}
    call_event, thread = session.use_ids.get(own.get(CODEX_CALL, "")), own.get(CODEX_THREAD)
    certainly = Maker(
        session=name, actor=session.actor or named.get(name, "unknown"), process=process
    )
    if (thread and thread != name) or call_event is not None:
        agent = thread if thread != name else None
        subagent = session.subagents.get(agent or "")
        maker = certainly._replace(agent=agent, causes=certain(call_event))
        return maker._replace(actor=subagent.actor) if subagent else maker
    # the process of the commit that the agent itself began; without an open call it may be the
    # user's, whose commands Claude Code runs as it runs those of the agent
    shell = chain[chain.index(process) - 1] if process and chain[0] != process else None
    calls, background = session.shells_in(root), [*session.background.values()]
    started = [call for call in background if shell and call.has_begun(shell)]
    if len(started) == 1 or (len(calls) == 1 and calls[0].asks_git):
        (call,) = started or calls
        maker = certainly._replace(agent=call.agent, causes=certain(call.event_id))
        return maker._replace(actor=call.actor or maker.actor)
    calls = started or calls or session.open_calls()
    if not calls:
        reason = "background" if background else "no_call"
        return Maker(causes=likely(background), reason=reason, fitting=(name,))
    is_agent_unknown = {call.agent for call in calls} != {None}
    return certainly._replace(causes=likely(calls), is_agent_unknown=is_agent_unknown)
