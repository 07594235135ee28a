"""An agent of Google's ADK with a tool that fails once."""

import asyncio
import os
from contextlib import suppress

import page
from stub import calling, serving

os.environ |= {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}
names = page.recorded_by_row("google-adk")
from google.adk.agents import LlmAgent  # noqa: E402
from google.adk.models.lite_llm import LiteLlm  # noqa: E402
from google.adk.runners import InMemoryRunner  # noqa: E402
from google.genai import types  # noqa: E402

ORDER = int(os.environ.get("ORDER", "881"))
ANSWERS = [
    calling("stock", "call_1", order=ORDER),
    calling("pay", "call_2", order=ORDER),
]


def stock(order: int) -> str:
    """Looks whether an order is there."""
    names["log"].append("stock.read", {"order": order})
    return "it is there"


def pay(order: int) -> str:
    """Pays an order."""
    names["log"].append("money.sent", {"order": order})
    raise ValueError("give an idempotency key")


async def main() -> None:
    """Runs the agent until its tool fails."""
    with serving(ANSWERS) as url:
        model = LiteLlm("openai/gpt-4o", api_base=url, api_key="none")
        agent = LlmAgent(name="shop", model=model, tools=[stock, pay], instruction="Pay orders.")
        runner = InMemoryRunner(agent, app_name="till")
        session = await runner.session_service.create_session(
            app_name="till", user_id="ada", session_id="order-881"
        )
        message = types.Content(role="user", parts=[types.Part(text="Pay order 881")])
        about = {"user_id": "ada", "session_id": session.id, "new_message": message}
        with suppress(ValueError):
            async for _ in runner.run_async(**about):
                pass


asyncio.run(main())
names["log"].append("after")
names["log"].close()
