"""Plays one process of a recorded evening: `python -m tests.days.evening LOG PROCESS ORDER`.

`make frameworks` recorded the spans with LangGraph. The first process is killed inside a tool.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.trace import StatusCode, set_span_in_context, use_span

import thence
from thence.otel import SpanProcessor

(FILE,) = Path(__file__).parent.glob("langgraph-*.json")
# what the tools append in their bodies
INSIDE = {"stock": "stock.read", "pay": "money.asked.for"}


def end(span: Span, ended: dict[str, Any]) -> None:
    """Ends a span with what it said at its end."""
    span.update_name(ended["name"])
    span.set_attributes(ended["attributes"])
    for event in ended["events"]:
        span.add_event(event["name"], event["attributes"])
    span.set_status(StatusCode[ended["status"][0]], ended["status"][1])
    span.end()


def play(folder: str, process: int, order: str) -> None:
    """Begins and ends the spans of a process in their order, and appends what its tools did."""
    data = json.loads(FILE.read_text().replace("881", order))
    log = thence.open(folder)
    provider = TracerProvider(resource=Resource({"service.name": "till"}))
    provider.add_span_processor(SpanProcessor(log))
    begun: dict[int, Any] = {}
    for number in data["order"]:
        entry = data["spans"][abs(number) - 1]
        if entry["process"] != process:
            continue
        if number < 0:
            end(begun[-number], entry["end"])
            continue
        tracer = provider.get_tracer(entry["scope"])
        around = set_span_in_context(begun[entry["parent"]["span"]]) if "parent" in entry else None
        span = tracer.start_span(entry["name"], around, attributes=entry["attributes"])
        begun[number] = span
        if happened := INSIDE.get(entry["name"]):
            with use_span(span):
                log.append(happened, {"order": int(order)})
    if process == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    log.close()


if __name__ == "__main__":
    play(sys.argv[1], int(sys.argv[2]), sys.argv[3])
