"""Pools: threads, a task group of anyio with a thread, processes that are spawned."""

import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import anyio
import page
from opentelemetry import propagate

tracer = None


def work(number: int, headers: dict[str, str] | None = None) -> None:
    """Does a piece of work in a span; in a process of its own with the headers of the other."""
    global tracer
    if tracer is None:  # in a spawned process
        tracer = page.recorded()["provider"].get_tracer("shop")
    context = propagate.extract(headers) if headers else None
    with tracer.start_as_current_span(f"work {number}", context=context):
        names = page.opened
        names["log"].append("done", {"number": number})


async def tasks() -> None:
    async def task(number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(work, number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(task, number)


def main(scene: str) -> None:
    global tracer
    names = page.recorded("Threads")
    tracer = names["provider"].get_tracer("shop")
    with tracer.start_as_current_span(scene):
        if scene == "threads":
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(20)))
        elif scene == "anyio":
            anyio.run(tasks)
        else:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
                list(pool.map(work, range(4), [headers] * 4))
    names["log"].append("after")
    names["log"].close()


if __name__ == "__main__":
    main(sys.argv[1])
