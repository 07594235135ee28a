"""A step is told when it begins and when it ends, however it ends."""

import asyncio
import os
import pickle
import re
import sys
import time
from contextlib import suppress

import pytest
from tests.disks import GatedDisk, Scripted

import thence
from thence.core.codec import CAUSES_MAX
from thence.core.failures import is_failure
from thence.core.vocabulary import PLAIN
from thence.errors import EventTooLarge, InvalidEvent, LogFull, ThenceError, WriterClosed
from thence.log.causes import current_causes
from thence.log.files.disk import DiskError
from thence.log.open import Log
from thence.trace.causes.steps import MESSAGE_CHARACTERS_MAX


def types(log):
    return [event.event_type for event in log.read()]


@pytest.mark.promise("P1")
def test_step_is_begun_before_its_body_and_ended_after_it(log):
    words = {"subject": "order/881", "actor": "worker-3", "stream": "nightly"}
    facts = {"amount": 12, "name": "ada", "self": 1, "function": "f"}
    before = log.append("asked")
    with thence.because(before), thence.step("refund", log=log, **words, **facts) as begun:
        assert list(log.read())[-1] == begun
        inside = log.append("money.sent")
    ended = list(log.read())[-1]
    assert types(log) == ["asked", "refund.begun", "money.sent", "refund.ended"]
    assert (begun.begins, begun.ends, begun.caused_by) == (True, None, (before.event_id,))
    assert begun.payload == facts
    assert inside.caused_by == (begun.event_id,)
    assert (ended.begins, ended.ends, ended.caused_by) == (
        False,
        begun.event_id,
        (begun.event_id,),
    )
    for event in (begun, ended):
        assert (event.subject, event.actor, event.stream) == tuple(words.values())
    assert current_causes() == ()
    assert log.verify().findings == ()


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def told(kind, message):
    return "refund.failed", {"error_type": kind, "error_message": message}


OUTCOMES = [
    (ValueError("no stock"), told("ValueError", "no stock")),
    (KeyboardInterrupt(), told("KeyboardInterrupt", "")),
    (SystemExit(3), told("SystemExit", "3")),
    (ThenceError("could not", cause="é\0"), told("ThenceError", "could not: é\0")),
    (OSError("path \udcff"), told("OSError", "path \\udcff")),
    (Unspeakable(), told("Unspeakable", "")),
    (ValueError("x" * 2_000_000), told("ValueError", "x" * MESSAGE_CHARACTERS_MAX)),
    (asyncio.CancelledError("late"), ("refund.cancelled", {"reason": "late"})),
    (GeneratorExit(), ("refund.cancelled", {})),
]


@pytest.mark.promise("P1")
@pytest.mark.parametrize(("error", "outcome"), OUTCOMES, ids=lambda value: str(type(value)))
def test_error_is_told_and_goes_on_unchanged(log, error, outcome):
    with pytest.raises(type(error)) as caught, thence.step("refund", log=log) as begun:
        raise error
    assert caught.value is error
    end = list(log.read())[-1]
    facts = {key: value for key, value in end.payload.items() if key != "duration_s"}
    assert ((end.event_type, facts), end.ends) == (outcome, begun.event_id)
    assert current_causes() == ()
    assert is_failure(end) == ("failed" in outcome[0])


@pytest.mark.promise("P1", "O6")
def test_steps_nest_in_the_log_of_the_one_around(log):
    with thence.step("order", log=log) as order:
        with thence.step("pay") as pay:
            pass
        with pytest.raises(OSError), thence.step("ship") as ship:  # noqa: PT011
            raise OSError
        log.append("noted")
    by_type = {event.event_type: event for event in log.read()}
    assert pay.caused_by == ship.caused_by == by_type["noted"].caused_by == (order.event_id,)
    ends = [by_type[name].event_id for name in ("pay.ended", "ship.failed")]
    assert by_type["order.ended"].caused_by == (order.event_id, *ends)


def test_end_names_the_last_of_very_many_steps_inside(log):
    with thence.step("order", log=log) as begun:
        for _ in range(CAUSES_MAX + 5):
            with thence.step("pay"):
                pass
    ended = list(log.read())[-1]
    last = [event.event_id for event in log.read() if event.event_type == "pay.ended"]
    assert ended.caused_by == (begun.event_id, *last[1 - CAUSES_MAX :])
    assert not any(event.event_type == "log.joined" for event in log.read())


def test_step_that_is_taken_is_not_taken_again_before_it_ends(log):
    refund = thence.step("refund", log=log)
    with refund, pytest.raises(InvalidEvent, match="taken already"), refund:
        pass
    with refund:
        pass
    assert types(log) == ["refund.begun", "refund.ended"] * 2


def numbers():
    yield 1


REFUSED = [
    *[
        ({key: 1}, f"{key} is a word of append")
        for key in ("caused_by", "payload", "event_id", "ends", "guard", "timeout_s")
    ],
    *[({"name": name}, "is not a name") for name in ("", 7, b"x")],
    *[
        ({"function": function}, "is not a function")
        for function in (int, staticmethod(numbers), classmethod(numbers))
    ],
    *[
        ({"subject": text, "function": lambda order_id: order_id}, r"order/\{order_id\}")
        for text in ("order/{id}", "{}", "{order", "order}")
    ],
    *[({"log": log}, "not an open log") for log in ("folder", 7, lambda: "folder")],
    ({"log": None}, r"(?s)no log is known.*thence\.open"),
    ({"name": None}, "it has no name"),
]


def taken(at, name="x", function=None, **words):
    """Takes a step in a log, or decorates a function with it first."""
    step = thence.step(name, **{"log": at, **words})
    if function is not None:
        step(function)
    with step:
        pytest.fail("the body ran")


@pytest.mark.parametrize(("words", "why"), REFUSED)
def test_what_is_no_step_is_refused(log, words, why):
    with pytest.raises(InvalidEvent) as refused:
        taken(log, **words)
    assert re.search(why, f"{refused.value} {refused.value.hint}")
    assert types(log) == []


BULK = {f"key_{number}": "x" * 1_000 for number in range(1_100)}


def test_body_does_not_run_when_the_begin_can_not_be_stored(log):
    for payload, error in (({"a": object()}, InvalidEvent), (BULK, EventTooLarge)):
        with pytest.raises(error), thence.step("refund", log=log, **payload):
            pytest.fail("the body ran")

    async def take():
        async with thence.step("refund", log=log):
            pytest.fail("the body ran")

    assert types(log) == []
    log.close()
    with pytest.raises(WriterClosed):
        asyncio.run(take())
    assert current_causes() == ()


def test_end_that_can_not_be_stored_is_raised_unless_an_error_passes(tmp_path, caplog):
    disk = Scripted()
    log = Log(tmp_path, PLAIN, disk=disk)
    log.relay(())  # has made what a log needs beside its events
    full = DiskError(28, "No space left on device")
    with pytest.raises(LogFull), thence.step("refund", log=log):
        disk.error = {"write": full}
    assert current_causes() == ()
    disk.error = {}

    def fail():
        disk.error = {"write": full}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), thence.step("refund", log=log) as begun:
        fail()
    assert begun.event_id in caplog.text
    assert "step_not_ended" in caplog.text
    with pytest.raises(InvalidEvent, match=r"was not appended.* No space left"):
        _ = begun.ended
    disk.error = {}
    log.close()
    with pytest.raises(WriterClosed), thence.step("refund", log=log):
        pass


@pytest.mark.promise("P1")
def test_function_is_a_step_with_each_call(log):
    @thence.step("refund", log=lambda: log, subject="order/1")
    def refund(amount, *, note=""):
        """Pays back."""
        return paid(amount), note

    @thence.step
    def paid(amount):
        return amount + 1

    assert refund(1, note="n") == (2, "n")
    assert refund.__doc__ == "Pays back."
    with pytest.raises(TypeError):
        refund("a")
    begun, inner = ["refund.begun", "paid.begun"], ["paid.ended", "refund.ended"]
    failed = ["paid.failed", "refund.failed"]
    assert types(log) == begun + inner + begun + failed
    with pytest.raises(InvalidEvent, match="no log is known"):
        paid(1)


@pytest.mark.promise("P1")
def test_async_function_is_a_step_until_it_is_awaited(log):
    @thence.step(log=log)
    async def refund(amount):
        async with thence.step("pay") as pay:
            await asyncio.sleep(0)
            assert log.append("noted").caused_by == (pay.event_id,)
        return amount

    assert asyncio.run(refund(7)) == 7
    assert types(log) == ["refund.begun", "pay.begun", "noted", "pay.ended", "refund.ended"]
    assert log.verify().findings == ()


@pytest.mark.parametrize("moment", ["begin", "body", "end"])
def test_cancelled_task_ends_its_step(tmp_path, moment):
    disk = GatedDisk()
    log = Log(tmp_path, PLAIN, disk=disk)
    log.relay(())  # has made what a log needs beside its events
    inside = asyncio.Event()
    going_on = asyncio.Event()

    async def work():
        async with thence.step("work", log=log):
            inside.set()
            await going_on.wait()

    async def cancel():
        task = asyncio.create_task(work())
        if moment != "begin":
            disk.gate.set()
            await inside.wait()
        disk.arrived.clear()
        if moment == "end":
            disk.gate.clear()
            going_on.set()
        if moment != "body":
            await asyncio.to_thread(disk.arrived.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        disk.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert types(log) == ["work.begun", "work.ended" if moment == "end" else "work.cancelled"]
    log.close()


@pytest.mark.promise("A2b")
def test_generator_is_a_step_from_its_first_item_to_its_end(log):
    @thence.step("count", log=log)
    def numbers(limit):
        """Counts."""
        total = 0
        for number in range(limit):
            total += yield number, log.append("inside").caused_by
        return total

    walk = numbers(2)
    assert (types(log), numbers.__doc__) == ([], "Counts.")
    number, causes = walk.send(None)
    begun = next(iter(log.read()))
    assert (number, causes) == (0, (begun.event_id,))
    assert log.append("between").caused_by == ()
    assert walk.send(3) == (1, (begun.event_id,))
    with pytest.raises(StopIteration) as stopped:
        walk.send(4)
    assert stopped.value.value == 7
    dropped, thrown = numbers(5), numbers(5)
    next(dropped)
    dropped.close()
    next(thrown)
    with pytest.raises(ValueError, match="thrown"):
        thrown.throw(ValueError("thrown"))
    ends = [name for name in types(log) if name.startswith("count.") and name != "count.begun"]
    assert ends == ["count.ended", "count.cancelled", "count.failed"]


@pytest.mark.promise("A2b")
def test_async_generator_is_a_step_and_takes_what_is_sent_and_thrown(log):
    closed = []

    @thence.step("count", log=log)
    async def numbers():
        try:
            sent = yield log.append("inside").caused_by
            while True:
                try:
                    sent = yield sent
                except KeyError:
                    sent = "caught"
        finally:
            closed.append(True)

    @thence.step("once", log=log)
    async def once():
        yield 1

    async def main():
        walk = numbers()
        causes = await walk.asend(None)
        between = log.append("between").caused_by
        sent = [await walk.asend(1), await walk.athrow(KeyError()), await walk.asend(2)]
        await walk.aclose()
        return causes, between, sent, [item async for item in once()]

    causes, between, sent, short = asyncio.run(main())
    begun = next(iter(log.read()))
    assert (causes, between, sent, short) == ((begun.event_id,), (), [1, "caught", 2], [1])
    assert types(log)[-4:] == ["between", "count.cancelled", "once.begun", "once.ended"]
    assert closed == [True]


@pytest.mark.promise("A2b")
def test_what_a_step_learned_stands_in_its_end_however_it_ends(log):
    with thence.step("ask", log=log) as ask:
        ask.set(tokens=1, result="a")
        ask.set(tokens=812, cost=0.02)
    told = {"tokens": 812, "result": "a", "cost": 0.02, "duration_s": 0}
    assert {**ask.ended.payload, "duration_s": 0} == told
    with suppress(ValueError), thence.step("ask", log=log) as failed:
        failed.set(tokens=3)
        raise ValueError("late")
    assert failed.ended.payload["tokens"] == 3
    assert failed.ended.payload["error_type"] == "ValueError"


def test_what_no_end_holds_is_refused_where_it_is_set(log):
    with thence.step("ask", log=log) as ask:
        for facts in (
            {"duration_s": 1},
            {"error_type": "x"},
            {"result": object()},
            {"n": float("nan")},
            {"n": "\ud800"},
        ):
            with pytest.raises(InvalidEvent):
                ask.set(**facts)
    assert list(ask.ended.payload) == ["duration_s"]
    with pytest.raises(InvalidEvent, match="it ended"):
        ask.set(tokens=1)


@pytest.mark.promise("A2b")
def test_retry_names_the_end_of_what_it_tries_again(log):
    with pytest.raises(OSError, match="away"), thence.step("send", log=log) as first:
        raise OSError("away")
    with thence.step("send", log=log, retry_of=first, n=2) as second:
        pass
    with thence.step("send", log=log, retry_of=second.begun.event_id) as third:
        pass
    assert second.payload == {"n": 2, "retry_of": first.event_id}
    assert second.caused_by == (first.ended.event_id,)
    assert third.caused_by == (second.event_id,)


@pytest.mark.promise("A2b")
def test_subject_of_a_decorated_function_is_taken_from_its_arguments(log):
    @thence.step("pay", log=log, subject="order/{order.number}", actor="{who}")
    def pay(order, *, who="till"):
        return log.append("paid")

    class Order:
        number = 881

    @thence.step(log=log, subject="order/{order_id}")
    async def ship(order_id):
        pass

    pay(Order())
    pay(order=Order(), who="ada")
    asyncio.run(ship(7))
    begun = [event for event in log.read() if event.begins]
    words = [("order/881", "till"), ("order/881", "ada"), ("order/7", None)]
    assert [(event.subject, event.actor) for event in begun] == words
    with pytest.raises(TypeError, match="missing"):
        pay()
    with pytest.raises(InvalidEvent, match="fit no call"):
        pay("no order")
    with thence.step("literal", log=log, subject="a{b}") as literal:
        assert literal.subject == "a{b}"


@pytest.mark.promise("A2b")
def test_step_that_need_not_be_durable_is_queued(tmp_path):
    disk = Scripted()
    with Log(tmp_path / "log", PLAIN, disk=disk) as log:
        log.append("first")
        before = disk.count("sync_data")
        for _ in range(100):
            with thence.step("cheap", log=log, durable=False, n=1) as cheap:
                inside = log.emit("inside")
        log.flush()
        assert disk.count("sync_data") - before < 100
        begun, within, ended = list(log.read())[-3:]
        assert [event.event_id for event in (begun, within, ended)] == [
            cheap.event_id,
            inside,
            cheap.ended.event_id,
        ]
        assert within.caused_by == ended.caused_by == (begun.event_id,)
        assert (begun.payload, begun.begins, ended.ends) == ({"n": 1}, True, begun.event_id)


def test_step_that_finds_the_queue_full_is_appended(tmp_path):
    with thence.open(tmp_path / "log", max_queue_size=1, on_full="drop") as log:
        for _ in range(50):
            with thence.step("cheap", log=log, durable=False):
                pass
        log.flush()
        names = types(log)
        assert log.verify().findings == ()
    assert names.count("cheap.begun") == names.count("cheap.ended") == 50


def test_step_in_a_simulations_log_belongs_to_the_run(tmp_path):
    with thence.open(tmp_path / "run-1", "sim") as log:
        with thence.step("consult", log=log, actor="ada", model="m") as begun:
            pass
        assert begun.members["details"] == {"model": "m"}
        for event in log.read():
            assert (event.simulation_id, event.members["agent_id"]) == ("run-1", "ada")
        with pytest.raises(InvalidEvent, match="subject"), thence.step("x", log=log, subject="s"):
            pass
        assert log.verify().findings == ()


def test_forked_child_does_not_end_its_parents_step(log):
    parent = os.getpid()
    try:
        with thence.step("work", log=log):
            child = os.fork()
            if child == 0:
                log.append("child")
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    except SystemExit:
        os._exit(0)
    finally:
        if os.getpid() != parent:
            os._exit(1)
    assert types(log) == ["work.begun", "child", "work.ended"]


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


@pytest.mark.promise("A2b")
def test_block_has_the_step_with_its_begin_and_its_end(log):
    async def work():
        async with thence.step("refund", log=log) as taken:
            return taken

    with thence.step("refund", log=log) as taken:
        with pytest.raises(InvalidEvent, match="it is open"):
            _ = taken.ended
        with thence.because(taken):
            inside = log.append("noted", caused_by=[taken])
    assert inside.caused_by == (taken.event_id,)
    for one in (taken, asyncio.run(work())):
        assert one == one.begun == log.get(one.event_id) == pickle.loads(pickle.dumps(one))
        assert type(one.begun) is thence.Event
        assert [one.ended] == [event for event in log.read() if event.ends == one.event_id]
    after = log.append("after", caused_by=[taken, taken.ended])
    assert after.caused_by == (taken.event_id, taken.ended.event_id)
    assert [event.event_type for event in log.read(after=taken)][-1] == "after"
    assert log.common_cause(taken, after) == taken


@pytest.mark.promise("A2b")
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


@pytest.mark.promise("A2b")
@pytest.mark.parametrize("durable", [True, False])
def test_end_that_is_too_large_is_appended_without_what_was_set(log, caplog, durable):
    with thence.step("pay", log=log, durable=durable) as paid:
        paid.set(**BULK)
    with suppress(ValueError), thence.step("pay", log=log, durable=durable) as unpaid:
        unpaid.set(**BULK)
        raise ValueError("no card")
    log.flush()
    ends = [event for event in log.read() if event.ends]
    assert [event.event_type for event in ends] == ["pay.ended", "pay.failed"]
    assert ends[0].payload.keys() == {"duration_s"}
    assert ends[1].payload["error_message"] == "no card"
    for event in ends:
        assert event.members["repairs"][0]["path"] == "payload"
    assert paid.ended.event_id == ends[0].event_id
    assert caplog.text.count("step_end_cut") == 2
