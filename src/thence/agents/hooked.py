"""The events that a hook's input stands for, with their causes.

The input is read as the agents document it (Claude Code 2.1, Codex's hooks and `notify`), and
tolerantly: members that are not known stay under `more`, those that are missing stay out.
"""

import os.path
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

from thence.agents.fired import Process, repository
from thence.agents.sessions import (
    AgentSession,
    Causes,
    SessionTable,
    boot_of,
    text_of,
)
from thence.core.clock import timestamp_at
from thence.core.ids import ulid_of
from thence.core.values.new_event import NewEvent
from thence.core.values.payload import repair

NAME_CHARACTERS_MAX = 200
_PATH_CHARACTERS_MAX = 4096
_SHA = re.compile(r"[0-9a-f]{7,64}")
# the years 1970 to 2200, in which a clock may tell any time
_NS_MAX = 7_258_118_400 * 10**9
_ANSWERS = ("tool_response", "tool_output", "tool_result")
_PROMPT_IDS = ("prompt_id", "turn_id", "turn-id")
_SESSION_IDS = ("session_id", "thread_id", "thread-id", "conversation_id")
# member of the input: member of the payload
_COMMON = {
    "agent_id": "agent",
    "agent_type": "agent_type",
    "cwd": "cwd",
    "permission_mode": "permission_mode",
    "transcript_path": "transcript",
}
_CUT_MEMBER = re.compile(
    r'"(session_id|hook_event_name|tool_use_id|tool_name|agent_id|agent_type|prompt_id|cwd)"'
    r'\s*:\s*"([^"\\]{1,1000})"'
)


class Spooled(NamedTuple):
    """What one file of the spool holds; `source_id` is its name, `input` the hook's JSON."""

    source_id: str
    bridge: str
    time_ns: int
    cwd: str | None
    root: str | None
    process: Process | None
    chain: tuple[Process, ...]
    variables: tuple[str, ...]
    input: Mapping[str, Any]


class Unreadable(ValueError):
    """An input that stands for no event; the text says why."""


def event_id_of(source: str, source_id: str, time_ns: int) -> str:
    """Returns the id of the event of a place in a source, the same whenever it is asked for."""
    digest = sha256(f"{source}\n{source_id}".encode("utf-8", "replace")).digest()
    return ulid_of(time_ns // 1_000_000, int.from_bytes(digest[:10], "big"))


def events_of(spooled: Spooled, table: SessionTable) -> list[NewEvent]:
    """Returns the events of a file, and notes them in the table; raises Unreadable.

    None at all stand for what the log has already: a hook that is installed twice fires twice.
    """
    if spooled.bridge == "git":
        return [*_of_git(spooled, table)]
    if text_of(spooled.input, "type") == "agent-turn-complete":
        return [*_of_notify(spooled, table)]
    name = (text_of(spooled.input, "hook_event_name") or "").replace("_", "").lower()
    writer = _HOOKS.get(name)
    if writer is None:
        raise Unreadable(f"no hook is called {name[:80]!r}")
    return [*writer(_Call(spooled, table))]


def cut_input(head: str, size: int) -> dict[str, Any]:
    """Returns what the beginning of a too long input tells: the names in it."""
    members: dict[str, Any] = {}
    for name, value in _CUT_MEMBER.findall(head):
        members.setdefault(name, value)
    return {**members, "cut_bytes": size}


class _Call:
    """One fired hook: its input, and the event that is made of it."""

    def __init__(self, spooled: Spooled, table: SessionTable) -> None:
        self.spooled, self.table, self.input = spooled, table, spooled.input
        self.name = self.text(*_SESSION_IDS) or "unknown"
        self.session: AgentSession = table.of(self.name)
        self.agent, self.agent_type = self.text("agent_id"), self.text("agent_type")
        self.prompt_id = self.text(*_PROMPT_IDS)
        self.used = {"hook_event_name", *_SESSION_IDS, *_PROMPT_IDS, *_COMMON}
        self._count = 0

    def text(self, *names: str) -> str | None:
        """Returns the first member that is a short text."""
        value = text_of(self.input, *names)
        return value[:NAME_CHARACTERS_MAX] if value else None

    def take(self, *names: str) -> Any:
        """Returns the first member that is there, which is then not among `more`."""
        self.used.update(names)
        return next((self.input[name] for name in names if name in self.input), None)

    @property
    def tool_use_id(self) -> str:
        """The id of the tool call; where an older agent gives none, that of the file."""
        return self.text("tool_use_id", "call_id") or self.spooled.source_id

    @property
    def causes(self) -> Causes:
        """The prompt, or the begin of the subagent, that this follows from."""
        return self.session.asked_by(self.agent, self.prompt_id)

    def root(self) -> str | None:
        """Returns the top folder of the worktree that the agent works in."""
        cwd = text_of(self.input, "cwd") or self.spooled.cwd
        return root_of(cwd, self.table.roots, self.spooled.root)

    def event(
        self,
        event_type: str,
        subject: str,
        payload: Mapping[str, Any],
        causes: Causes,
        **members: Any,
    ) -> NewEvent:
        """Returns an event of the session, and notes it in the table."""
        spooled = self.spooled
        common = {new: self.input[old] for old, new in _COMMON.items() if self.input.get(old)}
        common["cwd"] = common.get("cwd", spooled.cwd)
        more_members = {key: self.input[key] for key in self.input if key not in self.used}
        facts = {
            **payload,
            "session": self.name,
            **common,
            "prompt_id": self.prompt_id,
            "root": self.root(),
            "more": more_members or None,
        }
        actor = f"{spooled.bridge}/{self.agent_type or self.agent}" if self.agent else None
        members |= {"stream": self.name, "actor": actor or spooled.bridge}
        event = new_event(spooled, self._count, event_type, subject, facts, causes, **members)
        self._count += 1
        note(self.table, event)
        return event


def new_event(
    spooled: Spooled,
    number: int,
    event_type: str,
    subject: str,
    facts: Mapping[str, Any],
    causes: Causes,
    **members: Any,
) -> NewEvent:
    """Returns event `number` of a file, with the facts that are known and what JSON can hold."""
    payload, repairs = repair({key: value for key, value in facts.items() if value is not None})
    source_id = f"{spooled.source_id}/{number}" if number else spooled.source_id
    time_ns = spooled.time_ns if 0 <= spooled.time_ns < _NS_MAX else 0
    words, _ = repair({"subject": subject, **members})
    return NewEvent(
        event_type,
        payload,
        caused_by=causes.certain,
        inferred_causes=causes.inferred,
        event_id=event_id_of(spooled.bridge, source_id, time_ns),
        timestamp=timestamp_at(time_ns // 1000),
        source=spooled.bridge,
        source_id=source_id,
        members={"repairs": tuple(repairs)} if repairs else None,
        **words,
    )


def note(table: SessionTable, event: NewEvent) -> None:
    """Notes an event that is about to be appended."""
    assert event.event_id is not None, "its id follows from its source"
    payload = event.payload or {}
    table.note(event.event_type, event.event_id, event.subject, payload, event.actor)


def root_of(path: str | None, roots: set[str], default: str | None) -> str | None:
    """Returns the top folder of the worktree that a path lies in, also of one that is gone."""
    if path is None or not os.path.isabs(path):
        return default
    with suppress(ValueError):  # it can't be a path
        place = repository(path[:_PATH_CHARACTERS_MAX])
        if place is not None:
            return place[0]
    inside = [root for root in roots if f"{path}/".startswith(f"{root.rstrip('/')}/")]
    return max(inside, key=len, default=default)


def _session_begun(call: _Call) -> Iterator[NewEvent]:
    session = call.session
    facts = {"source": call.take("source"), "model": call.take("model")}
    if session.is_open and session.begin:  # resumed, or its conversation was compacted
        causes, begins = Causes((session.begin,)), False
    else:
        causes, begins = Causes(), True
    facts["process"] = call.spooled.process
    yield call.event("session.begun", f"session/{call.name}", facts, causes, begins=begins)


def _session_ended(call: _Call) -> Iterator[NewEvent]:
    session = call.session
    causes = Causes((session.last_turn,)) if session.last_turn else Causes()
    ends = session.begin if session.is_open else None
    facts = {"reason": call.take("reason")}
    yield call.event("session.ended", f"session/{call.name}", facts, causes, ends=ends)


def _prompt(call: _Call) -> Iterator[NewEvent]:
    session = call.session
    if call.prompt_id and call.prompt_id in session.prompts:
        return
    causes = Causes((session.begin,)) if session.begin else Causes()
    facts = {"prompt": call.take("prompt"), "process": call.spooled.process}
    yield call.event("prompt", f"session/{call.name}", facts, causes)


def _tool_begun(call: _Call) -> Iterator[NewEvent]:
    use_id = call.tool_use_id
    if use_id in call.session.use_ids or use_id in call.session.answered:
        return
    call.used |= {"tool_use_id", "call_id"}
    facts = {
        "tool": call.take("tool_name"),
        "input": call.take("tool_input"),
        "process": call.spooled.process,
    }
    yield call.event("tool.begun", f"tool/{use_id}", facts, call.causes, begins=True)


def _tool_ended(call: _Call) -> Iterator[NewEvent]:
    yield from _answer(call, "tool.ended", {"answer": call.take(*_ANSWERS)})


def _tool_failed(call: _Call) -> Iterator[NewEvent]:
    facts = {"error": call.take("error"), "is_interrupt": call.take("is_interrupt")}
    yield from _answer(call, "tool.failed", {**facts, "answer": call.take(*_ANSWERS)})


def _answer(call: _Call, event_type: str, facts: Mapping[str, Any]) -> Iterator[NewEvent]:
    use_id = call.tool_use_id
    if use_id in call.session.answered:
        return
    begin = call.session.use_ids.get(use_id)
    call.used |= {"tool_use_id", "call_id"}
    tool, value = call.take("tool_name"), call.take("tool_input")
    files = edits(value, call.root(), call.table.roots, call.spooled.cwd)
    payload = {
        "tool": tool,
        **facts,
        "input": None if begin else value,
        "files": files if event_type == "tool.ended" and files else None,
    }
    causes = Causes() if begin else call.causes
    yield call.event(event_type, f"tool/{use_id}", payload, causes, ends=begin)


def _subagent_begun(call: _Call) -> Iterator[NewEvent]:
    if call.agent is None or call.agent in call.session.subagents:
        return
    causes = call.session.caller_of(call.agent_type)
    yield call.event("subagent.begun", f"agent/{call.agent}", {}, causes, begins=True)


def _subagent_ended(call: _Call) -> Iterator[NewEvent]:
    agent = call.agent or ""
    last, begin = call.session.answers.get(agent), call.session.subagents.get(agent)
    causes = Causes((last,)) if last else Causes()
    facts = {"message": call.take("last_assistant_message")}
    subject = f"agent/{agent}" if agent else f"session/{call.name}"
    yield call.event("subagent.ended", subject, facts, causes, ends=begin)


def _turn_ended(call: _Call) -> Iterator[NewEvent]:
    facts = {"message": call.take("last_assistant_message")}
    yield call.event("turn.ended", f"session/{call.name}", facts, call.causes)


def _notice(call: _Call) -> Iterator[NewEvent]:
    name = call.take("hook_event_name")
    facts = {"name": name, "message": call.take("message"), "trigger": call.take("trigger")}
    yield call.event("notice", f"session/{call.name}", facts, call.causes)


_HOOKS: Mapping[str, Callable[[_Call], Iterator[NewEvent]]] = {
    "sessionstart": _session_begun,
    "sessionend": _session_ended,
    "userpromptsubmit": _prompt,
    "pretooluse": _tool_begun,
    "posttooluse": _tool_ended,
    "posttoolusefailure": _tool_failed,
    "subagentstart": _subagent_begun,
    "subagentstop": _subagent_ended,
    "stop": _turn_ended,
    "precompact": _notice,
    "postcompact": _notice,
    "notification": _notice,
    "permissionrequest": _notice,
}


def _of_notify(spooled: Spooled, table: SessionTable) -> Iterator[NewEvent]:
    """Yields the events of a turn of an older Codex, which tells of it when it has ended."""
    call = _Call(spooled, table)
    call.used |= {"type"}
    texts = call.take("input-messages")
    message = call.take("last-assistant-message")
    session = call.session
    if not (call.prompt_id and call.prompt_id in session.prompts):
        prompt = "\n".join(map(str, texts)) if isinstance(texts, list) else texts
        facts = {"prompt": prompt, "process": spooled.process}
        causes = Causes((session.begin,)) if session.begin else Causes()
        yield call.event("prompt", f"session/{call.name}", facts, causes)
    yield call.event("turn.ended", f"session/{call.name}", {"message": message}, call.causes)


def edits(
    value: object, root: str | None, roots: set[str], cwd: str | None
) -> list[dict[str, Any]]:
    """Returns what the input of a tool writes into files: `{path, added, removed}` each.

    A path is relative to the worktree's top folder, `root` if it is another one than the agent's,
    absolute outside of all.
    """
    if not isinstance(value, Mapping):
        return [*_of_patch(value, root, roots, cwd)]
    path = text_of(value, "file_path", "notebook_path", "path")
    several = value.get("edits")
    changes = several if isinstance(several, list) else [value]
    files = []
    for change in changes if path else ():
        if not isinstance(change, Mapping):
            continue
        added = text_of(change, "new_string", "content", "new_source")
        removed = text_of(change, "old_string")
        if added is not None or removed is not None:
            files.append({**_placed(path or "", root, roots, cwd), **_texts(added, removed)})
    return files or [*_of_patch(value, root, roots, cwd)]


def _texts(added: str | None, removed: str | None) -> dict[str, str]:
    texts = {"added": added, "removed": removed}
    return {key: text for key, text in texts.items() if text}


def _placed(path: str, root: str | None, roots: set[str], cwd: str | None) -> dict[str, str]:
    """Returns a path as the payload has it."""
    path = os.path.normpath(os.path.join(cwd or "/", path[:_PATH_CHARACTERS_MAX]))
    places = [path]
    with suppress(ValueError, OSError):  # it can't be a path
        places.append(os.path.realpath(path))
    for place in places:
        own = root_of(place, roots, None)
        if own is not None and place.startswith(f"{own.rstrip('/')}/"):
            relative = os.path.relpath(place, own)
            return {"path": relative} if own == root else {"path": relative, "root": own}
    return {"path": path}


_FILE = re.compile(r"\*\*\* (?:Add|Update|Delete) File: (.+)|\*\*\* Move to: (.+)")


def _of_patch(
    value: object, root: str | None, roots: set[str], cwd: str | None
) -> Iterator[dict[str, Any]]:
    """Yields the files of a patch in the form of Codex's `apply_patch`."""
    inside = [*value.values()] if isinstance(value, Mapping) else [value]
    inside += [item for listed in inside if isinstance(listed, list) for item in listed]
    patch = next((text for text in inside if isinstance(text, str) and "*** Begin Pa" in text), "")
    path: str | None = None
    lines: dict[str, list[str]] = {"+": [], "-": []}
    for line in [*patch.splitlines(), "*** End Patch"]:
        heading = _FILE.fullmatch(line)
        if heading and heading[2]:
            path = heading[2]
        elif heading or line.startswith("*** End Patch"):
            if path is not None:
                texts = _texts("\n".join(lines["+"]), "\n".join(lines["-"]))
                yield {**_placed(path, root, roots, cwd), **texts}
            path, lines = heading[1] if heading else None, {"+": [], "-": []}
        elif line[:1] in lines:
            lines[line[0]].append(line[1:])


def _of_git(spooled: Spooled, table: SessionTable) -> Iterator[NewEvent]:
    hook = text_of(spooled.input, "hook")
    if hook == "post-rewrite":
        yield from _rewrites(spooled, table)
        return
    if hook == "post-merge" and not _is_own_merge(spooled.input):
        return  # what was merged or pulled was made elsewhere
    commit = text_of(spooled.input, "commit") or ""
    if hook not in ("post-commit", "post-merge") or not _SHA.fullmatch(commit):
        raise Unreadable(f"git's hook {str(hook)[:80]!r} named no commit")
    if commit in table.commits:
        return
    stream, process = table.owner(spooled.chain, spooled.root)
    causes, call = Causes(), None
    maker = _maker(spooled, table) if process is None else "unknown"
    facts: dict[str, Any] = {"commit": commit, "root": spooled.root, "by": maker}
    actor = "git"
    if stream is not None:
        session = table.of(stream)
        causes, call = session.shell_for(spooled.root)
        facts |= {"by": "agent", "session": stream, "process": process}
        actor = session.actor or "unknown"
    if call is not None and call.agent is not None:
        facts["agent"] = call.agent
        actor = f"{actor}/{call.agent_type or call.agent}"
    event = new_event(
        spooled, 0, "commit", f"commit/{commit}", facts, causes, actor=actor, stream=stream
    )
    note(table, event)
    yield event


def _maker(spooled: Spooled, table: SessionTable) -> str:
    """Returns who made a commit that is no session's: a person, if that is certain."""
    if not spooled.chain or spooled.variables:
        return "unknown"
    boot = boot_of(spooled.chain[0])
    return "person" if boot in table.boots() else "unknown"


def _is_own_merge(members: Mapping[str, Any]) -> bool:
    """Reports whether a merge made a commit here, by what git noted of it."""
    several = len((text_of(members, "parents") or "").split()) > 1
    return several and "Fast-forward" not in (text_of(members, "how") or "Fast-forward")


def _rewrites(spooled: Spooled, table: SessionTable) -> Iterator[NewEvent]:
    pairs = spooled.input.get("pairs")
    for number, pair in enumerate(pairs if isinstance(pairs, list) else ()):
        match pair:
            case [str(old), str(new)] if _SHA.fullmatch(old) and _SHA.fullmatch(new):
                facts = {"old": old, "new": new, "by": text_of(spooled.input, "by")}
                ids = tuple(table.commits[sha] for sha in (old, new) if sha in table.commits)
                words = "rewrite", f"commit/{new}", {**facts, "root": spooled.root}
                yield new_event(spooled, number, *words, Causes(ids), actor="git")
