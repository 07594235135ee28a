"""An agent of agno with a tool."""

import page
from stub import calling, serving

names = page.recorded_by_row("agno")
from agno.agent import Agent  # noqa: E402
from agno.models.openai import OpenAIChat  # noqa: E402


def pay(order: int) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    return "paid"


with serving([calling("pay", "call_pay", order=881), {"content": "order 881 is paid"}]) as url:
    model = OpenAIChat("gpt-4o", base_url=url, api_key="none")
    Agent(name="shop", model=model, tools=[pay], telemetry=False).run("Pay order 881")
names["log"].append("after")
names["log"].close()
