"""An agent in a pipeline of Haystack, with a tool that fails once."""

import os

import page
from stub import calling, serving

names = page.recorded_by_row("haystack-ai")
from haystack import Pipeline  # noqa: E402
from haystack.components.agents import Agent  # noqa: E402
from haystack.components.generators.chat import OpenAIChatGenerator  # noqa: E402
from haystack.dataclasses import ChatMessage  # noqa: E402
from haystack.tools import tool  # noqa: E402
from haystack.utils import Secret  # noqa: E402

ORDER = int(os.environ.get("ORDER", "881"))
ANSWERS = [
    calling("pay", "call_1", order=ORDER),
    calling("pay", "call_2", order=ORDER, key="k1"),
    {"content": "order 881 is paid"},
]


@tool
def pay(order: int, key: str = "") -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    if not key:
        raise ValueError("give an idempotency key")
    return "paid"


with serving(ANSWERS) as url:
    model = OpenAIChatGenerator(Secret.from_token("none"), "gpt-4o", api_base_url=url)
    shop = Agent(chat_generator=model, tools=[pay], system_prompt="Pay orders.")
    pipeline = Pipeline()
    pipeline.add_component("shop", shop)
    answer = pipeline.run({"shop": {"messages": [ChatMessage.from_user("Pay order 881")]}})
    assert answer["shop"]["last_message"].text == "order 881 is paid"
names["log"].append("after")
names["log"].close()
