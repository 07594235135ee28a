"""What a log tells of the sessions of agents: what is open in them, and which process is whose.

It is a fold over the events of `thence.agents.hooked`, in the order of the log. Of payloads it
holds ids and digests alone: it is kept on the disk, where a redaction does not reach.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from thence.agents.fired import Process, ancestors
from thence.core.codec import CAUSES_MAX
from thence.core.event import Event

SHELLS = frozenset(("Bash", "shell", "local_shell", "exec_command", "unified_exec"))
CALLERS = frozenset(("Task", "Agent"))
Payload = Mapping[str, Any]


class OpenCall(NamedTuple):
    """A tool call without an answer; `agent` is None for the main agent's.

    `actor` is that of its event; `root` and `subagent_type` are digests.
    """

    event_id: str
    actor: str
    agent: str | None
    is_shell: bool
    is_caller: bool
    asks_git: bool
    root: str | None
    subagent_type: str | None


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

    `prompts` are by the digests of the agent's own ids; `calls`, which are open, `use_ids` and
    `answered` by tool use ids; `subagents` and `answers`, the last one of each, by the ids of
    subagents.
    """

    actor: str = ""
    begin: str | None = None
    is_open: bool = False
    last_prompt: str | None = None
    last_turn: str | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    calls: dict[str, OpenCall] = field(default_factory=dict)
    use_ids: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    subagents: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    def note(self, event_type: str, event_id: str, name: str, payload: Payload, actor: str) -> None:
        """Takes an event, whose subject has this name behind its kind."""
        match event_type:
            case "session.begun" if not self.is_open:
                self.begin, self.is_open = event_id, True
            case "session.ended":
                self.is_open = False
            case "prompt":
                self.last_prompt = event_id
                if prompt_id := digest_of(text_of(payload, "prompt_id")):
                    self.prompts[prompt_id] = event_id
            case "turn.ended":
                self.last_turn = event_id
                self._close_calls(None)
            case "tool.begun":
                self.use_ids[name] = event_id
                self.calls[name] = _open_call(event_id, payload, actor)
            case "tool.ended" | "tool.failed":
                self.answered.add(name)
                self.calls.pop(name, None)
                if agent := text_of(payload, "agent"):
                    self.answers[agent] = event_id
            case "subagent.begun":
                self.subagents[name] = event_id
            case "subagent.ended":
                self._close_calls(name)

    def _close_calls(self, agent: str | None) -> None:
        """Forgets the calls of an agent that is done: one that was refused gets no answer."""
        self.calls = {name: call for name, call in self.calls.items() if call.agent != agent}

    def asked_by(self, agent: str | None, prompt_id: str | None) -> Causes:
        """Returns the cause of what an agent of the session does next."""
        if agent is not None:
            begin = self.subagents.get(agent)
            return certain(begin) if begin else self.caller_of(None)
        return certain(self.prompt_of(prompt_id) or self.last_prompt or self.begin)

    def prompt_of(self, prompt_id: str | None) -> str | None:
        """Returns the prompt that has the agent's own id."""
        return self.prompts.get(digest_of(prompt_id) or "")

    def caller_of(self, agent_type: str | None) -> Causes:
        """Returns the call that began a subagent of a type; of several none is certain."""
        calls = [call for call in self.calls.values() if call.is_caller]
        kind = digest_of(agent_type)
        typed = [call for call in calls if kind and call.subagent_type == kind]
        calls = typed or calls
        return certain(calls[0].event_id) if len(calls) == 1 else _likely(calls)

    def shell_for(self, root: str | None) -> tuple[Causes, OpenCall | None]:
        """Returns the cause of a commit in a worktree: the one open call that runs git there."""
        shells = [call for call in self.calls.values() if call.is_shell]
        place = digest_of(root)
        fitting = [call for call in shells if call.asks_git and call.root == place]
        if len(fitting) == 1:
            return certain(fitting[0].event_id), fitting[0]
        return _likely(fitting or shells), None


def _likely(calls: Sequence[OpenCall]) -> Causes:
    return Causes((), tuple(call.event_id for call in calls[-CAUSES_MAX:]))


@dataclass
class SessionTable:
    """The sessions of a log; `note` takes its events one after the other, the last ones also again.

    `by_process` are the sessions of each process, the last one at the end; `commits` the ids of the
    events of commits; `roots` the digests of working trees.
    """

    sessions: dict[str, AgentSession] = field(default_factory=dict)
    by_process: dict[Process, list[str]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)

    def of(self, name: str) -> AgentSession:
        """Returns a session, a new one where nothing is known of it."""
        return self.sessions.setdefault(name, AgentSession())

    def note(
        self,
        event_type: str,
        event_id: str,
        subject: str | None,
        payload: Payload,
        actor: str | None,
    ) -> None:
        """Takes one event, whose payload may be cut but for the input of a shell."""
        commit, name = payload.get("commit"), payload.get("session")
        if event_type == "commit" and isinstance(commit, str):
            self.commits[commit] = event_id
        if not isinstance(name, str) or event_type in ("commit", "rewrite"):
            return
        session = self.of(name)
        session.actor = session.actor or (actor or "").partition("/")[0]
        if process := process_of(payload.get("process")):
            names = self.by_process.setdefault(process, [])
            if name not in names:
                names.append(name)
        if root := digest_of(text_of(payload, "root")):
            self.roots.add(root)
        own = (subject or "").partition("/")[2]
        session.note(event_type, event_id, own, payload, actor or "")

    def owner(
        self, chain: Iterable[Process], root: str | None
    ) -> tuple[str | None, Process | None]:
        """Returns the session of the nearest process that is an agent's, and that process.

        Of several sessions in one process it is the one whose shell runs git there, else the last
        one; None if that fits several.
        """
        process = next((process for process in chain if process in self.by_process), None)
        if process is None:
            return None, None
        names = self.by_process[process]
        fitting = [name for name in names if self.of(name).shell_for(root)[1] is not None]
        return (None if len(fitting) > 1 else (fitting or names)[-1]), process

    def boots(self) -> set[str]:
        """Returns the starts of the machine in which sessions were seen with a process."""
        return {boot_of(process) for process in self.by_process}


def has_ended(event: Event) -> bool:
    """Reports whether the process of an agent is certainly gone that an event names."""
    process = process_of(event.cut_payload.get("process"))
    if process is None:
        return False
    chain = ancestors(process[0])
    return not chain or chain[0] != process


def boot_of(process: Process) -> str:
    """Returns the start of the machine in which a process ran; "" where that is not told."""
    return process[1].rpartition(" ")[0] if "-" in process[1] else ""


def process_of(value: object) -> Process | None:
    """Reads a process of a payload or a spool file."""
    match value:
        case [int(pid), str(start)] if pid > 0:
            return pid, start
    return None


def text_of(payload: Payload, *names: str) -> str | None:
    """Returns the first member that is a text, not an empty one."""
    values = (payload.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and value), None)


def digest_of(text: str | None) -> str | None:
    """Returns the digest of a text, None of none."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] if text else None


def _open_call(event_id: str, payload: Payload, actor: str) -> OpenCall:
    value, tool = payload.get("input"), text_of(payload, "tool")
    members = value if isinstance(value, dict) else {}
    return OpenCall(
        event_id,
        actor,
        text_of(payload, "agent"),
        tool in SHELLS,
        tool in CALLERS,
        "git" in str(members.get("command", members.get("cmd", value))),
        digest_of(text_of(payload, "root")),
        digest_of(text_of(members, "subagent_type", "agent_type")),
    )
