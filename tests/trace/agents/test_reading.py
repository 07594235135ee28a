"""Commands find the log of agents in its place, and answer from what hooks left last."""

import asyncio
import json
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.cli.installed import THENCE, begin
from tests.cli.warm import warm as run
from tests.trace.agents.firing import WAIT_S, fire, hook, log_in

import thence


def first_prompt(folder: Path, env: dict[str, str]) -> str:
    """The only event of the log that a command finds from a folder."""
    ended = run("log", "--json", cwd=folder, env=env)
    assert ended.code == 0, ended.err
    (line,) = ended.lines
    return str(json.loads(line)["payload"]["prompt"])


def test_log_of_agents_is_behind_this_folder_and_before_journal_and_runs(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    inside = repository / "inside"
    inside.mkdir()
    with thence.open(repository / "output" / "run") as log:
        log.append("prompt", {"prompt": "run"})
    assert first_prompt(repository, env) == "run"
    for words in (("setup-spec",), ("setup-spec", "pay")):
        assert run("work", *words, "--actor", "ada", cwd=repository, env=env).code == 0
    assert '"SpecCreated"' in run("log", "--json", cwd=repository, env=env).out
    fire(hook("UserPromptSubmit", prompt="agents"), cwd=inside, env=env)
    assert first_prompt(repository, env) == first_prompt(inside, env) == "agents"
    with thence.open(inside) as log:
        log.append("prompt", {"prompt": "inside"})
    assert first_prompt(inside, env) == "inside"
    other = tmp_path / "elsewhere"
    other.mkdir()
    named = run("log", "--json", "--log", log_in(repository), cwd=other, env=env)
    assert json.loads(named.out)["payload"]["prompt"] == "agents"


def test_users_log_is_behind_runs(tmp_path: Path, env: dict[str, str]) -> None:
    fire(hook("UserPromptSubmit", prompt="anywhere"), cwd=tmp_path, env=env)
    assert first_prompt(tmp_path, env) == "anywhere"
    with thence.open(tmp_path / "output" / "run") as log:
        log.append("prompt", {"prompt": "run"})
    assert first_prompt(tmp_path, env) == "run"


def test_followed_log_shows_what_hooks_leave(repository: Path, env: dict[str, str]) -> None:
    fire(hook("UserPromptSubmit", prompt="First"), cwd=repository, env=env)
    tail = begin(THENCE, "tail", "-f", cwd=repository, **env)
    assert tail.stdout is not None
    try:
        assert "First" in tail.stdout.readline()
        fire(hook("UserPromptSubmit", prompt="Second"), cwd=repository, env=env)
        assert "Second" in tail.stdout.readline()
    finally:
        tail.kill()
        tail.communicate(timeout=WAIT_S)


def test_agent_that_asks_by_mcp_hears_of_what_hooks_left_meanwhile(
    repository: Path, env: dict[str, str]
) -> None:
    fire(hook("UserPromptSubmit", prompt="First"), cwd=repository, env=env)
    server = StdioServerParameters(command=str(THENCE), args=["mcp"], env=env, cwd=repository)

    async def ask() -> list[str]:
        async with Client(stdio_client(server)) as client:
            answers = [await client.call_tool("query", {})]
            fire(hook("UserPromptSubmit", prompt="Second"), cwd=repository, env=env)
            answers.append(await client.call_tool("query", {}))
        return [str(answer.content) for answer in answers]

    before, after = asyncio.run(asyncio.wait_for(ask(), WAIT_S))
    assert "First" in before
    assert "Second" not in before
    assert "Second" in after
