"""What a span costs its program: processor, 50 tools by gather in a loop, memory.

`python -m bench.span_costs` measures each way to record in a process of its own, on a quiet
machine: about a minute. The batch processor's exporter makes each span's JSON and drops it.
"""

import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

import thence
from thence.otel import SpanProcessor

WAYS = {"none": None, "batch": None, "queued": False, "default": None, "durable": True}
SPANS = {"none": 10_000, "batch": 10_000, "queued": 10_000, "default": 2_000, "durable": 2_000}
TOOLS = 50
TOOL_S = 0.02
ROUNDS = 11
LARGE = 12_000
LARGE_BYTES = 20_000
ATTRIBUTES = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "pay",
    "gen_ai.agent.name": "shop",
    "gen_ai.conversation.id": "01a22090-e622-73eb-b696-9b9e672f3785",
    "gen_ai.tool.call.id": "c1",
    "gen_ai.tool.call.arguments": '{"order": 881}',
    "note": "x" * 300,
}


class Dropping(SpanExporter):
    """Makes the JSON of each span."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Drops the JSON again."""
        for span in spans:
            span.to_json()
        return SpanExportResult.SUCCESS


def processor_us(tracer: Tracer, provider: TracerProvider, spans: int) -> float:
    """Returns microseconds of processor a span, in all threads, flushed."""
    start = time.process_time()
    for _ in range(spans):
        with tracer.start_as_current_span("execute_tool pay", attributes=ATTRIBUTES) as span:
            span.set_attribute("gen_ai.tool.call.result", "paid")
    provider.force_flush()
    return (time.process_time() - start) / spans * 1e6


async def gathered(tracer: Tracer) -> tuple[float, float]:
    """Returns milliseconds of 50 tools at once, and of the longest turn of the loop."""
    turns: list[float] = []

    async def tool() -> None:
        with tracer.start_as_current_span("execute_tool pay", attributes=ATTRIBUTES):
            await asyncio.sleep(TOOL_S)

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            turns.append(now - last)
            last = now

    beating = asyncio.create_task(beat())
    start = time.perf_counter()
    await asyncio.gather(*(tool() for _ in range(TOOLS)))
    took_s = time.perf_counter() - start
    beating.cancel()
    return took_s * 1e3, max(turns) * 1e3


def memory_mib() -> float:
    """Returns what this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096 / 2**20


def grown_mib(tracer: Tracer, provider: TracerProvider) -> float:
    """Returns how much more is held behind the flush of 12,000 spans of 20 kB."""
    numbers = count()

    def record(spans: int) -> None:
        for number, _ in zip(numbers, range(spans), strict=False):
            value = f"{number} ".ljust(LARGE_BYTES, "x")
            with tracer.start_as_current_span("chat", attributes={"input.value": value}):
                pass
        provider.force_flush()
        gc.collect()

    record(100)
    before = memory_mib()
    record(LARGE)
    return memory_mib() - before


def measure(way: str) -> None:
    """Prints the line of one way to record."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        provider = TracerProvider()
        log = thence.open(Path(folder) / "log")
        if way == "batch":
            provider.add_span_processor(BatchSpanProcessor(Dropping()))
        elif way != "none":
            provider.add_span_processor(SpanProcessor(log, durable=WAYS[way]))
        tracer = provider.get_tracer("bench")
        processor_us(tracer, provider, 200)
        us = statistics.median(processor_us(tracer, provider, SPANS[way]) for _ in range(3))
        rounds = [asyncio.run(gathered(tracer)) for _ in range(ROUNDS)]
        tools_ms, turn_ms = (statistics.median(column) for column in zip(*rounds, strict=True))
        is_ours = way in ("queued", "default")
        grown = f"{grown_mib(tracer, provider):6.0f}" if is_ours else " " * 6
        print(f"    {way:<8} {us:8.0f} {tools_ms:8.1f} {turn_ms:8.1f} {grown}", flush=True)
        provider.shutdown()
        log.close()


def main() -> None:
    """Prints the table."""
    print("    way      us/span tools, ms turn, ms   MiB more")
    for way in WAYS:
        subprocess.run([sys.executable, "-m", "bench.span_costs", way], check=True)


if __name__ == "__main__":
    measure(sys.argv[1]) if sys.argv[1:] else main()
