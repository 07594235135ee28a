"""Causes reach the tools of an MCP server by `_meta`, as docs/concepts/cause.md has it."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span
from tests.cli.installed import environment
from tests.log.faults import WAIT_S

import thence

SERVER = """
import thence
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

log = thence.open("tools")
server = MCPServer("tools")


@server.tool()
def pack(shelf: int, context: Context) -> str:
    with thence.carried(context.request_context.meta or {}), thence.step("pack", log=log):
        log.append("packed", {"shelf": shelf})
        return thence.carry().get("traceparent", "")


server.run("stdio")
"""


def called(folder: Path, *metas: dict[str, Any] | None) -> list[str]:
    """Calls the tool by the reference client, once for each `_meta`; returns what it answers."""
    argv = ["-c", SERVER]
    server = StdioServerParameters(command=sys.executable, args=argv, env=environment(), cwd=folder)

    async def call() -> list[str]:
        async with Client(stdio_client(server)) as client:
            results = [
                await client.call_tool("pack", {"shelf": number}, meta=meta)
                for number, meta in enumerate(metas)
            ]
        return [str(result.content[0].text) for result in results]

    return asyncio.run(asyncio.wait_for(call(), WAIT_S))


@pytest.mark.promise("A3")
def test_tool_call_is_caused_by_the_step_of_its_caller(tmp_path: Path) -> None:
    with thence.open(tmp_path / "agent") as log, thence.step("ask", log=log) as ask:
        token = thence.carry()
        first, without, garbage = called(
            tmp_path, token, None, {"traceparent": 7, "tracestate": "thence=,=@"}
        )
        cause = log.environment(ask)["THENCE_CAUSE"]
    assert first.split("-")[1] == token["traceparent"].split("-")[1]
    assert without != first
    assert garbage != first
    with thence.open(tmp_path / "tools") as tools:
        events = list(tools.read())
    begins = [event for event in events if event.begins]
    assert [event.caused_by for event in begins] == [(ask.event_id,), (), ()]
    assert [event.external_causes for event in begins] == [(cause,), (), ()]
    packed = [event for event in events if event.event_type == "packed"]
    assert [event.caused_by for event in packed] == [(one.event_id,) for one in begins]


@pytest.mark.promise("A3")
def test_tracer_of_the_caller_takes_no_cause_away(tmp_path: Path) -> None:
    span = TracerProvider().get_tracer("test").start_span("agent")
    trace = f"{span.get_span_context().trace_id:032x}"
    with (
        thence.open(tmp_path / "agent") as log,
        thence.step("ask", log=log) as ask,
        use_span(span),
    ):
        (onward,) = called(tmp_path, thence.carry())  # the SDK puts its own traceparent there
    assert onward.split("-")[1] == trace
    with thence.open(tmp_path / "tools") as tools:
        assert next(iter(tools.read())).caused_by == (ask.event_id,)
