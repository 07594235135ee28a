"""Clients that listen live to a run, and how long after its emission each event reaches them.

An event tells in `new_value` when it was emitted, by the clock that all processes share.
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

LISTENERS = 50
WITHIN_MS = 300
RARE_EACH = 100
RARE = "TICK"
BEGIN_S_MAX = 60
SETTLE_S = 2.0
_READ_BYTES = 65_536
_EMITTED = re.compile(rb'"new_value":(\d+)')
_WRITER = """
import sys, time
from thence.sim import Event, EventWriter, VerbosityLevel, create_state_event
run, rate, rare_each, rare = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
writer = EventWriter(sys.argv[1], run, VerbosityLevel.DETAIL, max_queue_size=100_000)
together = max(1, rate // 100)
due, number = time.monotonic(), 0
while True:
    for _ in range(together):
        number += 1
        now = time.monotonic_ns()
        if number % rare_each:
            writer.emit(create_state_event(run, 10_001, "x", number, now))
        else:
            writer.emit(Event(event_type=rare, simulation_id=run, details={"new_value": now}))
    if number == together:
        writer.flush()
        print("begun", flush=True)
    due += together / rate
    time.sleep(max(0.0, due - time.monotonic()))
"""


@asynccontextmanager
async def writing(folder: Path, run: str, per_second: int) -> AsyncIterator[None]:
    """Has a process append to a run, begun already; each hundredth event is of the rare type."""
    arguments = (str(folder), run, str(per_second), str(RARE_EACH), RARE)
    command = (sys.executable, "-c", _WRITER, *arguments)
    writer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    try:
        await writer.stdout.readline()
        yield
        if writer.returncode is not None:
            raise RuntimeError("the writer ended")
    finally:
        if writer.returncode is None:
            writer.kill()
        await writer.wait()


async def listen(port: int, path: str, took: list[float], begun: asyncio.Semaphore) -> None:
    """Listens until it is cancelled; adds how long each event was under way, in ms.

    Once the answer has begun it gives the semaphore.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.splitlines()[0]!r}")
        begun.release()
        rest = b""
        while data := await reader.read(_READ_BYTES):
            now = time.monotonic_ns()
            whole, _, rest = (rest + data).rpartition(b"\n\n")
            took += [(now - int(emitted)) / 1e6 for emitted in _EMITTED.findall(whole)]
        raise RuntimeError(f"{path}: the stream ended")
    finally:
        writer.close()


@asynccontextmanager
async def listening(port: int, path: str, count: int) -> AsyncIterator[list[float]]:
    """Has so many clients listen, all of them from now on; gives how long events were under way.

    That is in ms, of events that came in while the block ran.
    """
    took: list[float] = []
    begun = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(listen(port, path, took, begun)) for _ in range(count)]
    try:
        for _ in tasks:
            await asyncio.wait_for(begun.acquire(), BEGIN_S_MAX)
        await asyncio.sleep(SETTLE_S)  # what waited for them to begin is not measured
        took.clear()
        yield took
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, RuntimeError):
                await task
