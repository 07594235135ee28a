"""Every input that real agents handed to hooks is taken in, with all that it says."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.trace.agents.firing import Shop

import thence
from thence.trace.agents import fired
from thence.trace.agents.intake import waiting

CORPUS = Path(__file__).parent / "corpus"
FOLDERS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
CALLS = ("tool_call", "tool_result")  # cline's
TYPES = {
    "SessionStart": "session.begun",
    "SessionEnd": "session.ended",
    "UserPromptSubmit": "prompt",
    "PreToolUse": "tool.begun",
    "PostToolUse": "tool.ended",
    "PostToolUseFailure": "tool.failed",
    "PostToolBatch": "tool.failed",  # where no other hook told of the call
    "SubagentStart": "subagent.begun",
    "Stop": "turn.ended",
    "StopFailure": "turn.ended",
    "Interrupt": "turn.ended",
    "BeforeAgent": "prompt",
    "BeforeTool": "tool.begun",
    "AfterTool": "tool.ended",
    "AfterAgent": "turn.ended",
    "agent_start": "session.begun",
    "agent_start of a subagent": "subagent.begun",
    "agent_end": "turn.ended",
    "agent_end of a subagent": "notice",  # its begin is missing here
    "tool_call": "tool.begun",
    "tool_result": "tool.ended",
    "session_shutdown": "session.ended",
}
# by the names of files, which tell a variant
VARIANTS = {"failed": "tool.failed", "empty": "woken", "notification": "woken"}
_NUMBERS = count(1)


def keep(shop: Shop, bridge: str, session: str, members: dict[str, Any]) -> None:
    """Leaves a file in the spool as the fired program does."""
    name = {"sessionContext": {"rootSessionId": session}} if bridge == "cline" else {}
    data = json.dumps({**members, "session_id": session, **name}).encode()
    head = fired.head_of(bridge, str(shop.top), str(shop.top), data)
    content = fired.record(head, data)
    name = f"{next(_NUMBERS):020d}-1-000000.json"
    fired.keep(str(shop.log / fired.SPOOL), name, content)


def parts(members: dict[str, Any]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Yields what each event has to say: the id of its call, and the members of the input."""
    members = dict(members)
    for name in ("session_id", "hook_event_name", "hookName", "sessionContext"):
        members.pop(name, None)
    for call in [members.pop(name) for name in CALLS if name in members]:
        members |= {"tool_use_id": call.pop("id"), **call}
        for double in ("preToolUse", "postToolUse"):
            members.pop(double, None)
    for call in members.pop("tool_calls", [members]):
        yield call.get("tool_use_id"), {k: v for k, v in call.items() if k != "tool_use_id"}


def says(event: thence.Event, value: object) -> bool:
    more = event.payload.get("more", {})
    return value in (*event.payload.values(), *more.values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_input_of_real_agents_is_an_event_with_all_its_members(shop, monkeypatch, folder):
    monkeypatch.setattr(fired, "ancestors", lambda pid: [])  # all are of one process here
    monkeypatch.setenv(fired.CLAUDE_FOLDER, str(shop.top))
    inputs = {path.stem: json.loads(path.read_text()) for path in (CORPUS / folder).glob("*.json")}
    for session, members in inputs.items():
        keep(shop, folder.rpartition("-")[0], session, members)
    log = shop.events()
    assert waiting(shop.log) == (0, 0)
    assert inputs
    for session, members in inputs.items():
        hook = members.get("hook_event_name") or members["hookName"]
        hook = f"{hook} of a subagent" if members.get("parent_agent_id") else hook
        own = [event for event in log if event.stream == session]
        is_task = hook == "UserPromptSubmit" and "agent_id" in members
        usual = TYPES.get(hook.removesuffix(" of a subagent"), "notice")
        event_type = "task" if is_task else TYPES.get(hook, usual)
        event_type = VARIANTS.get(session.rpartition("-")[2], event_type)
        for use_id, part in parts(members):
            (event,) = (one for one in own if use_id in (None, (one.subject or "")[5:]))
            assert event.event_type == event_type, session
            missing = {name: value for name, value in part.items() if not says(event, value)}
            assert not missing, (session, event.payload)
