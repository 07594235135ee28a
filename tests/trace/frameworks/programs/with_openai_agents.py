"""Agents of OpenAI: triage hands an order over to billing, which pays it with a tool."""

import asyncio
import sys

import page
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, trace
from openai import AsyncOpenAI
from stub import calling, serving

SCENE = sys.argv[1]
names = page.recorded("openai-agents")
MESSAGES = [
    calling("transfer_to_billing", "call_handoff"),
    calling("pay", "call_pay", order=881, key="k1"),
    {"content": "order 881 is paid"},
]


@function_tool
async def pay(order: int, key: str) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    return "paid"


async def main(url: str) -> None:
    client = AsyncOpenAI(base_url=url, api_key="none")
    model = OpenAIChatCompletionsModel("gpt-4o", client)
    billing = Agent("billing", model=model, tools=[pay])
    triage = Agent("triage", model=model, handoffs=[billing])
    if SCENE == "twice":  # in one trace
        with trace("orders"):
            results = await asyncio.gather(*(Runner.run(triage, "Pay order 881") for _ in "12"))
        result = results[1]
    elif SCENE == "streamed":
        result = Runner.run_streamed(triage, "Pay order 881")
        async for _ in result.stream_events():
            names["log"].append("between")
    else:
        result = await Runner.run(triage, "Pay order 881")
    assert result.final_output.strip() == "order 881 is paid", result.final_output


with serving(MESSAGES) as url:
    asyncio.run(main(url))
names["log"].append("after")
names["log"].close()
