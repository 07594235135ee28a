"""Langfuse's decorators and context managers: an agent, a generation, a tool that fails once."""

import os
from contextlib import suppress

import page

os.environ |= {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
os.environ["LANGFUSE_HOST"] = "http://127.0.0.1:9"  # nobody listens there
names = page.recorded_by_row("Langfuse")
from langfuse import get_client, observe  # noqa: E402

ORDER = int(os.environ.get("ORDER", "881"))


@observe(as_type="tool")
def pay(order: int, key: str | None = None) -> str:
    names["log"].append("money.sent", {"order": order})
    if key is None:
        raise ValueError("give an idempotency key")
    return "paid"


@observe(as_type="agent")
def shop() -> str:
    options = {"name": "answer", "as_type": "generation", "model": "gpt-4o", "input": "Pay"}
    with get_client().start_as_current_observation(**options) as generation:
        names["log"].append("asking")
        usage, cost = {"input": 100, "output": 30}, {"total": 0.002}
        generation.update(output="yes", usage_details=usage, cost_details=cost)
    with suppress(ValueError):
        pay(ORDER)
    return pay(ORDER, key="k1")


assert shop() == "paid"
names["log"].append("after")
names["log"].close()
os._exit(0)  # its threads would wait for a server
