"""How many requests of one or several processes are at an endpoint, at once and a minute."""

import asyncio
import struct
import subprocess
import sys
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest
from tests.sim.models.endpoint import Endpoint, Reply, completion

from thence.files import file_lock
from thence.sim.models.client import Budget, ModelAnswer, ModelClient, ModelRequest
from thence.sim.models.settings import EndpointSettings

pytestmark = [pytest.mark.promise("O12a"), pytest.mark.rest]

QUESTION = ModelRequest(({"role": "user", "content": "Do you give?"},))
PROGRAM = """
import sys
from pathlib import Path
from tests.sim.models.test_limits import answers_of
answers_of(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), concurrency=4)
"""


def answers_of(
    url: str, count: int, slots: Path | None = None, within_s: float | None = None, **settings: Any
) -> list[Any]:
    """Asks so many questions at once."""

    async def run() -> list[Any]:
        named = EndpointSettings(base_url=url, model="qwen", **settings)
        client = ModelClient("local", named, Budget(), slots)
        asked = (asyncio.wait_for(client.ask(QUESTION), within_s) for _ in range(count))
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


@pytest.mark.parametrize("faults", [1, 16])
def test_concurrency_is_halved_once_when_the_endpoint_is_too_busy_and_grows_again(faults):
    """Of 16 requests that go at once one or all are refused."""
    at_once: list[int] = []

    def script(body: dict[str, Any]) -> Reply:
        at_once.append(endpoint.in_flight)
        return Reply(completion("yes"), delay_s=0.1)

    with Endpoint(script, fault="429_retry_after", faults=faults) as endpoint:
        answers = answers_of(endpoint.base_url, 300, concurrency=16)
    assert all(isinstance(answer, ModelAnswer) for answer in answers)
    first = 16 - faults  # those sent before the refusal was known
    assert 6 <= max(at_once[first + 10 : first + 20]) <= 12, at_once
    assert max(at_once[-100:]) == 16, at_once


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


def test_processes_share_their_slots(tmp_path):
    with Endpoint(delay_s=0.02) as endpoint:
        argv = [sys.executable, "-c", PROGRAM, endpoint.base_url, "20", str(tmp_path)]
        processes = [subprocess.Popen(argv) for _ in range(3)]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(endpoint.requests) == 60
    assert endpoint.in_flight_max <= 4


def test_slots_of_a_killed_process_are_free(tmp_path):
    with Endpoint(fault="never", faults=4) as endpoint:
        argv = [sys.executable, "-c", PROGRAM, endpoint.base_url, "4", str(tmp_path)]
        process = subprocess.Popen(argv)
        endpoint.wait_for(4)
        (blocked,) = answers_of(endpoint.base_url, 1, tmp_path, 0.2, concurrency=4)
        assert isinstance(blocked, TimeoutError)
        process.kill()
        process.wait(60)
        (answer,) = answers_of(endpoint.base_url, 1, tmp_path, 60, concurrency=4)
    assert isinstance(answer, ModelAnswer)


def test_call_that_is_given_up_while_it_waits_leaves_its_turn(tmp_path):
    locks = [file_lock(tmp_path / f"local.{number}") for number in range(2)]
    with Endpoint() as endpoint:
        answers = answers_of(endpoint.base_url, 7, tmp_path, 0.2, concurrency=2)
        assert not endpoint.requests
        assert all(type(answer) is TimeoutError for answer in answers)
        for lock in locks:
            lock.close()
        answers = answers_of(endpoint.base_url, 5, tmp_path, 60, concurrency=2)
        assert all(isinstance(answer, ModelAnswer) for answer in answers)


@pytest.mark.parametrize("is_shared", [False, True])
def test_requests_a_minute_are_spaced(tmp_path_factory, is_shared):
    def asked_s() -> float:
        slots = tmp_path_factory.mktemp("slots") if is_shared else None
        with Endpoint() as endpoint:
            start_s = monotonic()
            answers_of(endpoint.base_url, 30, slots, requests_per_minute=1_200)
            if is_shared:  # the next process goes on where this one has ended
                answers_of(endpoint.base_url, 10, slots, requests_per_minute=1_200)
            return monotonic() - start_s

    expected_s = (40 if is_shared else 30) * 60 / 1_200 - 1.0
    assert asked_s() > expected_s * 0.9


def test_pace_that_another_process_holds_is_waited_for_and_no_answer_is_lost(tmp_path):
    """Neither the request nor the tokens of its answer fail for the lock, and the loop goes on."""

    async def run() -> Any:
        settings = EndpointSettings(
            base_url=endpoint.base_url, model="qwen", requests_per_minute=6_000
        )
        client = ModelClient("local", settings, Budget(), tmp_path)
        held = file_lock(tmp_path / "local.pace")
        asked = asyncio.create_task(client.ask(QUESTION))
        await asyncio.sleep(1.3)
        assert (endpoint.requests, asked.done()) == ([], False)
        held.close()
        while not (endpoint.requests or asked.done()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        with file_lock(tmp_path / "local.pace", 30):
            answer = await asked
        await client.close()
        return answer

    with Endpoint(delay_s=0.2) as endpoint:
        assert isinstance(asyncio.run(run()), ModelAnswer)
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("content", [b"", b"half", b"\xff" * 8, b"\xff" * 40, "set back"])
def test_pace_that_cannot_be_kept_begins_again(tmp_path, content):
    if content == "set back":  # the clock was, since this was written
        content = struct.pack("<d", time() + 3_600)
    (tmp_path / "local.pace").write_bytes(content)
    with Endpoint() as endpoint:
        answers = answers_of(endpoint.base_url, 2, tmp_path, 60, requests_per_minute=6_000)
    assert all(isinstance(answer, ModelAnswer) for answer in answers)
    assert (tmp_path / "local.pace").stat().st_size == 8
