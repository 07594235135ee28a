"""The scenes: the programs that are run, and what the log must hold of each."""

import json
import signal
from dataclasses import dataclass, field
from typing import Any

from tests.trace.frameworks.played import Played

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Scene:
    """Runs of a program in turn, by argument and exit code; `spans` is the least number.

    `place` is the environment that it runs in.
    """

    title: str
    program: str
    runs: tuple[tuple[str, int], ...]
    spans: int
    expected: dict[str, Any] = field(default_factory=dict)
    place: str = ".venv-frameworks"


def token_is_of_the_tool(play: Played) -> tuple[str, bool, str]:
    """Judges the token that `thence.carry` gave inside the tool."""
    (headers,) = [json.loads(line) for line in play.output.splitlines() if line[:1] == "{"]
    begin = next(one for one in play.events if one.event_type == "execute_tool stock.begun")
    cause = headers.get("tracestate", "").removeprefix("thence=").split("@")[0]
    return "inside", cause == begin.event_id, f"carry() in execute_tool stock gives {headers}"


def failure_has_its_message(play: Played) -> tuple[str, bool, str]:
    """Judges the message of the tool that failed."""
    failed = next(one for one in play.events if one.event_type == "execute_tool pay.failed")
    message = failed.payload.get("error_message")
    return "ends", message == "give an idempotency key", f"pay failed with {message!r}"


IN_STOCK = {
    "record.warning": "execute_tool stock",
    "stock.read": "execute_tool stock",
    "count.begun": "execute_tool stock",
    "counted": "count",
}
SCENES = {
    "pydantic-ai": Scene(
        "pydantic-ai: parallel tools, one tried again",
        "with_pydantic_ai",
        (("plain", 0),),
        8,
        {
            "inside": IN_STOCK,
            "checks": (token_is_of_the_tool, failure_has_its_message),
            "altered": "payload.attributes.gen_ai.output.messages.0.parts.1.arguments.order",
            "why": {
                "execute_tool pay.failed": (
                    "invoke_agent shop.begun",
                    "chat gpt-4o.begun",
                    "chat gpt-4o.ended",
                    "execute_tool pay.begun",
                )
            },
        },
    ),
    "pydantic-ai-streamed": Scene(
        "pydantic-ai: a stream",
        "with_pydantic_ai",
        (("streamed", 0),),
        8,
        {"inside": {**IN_STOCK, "reading": "chat gpt-4o"}},
    ),
    "pydantic-ai-delegated": Scene(
        "pydantic-ai: two agents in a tool, the same ids",
        "with_pydantic_ai",
        (("delegated", 0),),
        20,
    ),
    "pydantic-ai-killed": Scene(
        "pydantic-ai: killed in a tool",
        "with_pydantic_ai",
        (("killed", KILLED),),
        5,
        {"open": ("invoke_agent shop", "execute_tool pay")},
    ),
    "openai-agents": Scene(
        "openai-agents: a hand-over",
        "with_openai_agents",
        (("plain", 0),),
        12,
        {
            "inside": {"money.sent": "pay"},
            "asked": ("money.sent", "the only call that asked for pay(order 881"),
        },
    ),
    "openai-agents-streamed": Scene(
        "openai-agents: the same streamed",
        "with_openai_agents",
        (("streamed", 0),),
        12,
        {"inside": {"money.sent": "pay"}},
    ),
    "openai-agents-twice": Scene(
        "openai-agents: two hand-overs in one trace",
        "with_openai_agents",
        (("twice", 0),),
        22,
    ),
    "langgraph": Scene(
        "LangGraph: a loop, an interrupt, resumed apart",
        "with_langgraph",
        (("interrupted", 0), ("resumed", 0)),
        12,
        {"inside": {"counted": "count", "drafting": "draft"}},
    ),
    "langgraph-streamed": Scene(
        "LangGraph: a stream that is dropped",
        "with_langgraph",
        (("streamed", 0),),
        5,
    ),
    "langgraph-killed": Scene(
        "LangGraph: killed in a node",
        "with_langgraph",
        (("killed", KILLED),),
        6,
        {"open": ("LangGraph", "draft")},
    ),
    "langgraph-evening": Scene(
        "LangGraph: a tool fails, killed, resumed apart",
        "with_langgraph_evening",
        (("killed", KILLED), ("resumed", 0)),
        15,
        {
            "inside": {"stock.read": "stock", "money.asked.for": "pay"},
            "open": ("LangGraph", "tools", "pay"),
            "asked": ("pay.failed", "the only call that asked for pay(order 881)"),
        },
    ),
    "autogen": Scene(
        "AutoGen: a team of two with a tool",
        "with_autogen",
        (("plain", 0),),
        30,
        {"inside": {"money.sent": "execute_tool pay"}},
    ),
    "openai": Scene(
        "OpenAI client: a call, a stream, one dropped",
        "with_openai_client",
        (("plain", 0),),
        3,
    ),
    "langfuse": Scene(
        "Langfuse: an agent, a tool that fails once",
        "with_langfuse",
        (("plain", 0),),
        4,
        {"inside": {"money.sent": "pay", "asking": "answer"}, "is_compared": True},
    ),
    "strands": Scene(
        "strands-agents: a tool that fails",
        "with_strands",
        (("plain", 0),),
        6,
        {
            "inside": {"money.sent": "execute_tool pay"},
            "asked": ("money.sent", "asked by: shop asked gpt-4o"),
            "is_compared": True,
        },
    ),
    "smolagents": Scene(
        "smolagents: a tool",
        "with_smolagents",
        (("plain", 0),),
        7,
        {
            "inside": {"money.sent": "SimpleTool"},
            "asked": ("money.sent", "the only call that asked for pay(order 881)"),
            "is_compared": True,
        },
    ),
    "agno": Scene(
        "agno: a tool",
        "with_agno",
        (("plain", 0),),
        4,
        {
            "inside": {"money.sent": "pay"},
            "asked": ("money.sent", "the only call that asked for pay(order 881)"),
            "is_compared": True,
        },
    ),
    "adk": Scene(
        "Google ADK: two tools, one fails",
        "with_adk",
        (("plain", 0),),
        6,
        {
            "inside": {"stock.read": "execute_tool stock", "money.sent": "execute_tool pay"},
            "asked": ("execute_tool pay.failed", "the only call that asked for pay(order 881)"),
            "is_compared": True,
        },
        ".venv-frameworks-adk",
    ),
    "crewai": Scene(
        "crewai: a tool that fails once",
        "with_crewai",
        (("plain", 0),),
        7,
        {
            "inside": {"money.sent": "pay.run"},
            "asked": ("pay.run.failed", "the only call that asked for pay(order 881"),
            "is_compared": True,
        },
        ".venv-frameworks-crewai",
    ),
    "llama-index": Scene(
        "llama-index: a tool that fails",
        "with_llama_index",
        (("plain", 0),),
        17,
        {
            "inside": {"money.sent": "FunctionTool.acall"},
            "asked": ("FunctionTool.acall.failed", "the only call that asked for pay(order 881)"),
            "is_compared": True,
        },
        ".venv-frameworks-llama-index",
    ),
    "dspy": Scene(
        "dspy: a tool that fails once",
        "with_dspy",
        (("plain", 0),),
        21,
        {"inside": {"money.sent": "pay.__call__"}, "is_compared": True},
    ),
    "haystack": Scene(
        "haystack: an agent in a pipeline",
        "with_haystack",
        (("plain", 0),),
        5,
        {"inside": {"money.sent": "Agent.run"}, "is_compared": True},
    ),
    "logfire": Scene(
        "logfire: a model call, a function that fails once",
        "with_logfire",
        (("plain", 0),),
        5,
        {"inside": {"money.sent": "pay {{order=}}"}, "is_compared": True},
    ),
    "celery": Scene(
        "Celery: eager",
        "with_celery",
        (("eager", 0),),
        3,
        {"inside": {"money.sent": "run/pay"}},
    ),
    "celery-apart": Scene(
        "Celery: a worker in another process",
        "with_celery",
        (("apart", 0),),
        4,
        {"inside": {"money.sent": "run/pay"}},
    ),
    "celery-forked": Scene(
        "Celery: a worker that forks",
        "with_celery",
        (("forked", 0),),
        10,
        {"inside": {"money.sent": "run/pay"}},
    ),
    "node-json": Scene("Node's SDK, spans sent as JSON", "with_node", (("http", 0),), 0),
    "node-protobuf": Scene("Node's SDK, as protobuf", "with_node", (("proto", 0),), 0),
    "threads": Scene(
        "ThreadPoolExecutor",
        "with_pools",
        (("threads", 0),),
        21,
        {"inside": {"done": "work {number}"}},
    ),
    "anyio": Scene(
        "anyio: a task group and its threads",
        "with_pools",
        (("anyio", 0),),
        11,
        {"inside": {"done": "work {number}"}},
    ),
    "spawned": Scene(
        "ProcessPoolExecutor, spawned",
        "with_pools",
        (("spawned", 0),),
        5,
        {"inside": {"done": "work {number}"}},
    ),
}
