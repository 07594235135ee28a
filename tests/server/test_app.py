"""The app as a library's user has it."""

import asyncio

import httpx2
import pytest
from tests.server.runs import make_run

from thence.server.app import create_app


@pytest.mark.promise("P5")
def test_root_may_come_later(tmp_path) -> None:
    app = create_app(tmp_path / "later")

    async def asked(path: str) -> object:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://any"
        ) as client:
            return (await client.get(path)).json()

    assert asyncio.run(asked("/simulations")) == {"simulations": []}
    make_run(tmp_path / "later", "run", count=3)
    listed = asyncio.run(asked("/simulations"))
    assert [entry["id"] for entry in listed["simulations"]] == ["run"]
