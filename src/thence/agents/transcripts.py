"""Transcripts that agents have written, as the events that their hooks would have left.

Read are the JSON lines of Claude Code (`uuid`, `parentUuid`, `message`) and of Codex (`type`,
`payload`). Torn lines and those glued together are taken apart where a JSON object can be found in
them; what is left is counted. What hooks have already brought is left out.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thence.agents.hooked import EventOrigin, edits, new_event, root_of
from thence.agents.intake import open_agents_log, stored_table
from thence.agents.sessions import (
    CALLERS,
    TEXT_CHARACTERS,
    Causes,
    SessionTable,
    certain,
    text_of,
)
from thence.core.clock import microseconds
from thence.core.values.codec import CAUSES_MAX
from thence.core.values.new_event import NewEvent
from thence.errors import EventTooLarge, InvalidEvent

LINE_BYTES_MAX = 64 * 1024 * 1024
_BATCH_EVENTS = 256


class Imported(NamedTuple):
    """What an import did: lines read, mended, and left for what they are; events appended."""

    files: int = 0
    lines: int = 0
    mended: int = 0
    unreadable: int = 0
    events: int = 0


def import_transcripts(folder: Path, log_folder: Path) -> Imported:
    """Appends the events of a transcript, or of all in a folder, to the log of agents.

    Raises ThenceError, OSError.
    """
    paths = sorted(folder.rglob("*.jsonl")) if folder.is_dir() else [folder]
    total = Imported()
    with open_agents_log(log_folder) as log:
        table = stored_table(log)
        for path in paths:
            reader = _Reader(path, table)
            counts = _read(path, reader)
            # of lines with one uuid the last one counts
            events = {event.event_id or "": event for event in reader.events}
            fresh = [events[name] for name in events if not log.answers.holds(name)]
            batches = (fresh[at : at + _BATCH_EVENTS] for at in range(0, len(fresh), _BATCH_EVENTS))
            counts += (sum(_append(log, batch) for batch in batches),)
            total = Imported(*map(sum, zip(total, counts, strict=True)))
    return total


def _append(log: Any, events: Sequence[NewEvent]) -> int:
    try:
        return len(log.append_many(events))
    except (InvalidEvent, EventTooLarge):
        if len(events) == 1:
            return 0
        return sum(_append(log, [event]) for event in events)


def _read(path: Path, reader: "_Reader") -> tuple[int, ...]:
    """Returns the numbers of files, records, mended lines and those that can't be read."""
    lines = mended = unreadable = 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), b""), 1):
            text = line.decode("utf-8", "replace").strip().strip("\0\ufeff")
            records, is_whole = objects(text)
            lines += len(records)
            mended += bool(records) and not is_whole
            unreadable += bool(text) and not records
            for members in records:
                reader.read(number, members)
    return 1, lines, mended, unreadable


def objects(text: str) -> tuple[list[dict[str, Any]], bool]:
    """Returns the JSON objects of a line, and whether it is one object and nothing else.

    Behind a torn object the next is looked for where one can begin.
    """
    decoder = json.JSONDecoder()
    records: list[dict[str, Any]] = []
    at, is_whole = 0, True
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = None, -1
        if isinstance(value, dict):
            records.append(value)
            at = end + len(text[end:]) - len(text[end:].lstrip())
            continue
        is_whole = False
        at = min((place for sign in _STARTS if (place := text.find(sign, at + 1)) > 0), default=-1)
        if at < 0:
            break
    return records, is_whole and len(records) == 1


# what a record of a transcript begins with
_STARTS = ('{"parentUuid"', '{"type"', '{"timestamp"', '{"uuid"', '{"sessionId"', '{"isSidechain"')


class _Reader:
    """The reading of one transcript, line by line; what the log has already is but a cause."""

    def __init__(self, path: Path, table: SessionTable) -> None:
        self.events: list[NewEvent] = []
        self._name, self._table = path.stem, table
        self._agent, self._place, self._members = "", "", dict[str, Any]()
        self._cwd: str | None = None
        self._by_uuid: dict[str, str] = {}
        self._calls: dict[str, tuple[str, str, Any]] = {}
        self._last: str | None = None
        self._counts: Counter[str] = Counter()

    def read(self, number: int, members: dict[str, Any]) -> None:
        """Takes the record of a line."""
        self._members, item = members, members.get("payload")
        if isinstance(item, dict):
            self._agent, self._place = "codex", f"{self._name}:{number}"
            self._of_codex(item)
        elif uuid := text_of(members, "uuid"):
            self._agent = "claude-code"
            self._of_claude(uuid)

    def _of_claude(self, uuid: str) -> None:
        members = self._members
        message = members.get("message")
        message = message if isinstance(message, dict) else {}
        self._name = text_of(members, "sessionId") or self._name
        self._cwd = text_of(members, "cwd") or self._cwd
        parent = self._by_uuid.get(text_of(members, "parentUuid") or "")
        causes = certain(parent) if parent else self._likely()
        if parent:
            self._by_uuid[uuid] = parent
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                self._place = f"{uuid}/{number}" if number else uuid
                event_id = self._of_part(part, message, causes)
                if event_id is not None:
                    self._by_uuid[uuid] = event_id

    def _of_part(
        self, part: Mapping[str, Any], message: Mapping[str, Any], causes: Causes
    ) -> str | None:
        """Returns the event that a part of a message stands for."""
        kind, is_user = text_of(part, "type"), self._members.get("type") == "user"
        if kind == "tool_use":
            return self._call(text_of(part, "id"), part.get("name"), part.get("input"), causes)
        if kind == "tool_result":
            use_id, is_error = text_of(part, "tool_use_id"), part.get("is_error") is True
            return self._answer(use_id, part.get("content"), is_error=is_error)
        text = part.get("text")
        if kind == "text" and is_user:
            if self._members.get("isSidechain"):
                return self._task(text)
            return None if self._members.get("isMeta") else self._prompt(text)
        is_end = kind == "text" and message.get("stop_reason") in (None, "end_turn")
        if not is_end or self._table.of(self._name).begin:
            return None  # hooks have told of the end of a turn
        return self._event("turn.ended", {"message": text}, causes)

    def _of_codex(self, item: Mapping[str, Any]) -> None:
        kind = text_of(item, "type")
        self._cwd = text_of(item, "cwd") or self._cwd
        if self._members.get("type") == "session_meta":
            self._name = text_of(item, "id", "session_id") or self._name
        elif kind in ("function_call", "custom_tool_call", "local_shell_call"):
            value = item.get("arguments", item.get("input", item.get("action")))
            tool = text_of(item, "name") or "shell"
            self._call(text_of(item, "call_id"), tool, _maybe_json(value), self._likely())
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._answer(text_of(item, "call_id"), _maybe_json(item.get("output")))
        elif kind == "user_message":
            self._prompt(item.get("message"))
        elif kind == "agent_message":
            self._event("turn.ended", {"message": item.get("message")}, self._likely())

    def _likely(self) -> Causes:
        return Causes((), (self._last,) if self._last else ())

    def _task(self, text: object) -> str:
        """Returns the begin of a subagent, whose first message is what its caller wrote."""
        agent = text_of(self._members, "agentId") or self._place
        if begin := self._table.of(self._name).subagents.get(agent):
            return begin
        ids = [
            event_id
            for event_id, tool, value in self._calls.values()
            if tool in CALLERS and isinstance(value, dict) and value.get("prompt") == text
        ]
        causes = Causes((), tuple(ids[-CAUSES_MAX:]))
        return self._event("subagent.begun", {}, causes, f"agent/{agent}")

    def _prompt(self, text: object) -> str | None:
        """Returns a prompt, or the one of the hooks that has this text in its turn."""
        if not isinstance(text, str) or not text.strip():
            return None
        session = self._table.of(self._name)
        brought = session.prompt_texts.get(text[:TEXT_CHARACTERS], [])
        self._counts[text] += 1
        if self._counts[text] <= len(brought):
            self._last = brought[self._counts[text] - 1]
        else:
            self._last = self._event("prompt", {"prompt": text}, certain(session.begin))
        return self._last

    def _call(self, use_id: str | None, tool: object, value: object, causes: Causes) -> str:
        use_id, tool = use_id or self._place, tool if isinstance(tool, str) else ""
        event_id = self._table.of(self._name).use_ids.get(use_id)
        if event_id is None:
            facts = {"tool": tool, "input": value}
            event_id = self._event("tool.begun", facts, causes, f"tool/{use_id}", begins=True)
        self._calls[use_id] = (event_id, tool, value)
        return event_id

    def _answer(self, use_id: str | None, answer: object, *, is_error: bool = False) -> str | None:
        begin, tool, value = self._calls.get(use_id or "", (None, "", None))
        if begin is None or use_id in self._table.of(self._name).answered:
            return begin
        facts: dict[str, Any] = {"tool": tool, "error" if is_error else "answer": answer}
        if not is_error:
            root = root_of(self._cwd, self._table.roots, None)
            facts["files"] = edits(value, root, self._table.roots, self._cwd) or None
        word = "tool.failed" if is_error else "tool.ended"
        return self._event(word, facts, Causes(), f"tool/{use_id}", ends=begin)

    def _event(
        self,
        event_type: str,
        facts: Mapping[str, Any],
        causes: Causes,
        subject: str | None = None,
        **members: Any,
    ) -> str:
        """Adds an event of the line that is read, and returns its id."""
        time_ns = (microseconds(text_of(self._members, "timestamp") or "") or 0) * 1000
        is_subagents = self._members.get("isSidechain")
        agent = text_of(self._members, "agentId") if is_subagents else None
        root = root_of(self._cwd, self._table.roots, None)
        facts = {**facts, "session": self._name, "agent": agent, "cwd": self._cwd, "root": root}
        origin = EventOrigin(f"{self._agent}-transcript", self._place, time_ns)
        members |= {"stream": self._name, "actor": "/".join(filter(None, (self._agent, agent)))}
        subject = subject or f"session/{self._name}"
        event = new_event(self._table, origin, event_type, subject, facts, causes, **members)
        self.events.append(event)
        return event.event_id or ""


def _maybe_json(value: object) -> object:
    """Returns the JSON in a text, as Codex keeps arguments; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
