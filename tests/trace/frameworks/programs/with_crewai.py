"""A crew of one agent, whose tool fails once."""

import os

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}
import page
from stub import calling, serving

names = page.recorded_by_row("crewai")
from crewai import LLM, Agent, Crew, Task  # noqa: E402
from crewai.tools import tool  # noqa: E402

ORDER = int(os.environ.get("ORDER", "881"))
ANSWERS = [
    calling("pay", "call_1", order=ORDER, key=""),
    calling("pay", "call_2", order=ORDER, key="k1"),
    {"content": "order 881 is paid"},
]


@tool("pay")
def pay(order: int, key: str) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    if not key:
        raise ValueError("give an idempotency key")
    return "paid"


with serving(ANSWERS) as url:
    model = LLM("openai/gpt-4o", base_url=url, api_key="none")
    about = {"goal": "pay orders", "backstory": "a till", "tools": [pay], "llm": model}
    shop = Agent(role="shop", **about)
    task = Task(description="Pay order 881", expected_output="a word", agent=shop)
    assert str(Crew(agents=[shop], tasks=[task]).kickoff()) == "order 881 is paid"
names["log"].append("after")
names["log"].close()
