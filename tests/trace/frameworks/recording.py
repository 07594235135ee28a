"""Keeps what a tracer sent as a small file, by which CI replays it without the framework.

Ids are numbers in the order of their appearance. Times, stack traces and addresses are left out.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.trace.frameworks.played import Key, Span

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests/trace/causes/spans"
# the scene, and the package that the file is named after
RECORDED = {
    "pydantic-ai": "pydantic-ai-slim",
    "openai-agents": "openai-agents",
    "langgraph": "langgraph",
    "autogen": "autogen-agentchat",
    "openai": "openai",
    "celery-apart": "celery",
    "adk": "google-adk",
    "crewai": "crewai",
    "llama-index": "llama-index-core",
    "langgraph-evening": "langgraph",
}
# which are played by tests of their own
APART = {"langgraph-evening": ROOT / "tests/days"}
BYTES_MAX = 52_000
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# a file of this machine in a traceback, as JSON has it
PLACE = re.compile(r'(?<=File \\")[^"\\]+')
ADDRESS = re.compile(r"127\.0\.0\.1:\d+|gen\d+@\w+|celery@\w+")


def pinned(package: str) -> str:
    """Returns a package's version in the first lock that has it, the common one before others."""
    paths = sorted(ROOT.glob("requirements-frameworks*.lock"), key=lambda path: len(path.name))
    locks = "".join(map(Path.read_text, paths))
    match = re.search(rf"^{re.escape(package)}==(\S+)", locks, re.MULTILINE)
    assert match is not None, package
    return match[1]


def numbered(spans: Mapping[Key, Span]) -> dict[str, Any]:
    """Returns the spans with numbers for ids, and the order of their starts and ends."""
    traces: dict[str, int] = {}
    processes: dict[str, int] = {}
    numbers = {key: number for number, key in enumerate(spans, 1)}
    uuids: dict[str, str] = {}

    def steady(value: Any) -> Any:
        text = json.dumps(value)
        for one in UUID.findall(text):
            number = uuids.setdefault(one, f"00000000-0000-4000-8000-{len(uuids) + 1:012}")
            text = text.replace(one, number)
        return json.loads(PLACE.sub("program.py", ADDRESS.sub("localhost:1", text)))

    def reference(context: Mapping[str, Any]) -> dict[str, Any]:
        rest = {key: context[key] for key in ("is_remote", "trace_state") if key in context}
        return {"span": numbers[context["trace_id"], context["span_id"]], **rest}

    listed = []
    order = []
    for number, span in enumerate(spans.values(), 1):
        start, before = span.start, span.start["attributes"]
        order.append((start["time"], number))
        entry: dict[str, Any] = {
            "name": start["name"],
            "trace": traces.setdefault(span.key[0], len(traces) + 1),
            "process": processes.setdefault(span.process, len(processes) + 1),
            "parent": start["parent"] and reference(start["parent"]),
            "links": [reference(link) for link in start["links"]],
            "kind": start["kind"],
            "scope": start["scope"],
            "service": start["service"],
            "attributes": before,
        }
        if end := span.end:
            order.append((end["time"], -number))
            after = end["attributes"]
            for event in end["events"]:
                event["attributes"].pop("exception.stacktrace", None)
            entry["end"] = {
                "name": end["name"],
                "attributes": {k: v for k, v in after.items() if before.get(k) != v},
                "events": end["events"],
                "status": end["status"],
            }
        listed.append(steady({key: value for key, value in entry.items() if value}))
    return {"spans": listed, "order": [number for _, number in sorted(order)]}


def write(scene: str, spans: Mapping[Key, Span]) -> None:
    """Writes the file of a scene."""
    package = RECORDED[scene]
    version = pinned(package)
    data = numbered(spans)
    lines = [json.dumps(span, ensure_ascii=False) for span in data["spans"]]
    head = (
        f'{{"package": "{package}", "version": "{version}", "order": {data["order"]},\n"spans": [\n'
    )
    text = head + ",\n".join(lines) + "\n]}\n"
    assert len(text.encode()) <= BYTES_MAX, f"{scene} takes {len(text)} bytes"
    json.loads(text)
    folder = APART.get(scene, FOLDER)
    folder.mkdir(exist_ok=True)
    for former in folder.glob(f"{package}-[0-9]*.json"):
        former.unlink()
    (folder / f"{package}-{version}.json").write_text(text)
