import threading

import anyio
import pytest
from starlette.exceptions import HTTPException

from thence.server.http.workers import Workers


@pytest.mark.promise("Q5")
def test_who_comes_when_too_many_wait_is_refused_at_once() -> None:
    go = threading.Event()
    refused: list[HTTPException] = []

    async def asked() -> None:
        workers = Workers(threads=1, waiting_max=1)

        async def ask() -> None:
            try:
                await workers.run(go.wait)
            except HTTPException as error:
                refused.append(error)
                go.set()

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
        assert await workers.run(lambda: "again") == "again"

    anyio.run(asked)
    assert [error.status_code for error in refused] == [503]
    assert refused[0].headers == {"Retry-After": "1"}


def test_work_is_waited_for_only_so_long_and_the_next_begins_behind_it() -> None:
    ended: list[str] = []
    go = threading.Event()

    def work(stop: threading.Event) -> str:
        assert stop.wait(100)
        assert go.wait(100)
        ended.append("first")
        return "first"

    async def asked() -> None:
        workers = Workers()
        assert await workers.run_for(lambda stop: "quick", 100, "files") == "quick"
        with pytest.raises(ZeroDivisionError):
            await workers.run_for(lambda stop: 1 // 0, 100, "files")
        with pytest.raises(TimeoutError):
            await workers.run_for(work, 0.01, "files")
        with pytest.raises(TimeoutError):  # the first one is not done yet
            await workers.run_for(lambda stop: ended.append("late"), 0.01, "files")
        assert ended == []
        go.set()
        await workers.run_for(lambda stop: ended.append("next"), 100, "files")
        assert ended == ["first", "late", "next"]

    anyio.run(asked)
