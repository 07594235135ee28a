"""The scenes: the programs that are run, and what the log must hold of each."""

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.trace.frameworks.played import Played

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Scene:
    """Runs of a program in turn, by argument and exit code; `spans` is the least number.

    `inside` names the span that is around an event, `open` what is unfinished, `why` the chain of
    an event, `asked` words that `why` has of one. Played again the scene is the same to `diff`,
    and with another order it differs at `altered`. `place` is the environment that it runs in.
    """

    title: str
    program: str
    spans: int
    inside: Mapping[str, str] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: tuple[str, str] | None = None
    checks: tuple[Callable[[Played], tuple[str, bool, str]], ...] = ()
    is_compared: bool = False
    altered: str = ""
    runs: tuple[tuple[str, int], ...] = (("plain", 0),)
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
        8,
        inside=IN_STOCK,
        checks=(token_is_of_the_tool, failure_has_its_message),
        altered="payload.attributes.gen_ai.output.messages.0.parts.1.arguments.order",
        why={
            "execute_tool pay.failed": (
                "invoke_agent shop.begun",
                "chat gpt-4o.begun",
                "chat gpt-4o.ended",
                "execute_tool pay.begun",
            )
        },
    ),
    "pydantic-ai-streamed": Scene(
        "pydantic-ai: a stream",
        "with_pydantic_ai",
        8,
        inside={**IN_STOCK, "reading": "chat gpt-4o"},
        runs=(("streamed", 0),),
    ),
    "pydantic-ai-delegated": Scene(
        "pydantic-ai: two agents in a tool, the same ids",
        "with_pydantic_ai",
        20,
        runs=(("delegated", 0),),
    ),
    "pydantic-ai-killed": Scene(
        "pydantic-ai: killed in a tool",
        "with_pydantic_ai",
        5,
        open=("invoke_agent shop", "execute_tool pay"),
        runs=(("killed", KILLED),),
    ),
    "openai-agents": Scene(
        "openai-agents: a hand-over",
        "with_openai_agents",
        12,
        inside={"money.sent": "pay"},
        asked=("money.sent", "the only call that asked for pay(order 881"),
    ),
    "openai-agents-streamed": Scene(
        "openai-agents: the same streamed",
        "with_openai_agents",
        12,
        inside={"money.sent": "pay"},
        runs=(("streamed", 0),),
    ),
    "openai-agents-twice": Scene(
        "openai-agents: two hand-overs in one trace", "with_openai_agents", 22, runs=(("twice", 0),)
    ),
    "langgraph": Scene(
        "LangGraph: a loop, an interrupt, resumed apart",
        "with_langgraph",
        12,
        inside={"counted": "count", "drafting": "draft"},
        runs=(("interrupted", 0), ("resumed", 0)),
    ),
    "langgraph-streamed": Scene(
        "LangGraph: a stream that is dropped", "with_langgraph", 5, runs=(("streamed", 0),)
    ),
    "langgraph-killed": Scene(
        "LangGraph: killed in a node",
        "with_langgraph",
        6,
        open=("LangGraph", "draft"),
        runs=(("killed", KILLED),),
    ),
    "langgraph-evening": Scene(
        "LangGraph: a tool fails, killed, resumed apart",
        "with_langgraph_evening",
        15,
        inside={"stock.read": "stock", "money.asked.for": "pay"},
        open=("LangGraph", "tools", "pay"),
        asked=("pay.failed", "the only call that asked for pay(order 881)"),
        runs=(("killed", KILLED), ("resumed", 0)),
    ),
    "autogen": Scene(
        "AutoGen: a team of two with a tool",
        "with_autogen",
        30,
        inside={"money.sent": "execute_tool pay"},
    ),
    "openai": Scene("OpenAI client: a call, a stream, one dropped", "with_openai_client", 3),
    "langfuse": Scene(
        "Langfuse: an agent, a tool that fails once",
        "with_langfuse",
        4,
        inside={"money.sent": "pay", "asking": "answer"},
        is_compared=True,
    ),
    "strands": Scene(
        "strands-agents: a tool that fails",
        "with_strands",
        6,
        inside={"money.sent": "execute_tool pay"},
        asked=("money.sent", "asked by: shop asked gpt-4o"),
        is_compared=True,
    ),
    "smolagents": Scene(
        "smolagents: a tool",
        "with_smolagents",
        7,
        inside={"money.sent": "SimpleTool"},
        asked=("money.sent", "the only call that asked for pay(order 881)"),
        is_compared=True,
    ),
    "agno": Scene(
        "agno: a tool",
        "with_agno",
        4,
        inside={"money.sent": "pay"},
        asked=("money.sent", "the only call that asked for pay(order 881)"),
        is_compared=True,
    ),
    "adk": Scene(
        "Google ADK: two tools, one fails",
        "with_adk",
        6,
        inside={"stock.read": "execute_tool stock", "money.sent": "execute_tool pay"},
        asked=("execute_tool pay.failed", "the only call that asked for pay(order 881)"),
        is_compared=True,
        place=".venv-frameworks-adk",
    ),
    "crewai": Scene(
        "crewai: a tool that fails once",
        "with_crewai",
        7,
        inside={"money.sent": "pay.run"},
        asked=("pay.run.failed", "the only call that asked for pay(order 881"),
        is_compared=True,
        place=".venv-frameworks-crewai",
    ),
    "llama-index": Scene(
        "llama-index: a tool that fails",
        "with_llama_index",
        17,
        inside={"money.sent": "FunctionTool.acall"},
        asked=("FunctionTool.acall.failed", "the only call that asked for pay(order 881)"),
        is_compared=True,
        place=".venv-frameworks-llama-index",
    ),
    "dspy": Scene(
        "dspy: a tool that fails once",
        "with_dspy",
        21,
        inside={"money.sent": "pay.__call__"},
        is_compared=True,
    ),
    "haystack": Scene(
        "haystack: an agent in a pipeline",
        "with_haystack",
        5,
        inside={"money.sent": "Agent.run"},
        is_compared=True,
    ),
    "logfire": Scene(
        "logfire: a model call, a function that fails once",
        "with_logfire",
        5,
        inside={"money.sent": "pay {{order=}}"},
        is_compared=True,
    ),
    "celery": Scene(
        "Celery: eager", "with_celery", 3, inside={"money.sent": "run/pay"}, runs=(("eager", 0),)
    ),
    "celery-apart": Scene(
        "Celery: a worker in another process",
        "with_celery",
        4,
        inside={"money.sent": "run/pay"},
        runs=(("apart", 0),),
    ),
    "celery-forked": Scene(
        "Celery: a worker that forks",
        "with_celery",
        10,
        inside={"money.sent": "run/pay"},
        runs=(("forked", 0),),
    ),
    "node-json": Scene("Node's SDK, spans sent as JSON", "with_node", 0, runs=(("http", 0),)),
    "node-protobuf": Scene("Node's SDK, as protobuf", "with_node", 0, runs=(("proto", 0),)),
    "threads": Scene(
        "ThreadPoolExecutor",
        "with_pools",
        21,
        inside={"done": "work {number}"},
        runs=(("threads", 0),),
    ),
    "anyio": Scene(
        "anyio: a task group and its threads",
        "with_pools",
        11,
        inside={"done": "work {number}"},
        runs=(("anyio", 0),),
    ),
    "spawned": Scene(
        "ProcessPoolExecutor, spawned",
        "with_pools",
        5,
        inside={"done": "work {number}"},
        runs=(("spawned", 0),),
    ),
}
