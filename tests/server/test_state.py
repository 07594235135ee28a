"""Questions that have to wait for an index, and those that don't wait for these."""

import asyncio
from pathlib import Path

import pytest
from tests.events import large_log
from tests.server.runs import make_run

from thence.server.http.workers import THREADS
from thence.server.logs.root import Root
from thence.server.routes.state import ServerState

EVENTS = 20_000


@pytest.mark.promise("Q7")
def test_questions_to_logs_without_an_index_hold_up_no_question_to_another(tmp_path: Path) -> None:
    for name in ("large", "larger"):
        large_log(tmp_path / name, EVENTS)
    make_run(tmp_path, "small", count=3)
    index = tmp_path / "large/.thence/index.db"
    state = ServerState(Root(tmp_path))

    def counted(logs: object) -> list[int]:
        return [state.summaries.of(found).events for found in logs]

    async def asked() -> None:
        def ask(log_id: str) -> asyncio.Task[int]:
            return asyncio.ensure_future(
                state.ask(log_id, lambda log: log.reader.query(limit=1).total, False)
            )

        every = asyncio.ensure_future(state.inspect_all(counted))
        waiting = [ask("large"), ask("larger")]
        async with asyncio.timeout(60):
            while not await state.workers.run(index.exists):
                pass  # it is not begun yet
            waiting += [ask("large") for _ in range(3 * THREADS)]
            assert await ask("small") == 3
            assert not any(task.done() for task in (every, *waiting))
            assert {await task for task in waiting} == {EVENTS}
            assert await every == [EVENTS, EVENTS, 3]
            # once they are known, nothing is made again
            assert await state.inspect_all(counted) == [EVENTS, EVENTS, 3]

    asyncio.run(asked())
    state.close()
