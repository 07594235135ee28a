"""An agent's evening: two tools, one fails, the process is killed in it and another goes on."""

import os
import pickle
import signal
import sys
from pathlib import Path

import page
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

IS_RESUMED = sys.argv[1] == "resumed"
ORDER = int(os.environ.get("ORDER", "881"))
KEPT = Path("checkpoints.pickle")
names = page.recorded("LangGraph")
saver = InMemorySaver()


def calling(name: str, call_id: str, **arguments: object) -> AIMessage:
    """Returns the message of a model that wants a tool."""
    return AIMessage("", tool_calls=[{"name": name, "id": call_id, "args": arguments}])


ANSWERS = [
    calling("stock", "call_1", order=ORDER),
    calling("pay", "call_2", order=ORDER),
    calling("pay", "call_3", order=ORDER, key="k1"),
    AIMessage(f"order {ORDER} is paid"),
]


@tool
def stock(order: int) -> str:
    """Looks whether an order is there."""
    names["log"].append("stock.read", {"order": order})
    return "it is there"


@tool
def pay(order: int, key: str | None = None) -> str:
    """Pays an order."""
    names["log"].append("money.asked.for", {"order": order, "key": key})
    if key is None:
        raise ValueError("give an idempotency key")
    if not IS_RESUMED:
        plain = [dict(part) for part in (saver.storage, saver.writes, saver.blobs)]
        plain[0] = {thread: dict(spaces) for thread, spaces in plain[0].items()}
        KEPT.write_bytes(pickle.dumps(plain))
        os.kill(os.getpid(), signal.SIGKILL)
    return "paid"


if IS_RESUMED:
    parts = (saver.storage, saver.writes, saver.blobs)
    for part, kept in zip(parts, pickle.loads(KEPT.read_bytes()), strict=True):
        part.update(kept)
model = GenericFakeChatModel(messages=iter(ANSWERS[3:] if IS_RESUMED else ANSWERS))


def agent(state: MessagesState) -> dict:
    return {"messages": [model.invoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("agent", agent)
builder.add_node("tools", ToolNode([stock, pay], handle_tool_errors=True))
builder.add_edge(START, "agent")
builder.add_conditional_edges("agent", tools_condition)
builder.add_edge("tools", "agent")
names["graph"] = builder.compile(checkpointer=saver)
names["question"] = None if IS_RESUMED else {"messages": [("user", f"Pay order {ORDER}")]}
exec(page.blocks("LangGraph")[1], names)
assert names["answer"]["messages"][-1].content == f"order {ORDER} is paid"
names["log"].close()
