"""A commit's session is named by what its agent set, and by its processes; they may differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.trace.agents.heard import CLAUDE, DAEMON, OTHER, PERSON, TOP, Heard

from thence.trace.agents.committing import maker_of
from thence.trace.agents.fired import Process


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
def test_commit_of_one_of_two_windows_of_codex_is_that_windows(
    heard: Heard, variables: dict[str, str]
) -> None:
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
    heard.hook("SessionStart", "outer")
    heard.hook("SessionStart", "inner", process=inner, bridge="codex")
    outer = {"CLAUDE_CODE_SESSION_ID": "outer"}
    for variables in (outer, outer | codex("inner")):
        assert made(heard, variables, (inner, CLAUDE)).session == "inner"
    assert made(heard, outer, (CLAUDE,)).session == "outer"


@pytest.mark.promise("A5b")
def test_detached_process_is_its_sessions_while_that_is_open(heard: Heard) -> None:
    named = {"CLAUDE_CODE_SESSION_ID": "mine"}
    heard.hook("SessionStart", "mine")
    maker = made(heard, named)
    assert (maker.session, maker.actor, maker.causes) == ("mine", "claude-code", ((), ()))
    heard.hook("SessionEnd", "mine", reason="exit")
    maker = made(heard, named)
    assert (maker.session, maker.reason, maker.fitting) == (None, "ended", ("mine",))


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
    heard.hook("SessionStart", "new")
    assert made(heard, {}, (CLAUDE,)).session == "new"


@pytest.mark.promise("A5a")
def test_commits_of_subagents_that_run_git_at_once_are_not_given_to_the_main_agent(
    heard: Heard,
) -> None:
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
    assert (maker.agent, maker.actor, maker.is_agent_unknown) == (
        "y",
        "claude-code/coder",
        False,
    )
