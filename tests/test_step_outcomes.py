"""How a step was left: whether it failed or was cancelled, and how long it took."""

import asyncio
import time

import pytest

import thence
from thence.errors import ThenceError


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path) as opened:
        yield opened


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("error", "payload"),
    [(asyncio.CancelledError("late"), {"reason": "late"}), (GeneratorExit(), {})],
    ids=["task", "generator"],
)
def test_cancellation_is_apart_from_failure(log, error, payload):
    with pytest.raises(type(error)) as caught, thence.step("refund", log=log) as begun:
        raise error
    assert caught.value is error
    cancelled = list(log.read())[-1]
    assert (cancelled.event_type, cancelled.ends) == ("refund.cancelled", begun.event_id)
    assert cancelled.payload == {**payload, "duration_s": cancelled.payload["duration_s"]}
    with pytest.raises(ThenceError):
        log.find("@last-error")


@pytest.mark.promise("P1")
def test_each_end_says_how_long_the_body_took(log):
    began = time.monotonic()
    with thence.step("slow", log=log):
        inside = time.monotonic()
        while time.monotonic() < inside + 0.05:
            pass
    with pytest.raises(ValueError, match="x"), thence.step("quick", log=log):
        raise ValueError("x")
    took = time.monotonic() - began
    slow, quick = [event.payload["duration_s"] for event in log.read() if event.ends]
    assert 0.04 < slow <= took
    assert 0 <= quick <= took
    assert round(slow, 6) == slow
