"""Pages of large logs, and questions to them and to others, while their index is made."""

import asyncio
import re
import threading
from functools import partial
from pathlib import Path

import pytest
from tests.events import large_log
from tests.server.runs import make_orders, make_run
from tests.server.serving import Serving, altered_serving

from thence.server.http.workers import THREADS
from thence.server.logs.root import Root
from thence.server.logs.summaries import line_bytes
from thence.server.routes import state as routes_state
from thence.server.routes.state import ServerState

EVENTS, SOME_EVENTS = 40_000, 4_000
TOLD = re.compile(
    r"the index of large is being built: "
    r"(waiting for another one|[\d,]+ of about (39|40),\d{3} events)"
)

# the index is made within the time that a page waits for it
SOON = "from thence.server.routes import state as it\nit.INDEX_WAIT_S = 0.05"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A root with a log of 60 MB."""
    return large_log(tmp_path / "root" / "large", EVENTS).parent


def reloads(server: Serving, address: str) -> tuple[int, str]:
    """Asks for a page until it is there; returns how often it was not ready, and its text."""
    count = 0
    while (answer := server.get(address)).status_code == 503:
        count += 1
        assert answer.headers["Refresh"] == "1"
        assert TOLD.search(answer.text), answer.text
        assert answer.elapsed.total_seconds() < 30
    assert answer.status_code == 200
    return count, answer.text


def test_page_says_how_far_the_index_is_until_it_is_made(large) -> None:
    make_orders(large, "orders")
    with altered_serving(large, SOON) as server:
        # neither the first page nor another log waits for it
        assert re.search("not counted yet|indexing: ", server.get("/").text)
        count, text = reloads(server, "/runs/large")
        assert count >= 1
        assert f"{EVENTS:,}" in text
        assert reloads(server, "/runs/orders")[0] == 0
        assert server.get("/runs/none").status_code == 404
        # whoever comes later finds the index
        assert reloads(server, "/runs/large")[0] == 0


@pytest.mark.promise("Q7")
def test_questions_to_logs_without_an_index_hold_up_no_question_to_another(tmp_path, monkeypatch):
    names = [f"large-{number}" for number in range(THREADS)]
    for name in names:
        large_log(tmp_path / name, SOME_EVENTS)
    make_run(tmp_path, "small", count=3)
    state = ServerState(Root(tmp_path))
    begun, goes_on = threading.Event(), threading.Event()

    def held(folder: Path) -> float:
        """Holds up the making of an index, which begins with this estimate."""
        begun.set()
        assert goes_on.wait(60)
        return line_bytes(folder)

    monkeypatch.setattr(routes_state, "line_bytes", held)

    def counted(logs: object) -> list[int]:
        return [state.summaries.of(found).events for found in logs]

    async def asked() -> None:
        def ask(log_id: str) -> asyncio.Task[int]:
            return asyncio.ensure_future(
                state.ask(log_id, lambda log: log.reader.query(limit=1).total, False)
            )

        every = asyncio.ensure_future(state.inspect_all(counted))
        waiting = [ask(name) for name in names]
        async with asyncio.timeout(30):
            assert await state.workers.run(partial(begun.wait, 60))
            waiting += [ask(names[0]) for _ in range(3 * THREADS)]
            for _ in range(3 * THREADS):
                assert await ask("small") == 3
            assert not any(task.done() for task in (every, *waiting))
            goes_on.set()
            assert {await task for task in waiting} == {SOME_EVENTS}
            assert await every == [*[SOME_EVENTS] * THREADS, 3]
            # once they are known, nothing is made again
            assert await state.inspect_all(counted) == [*[SOME_EVENTS] * THREADS, 3]

    asyncio.run(asked())
    state.close()
