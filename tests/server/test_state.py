"""Questions that have to wait for an index, and those that don't wait for these."""

import threading

import anyio
import anyio.lowlevel
import pytest
from tests.server.runs import LARGE_EVENTS, make_large, make_run

from thence.server.http.workers import THREADS
from thence.server.logs.root import Root
from thence.server.routes.state import ServerState

WAIT_S = 100


@pytest.fixture
def served(tmp_path):
    make_run(tmp_path, "small", count=3)
    for number in range(THREADS + 1):
        make_large(make_run(tmp_path, f"big{number}", count=3))
    made = ServerState(Root(tmp_path))
    yield made
    made.close()


@pytest.mark.promise("Q7")
def test_first_questions_to_many_large_logs_hold_up_no_question_to_another(served) -> None:
    go = threading.Event()

    async def asked() -> None:
        async def ask(log_id: str) -> None:
            assert await served.inspect(log_id, lambda found: go.wait(WAIT_S), True)

        async with anyio.create_task_group() as tasks:
            for number in range(THREADS + 1):
                tasks.start_soon(ask, f"big{number}")
            tasks.start_soon(served.inspect_all, lambda logs: go.wait(WAIT_S))
            with anyio.fail_after(60):
                while served.workers._slow.statistics().tasks_waiting <= THREADS:
                    await served.workers.run(threading.get_ident)
                total = await served.ask("small", lambda log: len(log.reader.events()), True)
            go.set()
        assert total == 3

    anyio.run(asked)


def test_all_logs_are_looked_at_at_once_when_they_are_known(served) -> None:
    def summed_up(logs) -> int:
        return sum(served.summaries.of(found).events for found in logs)

    async def asked() -> None:
        first = await served.inspect_all(summed_up)
        assert first == 3 * (THREADS + 2) + LARGE_EVENTS * (THREADS + 1)
        begun_in = await served.inspect_all(lambda logs: threading.get_ident())
        quick = {await served.workers.run(threading.get_ident) for _ in range(20)}
        assert begun_in in quick

    anyio.run(asked)
