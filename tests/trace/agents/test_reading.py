"""Commands find the log of agents in its place, and answer from what hooks left last."""

import asyncio
import json
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.cli.installed import THENCE, begin
from tests.cli.warm import warm as run
from tests.trace.agents.firing import WAIT_S, Shop, fire, hook

import thence


def first_prompt(folder: Path, env: dict[str, str]) -> str:
    """The only event of the log that a command finds from a folder."""
    ended = run("log", "--json", cwd=folder, env=env)
    assert ended.code == 0, ended.err
    (line,) = ended.lines
    return str(json.loads(line)["payload"]["prompt"])


def test_log_of_agents_is_behind_this_folder_and_before_journal_and_runs(shop, tmp_path):
    inside = shop.top / "inside"
    inside.mkdir()
    with thence.open(shop.top / "output" / "run") as log:
        log.append("prompt", {"prompt": "run"})
    assert first_prompt(shop.top, shop.env) == "run"
    for words in (("setup-spec",), ("setup-spec", "pay")):
        assert shop.run("work", *words, "--actor", "ada").code == 0
    assert '"SpecCreated"' in shop.run("log", "--json").out
    shop.fire(hook("UserPromptSubmit", prompt="agents"), cwd=inside)
    assert first_prompt(shop.top, shop.env) == first_prompt(inside, shop.env) == "agents"
    with thence.open(inside) as log:
        log.append("prompt", {"prompt": "inside"})
    assert first_prompt(inside, shop.env) == "inside"
    other = tmp_path / "elsewhere"
    other.mkdir()
    named = shop.run("log", "--json", "--log", shop.log, cwd=other)
    assert json.loads(named.out)["payload"]["prompt"] == "agents"


def test_users_log_is_behind_runs(tmp_path: Path, env: dict[str, str]) -> None:
    fire(hook("UserPromptSubmit", prompt="anywhere"), cwd=tmp_path, env=env)
    assert first_prompt(tmp_path, env) == "anywhere"
    with thence.open(tmp_path / "output" / "run") as log:
        log.append("prompt", {"prompt": "run"})
    assert first_prompt(tmp_path, env) == "run"


def test_followed_log_shows_what_hooks_leave(shop: Shop) -> None:
    shop.fire(hook("UserPromptSubmit", prompt="First"))
    tail = begin(THENCE, "tail", "-f", cwd=shop.top, **shop.env)
    assert tail.stdout is not None
    try:
        assert "First" in tail.stdout.readline()
        shop.fire(hook("UserPromptSubmit", prompt="Second"))
        assert "Second" in tail.stdout.readline()
    finally:
        tail.kill()
        tail.communicate(timeout=WAIT_S)


def test_agent_that_asks_by_mcp_hears_of_what_hooks_left_meanwhile(shop: Shop) -> None:
    shop.fire(hook("UserPromptSubmit", prompt="First"))
    server = StdioServerParameters(command=str(THENCE), args=["mcp"], env=shop.env, cwd=shop.top)

    async def ask() -> list[str]:
        async with Client(stdio_client(server)) as client:
            answers = [await client.call_tool("query", {})]
            shop.fire(hook("UserPromptSubmit", prompt="Second"))
            answers.append(await client.call_tool("query", {}))
        return [str(answer.content) for answer in answers]

    before, after = asyncio.run(asyncio.wait_for(ask(), WAIT_S))
    assert "First" in before
    assert "Second" not in before
    assert "Second" in after
