"""How much of thence a page of a log's events meets in the thread that answers for it."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from tests.calls import called, counted
from tests.server.runs import make_index, make_orders

from thence.server.app import create_app

# the most functions of thence, in how many files; only lower numbers come here
CALLED_MAX = 80, 12


@pytest.mark.parametrize("has_index", [False, True])
def test_way_of_a_page_of_events_gets_no_longer(tmp_path: Path, has_index: bool) -> None:
    make_orders(tmp_path)
    if has_index:
        make_index(tmp_path / "orders")
    app = create_app(tmp_path)

    async def get() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/logs/orders/events", params={"limit": 2})

    asyncio.run(get())  # it opens the log
    with called(is_here=False) as calls:
        answer = asyncio.run(get())
    assert len(answer.json()["events"]) == 2
    functions, files = counted("page of events", calls)
    functions_max, files_max = CALLED_MAX
    assert functions <= functions_max
    assert files <= files_max
