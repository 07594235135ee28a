"""What is left of 20 spans when their process is killed in the last one.

`python -m bench.spans` kills a process whose spans go to the SDK's own batch processor and to
`thence.otel.SpanProcessor`, five times, and prints how many of its spans each kept: seconds.
"""

import json
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import thence

SPANS = 20
KILLS = 5
PROGRAM = """
import os, signal, sys, thence
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from thence.otel import SpanProcessor
folder, spans = sys.argv[1], int(sys.argv[2])
provider = TracerProvider()
line = lambda span: span.to_json(indent=None) + os.linesep
exporter = ConsoleSpanExporter(out=open(f"{folder}/sdk.jsonl", "w"), formatter=line)
provider.add_span_processor(BatchSpanProcessor(exporter))
provider.add_span_processor(SpanProcessor(thence.open(f"{folder}/log")))
tracer = provider.get_tracer("bench")
for number in range(spans - 1):
    with tracer.start_as_current_span(f"call {number}"):
        pass
with tracer.start_as_current_span("the last"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def main() -> None:
    """Prints the table."""
    sdk, begun, ended = [], [], []
    for _ in range(KILLS):
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            done = subprocess.run([sys.executable, "-c", PROGRAM, folder, str(SPANS)], check=False)
            assert done.returncode == -signal.SIGKILL, done
            lines = (Path(folder) / "sdk.jsonl").read_text().splitlines()
            sdk.append(len([line for line in lines if json.loads(line)]))
            with thence.open(Path(folder) / "log") as log:
                events = list(log.read())
            begun.append(sum(event.begins for event in events))
            ended.append(sum(event.ends is not None for event in events))
    print(f"of {SPANS} spans, the last in flight, {KILLS} kills: fewest and median")
    for name, counts in (("batch processor", sdk), ("thence, begun", begun), ("ended", ended)):
        print(f"    {name:<16} {min(counts):>3} {statistics.median(counts):>5.0f}")


if __name__ == "__main__":
    main()
