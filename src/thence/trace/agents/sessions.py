"""What a log tells of the sessions of agents: what is open in them, and which one made a commit.

It is a fold over the events of `thence.trace.agents.hooked`, in the order of the log. Of payloads
it holds ids and digests alone: it is kept on the disk, where a redaction does not reach.

A commit has two witnesses. The first are the variables that an agent sets for what it runs: their
values name the session, and Codex's the call too. The second is the chain of processes that the
commit was made under. Where the two differ, or several sessions fit, the session is unknown, and
those that fit are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from thence.core.codec import CAUSES_MAX
from thence.core.event import Event
from thence.core.new_event import HostEvent
from thence.trace.agents.fired import (
    AGENT_VARIABLES,
    CLAUDE_SESSION,
    CODEX_CALL,
    CODEX_SESSION,
    CODEX_THREAD,
    NAMING_VARIABLES,
    Process,
    ancestors,
)
from thence.trace.agents.known_agents import CALLERS, SHELLS

Payload = Mapping[str, Any]


class OpenCall(NamedTuple):
    """A tool call without an answer; `agent` is None for the main agent's.

    `actor` is that of its event, `root` a digest. `hook` is the process of its first hook, and of
    one that goes on in the background `answered` that of its last: the shell of the call began
    between them.
    """

    event_id: str
    actor: str
    agent: str | None
    tool: str
    asks_git: bool
    root: str | None
    hook: Process | None = None
    answered: Process | None = None

    def has_begun(self, process: Process) -> bool:
        """Reports whether a process of its agent is the shell of this call in the background."""
        if self.hook is None or self.answered is None or not boot_of(process):
            return False
        chain = (self.hook, process, self.answered)
        begun, own, answered = (int(one[1].rpartition(" ")[2]) for one in chain)
        return len({*map(boot_of, chain)}) == 1 and begun <= own <= answered


class Subagent(NamedTuple):
    """A subagent: its begin, the actor of that, and the event of the call that asked for it.

    The call is None where it is not certain.
    """

    event_id: str
    actor: str
    agent: str
    call: str | None
    is_open: bool = True


class Causes(NamedTuple):
    """The ids of causes: those that are certain, and those that are only likely."""

    certain: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()


def certain(event_id: str | None) -> Causes:
    """Returns one cause, or none."""
    return Causes((event_id,)) if event_id else Causes()


@dataclass
class AgentSession:
    """One session of an agent, as far as its events tell; the values are ids of events.

    `prompts`, a machine's too, are by the digests of the agent's own ids; `calls`, which are open,
    `background`, which were answered and go on, `use_ids` and `answered` by tool use ids;
    `subagents`, the calls that `spawned` them and the last one of each of their `answers` by the
    ids of subagents.
    """

    actor: str = ""
    begin: str | None = None
    is_open: bool = False
    last_prompt: str | None = None
    last_turn: str | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    calls: dict[str, OpenCall] = field(default_factory=dict)
    background: dict[str, OpenCall] = field(default_factory=dict)
    use_ids: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    subagents: dict[str, Subagent] = field(default_factory=dict)
    spawned: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    def asked_by(self, agent: str | None, prompt_id: str | None) -> Causes:
        """Returns the cause of what an agent of the session does next."""
        if agent is not None:
            subagent = self.subagents.get(agent)
            return certain(subagent.event_id) if subagent else self.caller_of(agent)
        return certain(self.prompt_of(prompt_id) or self.last_prompt or self.begin)

    def prompt_of(self, prompt_id: str | None) -> str | None:
        """Returns the prompt that has the agent's own id."""
        return self.prompts.get(digest_of(prompt_id) or "")

    def caller_of(self, agent: str) -> Causes:
        """Returns the call that began a subagent, by its answer, or the only one that can be."""
        if agent in self.spawned:
            return certain(self.spawned[agent])
        used = {subagent.call for subagent in self.subagents.values()}
        calls = [
            call
            for call in self.calls.values()
            if call.tool in CALLERS and call.event_id not in used
        ]
        return certain(calls[0].event_id) if len(calls) == 1 else likely(calls)

    def open_calls(self) -> list[OpenCall]:
        """Returns the open calls of a shell, else those of other tools that may run git."""
        calls = [call for call in self.calls.values() if call.tool not in CALLERS]
        return [call for call in calls if call.tool] or calls

    def shells_in(self, root: str | None) -> list[OpenCall]:
        """Returns the open calls of a shell in a worktree: those that run git, else all."""
        place = digest_of(root)
        calls = [call for call in self.open_calls() if call.tool and call.root == place]
        return [call for call in calls if call.asks_git] or calls

    def abandoned(
        self, agent: str | None, *, has_ended: bool
    ) -> Iterator[tuple[str, str, OpenCall | Subagent]]:
        """Yields what an agent went on without, and all that is open where the session has ended.

        These are calls without an answer, and the subagents that they asked for with their calls:
        the types of their ends, their subjects and what began.
        """
        calls = {
            name: call for name, call in self.calls.items() if has_ended or call.agent == agent
        }
        ids = {call.event_id for call in calls.values()}
        over = {
            name: subagent
            for name, subagent in self.subagents.items()
            if subagent.is_open and (has_ended or subagent.call in ids)
        }
        calls |= {name: call for name, call in self.calls.items() if call.agent in over}
        for name, call in calls.items():
            yield "tool.failed", f"tool/{name}", call
        for name, subagent in over.items():
            yield "subagent.ended", f"agent/{name}", subagent


def likely(calls: Sequence[OpenCall]) -> Causes:
    """Returns calls of which one is the cause."""
    return Causes((), tuple(call.event_id for call in calls[-CAUSES_MAX:]))


@dataclass
class SessionTable:
    """The sessions of a log; `note` takes its events one after the other, the last ones also again.

    `by_process` are the sessions of each process, the last one at the end; `commits` the first
    event of each commit, `told` digests of what git's hooks said, who made a commit among it.
    """

    sessions: dict[str, AgentSession] = field(default_factory=dict)
    by_process: dict[Process, list[str]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def of(self, name: str) -> AgentSession:
        """Returns a session, a new one where nothing is known of it."""
        return self.sessions.setdefault(name, AgentSession())

    def note(self, event: Event | HostEvent) -> None:
        """Takes one event, of a log or a new one."""
        if isinstance(event, Event):
            payload: Payload = event.cut_payload
            causes: Any = event.header.caused_by
        else:
            payload, causes = event.payload or {}, event.caused_by
        event_type, event_id, actor = event.event_type, event.event_id or "", event.actor or ""
        commit, name = payload.get("commit"), payload.get("session")
        if event_type in ("commit", "rewrite"):
            self.told.add(told_by_git(payload))
            if event_type == "commit" and isinstance(commit, str):
                self.commits.setdefault(commit, event_id)
            return
        if not isinstance(name, str):
            return
        session = self.of(name)
        session.actor = session.actor or actor.partition("/")[0]
        if process := process_of(payload.get("process")):
            names = self.by_process.setdefault(process, [])
            if name not in names:
                names.append(name)
        own = (event.subject or "").partition("/")[2]
        cause = causes[0] if len(causes) == 1 else None
        match event_type:
            case "session.begun" if not session.is_open:
                session.begin, session.is_open = event_id, True
            case "session.ended":
                session.is_open = False
            case "woken" if cause in (session.last_prompt, session.begin, None):
                pass  # what follows is caused by what the user asked
            case "prompt" | "woken":
                session.last_prompt = event_id
                calls = session.background.items()
                session.background = {own: call for own, call in calls if call.event_id != cause}
                if prompt_id := digest_of(text_of(payload, "prompt_id")):
                    session.prompts[prompt_id] = event_id
            case "turn.ended":
                session.last_turn = event_id
            case "tool.begun":
                session.use_ids[own] = event_id
                tool = text_of(payload, "tool")
                session.calls[own] = OpenCall(
                    event_id,
                    actor,
                    text_of(payload, "agent"),
                    tool if tool in SHELLS | CALLERS else "",
                    payload.get("asks_git") is True,
                    digest_of(text_of(payload, "root")),
                    process_of(payload.get("hook")),
                )
            case "tool.ended" | "tool.failed":
                call = session.calls.pop(own, None)
                if call and (answered := process_of(payload.get("hook"))):
                    session.background[own] = call._replace(answered=answered)
                if payload.get("is_unanswered"):  # what is late counts too
                    return
                session.answered.add(own)
                if agent := text_of(payload, "agent"):
                    session.answers[agent] = event_id
                if spawned := text_of(payload, "spawned"):
                    session.spawned[spawned] = session.use_ids.get(own, event_id)
            case "subagent.begun":
                session.subagents[own] = Subagent(event_id, actor, own, cause)
            case "subagent.ended" if own in session.subagents:
                session.subagents[own] = session.subagents[own]._replace(is_open=False)

    def is_open(self, name: str) -> bool:
        """Reports whether a session is known and has not ended; its begin need not be known."""
        session = self.sessions.get(name)
        return session is not None and (session.is_open or session.begin is None)


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
    certainly = Maker(session=name, actor=session.actor or named.get(name, "unknown"))
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


def has_ended(event: Event) -> bool:
    """Reports whether the process of an agent is certainly gone that an event names."""
    process = process_of(event.cut_payload.get("process"))
    return process is not None and ancestors(process[0])[:1] != [process]


def boot_of(process: Process) -> str:
    """Returns the start of the machine in which a process ran; "" where that is not told."""
    return process[1].rpartition(" ")[0] if "-" in process[1] else ""


def process_of(value: object) -> Process | None:
    """Reads a process of a payload or a spool file."""
    match value:
        case [int(pid), str(start)] if pid > 0:
            return pid, start
    return None


def list_of(value: object) -> list[Any]:
    """Returns a value that is a list, an empty one for any other."""
    return value if isinstance(value, list) else []


def map_of(value: object) -> Mapping[str, Any]:
    """Returns a value that is an object, an empty one for any other."""
    return value if isinstance(value, Mapping) else {}


def text_of(payload: object, *names: str) -> str | None:
    """Returns the first member that is a text, not an empty one."""
    values = [payload.get(name) for name in names] if isinstance(payload, Mapping) else []
    return next((value for value in values if isinstance(value, str) and value), None)


def told_by_git(payload: Payload) -> str:
    """Returns the digest of what a hook of git says: which commits, and who made them."""
    names = ("commit", "old", "new", "by", "session", "agent")
    return digest_of(" ".join(str(text_of(payload, name)) for name in names)) or ""


def digest_of(text: str | None) -> str | None:
    """Returns the digest of a text, None of none."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] if text else None
