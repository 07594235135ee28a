"""How many requests of a run are at an endpoint, at once and a minute."""

import asyncio
from time import monotonic
from typing import Any

import pytest
from tests.sim.models.endpoint import Endpoint

from thence.sim.models.client import Budget, ModelAnswer, ModelClient, ModelRequest
from thence.sim.models.settings import EndpointSettings

pytestmark = [pytest.mark.promise("O12a"), pytest.mark.rest]

QUESTION = ModelRequest(({"role": "user", "content": "Do you give?"},))


def answers_of(url: str, count: int, **settings: Any) -> list[Any]:
    """Asks so many questions at once."""

    async def run() -> list[Any]:
        named = EndpointSettings(base_url=url, model="qwen", **settings)
        client = ModelClient("local", named, Budget())
        asked = (client.ask(QUESTION) for _ in range(count))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await client.close()
        return answers

    return asyncio.run(run())


def test_no_more_requests_are_in_flight_than_the_endpoint_allows():
    with Endpoint(delay_s=0.1) as endpoint:
        answers = answers_of(endpoint.base_url, 30, concurrency=5)
    assert all(isinstance(answer, ModelAnswer) for answer in answers)
    assert endpoint.in_flight_max == 5


def test_connections_are_kept():
    with Endpoint() as endpoint:
        answers_of(endpoint.base_url, 30, concurrency=2)
    assert endpoint.connections <= 2


def test_call_that_is_ended_in_the_queue_makes_no_room():
    async def run() -> list[Any]:
        settings = EndpointSettings(base_url=endpoint.base_url, model="qwen", concurrency=2)
        client = ModelClient("local", settings, Budget())
        ended = [asyncio.create_task(client.ask(QUESTION)) for _ in range(4)]
        await asyncio.to_thread(endpoint.wait_for, 2)
        for task in ended:
            task.cancel()
        await asyncio.wait(ended)
        answers = await asyncio.gather(*(client.ask(QUESTION) for _ in range(4)))
        await client.close()
        return answers

    with Endpoint(fault="never", faults=2, delay_s=0.1) as endpoint:
        answers = asyncio.run(run())
    assert all(isinstance(answer, ModelAnswer) for answer in answers)
    # the first two are still at the endpoint when the next two come
    assert endpoint.in_flight_max <= 4


def test_requests_a_minute_are_spaced():
    with Endpoint() as endpoint:
        start_s = monotonic()
        answers_of(endpoint.base_url, 30, requests_per_minute=1_200)
        asked_s = monotonic() - start_s
    assert asked_s > (30 * 60 / 1_200 - 1.0) * 0.9
