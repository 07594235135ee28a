"""A team of two in AutoGen: a writer with a tool, and a critic."""

import asyncio

import page
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

names = page.recorded("AutoGen")
USAGE = RequestUsage(prompt_tokens=100, completion_tokens=30)
INFO = {
    "vision": False,
    "function_calling": True,
    "json_output": False,
    "family": "unknown",
    "structured_output": False,
}


async def pay(order: int) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    return "paid"


async def main() -> None:
    call = FunctionCall("call_pay", '{"order": 881}', "pay")
    asks = CreateResult(finish_reason="function_calls", content=[call], usage=USAGE, cached=False)
    till = ReplayChatCompletionClient([asks, "order 881 is paid"], model_info=INFO)
    team = RoundRobinGroupChat(
        [
            AssistantAgent("till", till, tools=[pay], reflect_on_tool_use=True),
            AssistantAgent("critic", ReplayChatCompletionClient(["good"], model_info=INFO)),
        ],
        termination_condition=MaxMessageTermination(3),
    )
    result = await team.run(task="Pay order 881")
    assert result.messages[-1].content == "good", result


asyncio.run(main())
names["log"].append("after")
names["log"].close()
