"""The events that a hook's input stands for, with their causes.

The input is read as Claude Code 2.1.197 and Codex 0.171.0 send it, and tolerantly: members that are
not known stay under `more`, those that are missing stay out. That of others is brought into Claude
Code's form first, by synonyms of events, members and tools: gemini-cli 0.61.0, qwen-code 0.24.4 and
cline 3.0.65 were read as they send, opencode 1.18.33 through its plugin.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace

from thence.core.clock import timestamp_at
from thence.core.ids import ulid_of
from thence.core.json_values import repair
from thence.core.new_event import HostEvent
from thence.core.sentences.events import AGENT_SOURCES
from thence.trace.agents import known_agents
from thence.trace.agents.fired import NEW_MEMBERS, PATH_MEMBERS, Process, repository
from thence.trace.agents.known_agents import AGENTS, CALLERS, FOREIGN, SHELLS
from thence.trace.agents.sessions import (
    Causes,
    SessionTable,
    certain,
    digest_of,
    list_of,
    maker_of,
    map_of,
    text_of,
    told_by_git,
)

NAME_CHARACTERS_MAX = 200
_BEGINNING_BYTES = 64 * 1024
_ANSWER_CHARACTERS_MAX = 10_000
# the first so many edits of a call are told apart; its input has all
FILES_MAX = 1_000
_PATH_CHARACTERS_MAX = 4096
_SHA = re.compile(r"[0-9a-f]{7,64}")
# member of the input: member of the payload
_COMMON = {name: name for name in ("agent_type", "cwd", "permission_mode")}
_COMMON |= {"agent_id": "agent", "transcript_path": "transcript"}
_SHARED = ("session_id", "prompt_id", *_COMMON)
_FACTS = {name: name for name in ("source", "model", "reason", "trigger", "prompt", "message")}
_FACTS |= {name: name for name in ("error", "is_interrupt")}
_FACTS |= {"tool_name": "tool", "tool_input": "input", "tool_response": "answer"}
_FACTS |= {"last_assistant_message": "message"}
# hooks behind which the calls before them get no answer any more
_ENDS = {"userpromptsubmit", "stop", "stopfailure", "interrupt", "subagentstop", "sessionend"}
# what an agent sends to itself in the place of a user's words, with the call that it is about
_NO_WORDS = re.compile(r"\s*(?:<task-notification>|$)")
_USE_ID = re.compile(r"<tool-use-id>([^<]{1,200})</tool-use-id>")
# cline has the members of an event inside one of these, and a call once more, as texts
_INNER = ("tool_call", "tool_result")
_CALL_AS_TEXTS = ("pre_tool_use", "post_tool_use")
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]+")
_OLD = ("old_string", "oldString", "old_text")
_SEVERAL = ("edits", "replacements")
_ORIGINAL = ("originalFile", "original_file", "originalContent")
_FILE = re.compile(r"\*\*\* (?:Add|Update|Delete) File: (.+)|\*\*\* Move to: (.+)")


class Spooled(msgspec.Struct, frozen=True):
    """What one file of the spool holds; `source_id` is its name, `input` the hook's JSON.

    `runner` is the name of who runs Claude Code's hooks without being it, "" if it gives none.
    `real` has the real paths of those that lead through a link, `before` the text of a file that
    the call writes whole. `log` is that of the session, where it edits in another repository.
    """

    source_id: str
    bridge: str
    time_ns: int
    cwd: str | None
    root: str | None
    process: Process | None
    chain: tuple[Process, ...]
    variables: dict[str, str]
    input: dict[str, Any]
    runner: str | None = None
    real: dict[str, str] = {}
    before: str | None = None
    log: str | None = None

    @property
    def actor(self) -> str:
        """Who does what the hook tells."""
        return self.bridge if self.runner is None else self.runner or FOREIGN


class Unreadable(ValueError):
    """Input that yields no event; the message says why."""


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

    Its id is the same whenever its file is read. Agents without a row of their own share a source.
    """
    payload, repairs = repair({key: value for key, value in facts.items() if value is not None})
    words, _ = repair({"subject": subject, **members})
    name = f"{spooled.bridge}\n{spooled.source_id}".encode("utf-8", "replace")
    digest = int.from_bytes(sha256(name).digest()[:10], "big")
    event = HostEvent(
        event_type,
        payload,
        caused_by=causes.certain,
        inferred_causes=causes.inferred,
        event_id=ulid_of(spooled.time_ns // 1_000_000, digest),
        timestamp=timestamp_at(spooled.time_ns // 1000),
        source=spooled.bridge if spooled.bridge in AGENT_SOURCES else "hook",
        source_id=spooled.source_id,
        members={"repairs": tuple(repairs)} if repairs else None,
        **words,
    )
    table.note(event)
    return event


def events_of(spooled: Spooled, table: SessionTable) -> list[HostEvent]:
    """Returns the events of a file, and notes them in the table; raises Unreadable.

    None at all stand for what the log has already: a hook that is installed twice fires twice.
    """
    if spooled.bridge == "git":
        return [*_of_git(spooled, table)]
    spooled = replace(spooled, input=in_claudes_form(spooled.input))
    name = event_name(spooled.input)
    if not name:
        raise Unreadable("it names no hook")
    call = _Call(spooled, table)
    return [event for event in (*_before(call, name), _event(call, name)) if event]


class _Call:
    """One fired hook: its input, and the event that is made of it.

    Codex keeps the sessions of its terminal in a daemon: what is unfinished there is a call.
    """

    def __init__(self, spooled: Spooled, table: SessionTable) -> None:
        self.spooled, self.table, self.input = spooled, table, spooled.input
        self.name = self.text("session_id") or "unknown"
        self.session = table.of(self.name)
        self.agent, self.agent_type = self.text("agent_id"), self.text("agent_type")
        self.prompt_id = self.text("prompt_id")
        known = AGENTS.get(spooled.bridge)
        self.tells_its_end = known is None or known.tells_its_end
        self._used = {"hook_event_name", *_SHARED}

    def text(self, name: str) -> str | None:
        """Returns a member that is a text, cut."""
        value = text_of(self.input, name)
        return value[:NAME_CHARACTERS_MAX] if value else None

    def use_id(self) -> str:
        """Returns the id of the tool call; of an agent that gives none, one by what it calls.

        The first call of several that are alike has no answer yet.
        """
        self._used.add("tool_use_id")
        if own := self.text("tool_use_id"):
            return own
        words = [self.name, self.input.get("tool_name"), self.input.get("tool_input")]
        name, number = digest_of(json.dumps(words, sort_keys=True)), 0
        while f"{name}-{number}" in self.session.answered:
            number += 1
        return f"{name}-{number}"

    def other(self, subject: str, members: Mapping[str, Any]) -> "_Call":
        """Returns a call for one more event of the same hook, with members of its own.

        Its event has the same id whatever else the log has of this hook already.
        """
        own = {name: self.input[name] for name in _SHARED if name in self.input}
        source_id = f"{self.spooled.source_id}/{digest_of(subject)}"
        spooled = replace(self.spooled, source_id=source_id, input={**own, **members})
        return _Call(spooled, self.table)

    def caller(self, agent: str) -> Causes:
        """Returns the call that asked for a subagent, as Claude Code notes it beside a transcript.

        Else what the session's events tell.
        """
        transcript = (text_of(self.input, "transcript_path") or "").removesuffix(".jsonl")
        path = f"{transcript}/subagents/agent-{agent}.meta.json"
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with (
            suppress(OSError, ValueError, RecursionError),
            open(os.open(path, flags), "rb") as file,
        ):
            meta = json.loads(file.read(_BEGINNING_BYTES))
            if begin := self.session.use_ids.get(text_of(meta, "toolUseId") or ""):
                return certain(begin)
        return self.session.caller_of(agent)

    def root(self) -> str | None:
        """Returns the top folder of the worktree that the agent works in."""
        spooled, cwd = self.spooled, text_of(self.input, "cwd")
        if cwd in (None, spooled.cwd) and spooled.root:
            return spooled.root
        cwd = (cwd or spooled.cwd or "")[:_PATH_CHARACTERS_MAX]
        place = repository(cwd) if os.path.isabs(cwd) and "\0" not in cwd else None
        return place[0] if place else spooled.root

    def event(
        self,
        event_type: str,
        facts: Mapping[str, Any],
        causes: Causes | None = None,
        subject: str | None = None,
        **members: Any,
    ) -> HostEvent:
        """Returns an event, of the session and by who asked for it unless others are named.

        It has what its hook was given and besides, or in its place, `facts`.
        """
        spooled, given = self.spooled, self.input
        own = given.keys() & _FACTS.keys()
        names = {old: new for old, new in _FACTS.items() if old == new or new not in own}
        common = {new: given[old] for old, new in _COMMON.items() if given.get(old)}
        facts = {**{new: given.get(old) for old, new in names.items()}, **facts}
        facts |= {"session": self.name, "cwd": spooled.cwd, "process": spooled.process, **common}
        facts |= {"prompt_id": self.prompt_id, "root": self.root()}
        used = self._used | names.keys()
        facts["more"] = {name: value for name, value in given.items() if name not in used} or None
        if causes is None:
            causes = self.session.asked_by(self.agent, self.prompt_id)
        actor = f"{spooled.actor}/{self.agent_type or self.agent}" if self.agent else None
        members = {"stream": self.name, "actor": actor or spooled.actor, **members}
        subject = subject or f"session/{self.name}"
        return new_event(self.table, spooled, event_type, subject, facts, causes, **members)


def _event(call: _Call, hook: str) -> HostEvent | None:
    """Returns the event of a hook, None for one that the log has."""
    session, agent = call.session, call.agent
    match hook:
        case "sessionstart":
            # one that is open was resumed, or its conversation compacted
            earlier = session.begin if session.is_open else None
            causes = certain(earlier or session.last_turn)
            begins = earlier is None and call.tells_its_end
            return call.event("session.begun", {}, causes, begins=begins)
        case "sessionend":
            ends = session.begin if session.is_open and call.tells_its_end else None
            return call.event("session.ended", {}, certain(session.last_turn), ends=ends)
        case "userpromptsubmit" if agent is not None:  # what another agent wrote to it
            return call.event("task", {}, subject=f"agent/{agent}")
        case "userpromptsubmit" if session.prompt_of(call.prompt_id) is not None:
            return None
        case "userpromptsubmit":
            text = call.input.get("prompt")
            if isinstance(text, str) and _NO_WORDS.match(text):  # a machine's
                named = _USE_ID.search(text)
                begin = session.use_ids.get(named[1]) if named else None
                causes = certain(begin) if begin else session.asked_by(None, None)
                return call.event("woken", {"text": text, "prompt": None}, causes)
            return call.event("prompt", {}, certain(session.begin))
        case "pretooluse" | "posttooluse" | "posttoolusefailure":
            return _tool_event(call, hook)
        case "subagentstart" if agent is not None:
            is_new = agent not in session.subagents
            words = call.caller(agent), f"agent/{agent}"
            return call.event("subagent.begun", {}, *words, begins=True) if is_new else None
        case "subagentstop" if agent in session.subagents:
            subagent = session.subagents[agent]
            words = certain(session.answers.get(agent)), f"agent/{agent}"
            ends = subagent.event_id if subagent.is_open else None
            return call.event("subagent.ended", {}, *words, ends=ends)
        case "stop" | "stopfailure" | "interrupt":
            return call.event("turn.ended", {"is_interrupt": True} if hook == "interrupt" else {})
        case "posttoolbatch":
            return None  # its calls are taken one by one
    return call.event("notice", {"name": call.input.get("hook_event_name")})


def _tool_event(call: _Call, hook: str) -> HostEvent | None:
    session, use_id = call.session, call.use_id()
    begin = session.use_ids.get(use_id)
    if use_id in session.answered or (begin and hook == "pretooluse"):
        return None
    subject, value = f"tool/{use_id}", call.input.get("tool_input")
    answer: Any = call.input.get("tool_response")
    is_shell = call.text("tool_name") in SHELLS
    runs = next(iter(call.spooled.chain), None) if is_shell else None
    if hook == "pretooluse":
        told = map_of(value)
        asks_git = is_shell and "git" in str(told.get("command", told.get("cmd", value)))
        noted = {"hook": runs, "before": call.spooled.before, "asks_git": asks_git or None}
        return call.event("tool.begun", noted, subject=subject, begins=True)
    facts: dict[str, Any] = {"input": None} if begin else {}
    if call.text("tool_name") in CALLERS:  # the answer names the subagent that the call has begun
        told = answer
        with suppress(TypeError, LookupError, ValueError, RecursionError):
            told = json.loads(answer[:_ANSWER_CHARACTERS_MAX])
        facts["spawned"] = text_of(told, "agentId", "agent_id")
    # a late answer ends nothing
    ends = begin if use_id in session.calls else None
    causes = Causes() if ends else certain(begin) if begin else None
    if hook == "posttoolusefailure":
        return call.event("tool.failed", facts, causes, subject, ends=ends)
    is_background = isinstance(answer, Mapping) and answer.get("backgroundTaskId")
    facts |= {"hook": runs if is_background else None}
    files, omitted = placed(edits_in(value, answer), call.root(), call.spooled)
    facts |= {"files": files or None, "files_omitted": omitted or None}
    return call.event("tool.ended", facts, causes, subject, ends=ends)


def _before(call: _Call, hook: str) -> Iterator[HostEvent | None]:
    """Yields the ends that a hook shows, before its own event.

    A batch has the calls that no other hook reports: they were refused, or never ran. Others tell
    that an agent went on without an answer: the call was refused, or interrupted.
    """
    if hook == "posttoolbatch":
        told = map(map_of, list_of(call.input.get("tool_calls"))[:FILES_MAX])
        for given in filter(None, told):
            members = {**given, "error": given.get("tool_response"), "tool_response": None}
            own = call.other(str(given.get("tool_use_id")), members)
            yield _tool_event(own, "posttoolusefailure")
    elif hook in _ENDS:
        has_ended = hook == "sessionend"
        why = "its session ended" if has_ended else "its agent went on without it"
        facts = {"error": f"no answer came: {why}", "is_unanswered": True}
        for kind, subject, one in call.session.abandoned(call.agent, has_ended=has_ended):
            own = call.other(subject, {"agent_id": one.agent})
            yield own.event(kind, facts, Causes(), subject, actor=one.actor, ends=one.event_id)


def placed(
    changes: Iterator[dict[str, Any]], root: str | None, spooled: Spooled
) -> tuple[list[dict[str, Any]], int]:
    """Returns what a tool writes into files, with `path` as the payload has it.

    It is relative to the top folder of the agent's worktree, absolute and real outside of it;
    `real` is the path behind a link. After `FILES_MAX` of them the rest is counted alone.
    """
    files: list[dict[str, Any]] = []
    top = os.path.realpath(root) if root else None
    for change in islice(changes, FILES_MAX):
        told = change["path"]
        path = os.path.normpath(os.path.join(spooled.cwd or "/", told[:_PATH_CHARACTERS_MAX]))
        real = _inside(_inside(spooled.real.get(told, path), top), root)
        path = _inside(path, root)
        path = real if os.path.isabs(path) else path
        names = {"path": path} | ({"real": real} if real != path else {})
        files.append({key: value for key, value in change.items() if value is not None} | names)
    return files, sum(1 for _ in changes)


def _inside(path: str, top: str | None) -> str:
    """Returns a path as it is below a folder, or as it is."""
    return path[len(top) + 1 :] if top and path.startswith(f"{top}/") else path


def _of_git(spooled: Spooled, table: SessionTable) -> Iterator[HostEvent]:
    hook = text_of(spooled.input, "hook")
    if hook == "post-rewrite":
        by = text_of(spooled.input, "by")
        for number, pair in enumerate(list_of(spooled.input.get("pairs"))):
            match pair:
                case [str(old), str(new)] if _SHA.fullmatch(old) and _SHA.fullmatch(new):
                    told = {"old": old, "new": new, "by": by, "root": spooled.root}
                    if told_by_git(told) in table.told:
                        continue
                    recorded = (table.commits[sha] for sha in pair if sha in table.commits)
                    causes = Causes(tuple(recorded))
                    name = f"{spooled.source_id}/{number}" if number else spooled.source_id
                    subject, own = f"commit/{new}", replace(spooled, source_id=name)
                    yield new_event(table, own, "rewrite", subject, told, causes, actor="git")
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
    facts = {key: value for key, value in maker._asdict().items() if value}
    del facts["actor"], facts["causes"]
    facts |= {"commit": commit, "root": spooled.root, "by": by}
    if told_by_git(facts) in table.told:
        return
    facts |= {"variables": spooled.variables or None if by == "unknown" else None}
    words = "commit", f"commit/{commit}", facts, maker.causes
    yield new_event(table, spooled, *words, actor=maker.actor, stream=maker.session)


def in_claudes_form(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a hook's input with the names of Claude Code's members; its own names win."""
    form: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for name, value in members.items():
        plain = _HUMP.sub(lambda hump: f"_{hump[0]}", name).lower()
        if plain in _INNER and isinstance(value, Mapping):
            own = {str(key): one for key, one in value.items()}
            inner |= {known_agents.OF_CALL.get(key, key): one for key, one in own.items()}
        else:
            other = known_agents.MEMBERS.get(plain, plain)
            form[name if other in members else other] = value
    if inner:
        form = inner | {name: form[name] for name in form if name not in _CALL_AS_TEXTS}
    if "parent_agent_id" in form and not form["parent_agent_id"]:
        form["main_agent_id"] = form.pop("agent_id", None)
    match form.get("session_context"):
        case {"rootSessionId": str(session)}:  # its tasks and its subagents' have ids of their own
            form |= {"task_id": form.get("session_id"), "session_id": session}
    match form.get("workspace_roots"):
        case [str(folder), *_]:
            form.setdefault("cwd", folder)
    return form


def event_name(form: Mapping[str, Any]) -> str:
    """Returns Claude Code's name of an event, in small letters without "_"."""
    name = (text_of(form, "hook_event_name") or "").replace("_", "").lower()
    name = known_agents.EVENTS.get(name, name)
    if form.get("parent_agent_id"):
        name = known_agents.OF_SUBAGENT.get(name, name)
    has_failed = form.get("error") or map_of(form.get("tool_response")).get("error")
    return "posttoolusefailure" if name == "posttooluse" and has_failed else name


def edits_in(value: object, answer: object) -> Iterator[dict[str, Any]]:
    """Yields what a tool wrote into files: `path` as it was told, `added`, `removed`.

    `is_hunk` have whole lines. Of a file that is written whole `removed` is what it had before, as
    the answer has it, else missing: `before` of the call's begin is what the hook saw.
    """
    told, said = map_of(value), map_of(answer)
    said = {**said, **map_of(said.get("returnDisplay"))}
    is_new = said.get("type") == "create" or said.get("isNewFile") is True
    texts = [said[name] for name in _ORIGINAL if name in said]
    old = "" if is_new else next((text for text in texts if isinstance(text, str)), None)
    counts = map_of(said.get("diffStat"))  # gemini-cli and qwen-code count what their user changed
    is_users = said.get("userModified") is True or told.get("modified_by_user") is True
    is_users |= any(counts.get(f"user_{kind}_lines") for kind in ("added", "removed"))
    notebook = text_of(said, "updated_file")  # its cell is no text of the file
    edited, shown = [*_edited(told)], list[dict[str, Any]]()
    # Claude Code's, with the lines around
    for hunk in map(map_of, list_of(said.get("structuredPatch"))):
        lines = [line for line in list_of(hunk.get("lines")) if isinstance(line, str)]
        if edited and not is_users and any(line[:1] in (" ", "+") for line in lines):
            shown.append({"path": edited[0]["path"], **_sides(lines)})
    for change in shown or edited or _patched(value):
        if edited and notebook:
            change |= {"added": notebook, "removed": None}
        if change.get("removed") is None and not change.get("is_hunk") and old is not None:
            change |= {"removed": old, "is_hunk": True}
        yield change | ({"is_user_modified": True} if is_users else {})


def _edited(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the path and the texts of each edit, by the names that tools give them."""
    several = next((told[name] for name in _SEVERAL if isinstance(told.get(name), list)), [told])
    for one in map(map_of, several):
        path = text_of(one, *PATH_MEMBERS) or text_of(told, *PATH_MEMBERS)
        added, removed = text_of(one, *NEW_MEMBERS), text_of(one, *_OLD)
        is_new = any(one.get(name) == "" for name in _OLD)  # else it is refused
        # cline's makes a file or is refused, or puts it in at a line
        is_new |= removed is None and ("new_text" in one or told.get("insert_line") is not None)
        whole = {"removed": "", "is_hunk": True} if is_new else {}
        if path and (added or removed):
            yield {"path": path, "added": added, "removed": removed, **whole}


def _sides(lines: Sequence[str]) -> dict[str, Any]:
    """Returns the texts of a hunk after and before it."""
    new, old = ([line[1:] for line in lines if line[:1] in (" ", sign)] for sign in "+-")
    return {"added": "\n".join([*new, ""]), "removed": "\n".join([*old, ""]), "is_hunk": True}


def _patched(value: object) -> Iterator[dict[str, Any]]:
    """Yields the path and the texts of each hunk of a patch for Codex's `apply_patch`.

    The lines around a change are in both texts. A new file has no text before.
    """
    inside = [*value.values()] if isinstance(value, Mapping) else [value]
    inside += [item for listed in inside if isinstance(listed, list) for item in listed]
    patch = next((text for text in inside if isinstance(text, str) and "*** Begin Pa" in text), "")
    path: str | None = None
    hunk: list[str] = []
    is_new = False
    for line in [*patch.split("\n"), "*** End Patch"]:
        heading = _FILE.fullmatch(line.removesuffix("\r"))
        if heading and heading[2]:
            path = heading[2]
        elif heading or line.startswith(("*** End Patch", "@@")):
            if path is not None and (hunk or not line.startswith("@@")):
                sides = _sides(hunk)
                yield {"path": path, **sides, "removed": None if is_new else sides["removed"]}
            is_new = line.startswith("*** Add") or (is_new and line.startswith("@@"))
            path, hunk = heading[1] if heading else path if line.startswith("@@") else None, []
        elif path is not None and line[:1] in ("+", "-", " ", ""):
            hunk.append(line or " ")
