"""An agent of smolagents with a tool."""

import page
from stub import calling, serving

names = page.recorded_by_row("smolagents")
from smolagents import OpenAIServerModel, ToolCallingAgent, tool  # noqa: E402


@tool
def pay(order: int) -> str:
    """Pays an order.

    Args:
        order: The order.
    """
    names["log"].append("money.sent", {"order": order})
    return "paid"


ANSWERS = [calling("pay", "call_pay", order=881), calling("final_answer", "call_2", answer="paid")]
with serving(ANSWERS) as url:
    model = OpenAIServerModel("gpt-4o", api_base=url, api_key="none")
    agent = ToolCallingAgent(tools=[pay], model=model, name="shop", verbosity_level=0)
    assert agent.run("Pay order 881", max_steps=3) == "paid"
names["log"].append("after")
names["log"].close()
