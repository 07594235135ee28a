"""An agent asks a log by MCP, with the reference client."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.cli.installed import THENCE, begin, environment, on_terminal
from tests.cli.installed import thence as run
from tests.log.faults import WAIT_S
from tests.trace.agents.played import PlayedRepository, Session

import thence
from thence.cli.commands.trace.mcp import ANSWER_CHARACTERS_MAX
from thence.core.new_event import HostEvent


@pytest.fixture
def log(tmp_path: Path) -> thence.Log:
    with thence.open(tmp_path / "orders") as opened:
        placed = opened.append("order.placed", {"amount": 3}, subject="order/881", actor="shop")
        with thence.because(placed):
            opened.append("order.failed", {"reason": "no stock"}, subject="order/881", actor="till")
        opened.append_many([HostEvent("night.begun", begins=True)])
        yield opened


def asked(
    tmp_path: Path,
    *calls: tuple[str, dict[str, Any]],
    log: str | None = "orders",
    mode: Any = "legacy",
) -> tuple[Any, list[Any]]:
    """Asks by the client over stdio; returns the tools and the results."""
    argv = ["mcp", *(["--log", log] if log else [])]
    server = StdioServerParameters(command=str(THENCE), args=argv, env=environment(), cwd=tmp_path)

    async def ask() -> tuple[Any, list[Any]]:
        async with Client(stdio_client(server), mode=mode) as client:
            tools = await client.list_tools()
            return tools.tools, [await client.call_tool(name, given) for name, given in calls]

    return asyncio.run(asyncio.wait_for(ask(), WAIT_S))


def text(result: Any) -> str:
    (part,) = result.content
    return str(part.text)


@pytest.mark.promise("A4c")
def test_agent_asks_why_what_followed_and_what_is_open(tmp_path: Path, log: thence.Log) -> None:
    before = log.current_file.read_bytes()
    tools, results = asked(
        tmp_path,
        ("why", {"event": "order/881"}),
        ("effects", {"event": "order.placed"}),
        ("query", {"type": "order.*", "where": "amount > 2"}),
        ("show", {"event": "@last-error"}),
        ("unfinished", {}),
    )
    assert {tool.name for tool in tools} == {"why", "effects", "query", "show", "unfinished"}
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    assert not any(result.is_error for result in results)
    why, effects, query, show, unfinished = map(text, results)
    assert "shop: order/881 placed: amount 3" in why
    assert "till: order/881 failed: no stock" in why
    assert effects.startswith("till: order/881 failed")
    assert query.startswith("1 fit; the last 1:\n")
    assert "order.placed" in query
    assert json.loads(show)["event_type"] == "order.failed"
    assert "night began" in unfinished
    assert unfinished.endswith("; may still be running")
    assert log.current_file.read_bytes() == before


@pytest.mark.promise("A4c")
def test_wrong_question_is_told_to_the_agent_with_what_to_do(tmp_path, log):
    _, results = asked(
        tmp_path,
        ("why", {"event": "order/999"}),
        ("query", {"where": "amount >"}),
        ("query", {"limit": 10**9}),
        ("query", {"limit": -5}),
        ("why", {"event": "x" * 1_000_000}),
        ("why", {}),
        ("delete", {}),
    )
    unknown, bad, many, negative, long, nothing, none = results
    assert negative.is_error
    assert "it is -5" in text(negative)
    assert "next: give a number from 1 to 200" in text(negative)
    assert long.is_error
    assert "next: " in text(long)
    assert len(text(long)) < 3_000
    assert unknown.is_error
    assert "next: " in text(unknown)
    assert bad.is_error
    assert "where" in text(bad)
    assert text(many).startswith("3 fit; the last 3:")
    assert nothing.is_error
    assert none.is_error


def test_terminal_is_told_that_an_agent_asks(tmp_path: Path, log: thence.Log) -> None:
    code, shown = on_terminal(tmp_path, "mcp", "--log", "orders")
    assert code == 2
    assert "stdin, which is a terminal here" in " ".join(shown.split())


def test_interrupt_ends_it_while_an_agent_says_nothing(tmp_path: Path, log: thence.Log) -> None:
    with begin(THENCE, "mcp", "--log", "orders", cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline()  # it reads stdin
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130


def test_missing_log_is_three_lines_and_garbage_ends_nothing(tmp_path: Path) -> None:
    assert run("mcp", "--log", "nowhere", cwd=tmp_path).failure(4).count("\n") == 3
    thence.open(tmp_path / "orders").close()
    done = run("mcp", "--log", "orders", cwd=tmp_path, stdin=b"no json\n{}\n").done()
    assert "Traceback" not in done.err
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in done.lines)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_client_begins_by_each_way_and_every_answer_comes_once(tmp_path, log, mode):
    tools, results = asked(tmp_path, *[("why", {"event": "order/881"})] * 3, mode=mode)
    assert len(tools) == 5
    assert ["no stock" in text(result) for result in results] == [True] * 3


@pytest.mark.promise("A4c")
def test_agent_asks_why_of_a_line_a_commit_and_a_text(tmp_path: Path) -> None:
    played = PlayedRepository(tmp_path / "shop", {"pay.py": "a = 1\n"})
    session = Session(played, "s1", ask="Make it two")
    session.edit("pay.py", "a = 1", "a = 2")
    session.commit("Two")
    played.log.close()
    _, results = asked(
        played.top,
        ("why", {"event": "pay.py:1"}),
        ("why", {"event": "commit/HEAD"}),
        ("why", {"event": '"a = 2"'}),
        ("why", {"event": "pay.py:9"}),
        log=None,
    )
    *answers, missing = results
    for answer in answers:
        assert not answer.is_error, text(answer)
        assert 'the user asked: "Make it two"' in text(answer)
        assert text(answer).endswith("what the user asked:\nMake it two")
    assert text(answers[0]).startswith("pay.py:1 came with commit")
    assert missing.is_error
    assert "the file has 1 line" in text(missing)


def test_answers_are_bounded_and_count_the_rest(tmp_path: Path, log: thence.Log) -> None:
    cause = log.append("order.placed", subject="order/9")
    with thence.because(cause):
        notes = [
            HostEvent("note", {"text": f"{n} " + "x" * 5_000}, begins=True) for n in range(300)
        ]
        log.append_many(notes)
    _, results = asked(
        tmp_path,
        ("effects", {"event": "order/9"}),
        ("query", {"type": "note", "limit": 200}),
        ("unfinished", {}),
        ("show", {"event": "@last"}),
    )
    for result in results:
        assert not result.is_error
        assert len(text(result)) < ANSWER_CHARACTERS_MAX + 200
    effects, query, unfinished, _ = map(text, results)
    assert effects.count("\n") + int(effects.split("and ")[-1].split()[0]) == 300
    assert unfinished.count("\n") + int(unfinished.split("and ")[-1].split()[0]) == 301
    assert query.startswith("300 fit; the last 200:\n")
