"""The events that bridges of coding agents record, as sentences.

Types such as `prompt` are anybody's: the member `source` says that a bridge wrote the event. Only
the beginnings of large values are read.
"""

from collections.abc import Callable, Mapping
from typing import Any

from thence.core.event import Event
from thence.core.sentences.events import clipped, line

_SOURCES = ("claude-code", "codex", "git")
_QUOTED_MAX = 120
_OID_SHOWN = 12
_TASKS = frozenset(("Task", "Agent", "spawn_agent"))
# the member of a tool's input that says most of a call
_SAYING = (
    *("command", "cmd", "file_path", "path", "pattern", "url", "query", "description", "prompt"),
    "message",
)


def agent_sentence(event: Event) -> Callable[[Event], str] | None:
    """Returns the function that writes an event of a bridge; None for any other event."""
    source = event.header.source
    if source not in _SOURCES:
        return None
    write = _SENTENCES.get(event.event_type)
    return None if write is None else lambda event: write(event, event.cut_payload)


def _who(event: Event) -> str:
    return line(event.actor or "an agent")


def _quoted(value: Any) -> str:
    return f': "{clipped(line(value), _QUOTED_MAX)}"' if isinstance(value, str) and value else ""


def _word(payload: Mapping[str, Any], key: str, otherwise: str = "something") -> str:
    value = payload.get(key)
    return line(value) if isinstance(value, str) and value else otherwise


def _paths(payload: Mapping[str, Any]) -> str:
    files = payload.get("files")
    paths = [
        file["path"]
        for file in (files if isinstance(files, list) else ())
        if isinstance(file, Mapping) and isinstance(file.get("path"), str)
    ]
    return line(", ".join(dict.fromkeys(paths)))


def _tool_begun(event: Event, payload: Mapping[str, Any]) -> str:
    tool, tool_input = _word(payload, "tool", "a tool"), payload.get("input")
    words = tool_input if isinstance(tool_input, Mapping) else {}
    if tool in _TASKS:
        task = words.get("prompt") or words.get("message") or words.get("description")
        to = _word(words, "subagent_type", "a subagent")
        return f"{_who(event)} gave {to} its task{_quoted(task)}"
    return f"{_who(event)} called {tool}{_said(words)}"


def _said(words: Mapping[str, Any]) -> str:
    """Returns the member of a tool's input that says most of a call."""
    return _quoted(next((words[key] for key in _SAYING if isinstance(words.get(key), str)), ""))


def _tool_ended(event: Event, payload: Mapping[str, Any]) -> str:
    if "files" in payload:
        return f"{_who(event)} edited {_paths(payload) or 'several files'}"
    return f"{_who(event)} ended its call of {_word(payload, 'tool', 'a tool')}"


def _tool_failed(event: Event, payload: Mapping[str, Any]) -> str:
    if payload.get("is_unanswered"):
        return f"{_who(event)} got no answer to a call{_quoted(payload.get('error'))}"
    tool = _word(payload, "tool", "a tool")
    return f"{_who(event)} ended its call of {tool}, which failed{_quoted(payload.get('error'))}"


def _turn_ended(event: Event, payload: Mapping[str, Any]) -> str:
    if payload.get("is_interrupt"):
        return f"{_who(event)} was interrupted"
    return f"{_who(event)} ended its turn{_quoted(payload.get('error') or payload.get('message'))}"


def _notice(event: Event, payload: Mapping[str, Any]) -> str:
    value, tool = payload.get("input"), payload.get("tool")
    of = f", {line(tool)}" if isinstance(tool, str) and tool else ""
    words = _said(value) if isinstance(value, Mapping) else ""
    text = words or _quoted(payload.get("message") or payload.get("reason"))
    return f"{_who(event)} noted {_word(payload, 'name')}{of}{text}"


def _commit(event: Event, payload: Mapping[str, Any]) -> str:
    by = payload.get("by")
    who = {"agent": _who(event), "person": "a person"}.get(str(by), "somebody")
    if payload.get("is_agent_unknown"):
        who = f"{who} or a subagent of it"
    return f"{who} committed {_word(payload, 'commit')[:_OID_SHOWN]}"


def _rewrite(event: Event, payload: Mapping[str, Any]) -> str:
    old, new = (_word(payload, key)[:_OID_SHOWN] for key in ("old", "new"))
    return f"commit {old} became {new} by {_word(payload, 'by', 'a rewrite')}"


_SENTENCES: Mapping[str, Callable[[Event, Mapping[str, Any]], str]] = {
    "session.begun": lambda event, payload: (
        f"{_who(event)} began a session{_quoted(payload.get('model'))}"
    ),
    "session.ended": lambda event, payload: (
        f"{_who(event)} ended its session{_quoted(payload.get('reason'))}"
    ),
    "prompt": lambda event, payload: f"the user asked{_quoted(payload.get('prompt'))}",
    "tool.begun": _tool_begun,
    "tool.ended": _tool_ended,
    "tool.failed": _tool_failed,
    "subagent.begun": lambda event, payload: f"{_who(event)} began its task",
    "subagent.ended": lambda event, payload: (
        f"{_who(event)} ended its task{_quoted(payload.get('message') or payload.get('error'))}"
    ),
    "task": lambda event, payload: (
        f"{_who(event)} was given its task{_quoted(payload.get('prompt'))}"
    ),
    "turn.ended": _turn_ended,
    "notice": _notice,
    "commit": _commit,
    "rewrite": _rewrite,
}
