"""Transcripts that agents have written, as the events that their hooks would have left.

Read are the JSON lines of Claude Code (`uuid`, `parentUuid`, `message`) and of Codex (`type`,
`payload`). Torn lines and those glued together are taken apart where a JSON object can be found in
them; what is left is counted. What hooks have already brought is left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thence.agents.hooked import edits, event_id_of, root_of
from thence.agents.intake import open_agents_log, stored_table
from thence.agents.sessions import CALLERS, Causes, SessionTable, text_of
from thence.core.clock import microseconds, timestamp_at
from thence.core.values.codec import CAUSES_MAX
from thence.core.values.new_event import NewEvent
from thence.core.values.payload import repair
from thence.errors import EventTooLarge, InvalidEvent

LINE_BYTES_MAX = 64 * 1024 * 1024
_BATCH_EVENTS = 256
_CLAUDE, _CODEX = "claude-code-transcript", "codex-transcript"


class Imported(NamedTuple):
    """What an import did: lines read, mended, and left for what they are; events appended."""

    files: int = 0
    lines: int = 0
    mended: int = 0
    unreadable: int = 0
    events: int = 0


class _Line(NamedTuple):
    """A record of a transcript with its number in the file, from 1."""

    number: int
    members: Mapping[str, Any]


def import_transcripts(folder: Path, log_folder: Path) -> Imported:
    """Appends the events of a transcript, or of all in a folder, to the log of agents.

    Raises ThenceError, OSError.
    """
    paths = sorted(folder.rglob("*.jsonl")) if folder.is_dir() else [folder]
    total = Imported()
    with open_agents_log(log_folder) as log:
        table = stored_table(log)
        for path in paths:
            mended, unreadable, lines = read_lines(path)
            # of lines with one uuid the last one counts
            events = {event.event_id or "": event for event in _Reader(path, table).events(lines)}
            fresh = [events[name] for name in events if not log.answers.holds(name)]
            appended = 0
            for at in range(0, len(fresh), _BATCH_EVENTS):
                appended += _append(log, fresh[at : at + _BATCH_EVENTS])
            counts = (1, len(lines), mended, unreadable, appended)
            total = Imported(*map(sum, zip(total, counts, strict=True)))
    return total


def _append(log: Any, events: Sequence[NewEvent]) -> int:
    try:
        return len(log.append_many(events))
    except (InvalidEvent, EventTooLarge):
        if len(events) == 1:
            return 0
        return sum(_append(log, [event]) for event in events)


def read_lines(path: Path) -> tuple[int, int, list[_Line]]:
    """Returns how many lines were mended and how many can't be read, and the records."""
    mended = unreadable = 0
    lines: list[_Line] = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), b""), 1):
            text = line.decode("utf-8", "replace").strip().strip("\0\ufeff")
            records, is_whole = objects(text)
            mended += bool(records) and not is_whole
            unreadable += bool(text) and not records
            lines += [_Line(number, members) for members in records]
    return mended, unreadable, lines


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
    """The reading of one transcript, in the order of its lines."""

    def __init__(self, path: Path, table: SessionTable) -> None:
        self._name, self._table = path.stem, table
        self._cwd: str | None = None
        self._by_uuid: dict[str, str] = {}
        self._calls: dict[str, tuple[str, str, Any]] = {}
        self._last: str | None = None
        self._counts: dict[str, int] = {}

    def events(self, lines: Sequence[_Line]) -> Iterator[NewEvent]:
        """Yields the events; what the log has already is a cause and nothing more."""
        for line in lines:
            members = line.members
            if "payload" in members and isinstance(members["payload"], dict):
                yield from self._of_codex(line, members["payload"])
            elif text_of(members, "uuid"):
                yield from self._of_claude(line)

    def _of_claude(self, line: _Line) -> Iterator[NewEvent]:
        members = line.members
        uuid, message = text_of(members, "uuid") or "", members.get("message")
        self._name = text_of(members, "sessionId") or self._name
        self._cwd = text_of(members, "cwd") or self._cwd
        parent = self._by_uuid.get(text_of(members, "parentUuid") or "")
        causes = Causes((parent,)) if parent else Causes((), (self._last,) if self._last else ())
        content = message.get("content") if isinstance(message, dict) else None
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        is_user = text_of(members, "type") == "user"
        if parent:
            self._by_uuid[uuid] = parent
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if not isinstance(part, dict):
                continue
            kind, place = text_of(part, "type"), f"{uuid}/{number}" if number else uuid
            event: tuple[NewEvent | None, str] | None = None
            if kind == "tool_use":
                use = text_of(part, "id"), text_of(part, "name"), part.get("input")
                event = self._call(_CLAUDE, place, line, use, causes)
            elif kind == "tool_result":
                is_error = part.get("is_error") is True
                use_id = text_of(part, "tool_use_id")
                event = self._answer(_CLAUDE, place, line, use_id, part.get("content"), is_error)
            elif kind == "text" and is_user and members.get("isSidechain"):
                event = self._task(place, line, part.get("text"))
            elif kind == "text" and is_user and not members.get("isMeta"):
                event = self._prompt(_CLAUDE, place, line, part.get("text"))
            elif kind == "text" and self._is_end(message):
                facts = {"message": part.get("text")}
                event = self._event(_CLAUDE, place, line, "turn.ended", None, facts, causes)
            if event is not None:
                self._by_uuid[uuid] = event[1]
                if event[0] is not None:
                    yield event[0]

    def _of_codex(self, line: _Line, item: Mapping[str, Any]) -> Iterator[NewEvent]:
        kind, place = text_of(item, "type"), f"{self._name}:{line.number}"
        self._cwd = text_of(item, "cwd") or self._cwd
        if text_of(line.members, "type") == "session_meta":
            self._name = text_of(item, "id", "session_id") or self._name
            return
        last = Causes((), (self._last,) if self._last else ())
        use_id = text_of(item, "call_id")
        event: tuple[NewEvent | None, str] | None = None
        if kind in ("function_call", "custom_tool_call", "local_shell_call"):
            value = item.get("arguments", item.get("input", item.get("action")))
            use = use_id, text_of(item, "name") or "shell", _maybe_json(value)
            event = self._call(_CODEX, place, line, use, last)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            event = self._answer(
                _CODEX, place, line, use_id, _maybe_json(item.get("output")), False
            )
        elif kind == "user_message":
            event = self._prompt(_CODEX, place, line, item.get("message"))
        elif kind == "agent_message":
            facts = {"message": item.get("message")}
            event = self._event(_CODEX, place, line, "turn.ended", None, facts, last)
        if event is not None and event[0] is not None:
            yield event[0]

    def _is_end(self, message: object) -> bool:
        """Reports whether a model's text ends its turn, of which no hook has told."""
        reason = message.get("stop_reason") if isinstance(message, dict) else None
        return reason in (None, "end_turn") and not self._table.of(self._name).begin

    def _task(self, place: str, line: _Line, text: object) -> tuple[NewEvent | None, str] | None:
        """Returns the begin of a subagent, whose first message is what its caller wrote."""
        agent = text_of(line.members, "agentId") or place
        begin = self._table.of(self._name).subagents.get(agent)
        if begin is not None:
            return None, begin
        calls = self._calls.values()
        ids = [
            event_id
            for event_id, tool, value in calls
            if tool in CALLERS and isinstance(value, dict) and value.get("prompt") == text
        ]
        causes = Causes((), tuple(ids[-CAUSES_MAX:]))
        facts = {"agent": agent}
        subject = f"agent/{agent}"
        return self._event(
            _CLAUDE, place, line, "subagent.begun", None, facts, causes, subject=subject
        )

    def _prompt(
        self, source: str, place: str, line: _Line, text: object
    ) -> tuple[NewEvent | None, str] | None:
        """Returns a prompt, or the one of the hooks that has this text in its turn."""
        if not isinstance(text, str) or not text.strip():
            return None
        session = self._table.of(self._name)
        count = self._counts.get(text, 0)
        self._counts[text] = count + 1
        brought = session.prompt_texts.get(text[:100], [])
        if count < len(brought):
            self._last = brought[count]
            return None, brought[count]
        causes = Causes((session.begin,)) if session.begin else Causes()
        event = self._event(source, place, line, "prompt", None, {"prompt": text}, causes)
        self._last = event[1]
        return event

    def _call(
        self,
        source: str,
        place: str,
        line: _Line,
        use: tuple[str | None, str | None, Any],
        causes: Causes,
    ) -> tuple[NewEvent | None, str]:
        use_id, tool, value = use[0] or place, use[1] or "", use[2]
        session = self._table.of(self._name)
        stored = session.use_ids.get(use_id)
        facts = {"tool": tool, "input": value}
        event = (
            (None, stored)
            if stored
            else self._event(source, place, line, "tool.begun", use_id, facts, causes, begins=True)
        )
        self._calls[use_id] = (event[1], tool, value)
        return event

    def _answer(
        self,
        source: str,
        place: str,
        line: _Line,
        use_id: str | None,
        answer: object,
        is_error: bool,
    ) -> tuple[NewEvent | None, str] | None:
        begin, tool, value = self._calls.get(use_id or "", (None, "", None))
        if use_id is None or begin is None:
            return None
        if use_id in self._table.of(self._name).answered:
            return None, begin
        root = root_of(self._cwd, self._table.roots, None)
        files = [] if is_error else edits(value, root, self._table.roots, self._cwd)
        facts = {
            "tool": tool,
            "error" if is_error else "answer": answer,
            "files": files or None,
        }
        word = "tool.failed" if is_error else "tool.ended"
        return self._event(source, place, line, word, use_id, facts, Causes(), ends=begin)

    def _event(
        self,
        source: str,
        place: str,
        line: _Line,
        event_type: str,
        use_id: str | None,
        facts: Mapping[str, Any],
        causes: Causes,
        **members: Any,
    ) -> tuple[NewEvent, str]:
        us = microseconds(text_of(line.members, "timestamp") or "") or 0
        root = root_of(self._cwd, self._table.roots, None)
        agent = text_of(line.members, "agentId") if line.members.get("isSidechain") else None
        place_facts = {"agent": agent, "cwd": self._cwd, "root": root}
        all_facts = {**facts, "session": self._name, **place_facts}
        payload, repairs = repair({k: v for k, v in all_facts.items() if v is not None})
        subject = f"tool/{use_id}" if use_id else f"session/{self._name}"
        actor = source.removesuffix("-transcript")
        actor = f"{actor}/{agent}" if agent else actor
        named = {"subject": subject, "stream": self._name, "source_id": place, "actor": actor}
        words, _ = repair({**named, **members})
        event_id = event_id_of(source, place, us * 1000)
        event = NewEvent(
            event_type,
            payload,
            caused_by=causes.certain,
            inferred_causes=causes.inferred,
            event_id=event_id,
            timestamp=timestamp_at(us),
            source=source,
            members={"repairs": tuple(repairs)} if repairs else None,
            **words,
        )
        self._table.note(event_type, event_id, event.subject, payload, event.actor)
        return event, event_id


def _maybe_json(value: object) -> object:
    """Returns the JSON in a text, as Codex keeps arguments; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
