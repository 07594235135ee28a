"""What an agent had in flight when it was killed."""

from typing import Any

import pytest
from tests.trace.agents.firing import SessionProcess, Shop


def unfinished(shop: Shop) -> dict[str, Any]:
    ended = shop.run("unfinished", "--json")
    assert ended.code == 0, ended.err
    return {step["event"]["subject"]: step["is_alive"] for step in ended.json["unfinished"]}


@pytest.mark.promise("A5a")
def test_unfinished_shows_tool_calls_in_flight_of_a_killed_agent(shop: Shop) -> None:
    agent = SessionProcess(shop.top, shop.env)
    for name, use_id in (
        ("SessionStart", ""),
        ("PreToolUse", "t-1"),
        ("PreToolUse", "t-2"),
        ("PostToolUse", "t-2"),
    ):
        agent.fire(shop.top, name, "s", tool_name="Bash", tool_use_id=use_id)
    assert unfinished(shop) == {"session/s": True, "tool/t-1": True}
    with agent.process as process:
        process.kill()
    assert unfinished(shop) == {"session/s": False, "tool/t-1": False}
    assert "its process has ended" in shop.run("unfinished").out
