"""A graph that loops over drafts, asks a person and goes on in another process."""

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import TypedDict

import page
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

SCENE = sys.argv[1]
names = page.recorded("LangGraph")
KEPT = Path("checkpoints.pickle")
model = GenericFakeChatModel(messages=iter([AIMessage(f"draft {number}") for number in range(5)]))


class State(TypedDict):
    drafts: int
    answer: str


@tool
def count(drafts: int) -> int:
    """Counts one draft more."""
    names["log"].append("counted")
    return drafts + 1


def draft(state: State) -> dict:
    if SCENE == "killed" and state["drafts"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    names["log"].append("drafting")
    model.invoke("Write a draft")
    return {"drafts": count.invoke({"drafts": state["drafts"]})}


def human(state: State) -> dict:
    return {"answer": interrupt("Is it good?")}


def again(state: State) -> str:
    return "draft" if state["drafts"] < 2 else "human"


saver = InMemorySaver()
if SCENE == "resumed":
    saver.storage, saver.writes, saver.blobs = pickle.loads(KEPT.read_bytes())
builder = StateGraph(State)
builder.add_node("draft", draft)
builder.add_node("human", human)
builder.add_edge(START, "draft")
builder.add_conditional_edges("draft", again, ["draft", "human"])
builder.add_edge("human", END)
graph = builder.compile(checkpointer=saver)
names["graph"] = graph
names["question"] = Command(resume="yes") if SCENE == "resumed" else {"drafts": 0, "answer": ""}
if SCENE == "streamed":
    for _ in graph.stream(names["question"], {"configurable": {"thread_id": "order-881"}}):
        names["log"].append("between")
        break
else:
    exec(page.blocks("LangGraph")[1], names)
if SCENE == "resumed":
    assert names["answer"]["answer"] == "yes"
elif SCENE == "interrupted":
    assert names["answer"]["__interrupt__"]
    plain = [dict(part) for part in (saver.storage, saver.writes, saver.blobs)]
    plain[0] = {thread: dict(spaces) for thread, spaces in plain[0].items()}
    KEPT.write_bytes(pickle.dumps(plain))
names["log"].append("after")
names["log"].close()
