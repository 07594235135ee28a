"""A run that was killed in a tool stands in a real Phoenix whole, and twice sent is the same.

`python -m tests.trace.frameworks.phoenix PYTHON PHOENIX`: a Python that has thence and pydantic-ai,
and the command of Arize Phoenix. All is on loopback and in a temporary folder. It ends with 1 and a
sentence where something is missing.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S = 120
STORED_S = 30
RUN_S = 60
# the last tool kills its own process
PROGRAM = """
import os, signal, thence
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent, InstrumentationSettings
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from thence.otel import SpanProcessor

provider = TracerProvider()
provider.add_span_processor(SpanProcessor(thence.open("agent")))
calls = iter([("stock", {"item": "tea"}, "c1"), ("pay", {"order": 881}, "c2")])
model = FunctionModel(lambda messages, info: ModelResponse(parts=[ToolCallPart(*next(calls))]))
agent = Agent(model, name="shop")
agent.instrument = InstrumentationSettings(tracer_provider=provider)

@agent.tool_plain
def stock(item: str) -> int:
    return 3

@agent.tool_plain
def pay(order: int) -> str:
    os.kill(os.getpid(), signal.SIGKILL)

agent.run_sync("buy tea")
"""
Spans = dict[str, tuple[str, str | None, bool]]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@contextmanager
def phoenix(command: str, folder: Path) -> Iterator[str]:
    """Runs a Phoenix; yields its address when it answers."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {"HOST": "127.0.0.1", "PORT": port, "GRPC_PORT": free_port(), "WORKING_DIR": folder}
    settings |= {"TELEMETRY_ENABLED": "false"}
    env = os.environ | {f"PHOENIX_{name}": str(value) for name, value in settings.items()}
    with (folder / "phoenix.log").open("wb") as file:
        process = subprocess.Popen([command, "serve"], env=env, stdout=file, stderr=file)
    try:
        end_s = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < end_s:
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        else:
            raise SystemExit("Phoenix did not start:\n" + (folder / "phoenix.log").read_text())
        yield url
    finally:
        process.terminate()
        process.wait(30)


def stored(url: str, count: int) -> Spans:
    """What Phoenix has when it has so many spans: name, parent, and whether one is unfinished."""
    end_s = time.monotonic() + STORED_S
    while True:
        with urllib.request.urlopen(f"{url}/v1/projects/default/spans?limit=1000") as answer:
            spans: list[dict[str, Any]] = json.load(answer)["data"]
        if len(spans) >= count or time.monotonic() > end_s:
            break
        time.sleep(0.2)
    return {
        span["context"]["span_id"]: (
            span["name"],
            span.get("parent_id"),
            "thence.unfinished" in str(span["attributes"]),
        )
        for span in spans
    }


def main(python: str, command: str) -> int:
    with tempfile.TemporaryDirectory(prefix="phoenix-") as place:
        folder = Path(place).resolve()
        words = [python, "-c", PROGRAM]
        run = subprocess.run(words, cwd=folder, timeout=RUN_S, capture_output=True, text=True)
        if run.returncode != -9:
            raise SystemExit(f"the run ended with {run.returncode}:\n{run.stderr}")
        thence = [python, "-m", "thence", "export", "--log", "agent", "--otlp"]
        subprocess.run([*thence, "spans.jsonl"], cwd=folder, timeout=RUN_S, check=True)
        lines = (folder / "spans.jsonl").read_text().splitlines()
        expected: Spans = {
            span["spanId"]: (
                span["name"],
                span.get("parentSpanId"),
                any(pair["key"] == "thence.unfinished" for pair in span["attributes"]),
            )
            for line in lines
            for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        }
        with phoenix(command, folder) as url:
            for number in ("first", "second"):
                subprocess.run([*thence, url], cwd=folder, timeout=RUN_S, check=True)
                spans = stored(url, len(expected))
                if spans != expected:
                    print(f"after the {number} sending Phoenix has {spans}, and not {expected}")
                    return 1
    print(f"Phoenix has {len(expected)} spans, the open ones too, after each of two sendings:")
    for name, _, is_unfinished in expected.values():
        print(f"  {name}{', unfinished' * is_unfinished}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
