"""What is appended while the error of a failed step is handled has the step's end as cause."""

import asyncio
import copy
import gc
import pickle
import weakref

import pytest
from tests.trace.causes.test_context import DOORS

import thence
from thence.sim import EventWriter, create_decision_event


def types(log, event):
    return [log.get(cause).event_type for cause in event.caused_by]


def failed(log, name="pay", error=None):
    """Fails a step and returns it, with its error."""
    with pytest.raises(Exception) as caught, thence.step(name, log=log) as step:  # noqa: PT011
        raise ValueError("declined") if error is None else error
    return step, caught.value


@pytest.mark.promise("A2")
def test_what_follows_a_failure_tells_of_it(log):
    placed = log.append("order.placed", subject="order/7")
    with thence.because(placed):
        try:
            with thence.step("pay", log=log, subject="order/7") as pay:
                raise ValueError("declined")
        except ValueError:
            cancelled = log.append("order.cancelled", subject="order/7")
        after = log.append("order.noted")
    assert cancelled.caused_by == (placed.event_id, pay.ended.event_id)
    assert after.caused_by == (placed.event_id,)
    told = [event.event_type for event in log.why("order/7").chain]
    assert told == ["order.placed", "pay.begun", "pay.failed", "order.cancelled"]
    log.rebuild()
    assert [event.event_type for event in log.why("order/7").chain] == told
    assert "ValueError: declined" in log.why("order/7").sentences[-2]


@pytest.mark.parametrize("door", DOORS)
def test_every_door_names_the_end(door, log):
    step, error = failed(log)
    other = log.append("other")
    try:
        raise error
    except ValueError:
        event = DOORS[door](log, other)
    assert event.caused_by == (other.event_id, step.ended.event_id)
    assert DOORS[door](log, other).caused_by == (other.event_id,)


def test_the_latest_step_that_the_error_has_left_is_named(log):
    try:
        with thence.step("order", log=log):
            try:
                with thence.step("pay"):
                    raise ValueError
            except ValueError:
                inside = log.append("inside")
                raise
            finally:
                log.append("finally")
    except ValueError:
        outside = log.append("outside")
    assert types(log, inside) == ["order.begun", "pay.failed"]
    assert types(log, outside) == ["order.failed"]
    assert types(log, log.resolve("@last-error")) == ["order.begun", "pay.failed"]
    assert [event.caused_by for event in log.read() if event.event_type == "finally"] == [
        inside.caused_by
    ]


@pytest.mark.parametrize("how", ["from", "context", "from none", "group", "except*"])
def test_errors_that_hang_together_are_handled_together(log, how):
    pay, error = failed(log)
    ship, late = failed(log, "ship", OSError("late"))
    try:
        try:
            raise error
        except ValueError:
            if how == "from":
                raise RuntimeError from late
            if how == "context":
                raise late  # noqa: B904
            if how == "from none":
                raise late from None
        raise ExceptionGroup("both", [error, late])
    except* (ValueError, OSError, RuntimeError):
        event = log.append("noted")
    assert set(event.caused_by) == {pay.ended.event_id, ship.ended.event_id}


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_that_several_tasks_receive_names_in_each_its_own_step(log, is_async):
    begun = []

    async def work(ready):
        step = thence.step("job", log=log)
        try:
            if is_async:
                async with step as taken:
                    begun.append(taken)
                    await ready
            else:
                with step as taken:
                    begun.append(taken)
                    await ready
        except ConnectionError:
            return taken, log.append("gave.up").caused_by
        raise AssertionError

    async def bystand(ready):
        with pytest.raises(ConnectionError):
            await ready
        try:
            await ready
        except ConnectionError:
            return log.append("noted").caused_by

    async def main():
        ready = asyncio.get_running_loop().create_future()
        jobs = [asyncio.create_task(work(ready)) for _ in range(5)]
        while len(begun) < len(jobs):  # noqa: ASYNC110
            await asyncio.sleep(0)
        ready.set_exception(ConnectionError("lost"))
        return await asyncio.gather(*jobs), await bystand(ready)

    jobs, beside = asyncio.run(main())
    for taken, causes in jobs:
        assert taken.ended.caused_by == (taken.event_id,)
        assert causes == (taken.ended.event_id,)
    assert beside == ()


class Hostile(Exception):
    """An error that refuses all that can be refused."""

    __hash__ = None

    def __setattr__(self, name, value):
        raise RuntimeError(name)

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        return True

    def __bool__(self):
        return False


def test_the_very_error_counts_whatever_its_class_does(log):
    step, error = failed(log, error=Hostile())
    try:
        raise error
    except Hostile:
        assert log.append("noted").caused_by == (step.ended.event_id,)


class Weak(Exception):
    """An error of Python takes weak references."""


def test_copies_are_other_errors_and_no_error_is_kept_alive(log):
    _, error = failed(log, error=Weak())
    copies = [copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))]
    for other in (*copies, error.with_traceback(None)):
        try:
            raise other
        except Weak:
            assert log.append("noted").caused_by == ()
    gone = weakref.ref(error)
    del error, other, copies
    gc.collect()
    assert gone() is None


@pytest.mark.promise("O6")
def test_an_end_in_another_log_is_named_as_such(log, tmp_path):
    step, error = failed(log)

    async def retry(other):
        async with thence.step("retry", log=other) as taken:
            return taken

    with thence.open(tmp_path / "other") as other:
        try:
            raise error
        except ValueError:
            events = [other.append("alert"), asyncio.run(retry(other)).begun]
        for event in events:
            assert event.caused_by == (step.ended.event_id,)
            assert event.external_causes == (log.handed_on(step.ended).text,)
            assert event.lamport_clock > step.ended.lamport_clock
        assert other.verify().findings == ()


def test_events_of_a_simulation_name_what_their_writer_was_given(log, tmp_path):
    _, error = failed(log)
    with EventWriter(tmp_path / "run", "run", mode="sync") as writer:
        try:
            raise error
        except ValueError:
            writer.emit(create_decision_event("run", 1, "ada", "trade", None, "rest"))
    with thence.open(tmp_path / "run") as run:
        assert {event.caused_by for event in run.read()} == {()}
