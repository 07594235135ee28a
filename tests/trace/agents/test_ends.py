"""What an agent went on without has ended, with its reason; a session ends where its agent does.

The hooks are those that Claude Code 2.1.197 and Codex 0.171.0 sent, or did not send.
"""

import json
from typing import Any

import pytest
from tests.trace.agents.heard import CLAUDE, DAEMON, TOP, Heard


def call(heard: Heard, use_id: str = "t-1", session: str = "s", **members: Any) -> None:
    heard.shell(session, "touch denied.txt", tool_use_id=use_id, **members)


def begin(heard: Heard, session: str = "s", **members: Any) -> None:
    heard.hook("SessionStart", session, source="startup", **members)
    heard.hook("UserPromptSubmit", session, prompt="go", prompt_id=f"p-{session}", **members)


@pytest.mark.promise("A5a")
def test_call_that_was_refused_ends_with_the_reason(heard: Heard) -> None:
    """In print mode: PreToolUse, then PostToolBatch."""
    begin(heard)
    call(heard)
    refused = {
        "tool_name": "Bash",
        "tool_input": {"command": "touch denied.txt"},
        "tool_use_id": "t-1",
        "tool_response": "This command requires approval",
    }
    (event,) = heard.hook("PostToolBatch", "s", tool_calls=[refused])
    assert (event.event_type, event.subject) == ("tool.failed", "tool/t-1")
    assert event.ends == heard.ids["tool/t-1", "tool.begun"]
    assert event.payload["error"] == "This command requires approval"
    assert heard.hook("PostToolBatch", "s", tool_calls=[refused]) == []


def test_call_that_never_ran_is_in_the_log_with_its_input(heard: Heard) -> None:
    """Of an Edit whose text is not there PostToolBatch alone is sent."""
    begin(heard)
    edit = {"file_path": f"{TOP}/a.py", "old_string": "x", "new_string": "y"}
    members = {"tool_name": "Edit", "tool_input": edit, "tool_use_id": "t-9"}
    response = "<tool_use_error>String to replace not found in file.</tool_use_error>"
    batch = [{**members, "tool_response": response}]
    (event,) = heard.hook("PostToolBatch", "s", prompt_id="p-s", tool_calls=batch)
    assert event.payload["input"] == edit
    assert "not found" in event.payload["error"]
    assert (event.ends, event.caused_by) == (None, (heard.ids["session/s", "prompt"],))
    assert "files" not in event.payload


@pytest.mark.promise("A5a")
@pytest.mark.parametrize(
    "name", ["UserPromptSubmit", "Stop", "StopFailure", "Interrupt", "SessionEnd"]
)
def test_call_that_was_interrupted_has_ended_when_its_agent_goes_on(heard, name):
    """Esc sends nothing."""
    begin(heard)
    call(heard)
    failed, event = heard.hook(name, "s", prompt="other", prompt_id="p-2")
    assert (failed.event_type, failed.ends) == ("tool.failed", heard.ids["tool/t-1", "tool.begun"])
    assert failed.payload["error"].startswith("no answer came: its ")
    assert event.event_type in {"prompt", "turn.ended", "session.ended"}
    assert heard.unfinished() == ([] if name == "SessionEnd" else ["session/s"])


def test_answer_that_is_late_is_kept_and_ends_nothing_again(heard: Heard) -> None:
    begin(heard)
    call(heard)
    heard.hook("UserPromptSubmit", "s", prompt="meanwhile", prompt_id="p-2")
    late = {"tool_name": "Bash", "tool_use_id": "t-1", "tool_response": "done"}
    (event,) = heard.hook("PostToolUse", "s", **late)
    assert (event.event_type, event.payload["answer"], event.ends) == ("tool.ended", "done", None)
    assert event.caused_by == (heard.ids["tool/t-1", "tool.begun"],)
    assert heard.hook("PostToolUse", "s", **late) == []


@pytest.mark.promise("A5a")
def test_calls_of_a_subagent_go_on_behind_the_main_agents_turn(heard: Heard) -> None:
    """As those of one in the background do; its own end, or the session's, ends them."""
    begin(heard)
    sub = {"agent_id": "x", "agent_type": "coder"}
    heard.hook("SubagentStart", "s", **sub)
    call(heard, "t-x", **sub)
    heard.hook("Stop", "s")
    assert heard.unfinished() == ["session/s", "agent/x", "tool/t-x"]
    heard.hook("SubagentStop", "s", **sub)
    assert heard.unfinished() == ["session/s"]
    heard.hook("SubagentStart", "s", agent_id="y", agent_type="coder")
    heard.hook("SessionEnd", "s", reason="exit")
    assert heard.unfinished() == []


def test_subagent_whose_call_was_interrupted_has_ended_with_its_calls(heard: Heard) -> None:
    begin(heard)
    agent = {"tool_name": "Agent", "tool_use_id": "t-1", "tool_input": {"prompt": "do"}}
    heard.hook("PreToolUse", "s", **agent)
    sub = {"agent_id": "x", "agent_type": "coder"}
    heard.hook("SubagentStart", "s", **sub)
    call(heard, "t-x", **sub)
    *_, prompt = heard.hook("UserPromptSubmit", "s", prompt="stop that", prompt_id="p-2")
    assert prompt.event_type == "prompt"
    assert heard.unfinished() == ["session/s"]
    own = [event for event in heard.events if event.subject == "tool/t-x"]
    assert [event.actor for event in own] == ["claude-code/coder"] * 2


@pytest.mark.promise("A5a")
def test_parallel_subagents_of_one_type_each_have_the_call_that_asked(heard, tmp_path):
    """Claude Code notes it beside the transcript before SubagentStart."""
    begin(heard)
    tmp_path /= "folder-of-a-long-name/" * 12
    for one in "xy":
        members = {"tool_input": {"prompt": one, "subagent_type": "general-purpose"}}
        heard.hook("PreToolUse", "s", tool_name="Agent", tool_use_id=f"t-{one}", **members)
    for one in "yx":
        meta = tmp_path / f"s/subagents/agent-{one}.meta.json"
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_text(json.dumps({"toolUseId": f"t-{one}", "agentType": "general-purpose"}))
        (begun,) = heard.hook(
            "SubagentStart",
            "s",
            agent_id=one,
            agent_type="general-purpose",
            transcript_path=str(tmp_path / "s.jsonl"),
        )
        assert begun.caused_by == (heard.ids[f"tool/t-{one}", "tool.begun"],)


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"toolUseId": 3}', b'{"toolUseId": "t-0"}', None]
)
def test_what_stands_beside_a_transcript_is_not_believed_blindly(heard, tmp_path, content):
    begin(heard)
    for one in "xy":
        heard.hook("PreToolUse", "s", tool_name="Agent", tool_use_id=f"t-{one}", tool_input={})
    meta = tmp_path / "s/subagents/agent-x.meta.json"
    meta.parent.mkdir(parents=True)
    if content is not None:
        meta.write_bytes(content)
    place = {"agent_id": "x", "transcript_path": str(tmp_path / "s.jsonl")}
    (begun,) = heard.hook("SubagentStart", "s", **place)
    assert (begun.caused_by, len(begun.inferred_causes)) == ((), 2)


@pytest.mark.promise("A5a")
@pytest.mark.parametrize("is_answered_first", [True, False])
def test_subagents_of_codex_have_their_calls_and_tasks_are_not_prompts(heard, is_answered_first):
    place: dict[str, Any] = {"process": DAEMON, "bridge": "codex"}
    begin(heard, **place)
    for one in "xy":
        spawn = {"tool_name": "spawn_agent", "tool_use_id": f"t-{one}", **place}
        heard.hook("PreToolUse", "s", tool_input={"message": f"do {one}"}, **spawn)
        sub = {"agent_id": one, "agent_type": "default", **place}
        answered = {"tool_response": json.dumps({"agent_id": one, "nickname": "Russell"}), **spawn}
        if is_answered_first:
            heard.hook("PostToolUse", "s", **answered)
        (begun,) = heard.hook("SubagentStart", "s", **sub)
        assert begun.caused_by == (heard.ids[f"tool/t-{one}", "tool.begun"],)
        if not is_answered_first:
            heard.hook("PostToolUse", "s", **answered)
        (task,) = heard.hook("UserPromptSubmit", "s", prompt=f"do {one}", **sub)
        assert (task.event_type, task.caused_by) == ("task", (begun.event_id,))
    prompts = [event for event in heard.events if event.event_type == "prompt"]
    assert [event.payload["prompt"] for event in prompts] == ["go"]


@pytest.mark.promise("A5a")
def test_words_of_a_machine_are_no_prompt_and_lead_to_the_users_own(heard: Heard) -> None:
    """As Claude Code wakes itself when a task ends, and Qwen Code asks again after each tool."""
    begin(heard)
    call(heard, "toolu_0000000312410045")
    text = (
        "<task-notification>\n<task-id>bbetpegcl</task-id>\n"
        "<tool-use-id>toolu_0000000312410045</tool-use-id>\n<status>completed</status>\n"
        '<summary>Background command "wait" completed (exit code 0)</summary>\n'
        "</task-notification>"
    )
    *_, woken = heard.hook("UserPromptSubmit", "s", prompt=text, prompt_id="p-2")
    assert (woken.event_type, woken.payload["text"]) == ("woken", text)
    asked = heard.ids["session/s", "prompt"]
    begun = heard.ids["tool/toolu_0000000312410045", "tool.begun"]
    assert woken.caused_by == (begun,)
    (empty,) = heard.hook("UserPromptSubmit", "s", prompt="")
    assert (empty.event_type, empty.caused_by) == ("woken", (woken.event_id,))
    for members, cause in (
        ({"prompt_id": "p-2"}, woken),
        ({}, woken),
        ({"prompt_id": "p-s"}, None),
    ):
        (begun_next,) = heard.hook(
            "PreToolUse", "s", tool_use_id=f"t{len(heard.events)}", **members
        )
        assert begun_next.caused_by == (cause.event_id if cause else asked,)
    heard.hook("UserPromptSubmit", "s", prompt="and now", prompt_id="p-3")
    (empty,) = heard.hook("UserPromptSubmit", "s", prompt=" \n")
    assert empty.caused_by == (heard.ids["session/s", "prompt"],)


def test_hook_that_nobody_knows_is_kept_whole(heard: Heard) -> None:
    (event,) = heard.hook("TeammateIdle", "s", teammate={"name": "eve"})
    assert (event.event_type, event.payload["name"]) == ("notice", "TeammateIdle")
    assert event.payload["more"] == {"teammate": {"name": "eve"}}
    assert event.stream == "s"
    (event,) = heard.hook("SubagentStop", "s", agent_id="compact", process=CLAUDE)
    assert event.event_type == "notice"  # of a compaction, which never began


def test_session_of_codex_that_was_left_is_not_unfinished_but_its_call_is(heard: Heard) -> None:
    """Its terminal ends without a word, and the daemon goes on."""
    place: dict[str, Any] = {"process": DAEMON, "bridge": "codex"}
    begin(heard, **place)
    heard.hook("Stop", "s", **place)
    assert heard.unfinished() == []
    call(heard, **place)
    assert heard.unfinished() == ["tool/t-1"]
    *_, ended = heard.hook("SessionEnd", "s", reason="other", **place)
    assert (ended.event_type, ended.ends, heard.unfinished()) == ("session.ended", None, [])


def test_taking_in_that_was_cut_between_two_ends_goes_on_with_the_second() -> None:
    """The log has the first end then; each event has the same id as in the first taking in."""

    def hear() -> Heard:
        heard = Heard()
        begin(heard)
        for use_id in ("t-1", "t-2", "t-3"):
            call(heard, use_id)
        return heard

    whole, cut = hear(), hear()
    events = whole.hook("Stop", "s")
    first = events[0]
    cut.table.note(first)
    rest = cut.hook("Stop", "s")
    assert [event.event_id for event in (first, *rest)] == [event.event_id for event in events]
