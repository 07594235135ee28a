"""An agent of strands whose tool fails."""

import page
from stub import calling, serving

names = page.recorded_by_row("strands-agents")
from strands import Agent, tool  # noqa: E402
from strands.models.openai import OpenAIModel  # noqa: E402


@tool
def pay(order: int) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    raise ValueError("give an idempotency key")


with serving([calling("pay", "call_pay", order=881), {"content": "it is not paid"}]) as url:
    model = OpenAIModel(client_args={"base_url": url, "api_key": "none"}, model_id="gpt-4o")
    Agent(model=model, tools=[pay], name="shop", callback_handler=None)("Pay order 881")
names["log"].append("after")
names["log"].close()
