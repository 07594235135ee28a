"""The events that a hook's input stands for, with their causes.

The input is read as Claude Code 2.1.197 and Codex 0.171.0 send it, that of others by the synonyms
of `dialects`, and tolerantly: members that are not known stay under `more`, those that are missing
stay out.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

from thence.core.clock import timestamp_at
from thence.core.ids import ulid_of
from thence.core.json_values import repair
from thence.core.new_event import HostEvent
from thence.trace.agents.committing import maker_of
from thence.trace.agents.dialects import asked_of_cline, edits_in, event_name, in_claudes_form
from thence.trace.agents.fired import Process, repository
from thence.trace.agents.known_agents import SILENT_ENDS, actor_of, source_of
from thence.trace.agents.sessions import (
    CALLERS,
    SHELLS,
    Causes,
    SessionTable,
    certain,
    digest_of,
    text_of,
)

NAME_CHARACTERS_MAX = 200
_META_BYTES_MAX = 64 * 1024
# so much of so many transcripts is read to find the session that was forked
_TRANSCRIPT_BYTES_MAX = 4 * 1024 * 1024
_FORKS_MAX = 100
_LINE_ID = re.compile(rb'"uuid":"([0-9a-f-]{36})"')
_ANSWER_CHARACTERS_MAX = 10_000
# the first so many edits of a call are told apart, in paths of so many folders; its input has all
FILES_MAX = 1_000
FOLDERS_MAX = 20_000
_PATH_CHARACTERS_MAX = 4096
_SHA = re.compile(r"[0-9a-f]{7,64}")
# the years 1970 to 2200, in which a clock may tell any time
_NS_MAX = 7_258_118_400 * 10**9
_ANSWERS = ("tool_response", "tool_output", "tool_result")
_PROMPT_IDS = ("prompt_id", "turn_id")
_SESSION_IDS = ("session_id", "thread_id", "conversation_id")
# member of the input: member of the payload
_COMMON = {name: name for name in ("agent_type", "cwd", "permission_mode")}
_COMMON |= {"agent_id": "agent", "transcript_path": "transcript"}
_SHARED = (*_SESSION_IDS, *_PROMPT_IDS, *_COMMON)
# hooks behind which the calls before them get no answer any more
_ENDS = {"userpromptsubmit", "stop", "stopfailure", "interrupt", "subagentstop", "sessionend"}
# what an agent sends to itself in the place of a user's words, with the call that it is about
_NO_WORDS = re.compile(r"\s*(?:<task-notification>|$)")
_USE_ID = re.compile(r"<tool-use-id>([^<]{1,200})</tool-use-id>")
_CUT_MEMBER = re.compile(
    r'"(session_id|hook_event_name|tool_use_id|tool_name|agent_id|agent_type|prompt_id|cwd)"'
    r'\s*:\s*"([^"\\]{1,1000})"'
)


class Spooled(NamedTuple):
    """What one file of the spool holds; `source_id` is its name, `input` the hook's JSON.

    `runner` is the name of who runs Claude Code's hooks without being it, "" if it gives none.
    `real` has the real paths of those that lead through a link, `before` the text of a file that
    the call writes whole.
    """

    source_id: str
    bridge: str
    time_ns: int
    cwd: str | None
    root: str | None
    process: Process | None
    chain: tuple[Process, ...]
    variables: Mapping[str, str]
    input: Mapping[str, Any]
    runner: str | None = None
    real: Mapping[str, str] = {}
    before: str | None = None

    @property
    def actor(self) -> str:
        """Who does what the hook tells."""
        return actor_of(self.bridge, self.runner)


class Unreadable(ValueError):
    """An input that stands for no event; the text says why."""


def new_event(
    table: SessionTable,
    spooled: Spooled,
    event_type: str,
    subject: str,
    facts: Mapping[str, Any],
    causes: Causes,
    **members: Any,
) -> HostEvent:
    """Returns an event, and notes it; None and what JSON can't hold are no facts.

    Its id is the same whenever its file is read.
    """
    payload, repairs = repair({key: value for key, value in facts.items() if value is not None})
    words, _ = repair({"subject": subject, **members})
    time_ns = spooled.time_ns if 0 <= spooled.time_ns < _NS_MAX else 0
    name = f"{spooled.bridge}\n{spooled.source_id}".encode("utf-8", "replace")
    digest = int.from_bytes(sha256(name).digest()[:10], "big")
    event = HostEvent(
        event_type,
        payload,
        caused_by=causes.certain,
        inferred_causes=causes.inferred,
        event_id=(event_id := ulid_of(time_ns // 1_000_000, digest)),
        timestamp=timestamp_at(time_ns // 1000),
        source=source_of(spooled.bridge),
        source_id=spooled.source_id,
        members={"repairs": tuple(repairs)} if repairs else None,
        **words,
    )
    table.note(event_type, event_id, event.subject, payload, event.actor, causes.certain)
    return event


def events_of(
    spooled: Spooled,
    table: SessionTable,
    text_before: Callable[[str], object] = lambda begin: None,
) -> list[HostEvent]:
    """Returns the events of a file, and notes them in the table; raises Unreadable.

    `text_before` returns what the event of a call's begin has of the file. None at all stand for
    what the log has already: a hook that is installed twice fires twice.
    """
    if spooled.bridge == "git":
        return [*_of_git(spooled, table)]
    spooled = spooled._replace(input=in_claudes_form(spooled.input))
    name = event_name(spooled.input)
    if not name:
        raise Unreadable("it names no hook")
    call = _Call(spooled, table)
    call.text_before = text_before
    events = [*_before(call, name), _event(call, name), _asked(call, name)]
    return [event for event in events if event]


def cut_input(head: str, size: int) -> dict[str, Any]:
    """Returns what the beginning of a too long input tells: the names in it."""
    # of a name that stands twice the first counts
    return {**dict(reversed(_CUT_MEMBER.findall(head))), "cut_bytes": size}


class _Call:
    """One fired hook: its input, and the event that is made of it."""

    text_before: Callable[[str], object]

    def __init__(self, spooled: Spooled, table: SessionTable) -> None:
        self.spooled, self.table, self.input = spooled, table, spooled.input
        self.name = self.text(*_SESSION_IDS) or "unknown"
        self.session = table.of(self.name)
        self.agent, self.agent_type = self.text("agent_id"), self.text("agent_type")
        self.prompt_id = self.text(*_PROMPT_IDS)
        self._used = {"hook_event_name", *_SESSION_IDS, *_PROMPT_IDS, *_COMMON}

    def text(self, *names: str) -> str | None:
        """Returns the first member that is a text, cut."""
        value = text_of(self.input, *names)
        return value[:NAME_CHARACTERS_MAX] if value else None

    def take(self, *names: str) -> Any:
        """Returns the first member that is there, which is then not among `more`."""
        self._used.update(names)
        return next((self.input[name] for name in names if name in self.input), None)

    def use_id(self) -> str:
        """Returns the id of the tool call; of an agent that gives none, one by what it calls.

        The first call of several that are alike has no answer yet.
        """
        self.take("tool_use_id", "call_id")
        if own := self.text("tool_use_id", "call_id"):
            return own
        words = [self.name, self.input.get("tool_name"), self.input.get("tool_input")]
        name, number = digest_of(json.dumps(words, sort_keys=True)), 0
        while f"{name}-{number}" in self.session.answered:
            number += 1
        return f"{name}-{number}"

    def other(self, subject: str, **members: Any) -> "_Call":
        """Returns a call for one more event of the same hook, with members of its own.

        Its event has the same id whatever else the log has of this hook already.
        """
        own = {name: self.input[name] for name in _SHARED if name in self.input}
        source_id = f"{self.spooled.source_id}/{digest_of(subject)}"
        return _Call(self.spooled._replace(source_id=source_id, input=own | members), self.table)

    def caller(self, agent: str) -> Causes:
        """Returns the call that asked for a subagent, as Claude Code notes it beside a transcript.

        Else what the session's events tell.
        """
        transcript = (text_of(self.input, "transcript_path") or "")[:_PATH_CHARACTERS_MAX]
        path = f"{transcript.removesuffix('.jsonl')}/subagents/agent-{agent}.meta.json"
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with (
            suppress(OSError, ValueError, RecursionError),
            open(os.open(path, flags), "rb") as file,
        ):
            meta = json.loads(file.read(_META_BYTES_MAX))
            use_id = text_of(meta, "toolUseId") if isinstance(meta, dict) else None
            if begin := self.session.use_ids.get(use_id or ""):
                return certain(begin)
        return self.session.caller_of(agent, self.agent_type)

    @property
    def says_its_end(self) -> bool:
        """True if a session that was left is ended by a hook.

        Codex keeps those of its terminal in a daemon: what is unfinished there is a call.
        """
        return self.spooled.bridge not in SILENT_ENDS

    def root(self) -> str | None:
        """Returns the top folder of the worktree that the agent works in."""
        cwd = text_of(self.input, "cwd") or self.spooled.cwd
        return root_of(cwd, self.table.roots, self.spooled.root)

    def event(
        self,
        event_type: str,
        facts: Mapping[str, Any],
        causes: Causes | None = None,
        subject: str | None = None,
        **members: Any,
    ) -> HostEvent:
        """Returns an event, of the session and by who asked for it unless others are named."""
        spooled = self.spooled
        common = {new: self.input[old] for old, new in _COMMON.items() if self.input.get(old)}
        facts = {
            **facts,
            "session": self.name,
            "cwd": spooled.cwd,
            **common,
            "prompt_id": self.prompt_id,
            "root": self.root(),
            "more": {k: v for k, v in self.input.items() if k not in self._used} or None,
        }
        if causes is None:
            causes = self.session.asked_by(self.agent, self.prompt_id)
        actor = f"{spooled.actor}/{self.agent_type or self.agent}" if self.agent else None
        members = {"stream": self.name, "actor": actor or spooled.actor, **members}
        subject = subject or f"session/{self.name}"
        return new_event(self.table, spooled, event_type, subject, facts, causes, **members)


def root_of(path: str | None, roots: set[str], default: str | None) -> str | None:
    """Returns the top folder of the worktree that a path lies in, also of one that is gone.

    `roots` are the digests of those that the log knows.
    """
    if path is None or not os.path.isabs(path):
        return default
    with suppress(ValueError):  # it can't be a path
        place = repository(path[:_PATH_CHARACTERS_MAX])
        if place is not None:
            return place[0]
    path = os.path.normpath(path[:_PATH_CHARACTERS_MAX])
    while path not in ("/", "//"):
        if digest_of(path) in roots:
            return path
        path = os.path.dirname(path)
    return default


def _event(call: _Call, hook: str) -> HostEvent | None:
    """Returns the event of a hook, None for one that the log has."""
    session, agent, take = call.session, call.agent, call.take
    process = call.spooled.process
    match hook:
        case "sessionstart":
            # one that is open was resumed, or its conversation compacted
            earlier = session.begin if session.is_open else None
            facts = {"source": take("source"), "model": take("model"), "process": process}
            causes = certain(earlier or session.last_turn)
            if facts["source"] == "fork" and earlier is None and (old := _origin(call)):
                facts["forked_from"], causes = old, certain(call.table.of(old).begin)
            begins = earlier is None and call.says_its_end
            return call.event("session.begun", facts, causes, begins=begins)
        case "sessionend":
            ends = session.begin if session.is_open and call.says_its_end else None
            facts = {"reason": take("reason")}
            return call.event("session.ended", facts, certain(session.last_turn), ends=ends)
        case "userpromptsubmit" if agent is not None:  # what another agent wrote to it
            facts = {"prompt": take("prompt"), "process": process}
            return call.event("task", facts, subject=f"agent/{agent}")
        case "userpromptsubmit" if session.prompt_of(call.prompt_id) is not None:
            return None
        case "userpromptsubmit":
            text = take("prompt")
            if isinstance(text, str) and _NO_WORDS.match(text):  # a machine's
                named = _USE_ID.search(text)
                begin = session.use_ids.get(named[1]) if named else None
                causes = certain(begin) if begin else session.asked_by(None, None)
                return call.event("woken", {"text": text, "process": process}, causes)
            facts = {"prompt": text, "process": process}
            return call.event("prompt", facts, certain(session.begin))
        case "pretooluse" | "posttooluse" | "posttoolusefailure":
            return _tool_event(call, hook)
        case "subagentstart" if agent is not None:
            is_new = agent not in session.subagents
            words = call.caller(agent), f"agent/{agent}"
            return call.event("subagent.begun", {}, *words, begins=True) if is_new else None
        case "subagentstop" if agent in session.subagents:
            facts = {"message": take("last_assistant_message")}
            subagent = session.subagents[agent]
            words = certain(session.answers.get(agent)), f"agent/{agent}"
            ends = subagent.event_id if subagent.is_open else None
            return call.event("subagent.ended", facts, *words, ends=ends)
        case "stop" | "stopfailure" | "interrupt":
            facts = {"message": take("last_assistant_message"), "error": take("error")}
            return call.event("turn.ended", {**facts, "is_interrupt": hook == "interrupt" or None})
        case "posttoolbatch":
            return None  # its calls are taken one by one
    facts = {name: take(name) for name in ("message", "trigger", "reason")}
    facts |= {"name": take("hook_event_name"), "tool": take("tool_name")}
    return call.event("notice", {**facts, "input": take("tool_input")})


def _tool_event(call: _Call, hook: str) -> HostEvent | None:
    session, use_id = call.session, call.use_id()
    begin = session.use_ids.get(use_id)
    if use_id in session.answered or (begin and hook == "pretooluse"):
        return None
    subject, value = f"tool/{use_id}", call.take("tool_input")
    facts = {"tool": call.take("tool_name")}
    runs = (
        call.spooled.chain[0] if call.spooled.chain and call.text("tool_name") in SHELLS else None
    )
    if hook == "pretooluse":
        facts |= {"input": value, "process": call.spooled.process, "hook": runs}
        facts["before"] = call.spooled.before
        return call.event("tool.begun", facts, subject=subject, begins=True)
    answer = call.take(*_ANSWERS)
    facts |= {"answer": answer, "input": None if begin else value}
    facts |= {"spawned": _spawned(answer) if call.text("tool_name") in CALLERS else None}
    # a late answer ends nothing
    ends = begin if use_id in session.calls else None
    causes = Causes() if ends else certain(begin) if begin else None
    if hook == "posttoolusefailure":
        facts |= {"error": call.take("error"), "is_interrupt": call.take("is_interrupt")}
        return call.event("tool.failed", facts, causes, subject, ends=ends)
    is_background = isinstance(answer, Mapping) and answer.get("backgroundTaskId")
    facts |= {"hook": runs if is_background else None}
    before = call.text_before(begin) if begin else None
    found = edits_in(value, answer, before if isinstance(before, str) else None)
    files, omitted = placed(found, call.root(), call.table.roots, call.spooled)
    facts |= {"files": files or None, "files_omitted": omitted or None}
    return call.event("tool.ended", facts, causes, subject, ends=ends)


def _asked(call: _Call, hook: str) -> HostEvent | None:
    """Returns the prompt by which a task of cline begins."""
    is_cline = hook == "sessionstart" and call.spooled.bridge == "cline"
    text = asked_of_cline(call.input) if is_cline else None
    if text is None:
        return None
    facts = {"prompt": text, "process": call.spooled.process}
    return call.other("prompt").event("prompt", facts, certain(call.session.begin))


def _spawned(answer: object) -> str | None:
    """Returns the id of the subagent that a call has begun, by its answer."""
    if isinstance(answer, str):
        with suppress(ValueError, RecursionError):
            answer = json.loads(answer[:_ANSWER_CHARACTERS_MAX])
    return text_of(answer, "agentId", "agent_id") if isinstance(answer, Mapping) else None


def _before(call: _Call, hook: str) -> Iterator[HostEvent]:
    """Yields what a hook shows to have happened, before its own event."""
    process = call.spooled.process
    if hook != "sessionstart" and (old := call.table.forked_from(call.name, process)):
        yield from _forked(call, old)
    if hook == "posttoolbatch":
        calls = call.take("tool_calls")
        for one in calls[:FILES_MAX] if isinstance(calls, list) else ():
            if isinstance(one, Mapping):
                yield from _failed(call.other(str(one.get("tool_use_id")), **one))
    elif hook in _ENDS:
        yield from _abandoned(call, has_ended=hook == "sessionend")


def _abandoned(call: _Call, *, has_ended: bool) -> Iterator[HostEvent]:
    """Yields the ends of what an agent went on without: it was refused, or interrupted."""
    why = "its session ended" if has_ended else "its agent went on without it"
    facts = {"error": f"no answer came: {why}", "is_unanswered": True}
    for one in call.session.abandoned(call.agent, has_ended=has_ended):
        own = call.other(one.subject, agent_id=one.agent)
        words = one.event_type, facts, Causes(), one.subject
        yield own.event(*words, actor=one.actor, ends=one.begin)


def _failed(call: _Call) -> Iterator[HostEvent]:
    """Yields the end of a call that no other hook reports: it was refused, or never ran."""
    session, use_id = call.session, call.use_id()
    begin, answer = session.use_ids.get(use_id), call.take(*_ANSWERS)
    if use_id in session.answered or (begin and use_id not in session.calls):
        return
    facts = {"tool": call.take("tool_name"), "error": answer}
    facts["input"] = None if begin else call.take("tool_input")
    causes = Causes() if begin else None
    yield call.event("tool.failed", facts, causes, f"tool/{use_id}", ends=begin)


def _forked(call: _Call, old: str) -> Iterator[HostEvent]:
    """Yields the begin of a session that goes on with another's conversation, under a new id.

    Its agent had named the old one at its start: that has ended if it was not open elsewhere.
    """
    earlier = call.table.of(old)
    process = call.spooled.process
    facts = {"source": "fork", "forked_from": old, "process": process}
    if process and call.table.starting.get(process) == (old, True):
        own = call.other("ended", session_id=old)
        words = "session.ended", {"reason": "fork"}, certain(earlier.last_turn)
        yield own.event(*words, ends=earlier.begin)
    yield call.other("begun").event("session.begun", facts, certain(earlier.begin), begins=True)


def _origin(call: _Call) -> str | None:
    """Returns the session whose conversation a fork of Claude Code repeats, None if unknown.

    2.1.332 names it nowhere: the transcript of the fork begins with the other's lines. Of several
    it is the one with which it shares most.
    """
    path = text_of(call.input, "transcript_path") or ""
    own = _line_ids(path[:_PATH_CHARACTERS_MAX])
    names = [name for name in call.table.sessions if name != call.name and "/" not in name]
    near = {name: f"{os.path.dirname(path)}/{name}.jsonl" for name in names[-_FORKS_MAX:]}
    shared = {name: len(own & _line_ids(place)) for name, place in near.items()}
    best = [name for name, count in shared.items() if count and count == max(shared.values())]
    return best[0] if len(best) == 1 else None


def _line_ids(path: str) -> set[bytes]:
    """Returns the ids of the lines in the beginning of a transcript."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with suppress(OSError, ValueError), open(os.open(path, flags), "rb") as file:
        return {*_LINE_ID.findall(file.read(_TRANSCRIPT_BYTES_MAX))}
    return set()


def placed(
    changes: Iterator[dict[str, Any]], root: str | None, roots: set[str], spooled: Spooled
) -> tuple[list[dict[str, Any]], int]:
    """Returns what a tool writes into files, with `path` as the payload has it.

    It is relative to the worktree's top folder, `root` if it is another one than the agent's,
    absolute outside of all; `real` is the path behind a link within it. After `FILES_MAX` of them
    the rest is counted alone.
    """
    files: list[dict[str, Any]] = []
    places: dict[str, dict[str, str]] = {}
    folders = omitted = 0
    for change in changes:
        path = change["path"]
        is_full = len(files) == FILES_MAX
        if not is_full and path not in places and folders < FOLDERS_MAX:
            # the disk is asked about each folder
            folders += os.path.join(spooled.cwd or "/", path).count("/")
            places[path] = _placed(path, root, roots, spooled)
        if is_full or path not in places:
            omitted += 1
            continue
        texts = {key: value for key, value in change.items() if value is not None}
        files.append(texts | places[path])
    return files, omitted


def _placed(path: str, root: str | None, roots: set[str], spooled: Spooled) -> dict[str, str]:
    """Returns a path as the payload has it, and the real one at the time of the edit."""
    told, path = path, os.path.join(spooled.cwd or "/", path[:_PATH_CHARACTERS_MAX])
    real = path = os.path.normpath(path)
    with suppress(ValueError, OSError):  # it can't be a path
        real = spooled.real.get(told) or os.path.realpath(path)
    for place in (path, real):
        own = root_of(place, roots, None)
        if own is not None and place.startswith(f"{own.rstrip('/')}/"):
            names = {"path": os.path.relpath(place, own)}
            top = os.path.realpath(own) if real != path else own
            if real.startswith(f"{top}/") and os.path.relpath(real, top) != names["path"]:
                names["real"] = os.path.relpath(real, top)
            return names if own == root else {**names, "root": own}
    return {"path": path}


def _of_git(spooled: Spooled, table: SessionTable) -> Iterator[HostEvent]:
    hook = text_of(spooled.input, "hook")
    if hook == "post-rewrite":
        yield from _rewrites(spooled, table)
        return
    if hook == "post-merge":
        is_merge = len((text_of(spooled.input, "parents") or "").split()) > 1
        how = text_of(spooled.input, "how") or "Fast-forward"
        if not is_merge or "Fast-forward" in how:
            return  # what was merged or pulled was made elsewhere
    commit = text_of(spooled.input, "commit") or ""
    if hook not in ("post-commit", "post-merge") or not _SHA.fullmatch(commit):
        raise Unreadable(f"git's hook {str(hook)[:80]!r} named no commit")
    maker = maker_of(table, spooled.variables, spooled.chain, spooled.root)
    by = "agent" if maker.session else "unknown" if maker.reason else "person"
    # where a commit came right behind another one, both hooks name the second
    if commit in table.commits and table.commits[commit].maker == (maker.session or by):
        return
    facts = {
        "commit": commit,
        "root": spooled.root,
        "by": by,
        "session": maker.session,
        "agent": maker.agent,
        "is_agent_unknown": maker.is_agent_unknown or None,
        "process": maker.process if maker.session else None,
        "reason": maker.reason,
        "fitting": maker.fitting or None,
        "variables": spooled.variables or None if by == "unknown" else None,
    }
    words = "commit", f"commit/{commit}", facts, maker.causes
    yield new_event(table, spooled, *words, actor=maker.actor, stream=maker.session)


def _rewrites(spooled: Spooled, table: SessionTable) -> Iterator[HostEvent]:
    pairs, by = spooled.input.get("pairs"), text_of(spooled.input, "by")
    for number, pair in enumerate(pairs if isinstance(pairs, list) else ()):
        match pair:
            case [str(old), str(new)] if _SHA.fullmatch(old) and _SHA.fullmatch(new):
                recorded = (table.commits[sha] for sha in pair if sha in table.commits)
                causes = Causes(tuple(commit.event_id for commit in recorded))
                facts = {"old": old, "new": new, "by": by, "root": spooled.root}
                name = f"{spooled.source_id}/{number}" if number else spooled.source_id
                words = "rewrite", f"commit/{new}", facts, causes
                yield new_event(table, spooled._replace(source_id=name), *words, actor="git")
