"""The hooks of other agents in the form of Claude Code's: synonyms of events, members and tools.

gemini-cli 0.61.0, qwen-code 0.24.4 and cline 3.0.65 were read as they send, opencode 1.18.33
through its plugin. What has no synonym stays as it is.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from thence.trace.agents.fired import PATH_MEMBERS, users_folder
from thence.trace.agents.sessions import text_of

# in small letters, without "_"
_EVENTS = {
    "beforetool": "pretooluse",
    "toolcall": "pretooluse",
    "aftertool": "posttooluse",
    "toolresult": "posttooluse",
    "beforeagent": "userpromptsubmit",
    "promptsubmit": "userpromptsubmit",
    "afteragent": "stop",
    "agentend": "stop",
    "agentabort": "interrupt",
    "agenterror": "stopfailure",
    "agentstart": "sessionstart",
    "agentresume": "sessionstart",
    "sessionshutdown": "sessionend",
    "precompress": "precompact",
}
# what is told of a subagent in the words of a session
_OF_SUBAGENT = {"sessionstart": "subagentstart"}
_OF_SUBAGENT |= dict.fromkeys(("stop", "stopfailure", "interrupt"), "subagentstop")
_MEMBERS = {
    "hook_name": "hook_event_name",
    "event": "hook_event_name",
    "task_id": "session_id",
    "thread_id": "session_id",
    "conversation_id": "session_id",
    "turn_id": "prompt_id",
    "tool": "tool_name",
    "args": "tool_input",
    "call_id": "tool_use_id",
    "tool_output": "tool_response",
    "tool_result": "tool_response",
    "prompt_response": "last_assistant_message",
}
# cline has the members of an event inside one of these, and a call once more, as texts
_INNER = ("tool_call", "tool_result", "user_prompt_submit")
_CALL_AS_TEXTS = ("pre_tool_use", "post_tool_use")
_CALL = {"id": "tool_use_id", "name": "tool_name", "input": "tool_input", "output": "tool_response"}
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]+")
# so much of a session of cline is read to find what its user asked
_MESSAGES_BYTES_MAX = 64 * 1024 * 1024
_SESSION_NAME = re.compile(r"[\w-]{1,200}")
_USER_INPUT = re.compile(r"<user_input[^>]*>(.*)</user_input>", re.DOTALL)
_NEW = ("new_string", "newString", "new_text", "content", "new_source")
_OLD = ("old_string", "oldString", "old_text")
_SEVERAL = ("edits", "replacements")
_ORIGINAL = ("originalFile", "original_file", "originalContent")


def in_claudes_form(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a hook's input with the names of Claude Code's members; its own names win."""
    form: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for name, value in members.items():
        plain = _HUMP.sub(lambda hump: f"_{hump[0]}", name).lower()
        if plain in _INNER and isinstance(value, Mapping):
            inner |= {_CALL.get(str(key), str(key)): one for key, one in value.items()}
        else:
            other = _MEMBERS.get(plain, plain)
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
    name = _EVENTS.get(name, name)
    if form.get("parent_agent_id"):
        name = _OF_SUBAGENT.get(name, name)
    has_failed = form.get("error") or _map(form.get("tool_response")).get("error")
    return "posttoolusefailure" if name == "posttooluse" and has_failed else name


def asked_of_cline(members: Mapping[str, Any]) -> str | None:
    """Returns what a user asked of cline before a task began; None where it can't be told.

    No hook of 3.0.65 has it. It is in the file of the session's messages.
    """
    name = text_of(members, "session_id") or ""
    path = users_folder("", ".cline/data/sessions", f"{name}/{name}.messages.json")
    if not _SESSION_NAME.fullmatch(name):
        return None
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        began_ms = datetime.fromisoformat(members["timestamp"]).timestamp() * 1000
        with open(path, "rb") as file:
            messages = json.loads(file.read(_MESSAGES_BYTES_MAX))["messages"]
        asked = [one for one in messages if one["role"] == "user" and one["ts"] <= began_ms]
        texts = [part["text"] for one in asked for part in one["content"] if part["type"] == "text"]
        return str(_USER_INPUT.findall(texts[-1])[0])
    return None


def edits_in(value: object, answer: object, before: str | None) -> Iterator[dict[str, Any]]:
    """Yields what a tool wrote into files: `path` as it was told, `added`, `removed`.

    `is_hunk` have whole lines. Of a file that is written whole (`is_whole`) `removed` is what it
    had before, as the answer has it or else the hook saw it; both are missing where nobody knows.
    """
    told, said = _map(value), _map(answer)
    said = {**said, **_map(said.get("returnDisplay"))}
    is_new = said.get("type") == "create" or said.get("isNewFile") is True
    texts = [said[name] for name in _ORIGINAL if name in said]
    old = "" if is_new else next((text for text in texts if isinstance(text, str)), before)
    counts = _map(said.get("diffStat"))  # gemini-cli and qwen-code count what their user changed
    is_users = said.get("userModified") is True or told.get("modified_by_user") is True
    is_users |= any(counts.get(f"user_{kind}_lines") for kind in ("added", "removed"))
    notebook = text_of(said, "updated_file")  # its cell is no text of the file
    edited = [*_edited(told)]
    for change in edited or _patched(value):
        if edited and told.get("insert_line") is not None:
            change |= {"removed": "", "is_hunk": True}
        elif edited and notebook:
            change |= {"added": notebook, "removed": None}
        if change.get("removed") is None and not change.get("is_hunk") and old is not None:
            change |= {"removed": old, "is_hunk": True, "is_whole": True}
        yield change | ({"is_user_modified": True} if is_users else {})


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _edited(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the path and the texts of each edit, by the names that tools give them."""
    several = next((told[name] for name in _SEVERAL if isinstance(told.get(name), list)), [told])
    for one in map(_map, several):
        path = text_of(one, *PATH_MEMBERS) or text_of(told, *PATH_MEMBERS)
        added, removed = text_of(one, *_NEW), text_of(one, *_OLD)
        is_new = any(one.get(name) == "" for name in _OLD)  # else it is refused
        # cline's makes a file, or is refused
        is_new |= "new_text" in one and removed is None and one.get("insert_line") is None
        whole = {"removed": "", "is_hunk": True, "is_whole": True} if is_new else {}
        if path and (added or removed):
            yield {"path": path, "added": added, "removed": removed, **whole}


_FILE = re.compile(r"\*\*\* (?:Add|Update|Delete) File: (.+)|\*\*\* Move to: (.+)")


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
                new, old = ([one[1:] for one in hunk if one[:1] in f" {sign}"] for sign in "+-")
                added, removed = "\n".join([*new, ""]), "\n".join([*old, ""])
                texts = {"added": added, "removed": None if is_new else removed}
                yield {"path": path, **texts, "is_hunk": True}
            is_new = line.startswith("*** Add") or (is_new and line.startswith("@@"))
            path, hunk = heading[1] if heading else path if line.startswith("@@") else None, []
        elif path is not None and line[:1] in ("+", "-", " ", ""):
            hunk.append(line or " ")
