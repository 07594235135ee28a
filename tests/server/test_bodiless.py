"""HEAD, beside GET for the same path."""

import asyncio
import gc

import httpx2
import pytest
from tests.server.conftest import Shop
from tests.server.runs import make_run

from thence.server.app import create_app
from thence.server.logs.root import Logs, Root
from thence.server.routes.live_events import STREAMS_MAX

LIVE = "/simulations/first/events/live"


def paths(shop: Shop) -> list[str]:
    """Paths of each form of answer, pages, lines and errors among them."""
    placed = shop.orders[0]
    return [
        "/",
        "/runs/none",
        "/health",
        "/openapi.json",
        "/simulations/first/events?limit=3&event_types=ACTION",
        "/simulations/first/events?limit=0",
        "/simulations/first/events.ndjson",
        "/simulations/first/diff/second",
        f"/logs/orders/events/{placed}",
        "/logs/orders/events/none",
        "/nothing",
    ]


@pytest.mark.promise("Q8")
def test_head_is_answered_as_get_is_without_the_body(shop: Shop) -> None:
    for path in paths(shop):
        got, asked = shop.server.get(path), shop.server.client.head(path)
        assert got.content
        assert (asked.status_code, asked.content) == (got.status_code, b""), path
        for answer in (got, asked):
            answer.headers.pop("date")
            answer.headers.pop("transfer-encoding", None)  # of a body: RFC 9112, section 6.1
        assert asked.headers == got.headers, path


@pytest.mark.promise("Q8")
def test_head_of_a_stream_is_its_beginning_and_nobody_listens_then(shop: Shop) -> None:
    for _ in range(STREAMS_MAX + 1):
        asked = shop.server.client.head(LIVE)
        assert asked.status_code == 200
    assert asked.headers["content-type"].startswith("text/event-stream")
    assert shop.server.client.head("/simulations/none/events/live").status_code == 404
    unknown = shop.server.client.head(LIVE, headers={"Last-Event-ID": "none"})
    assert unknown.status_code == 404


@pytest.mark.promise("Q8")
def test_client_that_goes_amid_the_lines_of_a_log_leaves_none_in_use(tmp_path) -> None:
    for name in ("run", "other"):
        make_run(tmp_path, name, count=3)
    app = create_app(tmp_path)
    # what is in use would stay open over the bound
    app.state.served.logs = Logs(Root(tmp_path), open_max=1)

    async def asked() -> None:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://any") as client:
            await client.head("/simulations/run/events.ndjson")
            await client.get("/simulations/other/events")

    gc.disable()  # which would end it some time, amid a lock too: then nobody was answered again
    try:
        asyncio.run(asked())
    finally:
        gc.enable()
    assert app.state.served.logs.open == 1
