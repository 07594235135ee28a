"""A shop of pydantic-ai: parallel tools of which one is tried again, a stream, a kill in a tool."""

import asyncio
import json
import logging
import os
import signal
import sys

import page
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

import thence

SCENE, ORDER = sys.argv[1], int(os.environ.get("ORDER", "881"))
names = page.recorded("pydantic-ai")
log = names["log"]
shop_log = logging.getLogger("shop")
shop_log.addHandler(thence.LogHandler(log))


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    responses = [one for one in messages if isinstance(one, ModelResponse)]
    if not responses:
        calls = {"stock": {"order": 881}, "pay": {"order": ORDER}, "mail": {"order": 881}}
        return ModelResponse(
            parts=[
                ToolCallPart(tool, args, tool_call_id=f"call_{tool}")
                for tool, args in calls.items()
            ]
        )
    if any("idempotency" in str(getattr(part, "content", "")) for part in messages[-1].parts):
        args = {"order": 881, "key": "k1"}
        return ModelResponse(parts=[ToolCallPart("pay", args, tool_call_id="call_pay_2")])
    return ModelResponse(parts=[TextPart("paid")])


async def stream(messages: list[ModelMessage], info: AgentInfo):
    if not any(isinstance(one, ModelResponse) for one in messages):
        yield {0: DeltaToolCall("stock", '{"order": 881}', tool_call_id="call_stock")}
        return
    for word in ("one ", "is ", "left"):
        yield word


agent = Agent(FunctionModel(answer, stream_function=stream, model_name="gpt-4o"), name="shop")


@agent.tool_plain
async def stock(order: int) -> int:
    """Counts the stock."""
    await asyncio.sleep(0.02)
    shop_log.warning("stock is low")
    log.append("stock.read", {"left": 1})
    print(json.dumps(thence.carry()))
    with thence.step("count", log=log):
        log.append("counted")
    return 1


@agent.tool_plain
async def pay(order: int, key: str | None = None) -> str:
    """Pays an order."""
    await asyncio.sleep(0.01)
    if SCENE == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if key is None:
        raise ModelRetry("give an idempotency key")
    return "paid"


@agent.tool_plain
async def mail(order: int) -> str:
    """Mails the customer."""
    await asyncio.sleep(0.02)
    return "sent"


async def streamed() -> None:
    async with agent.run_stream("What is left?") as result:
        log.append("reading")
        assert [text async for text in result.stream_text()][-1] == "one is left"
    async with agent.run_stream("What is left?") as result:
        async for _ in result.stream_text(debounce_by=None):
            break
    log.append("dropped")


def delegating(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if any(isinstance(one, ModelResponse) for one in messages):
        return ModelResponse(parts=[TextPart("both are paid")])
    # an id that the agent inside uses too
    return ModelResponse(parts=[ToolCallPart("ask", {}, tool_call_id="call_pay")])


boss = Agent(FunctionModel(delegating, model_name="gpt-4o"), name="boss")


@boss.tool_plain
async def ask() -> str:
    """Asks two agents at once."""
    results = await asyncio.gather(agent.run("Pay order 881"), agent.run("Pay order 881"))
    return " ".join(result.output for result in results)


if SCENE == "streamed":
    asyncio.run(streamed())
elif SCENE == "delegated":
    assert asyncio.run(boss.run("Pay both")).output == "both are paid"
else:
    assert asyncio.run(agent.run("Pay order 881")).output == "paid"
log.append("after")
log.close()
