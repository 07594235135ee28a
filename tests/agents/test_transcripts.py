"""Transcripts become the events that hooks would have left, torn lines mended or counted."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.agents.firing import events, fire, hook, log_in
from tests.agents.test_fired import hostile
from tests.cli.installed import thence as run

from thence.agents.intake import make_log
from thence.agents.transcripts import import_transcripts, objects

AT = "2026-11-20T07:13:0{}.000Z"


def line(number: int, kind: str, content: object, **members: Any) -> dict[str, Any]:
    """A line as Claude Code 2.1 writes it."""
    parent = f"u-{number - 1}" if number else None
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "type": kind,
        "sessionId": "s-1",
        "uuid": f"u-{number}",
        "timestamp": AT.format(number),
        "message": {"role": kind, "content": content},
        **members,
    }


def transcript(repository: Path) -> list[dict[str, Any]]:
    edit = {"file_path": str(repository / "a.py"), "old_string": "a", "new_string": "b"}
    task = {"prompt": "Review it", "subagent_type": "reviewer"}
    side = {"isSidechain": True, "agentId": "a-1"}
    return [
        line(0, "user", "Make it pay", cwd=str(repository)),
        line(1, "assistant", [{"type": "tool_use", "id": "t-1", "name": "Edit", "input": edit}]),
        line(2, "user", [{"type": "tool_result", "tool_use_id": "t-1", "content": "ok"}]),
        line(3, "assistant", [{"type": "tool_use", "id": "t-2", "name": "Task", "input": task}]),
        line(4, "user", "Review it", parentUuid=None, **side),
        line(5, "assistant", [{"type": "tool_use", "id": "t-3", "name": "Read"}], **side),
        line(6, "assistant", [{"type": "text", "text": "It pays"}], parentUuid="u-3"),
    ]


def test_transcript_of_claude_code_has_the_events_of_its_hooks(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "s-1.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in transcript(repository)))
    for number in (7, 0):
        ended = run("hook", "import", path, "--json", cwd=repository, env=env)
        assert ended.code == 0, ended.err
        assert ended.json == {
            "files": 1,
            "lines": 7,
            "mended": 0,
            "unreadable": 0,
            "events": number,
        }
    prompt, edit, edited, task, begin, read, turn = events(log_in(repository))
    assert [event.event_type for event in (prompt, edit, edited, task, begin, read, turn)] == [
        "prompt",
        "tool.begun",
        "tool.ended",
        "tool.begun",
        "subagent.begun",
        "tool.begun",
        "turn.ended",
    ]
    assert edit.caused_by == (prompt.event_id,)
    assert edited.ends == edit.event_id
    assert edited.payload["files"] == [{"path": "a.py", "added": "b", "removed": "a"}]
    assert task.caused_by == (edited.event_id,)
    assert (begin.caused_by, begin.header.inferred_causes) == ((), (task.event_id,))
    assert (read.actor, read.caused_by) == ("claude-code/a-1", (begin.event_id,))
    assert (prompt.timestamp, prompt.header.source) == (AT.format(0)[:-1] + "000Z", SOURCE)


SOURCE = "claude-code-transcript"


@pytest.mark.promise("A5d")
def test_what_hooks_have_brought_is_not_doubled(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    for record in (
        hook("SessionStart"),
        hook("UserPromptSubmit", prompt="Make it pay"),
        hook("PreToolUse", tool_name="Edit", tool_use_id="t-1", tool_input={}),
        hook("PostToolUse", tool_name="Edit", tool_use_id="t-1", tool_input={}),
    ):
        fire(record, cwd=repository, env=env)
    path = tmp_path / "s-1.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in transcript(repository)))
    assert run("hook", "import", tmp_path, "--json", cwd=repository, env=env).json["events"] == 3
    log = events(log_in(repository))
    assert [event.subject for event in log][4:] == ["tool/t-2", "agent/a-1", "tool/t-3"]
    assert log[4].caused_by == (log[2].event_id,)


@pytest.mark.promise("A5d")
def test_torn_and_glued_lines_are_mended_or_counted(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    first, second, third, *_ = (json.dumps(record) for record in transcript(repository))
    path = tmp_path / "s-1.jsonl"
    torn = first[: len(first) // 2]
    path.write_bytes(f"{torn}{first}\n{second}{third}\n{torn}\n\0\0\n".encode() + b"\xff\xfe\n")
    ended = run("hook", "import", path, "--json", cwd=repository, env=env)
    assert ended.json["mended"] == 2
    assert ended.json["unreadable"] == 2
    assert [event.event_type for event in events(log_in(repository))] == [
        "prompt",
        "tool.begun",
        "tool.ended",
    ]
    assert objects(first) == ([json.loads(first)], True)


def test_transcript_of_codex(repository: Path, env: dict[str, str], tmp_path: Path) -> None:
    patch = f"*** Begin Patch\n*** Update File: {repository}/a.py\n-a\n+b\n*** End Patch"
    items = [
        ("session_meta", {"id": "c-1", "cwd": str(repository)}),
        ("event_msg", {"type": "user_message", "message": "Make it pay"}),
        (
            "response_item",
            {"type": "custom_tool_call", "call_id": "k", "name": "apply_patch", "input": patch},
        ),
        ("response_item", {"type": "custom_tool_call_output", "call_id": "k", "output": "ok"}),
        ("event_msg", {"type": "agent_message", "message": "It pays"}),
    ]
    path = tmp_path / "rollout.jsonl"
    records = [{"timestamp": AT.format(1), "type": k, "payload": item} for k, item in items]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert run("hook", "import", path, cwd=repository, env=env).code == 0
    prompt, call, answer, turn = events(log_in(repository))
    assert {event.stream for event in (prompt, call, answer, turn)} == {"c-1"}
    assert (call.caused_by, call.header.inferred_causes) == ((), (prompt.event_id,))
    assert answer.payload["files"] == [{"path": "a.py", "added": "b", "removed": "a"}]
    assert (turn.actor, turn.payload["message"]) == ("codex", "It pays")


def test_hostile_transcript_never_raises(repository: Path, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    make_log(log_in(repository))
    records = []
    for number in range(500):
        kinds = ("tool_use", "tool_result", "text", "user_message", "function_call_output", 3)
        parts = [
            {"type": chance.choice(kinds), "id": hostile(chance), "tool_use_id": hostile(chance)}
            | {"name": hostile(chance), "input": hostile(chance), "text": hostile(chance)}
            for _ in range(3)
        ]
        content = chance.choice((parts, hostile(chance)))
        record = line(number, chance.choice(("user", "assistant", "x")), content)
        for name in chance.sample([*record], 3):
            record[name] = hostile(chance)
        if chance.random() < 0.3:
            record["payload"] = {**parts[0], "call_id": hostile(chance), "message": hostile(chance)}
        records.append(json.dumps(record))
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(records))
    counts = import_transcripts(path, log_in(repository))
    assert counts.lines == 500
    assert counts.events == len(events(log_in(repository))) > 50
