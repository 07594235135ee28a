"""A module of DSPy with a tool that fails once."""

import json
import os

import page
from stub import serving

names = page.recorded_by_row("dspy")
import dspy  # noqa: E402

ORDER = int(os.environ.get("ORDER", "881"))


def pay(order: int, key: str = "") -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    if not key:
        raise ValueError("give an idempotency key")
    return "paid"


def step(name: str, **arguments: object) -> dict[str, str]:
    """Returns an answer of ReAct, which calls a tool in its text."""
    fields = {
        "next_thought": "I go on",
        "next_tool_name": name,
        "next_tool_args": json.dumps(arguments),
    }
    texts = [f"[[ ## {field} ## ]]\n{text}" for field, text in fields.items()]
    return {"content": "\n\n".join([*texts, "[[ ## completed ## ]]"])}


LAST = {"reasoning": "it is paid", "answer": "paid"}
ANSWERS = [
    step("pay", order=ORDER),
    step("pay", order=ORDER, key="k1"),
    step("finish"),
    {"content": "\n\n".join(f"[[ ## {key} ## ]]\n{text}" for key, text in LAST.items())},
]
with serving(ANSWERS, in_turn=True) as url:
    dspy.configure(lm=dspy.LM("openai/gpt-4o", api_base=url, api_key="none", cache=False))
    shop = dspy.ReAct("question -> answer", tools=[pay], max_iters=4)
    assert shop(question="Pay order 881").answer == "paid"
names["log"].append("after")
names["log"].close()
