import threading

import anyio
import pytest
from starlette.exceptions import HTTPException

from thence.server.http.workers import ClientGone, Slow, Workers


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
        assert await workers.run_for(lambda stop: "quick", 100) == "quick"
        with pytest.raises(ZeroDivisionError):
            await workers.run_for(lambda stop: 1 // 0, 100)
        with pytest.raises(TimeoutError):
            await workers.run_for(work, 0.01)
        with pytest.raises(TimeoutError):  # the first one is not done yet
            await workers.run_for(lambda stop: ended.append("late"), 0.01)
        assert ended == []
        go.set()
        await workers.run_for(lambda stop: ended.append("next"), 100)
        assert ended == ["first", "late", "next"]

    anyio.run(asked)


def test_slow_work_is_begun_again_where_it_holds_up_nobody() -> None:
    go = threading.Event()
    told: list[bool] = []

    def work(is_patient: bool) -> str:
        told.append(is_patient)
        if not is_patient:
            raise Slow
        assert go.wait(100)
        return "slow"

    async def asked() -> None:
        workers = Workers(threads=1)
        found: list[str] = []

        async def ask() -> None:
            found.append(await workers.run_patiently(work))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
            with anyio.fail_after(60):
                assert await workers.run_patiently(lambda is_patient: is_patient) is False
                assert await workers.run(lambda: "quick") == "quick"
            assert found == []
            go.set()
        assert found == ["slow"] * 5

    anyio.run(asked)
    assert sorted(told) == [False] * 5 + [True] * 5


def test_error_of_slow_work_is_raised() -> None:
    def work(is_patient: bool) -> None:
        raise ZeroDivisionError if is_patient else Slow

    async def asked() -> None:
        with pytest.raises(ZeroDivisionError):
            await Workers().run_patiently(work)

    anyio.run(asked)


@pytest.mark.promise("Q7")
def test_comparison_is_signalled_that_its_client_goes_and_one_that_waits_never_begins() -> None:
    begun = threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        assert stop.wait(100)
        raise ClientGone

    async def asked() -> None:
        workers = Workers()
        leaving = anyio.Event()

        async def compare() -> None:
            with pytest.raises(ClientGone):
                await workers.compare(work, leaving.wait)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(compare)
            await anyio.to_thread.run_sync(begun.wait)
            with anyio.fail_after(60), pytest.raises(ClientGone):
                await workers.compare(
                    lambda stop: pytest.fail("it began"), anyio.lowlevel.checkpoint
                )
            leaving.set()

    anyio.run(asked)
