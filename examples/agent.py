"""An asyncio agent with tools: what the model answered is the cause of what its tools did.

`python examples/agent.py [FOLDER]` asks a model of ours that needs no network. Run it again: the
answers are taken from the log, and nothing is asked. Kill it in between: it continues.
"""

import asyncio
import sys
from functools import partial
from typing import Any

import thence

QUESTION = "How warm is it in Oslo and in Rome?"


async def model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Stands for a language model: asks for two tools, then answers."""
    await asyncio.sleep(0)
    tools = [message["content"] for message in messages if message["role"] == "tool"]
    if not tools:
        return {"tools": [{"name": "weather", "city": city} for city in ("Oslo", "Rome")]}
    return {"text": "; ".join(tools)}


@thence.step("weather", subject="city/{city}", actor="agent")
async def weather(city: str) -> str:
    """A tool, which two tasks use at once."""
    await asyncio.sleep(0)
    return f"{city}: {len(city) * 4} degrees"


async def run(log: thence.Log) -> str:
    """Asks the model until it answers with a text."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    async with thence.step("task", log=log, subject="task/1", actor="agent"):
        while True:
            request: dict[str, Any] = {"model": "ours", "messages": list(messages)}
            ask = partial(model, request["messages"])
            answer = await thence.outcome_async(request, ask, name="chat")
            if "text" in answer.value:
                return str(answer.value["text"])
            with thence.because(answer):
                calls = [weather(tool["city"]) for tool in answer.value["tools"]]
                results = await asyncio.gather(*calls)
            messages += [{"role": "tool", "content": result} for result in results]


def main(folder: str) -> None:
    """Runs the agent, and tells why the tool was used."""
    with thence.open(folder) as log:
        print(asyncio.run(run(log)))
        print(*log.why("city/Rome").sentences, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["agent"])
