"""Logfire's spans around a call of a model, and a tool that fails once."""

import json
import os
from contextlib import suppress

import page
from stub import calling, serving
from tape import Tape

names = page.recorded_by_row("logfire")
import logfire  # noqa: E402
from openai import OpenAI  # noqa: E402
from opentelemetry import trace  # noqa: E402

trace.get_tracer_provider().add_span_processor(Tape())
ORDER = int(os.environ.get("ORDER", "881"))


@logfire.instrument("pay {order=}")
def pay(order: int, key: str = "") -> str:
    names["log"].append("money.sent", {"order": order})
    if not key:
        raise ValueError("give an idempotency key")
    return "paid"


with serving([calling("pay", "call_1", order=ORDER)]) as url, logfire.span("shop"):
    client = OpenAI(base_url=url, api_key="none")
    logfire.instrument_openai(client)
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Pay order 881"}]}
    answer = client.chat.completions.create(**request)
    arguments = json.loads(answer.choices[0].message.tool_calls[0].function.arguments)
    logfire.info("asked for {order}", **arguments)
    with suppress(ValueError):
        pay(**arguments)
    pay(**arguments, key="k1")
names["log"].append("after")
names["log"].close()
