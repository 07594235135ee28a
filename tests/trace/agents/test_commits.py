"""A commit is its session's by the chain of processes, and nobody's by its time."""

import os
import subprocess

import pytest
from tests.trace.agents.firing import SessionProcess, Shop, hook

import thence
from thence.git.repository import repository as work_repository
from thence.trace.agents.fired import ancestors
from thence.trace.agents.ownership import Ownership


def agent(name: str, shop: Shop) -> SessionProcess:
    """Start an agent, a subagent of which commits by a call; it lives until it is ended."""
    session = SessionProcess(shop.top, shop.env)
    call = {"tool_name": "Bash", "tool_use_id": f"{name}-t"}
    call |= {"agent_id": f"{name}-a", "agent_type": "coder"}
    session.fire(shop.top, "SessionStart", name)
    words = {"tool_input": {"command": "git commit"}}
    session.fire(shop.top, "PreToolUse", name, **words, **call)
    session.run(f"git commit -q --allow-empty -m {name}", shop.top)
    session.fire(shop.top, "PostToolUse", name, **words, **call)
    return session


@pytest.mark.promise("A5b")
def test_commits_of_two_agents_in_one_folder_are_their_own(shop: Shop) -> None:
    shop.hook("install", "git")
    agents = [agent(name, shop) for name in ("one", "two")]
    for child in agents:
        child.end()
    shop.fire(hook("SessionStart", session="mine"))
    shop.git("commit", "-q", "--allow-empty", "-m", "by hand")
    log = shop.events()
    commits = [event for event in log if event.event_type == "commit"]
    calls = {event.stream: event for event in log if event.event_type == "tool.begun"}
    by_agents, by_hand = commits[:2], commits[2]
    assert [event.stream for event in by_agents] == ["one", "two"]
    for event, name in zip(by_agents, ("one", "two"), strict=True):
        assert event.payload["by"] == "agent"
        assert event.payload["agent"] == f"{name}-a"
        assert event.actor == "claude-code/coder"
        assert event.caused_by == (calls[name].event_id,)
        assert event.subject == f"commit/{event.payload['commit']}"
    # this process has fired the hook of a session, without a call: as the user's own `!` runs it
    assert (by_hand.payload["by"], by_hand.stream) == ("unknown", None)
    assert (by_hand.payload["reason"], by_hand.payload["fitting"]) == ("no_call", ["mine"])


def test_rewritten_commits_name_those_in_the_log_once(shop: Shop) -> None:
    old, new, other = "a" * 40, "b" * 40, "c" * 40
    lines = f"{old} {new}\n{other} {new} more\n".encode()
    for sha in (old, old, new):
        shop.fire(b"", "post-commit", f"commit={sha}", bridge="git")
    for _ in range(2):
        shop.fire(lines, "post-rewrite", "by=rebase", bridge="git")
    first, second, pair, other_pair = shop.events()
    assert pair.caused_by == (first.event_id, second.event_id)
    assert pair.subject == f"commit/{new}"
    assert (pair.payload["old"], pair.payload["new"], pair.payload["by"]) == (old, new, "rebase")
    assert other_pair.caused_by == (second.event_id,)


def test_a_process_is_known_by_its_start_too() -> None:
    (pid, start), *_ = ancestors(os.getpid())
    assert pid == os.getpid()
    child = subprocess.Popen(["sleep", "60"])
    try:
        (child_pid, child_start), parent, *_ = ancestors(child.pid)
    finally:
        child.kill()
        child.wait()
    assert (child_pid, parent) == (child.pid, (pid, start))
    assert child_start.rpartition(" ")[0] == start.rpartition(" ")[0]
    assert ancestors(child.pid) == []


@pytest.mark.promise("A5b")
def test_commit_that_two_hooks_name_is_of_neither(shop: Shop) -> None:
    """A hook asks for HEAD, and another commit may have come right behind its own."""
    shop.hook("install", "git")
    agent("one", shop).end()
    shop.git("commit", "-q", "--allow-empty", "-m", "by hand")
    sha = shop.git("rev-parse", "HEAD")
    words = ("post-commit", f"commit={sha}")
    # the hook of an agent's commit before it
    shop.fire(b"", *words, bridge="git", env={**shop.env, "CODEX_SESSION_ID": "far"})
    *_, first, second = shop.events()
    assert [event.payload["by"] for event in (first, second)] == ["person", "unknown"]
    with thence.open(shop.log) as log:
        owner = Ownership(log, work_repository(shop.top)).of_commit(sha)
    assert (owner.kind, "hooks of two commits" in owner.reason) == ("unknown", True)
