"""An agent of llama-index whose tool fails."""

import asyncio
import os

import page
from stub import calling, serving

names = page.recorded_by_row("llama-index-core")
from llama_index.core.agent.workflow import FunctionAgent  # noqa: E402
from llama_index.llms.openai_like import OpenAILike  # noqa: E402

ORDER = int(os.environ.get("ORDER", "881"))
ANSWERS = [calling("pay", "call_1", order=ORDER), {"content": "it is not paid"}]


def pay(order: int) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    raise ValueError("give an idempotency key")


async def main() -> None:
    """Runs the agent."""
    about = {"api_key": "none", "is_chat_model": True, "is_function_calling_model": True}
    with serving(ANSWERS) as url:
        model = OpenAILike("gpt-4o", api_base=url, **about)
        agent = FunctionAgent(name="shop", tools=[pay], llm=model, system_prompt="You pay orders.")
        assert "paid" in str(await agent.run("Pay order 881"))


asyncio.run(main())
names["log"].append("after")
names["log"].close()
