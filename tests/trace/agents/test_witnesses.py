"""A commit's session is named by what its agent set, and by its processes; they may differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.trace.agents.heard import CLAUDE, DAEMON, OTHER, PERSON, TOP, Heard

from thence.trace.agents.fired import Process
from thence.trace.agents.sessions import maker_of


def made(
    heard: Heard,
    variables: Mapping[str, str] = {},
    chain: Sequence[Process] = PERSON,
    root: str = TOP,
) -> Any:
    return maker_of(heard.table, variables, chain, root)


def codex(session: str, thread: str = "", call: str = "") -> dict[str, str]:
    named = {"CODEX_SESSION_ID": session, "CODEX_THREAD_ID": thread or session}
    return named | ({"CODEX_TOOL_CALL_ID": call} if call else {})


def two_windows(heard: Heard) -> None:
    """Two of Codex's sessions, which all run in one process: a works in a tree, b waits."""
    for session, root in (("a", OTHER), ("b", TOP)):
        place = {"process": DAEMON, "bridge": "codex", "root": root}
        heard.hook("SessionStart", session, **place)
        heard.hook("UserPromptSubmit", session, turn_id=f"p-{session}", prompt="go", **place)
    heard.shell("a", "./save.sh", process=DAEMON, bridge="codex", root=OTHER)


@pytest.mark.promise("A5b")
@pytest.mark.parametrize("variables", [{}, codex("a", call="t-a")])
def test_commit_of_one_of_two_windows_of_codex_is_that_windows(heard, variables):
    two_windows(heard)
    maker = made(heard, variables, (DAEMON,), OTHER)
    assert (maker.session, maker.actor, maker.reason) == ("a", "codex", None)
    call = heard.ids["tool/t-a", "tool.begun"]
    assert maker.causes == (((call,), ()) if variables else ((), (call,)))


@pytest.mark.promise("A5b")
def test_commit_of_two_windows_of_which_none_works_there_is_of_neither(heard: Heard) -> None:
    two_windows(heard)
    maker = made(heard, {}, (DAEMON,), TOP)
    assert (maker.session, maker.reason, maker.fitting) == (None, "sessions", ("a", "b"))
    heard.shell("b", "./save.sh", process=DAEMON, bridge="codex")
    assert made(heard, codex("b"), (DAEMON,), TOP).session == "b"


@pytest.mark.promise("A5b")
def test_call_that_a_variable_names_is_the_cause_also_when_it_has_ended(heard: Heard) -> None:
    two_windows(heard)
    place = {"process": DAEMON, "bridge": "codex", "root": OTHER}
    heard.hook("PostToolUse", "a", tool_name="Bash", tool_use_id="t-a", tool_response="", **place)
    heard.shell("a", "git commit -m other", tool_use_id="t-2", **place)
    maker = made(heard, codex("a", call="t-a"), (), OTHER)
    assert maker.causes.certain == (heard.ids["tool/t-a", "tool.begun"],)


def test_thread_of_codex_names_the_subagent(heard: Heard) -> None:
    place = {"process": DAEMON, "bridge": "codex"}
    heard.hook("SessionStart", "a", **place)
    sub = {"agent_id": "th-1", "agent_type": "default"}
    heard.hook("SubagentStart", "a", **sub, **place)
    maker = made(heard, codex("a", "th-1"), (DAEMON,))
    assert (maker.session, maker.agent, maker.actor) == ("a", "th-1", "codex/default")
    assert not maker.is_agent_unknown


@pytest.mark.promise("A5b")
def test_witnesses_that_differ_leave_the_session_unknown_with_those_that_fit(heard: Heard) -> None:
    heard.hook("SessionStart", "mine")
    maker = made(heard, {"CLAUDE_CODE_SESSION_ID": "other"}, (CLAUDE,))
    assert (maker.session, maker.reason, maker.fitting) == (None, "witnesses", ("other", "mine"))


@pytest.mark.promise("A5b")
def test_agent_that_another_agent_runs_is_the_inner_one(heard: Heard) -> None:
    """What is run inherits the variables of the outer one."""
    inner: Process = (60, "b 3")
    heard.shell("outer", "codex exec go; git commit")
    heard.shell("inner", "git commit", process=inner, bridge="codex")
    outer = {"CLAUDE_CODE_SESSION_ID": "outer"}
    for variables in (outer, outer | codex("inner")):
        assert made(heard, variables, (inner, CLAUDE)).session == "inner"
    assert made(heard, outer, (CLAUDE,)).session == "outer"


MINE = {"CLAUDE_CODE_SESSION_ID": "mine"}
BOOT = "0-0"


@pytest.mark.promise("A5b")
def test_commit_without_an_open_call_is_of_nobody_whatever_the_witnesses_say(heard: Heard) -> None:
    """As of the user's own `!`, and of what an ended call left running."""
    heard.hook("SessionStart", "mine")
    heard.hook("PreToolUse", "mine", tool_name="Task", tool_use_id="t", tool_input={})
    for chain in (PERSON, (CLAUDE,)):
        maker = made(heard, MINE, chain)
        assert (maker.session, maker.reason, maker.fitting) == (None, "no_call", ("mine",))
    heard.hook("PreToolUse", "mine", tool_name="mcp__git__commit", tool_use_id="m", tool_input={})
    maker = made(heard, MINE, (CLAUDE,))
    assert (maker.session, maker.causes) == ("mine", ((), (heard.ids["tool/m", "tool.begun"],)))
    heard.hook("SessionEnd", "mine", reason="exit")
    maker = made(heard, MINE)
    assert (maker.session, maker.reason, maker.fitting) == (None, "ended", ("mine",))


@pytest.mark.promise("A5b")
@pytest.mark.parametrize(
    ("shell", "is_owner"),
    [
        ((70, f"{BOOT} 150"), True),  # it began between the hooks of the call
        ((70, f"{BOOT} 300"), False),
        ((70, "1-1 150"), False),  # before the machine was started again
        ((70, "Mon Nov 23 10:00:00 2026"), False),  # ps tells no more
    ],
)
def test_call_in_the_background_owns_what_its_own_shell_commits_until_it_ends(
    heard: Heard, shell: Process, is_owner: bool
) -> None:
    agent: Process = (50, f"{BOOT} 5")
    call = {"tool_name": "Bash", "tool_use_id": "t", "process": agent}
    heard.hook("PreToolUse", "mine", **call, shell=(80, f"{BOOT} 100"))
    answer = {"backgroundTaskId": "b1"}
    heard.hook("PostToolUse", "mine", **call, shell=(81, f"{BOOT} 200"), tool_response=answer)
    begun = (heard.ids["tool/t", "tool.begun"],)
    maker = made(heard, MINE, (shell, agent))
    if is_owner:
        assert (maker.session, maker.causes) == ("mine", (begun, ()))
        return
    assert (maker.session, maker.reason, maker.causes) == (None, "background", ((), begun))
    text = "<task-notification>\n<tool-use-id>t</tool-use-id>"
    heard.hook("UserPromptSubmit", "mine", process=agent, prompt=text)
    assert made(heard, MINE, (shell, agent)).reason == "no_call"


def test_session_that_this_log_does_not_have_is_named_and_no_more(heard: Heard) -> None:
    """As of an editor that an agent once started, in which a person works on something else."""
    maker = made(heard, {"CLAUDE_CODE_SESSION_ID": "far", "CLAUDE_PROJECT_DIR": "/w"})
    assert (maker.session, maker.reason, maker.fitting) == (None, "elsewhere", ("far",))


@pytest.mark.promise("A5b")
@pytest.mark.parametrize("name", ["AGENT", "AI_AGENT", "OPENCODE", "GEMINI_CLI"])
def test_any_variable_of_an_agent_forbids_a_person(heard: Heard, name: str) -> None:
    heard.hook("SessionStart", "mine")
    assert made(heard).reason is None
    assert made(heard, {name: ""}).reason == "variables"


def test_ended_session_of_a_process_does_not_fit_beside_the_one_that_goes_on(heard: Heard) -> None:
    """As `/clear` begins a new session in the process of the old one."""
    heard.hook("SessionStart", "old")
    heard.hook("SessionEnd", "old", reason="clear")
    heard.shell("new", "git commit")
    assert made(heard, {}, (CLAUDE,)).session == "new"


@pytest.mark.promise("A5a")
def test_commits_of_subagents_that_run_git_at_once_are_not_given_to_the_main_agent(heard):
    heard.hook("SessionStart", "mine")
    for agent in ("x", "y"):
        sub = {"agent_id": agent, "agent_type": "coder", "tool_use_id": f"t-{agent}"}
        heard.shell("mine", "git commit -qm work", **sub)
    maker = made(heard, {"CLAUDE_CODE_SESSION_ID": "mine"}, (CLAUDE,))
    calls = tuple(heard.ids[f"tool/t-{agent}", "tool.begun"] for agent in "xy")
    assert (maker.session, maker.agent, maker.is_agent_unknown) == ("mine", None, True)
    assert maker.causes == ((), calls)
    heard.hook("PostToolUse", "mine", tool_name="Bash", tool_use_id="t-x", tool_response="")
    maker = made(heard, {"CLAUDE_CODE_SESSION_ID": "mine"}, (CLAUDE,))
    assert (maker.agent, maker.actor, maker.is_agent_unknown) == ("y", "claude-code/coder", False)
