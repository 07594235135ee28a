"""What an agent had in flight when it was killed."""

import os
import signal
import subprocess
from typing import Any

import pytest
from tests.trace.agents.firing import COMMAND, WAIT_S, Shop

AGENT = r"""
say() {
    printf '{"session_id":"s","hook_event_name":"%s","tool_name":"Bash","tool_use_id":"%s"}' "$@" |
        sh -c "CLAUDE_PROJECT_DIR=. $FIRE claude-code || true"
}
say SessionStart
say PreToolUse t-1
say PreToolUse t-2
say PostToolUse t-2
echo done
read -r end
"""


def unfinished(shop: Shop) -> dict[str, Any]:
    ended = shop.run("unfinished", "--json")
    assert ended.code == 0, ended.err
    return {step["event"]["subject"]: step["is_alive"] for step in ended.json["unfinished"]}


@pytest.mark.promise("A5a")
def test_unfinished_shows_tool_calls_in_flight_of_a_killed_agent(shop: Shop) -> None:
    shop.env["FIRE"] = COMMAND
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    agent = subprocess.Popen(["bash", "-c", AGENT], cwd=shop.top, env=shop.env, **pipes)
    try:
        assert agent.stdout.readline() == b"done\n"
        assert unfinished(shop) == {"session/s": True, "tool/t-1": True}
    finally:
        os.kill(agent.pid, signal.SIGKILL)
        agent.communicate(timeout=WAIT_S)
    assert unfinished(shop) == {"session/s": False, "tool/t-1": False}
    assert "its process has ended" in shop.run("unfinished").out
