import threading

import anyio
import pytest
from starlette.exceptions import HTTPException

from thence.server.workers import Workers


def test_work_is_done_in_a_thread_and_its_error_raised() -> None:
    async def asked() -> None:
        workers = Workers()
        assert await workers.run(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)

    anyio.run(asked)


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
