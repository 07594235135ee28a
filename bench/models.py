"""How near many calls of a model come to what the endpoint's limit allows.

    python -m bench.models

The endpoint is a process of its own, and answers after a fixed time. The least time is that of the
rounds of `concurrency` calls; beside it stands the same load by bare sockets, without a client.
"""

import asyncio
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from tests.sim.models.endpoint import Endpoint

from thence.sim.models.client import Budget, ModelClient, ModelRequest
from thence.sim.models.settings import EndpointSettings

RATIO_MAX = 1.1
ROUNDS = 5
# calls, how many at once, seconds of an answer
LOADS = ((1_000, 64, 0.05), (1_000, 64, 0.5), (100, 100, 0.5))
_QUESTION = ModelRequest(({"role": "user", "content": "Do you give?"},))


async def _time_s(ask: Callable[[], Awaitable[object]], calls: int) -> float:
    start_s = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(calls)))
    return time.perf_counter() - start_s


async def by_client(url: str, calls: int, concurrency: int) -> float:
    """Returns the seconds that so many calls of the client take."""
    settings = EndpointSettings(base_url=url, model="qwen", concurrency=concurrency)
    client = ModelClient("local", settings, Budget())
    try:
        return await _time_s(lambda: client.ask(_QUESTION), calls)
    finally:
        await client.close()


async def by_sockets(url: str, calls: int, concurrency: int) -> float:
    """Returns the seconds that so many requests take which nobody reads."""
    address = urlsplit(url)
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
    idle = [
        await asyncio.open_connection(address.hostname, address.port) for _ in range(concurrency)
    ]
    limit = asyncio.Semaphore(concurrency)

    async def ask() -> None:
        async with limit:
            reader, writer = idle.pop()
            writer.write(head)
            await reader.readuntil(b"\r\n\r\n{")
            await reader.readuntil(b"}}")
            idle.append((reader, writer))

    try:
        return await _time_s(ask, calls)
    finally:
        for _, writer in idle:
            writer.close()


def main() -> None:
    """Prints a row for each load."""
    for calls, concurrency, answer_s in LOADS:
        argv = [sys.executable, "-m", "bench.models", str(answer_s)]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            least_s = math.ceil(calls / concurrency) * answer_s
            ratios, bare = [], []
            for _ in range(ROUNDS):
                bare.append(asyncio.run(by_sockets(url, calls, concurrency)) / least_s)
                ratios.append(asyncio.run(by_client(url, calls, concurrency)) / least_s)
            server.communicate("")
        ratio = statistics.median(ratios)
        verdict = "reached" if ratio <= RATIO_MAX else "NOT REACHED"
        name = f"{calls:,} calls, {concurrency} at once, {answer_s * 1e3:.0f} ms / least time"
        print(f"{name:<58} {ratio:>12.2f} {RATIO_MAX:>10}  {verdict}")
        print(f"    bare sockets / least time: {statistics.median(bare):.2f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with Endpoint(delay_s=float(sys.argv[1])) as endpoint:
            print(endpoint.base_url, flush=True)
            sys.stdin.read()
    else:
        main()
