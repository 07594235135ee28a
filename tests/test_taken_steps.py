"""What a block has of its step, and what steps inside take over."""

import asyncio
import pickle

import pytest

import thence
from thence.errors import InvalidEvent


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "log") as opened:
        yield opened


@pytest.mark.promise("A2")
@pytest.mark.parametrize("is_async", [False, True])
def test_block_has_the_step_with_its_begin_and_its_end(log, is_async):
    async def work():
        step = thence.step("refund", log=log)
        async with step as taken:
            return taken

    with thence.step("refund", log=log) as taken:
        with pytest.raises(InvalidEvent, match="it is open"):
            _ = taken.ended
        with thence.because(taken):
            inside = log.append("noted", caused_by=[taken])
    if is_async:
        taken = asyncio.run(work())
    begun, ended = list(log.read())[-2 if is_async else 0], list(log.read())[-1]
    assert taken == taken.begun == begun
    assert type(taken.begun) is thence.Event
    assert taken.ended == ended
    assert pickle.loads(pickle.dumps(taken)).ended == ended
    assert is_async or inside.caused_by == (taken.event_id,)
    after = log.append("after", caused_by=[taken, taken.ended])
    assert after.caused_by == (begun.event_id, ended.event_id)
    assert [event.event_type for event in log.read(after=taken)][-1] == "after"
    assert log.common_cause(taken, after) == begun


@pytest.mark.promise("A2")
def test_steps_inside_take_over_subject_and_actor(log, tmp_path):
    @thence.step
    def ship():
        return None

    async def weigh():
        async with thence.step("weigh", actor="scale") as taken:
            return taken

    with (
        thence.open(tmp_path / "other") as other,
        thence.step("order", log=log, subject="order/7", actor="shop", stream="s"),
    ):
        with thence.step("pay", subject="bill/1") as pay, thence.step("book") as book:
            assert log.append("noted").subject is None
        with thence.step("audit", log=other) as audit:
            pass
        ship()
        events = [pay, book, audit, asyncio.run(weigh())]
    words = [("bill/1", "shop"), ("bill/1", "shop"), (None, None), ("order/7", "scale")]
    for event, subject_and_actor in zip(events, words, strict=True):
        assert (event.subject, event.actor) == subject_and_actor
        assert (event.ended.subject, event.ended.actor) == subject_and_actor
        assert event.stream is None
    shipped = [event for event in log.read() if event.event_type.startswith("ship.")]
    assert [event.subject for event in shipped] == ["order/7"] * 2
