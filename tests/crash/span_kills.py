"""Tracers killed at random moments: each span that was begun or ended for them is in the log.

`python -m tests.crash.span_kills KILLS [SEED] [--queued]` forks programs that trace by
`thence.otel.SpanProcessor`, kills each with SIGKILL after a random time, and looks into the log,
with which the next one goes on. It prints what it saw; the exit code is 1 if a promise was broken,
as spans that are only queued must break it.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

import thence
from thence.otel import SpanProcessor

KILLS_OF_A_LOG = 20
THREADS = 3
LIFE_S_MAX = 0.15


def traced(folder: Path, acknowledge: int, durable: bool) -> None:
    """Traces for ever in several threads; says of each begin and end that it has returned."""
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor(thence.open(folder), durable=durable))
    tracer = provider.get_tracer("kills")

    def work() -> None:
        while True:
            with tracer.start_as_current_span("outer") as outer:
                say(acknowledge, "b", outer)
                with tracer.start_as_current_span("inner") as inner:
                    say(acknowledge, "b", inner)
                say(acknowledge, "e", inner)
            say(acknowledge, "e", outer)

    for _ in range(THREADS):
        Thread(target=work).start()


def say(acknowledge: int, word: str, span: Span) -> None:
    """Writes a line that a pipe takes in one piece."""
    os.write(acknowledge, f"{word} {span.get_span_context().span_id:016x}\n".encode())


def killed(folder: Path, life_s: float, durable: bool) -> set[str]:
    """Runs a tracer that is killed once it has begun something; returns what was acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        traced(folder, writing, durable)
        signal.pause()
    os.close(writing)
    with open(reading, "rb") as lines:
        first = lines.readline()
        time.sleep(life_s)  # a random moment, nothing is waited for
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        rest = lines.read()
    return {line.decode() for line in (first + rest).splitlines()}


def broken(folder: Path, acknowledged: set[str], seen: Counter[str]) -> Iterator[str]:
    """Yields what a log lacks of what was acknowledged, or holds twice."""
    recorded: Counter[str] = Counter()
    begins: dict[str, str] = {}
    with thence.open(folder) as log:
        for event in log.read():
            if event.begins:
                begins[event.event_id] = event.payload["span_id"]
                recorded[f"b {begins[event.event_id]}"] += 1
            elif event.ends is not None:
                recorded[f"e {begins[event.ends]}"] += 1
        findings = log.verify().findings
        still_open = {event.event_id for event in log.end().still_open}
    yield from (f"not in the log: {line}" for line in sorted(acknowledged - recorded.keys()))
    yield from (
        f"{count} times in the log: {line}" for line, count in recorded.items() if count > 1
    )
    yield from map(str, findings)
    unended = {event_id for event_id, span in begins.items() if not recorded[f"e {span}"]}
    if still_open != unended:
        yield f"{len(unended)} spans have no end, and {len(still_open)} are told as open"
    seen["spans in flight"] = len(unended)


def campaign(root: Path, kills: int, seed: int, durable: bool) -> int:
    """Kills tracers; returns the exit code."""
    chance, seen = random.Random(seed), Counter[str]()
    acknowledged: set[str] = set()
    for kill in range(kills):
        folder = root / str(kill // KILLS_OF_A_LOG)
        if kill % KILLS_OF_A_LOG == 0:
            acknowledged = set()
        lines = killed(folder, chance.random() ** 2 * LIFE_S_MAX, durable)
        acknowledged |= lines
        seen["kills"] += 1
        seen["acknowledged"] += len(lines)
        if faults := list(broken(folder, acknowledged, seen)):
            print(f"kill {kill}, seed {seed}", *faults[:20], sep="\n")
            return 1
    print(f"seed {seed}", *(f"{name} {count:,}" for name, count in seen.items()), sep=", ")
    return 0


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--queued"]
    first_seed = int(words[1]) if len(words) > 1 else random.randrange(2**32)
    is_durable = "--queued" not in sys.argv
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".kills-") as place:
        sys.exit(campaign(Path(place), int(words[0]), first_seed, is_durable))
