"""Each tool of a known agent that changes a file gives an edit, whatever its answer looks like."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import THENCE
from tests.trace.agents.firing import Shop, hook
from tests.trace.agents.heard import Heard
from tests.trace.agents.test_corpus import CORPUS

from thence.core.sentences.events import AGENT_SOURCES
from thence.trace.agents.fired import WHOLE_WRITES
from thence.trace.agents.known_agents import AGENTS, FOREIGN

PATCH = "*** Begin Patch\n*** Update File: a.py\n@@\n-one\n+two\n*** End Patch\n"
HUNK = {"added": "two\n", "removed": "one\n", "is_hunk": True}
PAIR = {"added": "two", "removed": "one"}
NEW = {**HUNK, "removed": ""}
MINE = {"file_path": "a.py", "old_string": "one", "new_string": "two"}
CAMEL = {"filePath": "a.py", "oldString": "one", "newString": "two"}
TEXT = {"file_path": "a.py", "content": "two\n"}
CASES: list[tuple[str, str, Any, Any, dict[str, Any]]] = [
    ("claude-code", "Edit", MINE, {"userModified": True}, {**PAIR, "is_user_modified": True}),
    (
        "claude-code",
        "Edit",
        MINE,
        {"originalFile": "0\none\n", "structuredPatch": [{"lines": [" 0", "-one", "+two"]}]},
        {"added": "0\ntwo\n", "removed": "0\none\n", "is_hunk": True},
    ),
    ("claude-code", "MultiEdit", {"file_path": "a.py", "edits": [MINE]}, "", PAIR),
    ("claude-code", "Write", TEXT, {"type": "update", "originalFile": "one\n"}, HUNK),
    ("claude-code", "Write", TEXT, {"type": "create", "originalFile": None}, NEW),
    (
        "claude-code",
        "NotebookEdit",
        {"notebook_path": "a.py", "new_source": "x"},
        {"original_file": "one\n", "updated_file": "two\n"},
        HUNK,
    ),
    ("codex", "apply_patch", {"command": PATCH}, "Success.", HUNK),
    ("gemini-cli", "replace", MINE, {"llmContent": "ok", "returnDisplay": ""}, PAIR),
    (
        "gemini-cli",
        "write_file",
        TEXT,
        {"returnDisplay": {"originalContent": "one\n", "isNewFile": False}},
        HUNK,
    ),
    ("qwen-code", "edit", MINE, {"returnDisplay": {}}, PAIR),
    (
        "qwen-code",
        "write_file",
        {**TEXT, "modified_by_user": True},
        {"returnDisplay": {"originalContent": "one\n"}},
        {**HUNK, "is_user_modified": True},
    ),
    ("opencode", "edit", CAMEL, {"output": "", "metadata": {}}, PAIR),
    (
        "opencode",
        "write",
        {"filePath": "a.py", "content": "two\n"},
        {"output": ""},
        {"added": "two\n"},  # what was there before is in the call
    ),
    ("opencode", "apply_patch", {"patchText": PATCH}, {"output": ""}, HUNK),
    ("cline", "editor", {"path": "a.py", "old_text": "one", "new_text": "two"}, "", PAIR),
    ("cline", "editor", {"path": "a.py", "new_text": "two\n", "insert_line": 1}, "", NEW),
    ("cline", "apply_patch", {"input": PATCH}, "", HUNK),
    ("cline", "editor", {"path": "a.py", "new_text": "two\n", "insert_line": None}, "", NEW),
    ("other", "replace_string_in_file", CAMEL, "", PAIR),
]


def test_names_of_agents_are_those_of_the_sentences() -> None:
    assert {*AGENT_SOURCES} == {*AGENTS, "git", "hook", "transcript"}


@pytest.mark.parametrize(("agent", "tool", "value", "answer", "file"), CASES)
def test_tool_that_changes_a_file_gives_an_edit(shop, agent, tool, value, answer, file):
    (shop.top / "a.py").write_text("one\n")
    call = {"tool_name": tool, "tool_input": value}
    shop.fire(hook("PreToolUse", **call), bridge=agent)
    (shop.top / "a.py").write_text("two\n")
    shop.fire(hook("PostToolUse", **call, tool_response=answer), bridge=agent)
    begin, end = shop.events()
    assert end.ends == begin.event_id
    assert begin.payload.get("before") == ("one\n" if tool in WHOLE_WRITES else None)
    assert end.payload["files"] == [{"path": "a.py", **file}]
    assert end.actor == agent


def test_event_of_any_agent_is_recorded_by_its_synonyms(shop: Shop) -> None:
    call = {"toolName": "run_shell_command", "toolInput": {"command": "ls"}}
    for name, members in (
        ("BeforeAgent", {"prompt": "Look"}),
        *(pair for _ in range(2) for pair in (("BeforeTool", call), ("AfterTool", call))),
        ("UserPromptSubmit", {"prompt": ""}),
        ("AfterAgent", {"prompt_response": "Done"}),
    ):
        text = json.dumps({"sessionId": "s", "hookEventName": name, **members})
        argv = [THENCE, "hook", "event", "any-agent"]
        shop.quiet(argv, text)
    log = shop.events()
    pair = ["tool.begun", "tool.ended"]
    assert [event.event_type for event in log] == ["prompt", *pair, *pair, "woken", "turn.ended"]
    assert {event.actor for event in log} == {"any-agent"}
    assert len({event.subject for event in log[1:5]}) == 2


def test_what_cline_did_is_told(shop: Shop) -> None:
    def fire_script(name: str, script: str) -> Any:
        text = (CORPUS / f"cline-3.0.65/{name}.json").read_text()
        members = json.loads(text.replace("/W/shop", str(shop.top)))
        text = json.dumps({**members, "sessionContext": {"rootSessionId": "s"}})
        argv = ["sh", shop.top / ".cline/hooks" / script]
        shop.quiet(argv, text)
        return members

    assert shop.run("hook", "install", "cline").code == 0
    assert shop.run("hook", "install", "git").code == 0
    fire_script("agent_start", "TaskStart")
    told = fire_script("tool_call-editor-new", "PreToolUse")["tool_call"]["input"]
    Path(told["path"]).parent.mkdir()
    Path(told["path"]).write_text(told["new_text"])
    fire_script("tool_result-editor-new", "PostToolUse")
    fire_script("tool_call-run_commands", "PreToolUse")
    shop.git("add", "src")
    shop.git("commit", "-q", "-m", "Write")
    fire_script("tool_result-run_commands", "PostToolUse")
    fire_script("agent_end", "TaskComplete")
    for asked in ("src/n.py:1", "commit/HEAD"):
        told = shop.run("why", asked, "--json").json
        assert [told[name] for name in ("kind", "name", "session")] == ["agent", "cline", "s"]


def test_subagent_of_cline_is_of_its_session(heard: Heard) -> None:
    call, begin, edit, end = (
        json.loads((CORPUS / f"cline-3.0.65/{name}.json").read_text())
        for name in (
            "tool_call-spawn_agent",
            "agent_start-sub",
            "tool_call-editor-sub",
            "agent_end-sub",
        )
    )
    agent = {name: begin[name] for name in ("agent_id", "parent_agent_id", "taskId")}
    own: dict[str, Any] = {"sessionContext": {"rootSessionId": "s"}, "bridge": "cline"}
    heard.hook(call.pop("hookName"), call["taskId"], **{**call, **own})
    for members in (begin, edit, end):
        heard.hook(members.pop("hookName"), begin["taskId"], **{**members, **agent, **own})
    asked, begun, edited, *_, ended = heard.events
    assert [event.event_type for event in (begun, ended)] == ["subagent.begun", "subagent.ended"]
    assert (begun.caused_by, edited.caused_by) == ((asked.event_id,), (begun.event_id,))
    assert {event.stream for event in heard.events} == {"s"}


@pytest.mark.parametrize(
    ("name", "actor"), [("copilot", "copilot"), ("", FOREIGN), ("a b", FOREIGN)]
)
def test_who_runs_claude_codes_hooks_is_not_told_as_claude_code(shop, name, actor):
    own = {**shop.env, "AI_AGENT": name, "CLAUDE_PROJECT_DIR": ""}
    shop.fire(hook("UserPromptSubmit", prompt="x"), env=own)
    (event,) = shop.events()
    assert (event.actor, event.header.source) == (actor, "claude-code")


def test_real_path_is_that_at_the_time_of_the_edit(shop: Shop) -> None:
    (shop.top / "docs").mkdir()
    (shop.top / "docs" / "a.py").write_text("one\n")
    (shop.top / "link").symlink_to("docs")
    (shop.top / "A.md").symlink_to("docs/a.py")
    patch = PATCH.replace("a.py", "A.md")
    told = ({**MINE, "file_path": str(shop.top / "link/a.py")}, {"command": patch})
    for number, value in enumerate(told):
        end = hook("PostToolUse", tool_name="Edit", tool_use_id=f"{number}", tool_input=value)
        shop.fire(end)
    for link in ("link", "A.md"):
        (shop.top / link).unlink()
    places = [event.payload["files"][0] for event in shop.events()]
    assert [(file["path"], file.get("real")) for file in places] == [
        ("link/a.py", "docs/a.py"),
        ("A.md", "docs/a.py"),
    ]


@pytest.mark.parametrize("agent", ["gemini-cli", "qwen-code", "opencode", "cline"])
def test_hooks_of_an_agent_go_in_and_out(shop: Shop, agent: str) -> None:
    before = sorted(shop.top.rglob("*"))
    assert shop.run("hook", "install", agent).code == 0
    assert f"{agent}: never fired here" in shop.run("hook", "status").out
    assert shop.run("hook", "uninstall", agent).code == 0
    left = {*shop.top.rglob("*")} - {*before}
    assert not [path for path in left if ".git" not in path.parts]


@pytest.mark.parametrize("form", ["plain", "camel"])
def test_file_that_any_agent_writes_through_a_link_is_its_own(shop: Shop, form: str) -> None:
    assert shop.run("hook", "install", "git").code == 0
    (shop.top / "real").mkdir()
    (shop.top / "link").symlink_to("real")
    text = "def total(prices):\n    return sum(prices) * 119 // 100\n"
    names = {"path": "file_path", "tool": "tool_name", "input": "tool_input", "id": "session_id"}
    if form == "camel":
        names = {"path": "filePath", "tool": "toolName", "input": "toolInput", "id": "sessionId"}
    value = {names["path"]: str(shop.top / "link/total.py"), "content": text}
    call = {names["id"]: "s", names["tool"]: "write_file", names["input"]: value}
    for event in ("BeforeTool", "AfterTool"):
        told = {"hook_event_name" if form == "plain" else "event": event, **call}
        argv = [THENCE, "hook", "event", "any-agent"]
        shop.quiet(argv, json.dumps(told))
        (shop.top / "real/total.py").write_text(text)
    (shop.top / "link").unlink()
    shop.git("add", "real")
    shop.git("commit", "-q", "-m", "Totals")
    lines = shop.run("blame", "real/total.py", "--json").json["lines"]
    assert [(line["kind"], line["name"], line["session"]) for line in lines] == [
        ("agent", "any-agent", "s")
    ] * 2
