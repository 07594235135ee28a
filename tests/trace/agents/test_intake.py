"""What hooks left is in the log, once, in order, with its causes."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import thence as run
from tests.trace.agents.firing import COMMAND, Shop, events, hook

import thence
from thence.trace.agents import hooked, intake
from thence.trace.agents.fired import SPOOL, ancestors
from thence.trace.agents.hooked import edits_in
from thence.trace.agents.intake import take_in
from thence.trace.agents.sessions import SessionTable

EDIT = {"file_path": "", "old_string": "a = 1", "new_string": "a = 2\nb = 3"}


def by_type(log: list[thence.Event]) -> dict[str, thence.Event]:
    return {event.event_type: event for event in log}


@pytest.mark.promise("A5a")
def test_session_with_subagent_has_its_causes(shop: Shop) -> None:
    edit = EDIT | {"file_path": str(shop.top / "src" / "pay.py")}
    sub = {"agent_id": "a-1", "agent_type": "reviewer"}
    for record in (
        hook("SessionStart", source="startup", model="m-1"),
        hook("UserPromptSubmit", prompt_id="p-1", prompt="Make it pay" + " twice" * 400),
        hook("PreToolUse", prompt_id="p-1", tool_name="Task", tool_use_id="t-1", tool_input={}),
        hook("SubagentStart", prompt_id="p-1", **sub),
        hook("PreToolUse", tool_name="Edit", tool_use_id="t-2", tool_input=edit, **sub),
        hook(
            "PostToolUse",
            tool_name="Edit",
            tool_use_id="t-2",
            tool_input=edit,
            tool_response={},
            **sub,
        ),
        hook("SubagentStop", last_assistant_message="Done", **sub),
        hook("PostToolUseFailure", tool_name="Task", tool_use_id="t-1", error="no", new_member=7),
        hook("Stop", prompt_id="p-1", last_assistant_message="It pays"),
        hook("SessionEnd", reason="exit"),
    ):
        shop.fire(record)
    log = shop.events()
    named = by_type(log)
    task, edited = (event for event in log if event.event_type == "tool.begun")
    begin, prompt, sub_begin = (named[n] for n in ("session.begun", "prompt", "subagent.begun"))
    assert [set(event.caused_by) for event in log] == [
        set(),
        {begin.event_id},
        {prompt.event_id},
        {task.event_id},
        {sub_begin.event_id},
        {edited.event_id},
        {sub_begin.event_id, named["tool.ended"].event_id},
        {task.event_id},
        {prompt.event_id},
        {begin.event_id, named["turn.ended"].event_id},
    ]
    assert {event.stream for event in log} == {"s-1"}
    assert edited.actor == "claude-code/reviewer"
    assert prompt.actor == "claude-code"
    assert edited.subject == "tool/t-2"
    assert prompt.payload["prompt"].count("twice") == 400
    assert b"twice twice twice twice twice twice twice twice" not in prompt.line[-200:]
    assert named["tool.ended"].payload["files"] == [
        {"path": "src/pay.py", "added": "a = 2\nb = 3", "removed": "a = 1"}
    ]
    assert named["tool.failed"].payload["more"] == {"new_member": 7}
    assert named["session.begun"].payload["process"] == [*ancestors(os.getpid())[0]]


def test_hook_fired_twice_is_one_event(shop: Shop) -> None:
    for _ in range(2):
        shop.fire(hook("UserPromptSubmit", prompt_id="p", prompt="Go"))
        for name in ("PreToolUse", "PostToolUse"):
            record = hook(name, tool_name="Read", tool_use_id="t", tool_input={})
            shop.fire(record)
    types = [event.event_type for event in shop.events()]
    assert types == ["prompt", "tool.begun", "tool.ended"]


def test_file_that_outlives_its_event_is_not_taken_in_twice(shop: Shop) -> None:
    spool = shop.log / SPOOL
    shop.fire(hook("Notification", message="waiting"))
    (path,) = spool.glob("*.json")
    content = path.read_bytes()
    assert len(shop.events()) == 1
    path.write_bytes(content)
    (event,) = shop.events()
    assert event.header.source == "claude-code"
    assert event.header.source_id == path.stem
    assert not list(spool.glob("*.json"))


def test_command_takes_in_before_it_reads(shop: Shop) -> None:
    shop.git("worktree", "add", "-q", "../tree")
    tree = shop.top.parent / "tree"
    shop.fire(hook("UserPromptSubmit", prompt="Pay twice"), cwd=tree)
    for place in (shop.top, tree):
        ended = shop.run("log", cwd=place)
        assert ended.code == 0, ended.err
        assert "Pay twice" in ended.out
        assert str(shop.log) in ended.err
    assert json.loads(shop.run("stats", "--json", cwd=tree).out)["events"] == 1


@pytest.mark.promise("A5a")
def test_64_hooks_at_once_lose_nothing(shop: Shop) -> None:
    running = []
    for number in range(64):
        record = json.dumps(hook("UserPromptSubmit", prompt=f"ask {number}")).encode()
        argv = ["/bin/sh", "-c", f"{COMMAND} claude-code || true"]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=shop.top, env=shop.env)
        assert child.stdin is not None
        child.stdin.write(record)
        child.stdin.close()
        running.append(child)
    assert {child.wait(60) for child in running} == {0}
    prompts = sorted(event.payload["prompt"] for event in shop.events())
    assert prompts == sorted(f"ask {number}" for number in range(64))


def test_two_commands_at_once_take_each_file_in_once(shop: Shop) -> None:
    for number in range(20):
        shop.fire(hook("UserPromptSubmit", prompt=f"ask {number}"))
    code = "import sys; from pathlib import Path; from thence.trace.agents.intake import take_in"
    argv = [sys.executable, "-c", f"{code}; take_in(Path(sys.argv[1]))", shop.log]
    children = [subprocess.Popen(argv, env=shop.env) for _ in range(4)]
    assert {child.wait(60) for child in children} == {0}
    assert len(shop.events()) == 20


def test_garbage_in_the_spool_is_set_aside(shop: Shop) -> None:
    shop.fire(hook("UserPromptSubmit", prompt="Go"))
    spool = shop.log / SPOOL
    chance = random.Random(7)
    (spool / "note.txt").write_text("not mine")
    (spool / f"{'1' * 20}-1-abcdef.json").symlink_to("/etc/passwd")
    os.mkfifo(spool / f"{'2' * 20}-1-abcdef.json")
    (spool / f"{'3' * 20}-1-abcdef.json").mkdir()
    for number in range(50):
        path = spool / f"{number:020d}-1-abcdef.json"
        path.write_bytes(chance.randbytes(chance.randrange(300)))
    (event,) = shop.events()
    assert event.payload["prompt"] == "Go"
    assert len(list((spool / "refused").iterdir())) == 54
    lines = (spool / "errors.log").read_text().splitlines()
    assert len([line for line in lines if "is refused:" in line]) == 54
    assert Path("/etc/passwd").exists()


def test_input_cannot_stand_for_members_beside_it(shop: Shop) -> None:
    forged = b'{"session_id":"s","hook_event_name":"Stop"},"bridge":"git","input":{"hook":"x"}'
    shop.fire(forged)
    assert shop.events() == []


def test_cause_of_the_reading_command_is_no_cause_of_a_hook(shop: Shop) -> None:
    cause = "01JDA3K7QZ0000000000000000@5@01JDA3K7QZ0000000000000000"
    shop.fire(hook("UserPromptSubmit", prompt="Go"))
    assert shop.run("log", env={**shop.env, "THENCE_CAUSE": cause}).code == 0
    (event,) = shop.events()
    assert event.caused_by == ()


def test_nothing_is_taken_in_for_a_log_of_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    (folder / SPOOL).mkdir(parents=True)
    (folder / SPOOL / "mine.txt").write_text("kept")
    with thence.open(folder) as log:
        log.append("note")
    assert run("log", "--log", folder, cwd=tmp_path).code == 0
    assert (folder / SPOOL / "mine.txt").read_text() == "kept"


def test_take_in_of_nothing_makes_no_log(tmp_path: Path) -> None:
    assert take_in(tmp_path / "thence" / "agents") == 0
    assert not (tmp_path / "thence").exists()


def edits_of(value: object, shop: Shop) -> tuple[list[dict[str, Any]], int]:
    top = str(shop.top)
    spooled = hooked.Spooled("x", "codex", 0, top, top, None, (), {}, {})
    return hooked.placed(edits_in(value, None), top, spooled)


def test_files_of_an_edit_are_bounded(shop: Shop) -> None:
    pairs = [{"old_string": f"a{n}", "new_string": f"b{n}"} for n in range(20_000)]
    several = {"file_path": "/x" * 7_500, "edits": pairs}
    files = "".join(f"*** Add File: f{n}.py\n+x = {n}\n" for n in range(20_000))
    patch = f"*** Begin Patch\n{files}*** End Patch"
    for tool_input in (several, {"command": patch}):
        shown, omitted = edits_of(tool_input, shop)
        assert (len(shown), omitted) == (hooked.FILES_MAX, 20_000 - hooked.FILES_MAX)
    record = hook("PostToolUse", tool_name="Edit", tool_use_id="t", tool_input=several)
    shop.fire(record)
    (event,) = shop.events()
    assert event.payload["files_omitted"] == 20_000 - hooked.FILES_MAX
    assert len(event.payload["input"]["edits"]) == 20_000
    size = sum(path.stat().st_size for path in shop.log.rglob("*") if path.is_file())
    assert size < 8_000_000


def test_patch_of_codex_is_kept_by_its_hunks_with_the_lines_around(shop: Shop) -> None:
    """As 0.171.0 sends it; a new file has no text before."""
    patch = (
        "*** Begin Patch\n*** Update File: pay.py\n@@ def pay(order):\n def pay(order):\n"
        "-    return charge(order)\n+    return charge(order, key=order.id)\n \n@@\n+last = 1\n"
        "*** Add File: keys.py\n+def key():\n+\n*** Delete File: old.py\n*** End Patch\n"
    )
    files, _ = edits_of({"command": patch}, shop)
    assert files == [
        {
            "path": "pay.py",
            "added": "def pay(order):\n    return charge(order, key=order.id)\n\n",
            "removed": "def pay(order):\n    return charge(order)\n\n",
            "is_hunk": True,
        },
        {"path": "pay.py", "added": "last = 1\n", "removed": "", "is_hunk": True},
        {"path": "keys.py", "added": "def key():\n\n", "is_hunk": True},
        {"path": "old.py", "added": "", "removed": "", "is_hunk": True},
    ]


def test_sessions_of_a_long_log_are_not_read_again(shop, monkeypatch):
    monkeypatch.setattr(intake, "_KEPT_EVENTS_MIN", 3)
    for record in (
        hook("SessionStart"),
        hook("UserPromptSubmit", prompt_id="p", prompt="Go"),
        hook("PreToolUse", tool_name="Bash", tool_use_id="t", tool_input={"command": "x" * 2000}),
        hook("PreToolUse", tool_name="Task", tool_use_id="u", tool_input={}),
    ):
        shop.fire(record)
    folder = shop.log
    events(folder)
    kept = folder / SPOOL / ".sessions"
    with intake.open_agents_log(folder) as log:
        whole = intake.stored_table(log)
        assert kept.exists()
        with monkeypatch.context() as patch:
            patch.setattr(SessionTable, "note", None)
            assert intake.stored_table(log) == whole
        kept.write_bytes(b"garbage")
        assert intake.stored_table(log) == whole
    shop.fire(hook("PostToolUse", tool_name="Task", tool_use_id="u"))
    *_, end = events(folder)
    assert end.ends == whole[0].sessions["s-1"].use_ids["u"]
