"""A step is told when it begins and when it ends, however it ends."""

import asyncio
import os
import pickle
import signal
import sys
import time
from contextlib import suppress

import pytest
from tests.disks import GatedDisk, Scripted
from tests.log.processes import ran

import thence
from thence.core.codec import CAUSES_MAX
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
    before = log.append("asked")
    with thence.because(before), thence.step("refund", log=log, **words, amount=12) as begun:
        assert list(log.read())[-1] == begun
        inside = log.append("money.sent")
    ended = list(log.read())[-1]
    assert types(log) == ["asked", "refund.begun", "money.sent", "refund.ended"]
    assert (begun.begins, begun.ends, begun.caused_by) == (True, None, (before.event_id,))
    assert begun.payload == {"amount": 12}
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


ERRORS = [
    (ValueError("no stock"), "ValueError", "no stock"),
    (KeyboardInterrupt(), "KeyboardInterrupt", ""),
    (SystemExit(3), "SystemExit", "3"),
    (ThenceError("could not", cause="é\0"), "ThenceError", "could not: é\0"),
    (OSError("path \udcff"), "OSError", "path \\udcff"),
    (Unspeakable(), "Unspeakable", ""),
    (ValueError("x" * 2_000_000), "ValueError", "x" * MESSAGE_CHARACTERS_MAX),
]


@pytest.mark.promise("P1")
@pytest.mark.parametrize(("error", "kind", "message"), ERRORS, ids=lambda value: str(type(value)))
def test_error_is_told_and_goes_on_unchanged(log, error, kind, message):
    with pytest.raises(type(error)) as caught, thence.step("refund", log=log) as begun:
        raise error
    assert caught.value is error
    failed = list(log.read())[-1]
    assert (failed.event_type, failed.ends) == ("refund.failed", begun.event_id)
    assert {**failed.payload, "duration_s": 0} == {
        "error_type": kind,
        "error_message": message,
        "duration_s": 0,
    }
    assert log.resolve("@last-error") == failed
    assert current_causes() == ()


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


def test_step_in_another_log_is_no_cause_of_the_end_here(log, tmp_path):
    with thence.open(tmp_path / "other") as other:
        with thence.step("order", log=log) as order, thence.step("pay", log=other) as pay:
            assert log.append("noted").caused_by == (pay.event_id,)
        assert list(log.read())[-1].caused_by == (order.event_id,)
        assert types(other) == ["pay.begun", "pay.ended"]


def test_step_without_a_log_says_what_to_pass(log):
    with pytest.raises(InvalidEvent, match="no log is known") as caught, thence.step("refund"):
        pass
    assert "thence.open" in caught.value.hint
    for wrong in ("folder", 7, lambda: "folder"):
        with pytest.raises(InvalidEvent, match="not an open log"), thence.step("x", log=wrong):
            pass
    assert types(log) == []


@pytest.mark.parametrize("key", ["caused_by", "payload", "event_id", "ends", "guard", "timeout_s"])
def test_words_of_append_are_no_keys_of_the_payload(log, key):
    with pytest.raises(InvalidEvent, match=f"{key} is a word of append"):
        thence.step("refund", log=log, **{key: 1})


def test_any_other_key_is_a_key_of_the_payload(log):
    with thence.step("refund", log=log, name="ada", self=1, function="f") as begun:
        pass
    assert begun.payload == {"name": "ada", "self": 1, "function": "f"}


@pytest.mark.parametrize("name", ["", 7, b"x"])
def test_name_is_a_text(log, name):
    with pytest.raises(InvalidEvent, match="is not a name"):
        thence.step(name, log=log)
    with pytest.raises(InvalidEvent, match="it has no name"), thence.step(log=log):
        pass


def test_step_that_is_taken_is_not_taken_again_before_it_ends(log):
    refund = thence.step("refund", log=log)
    with refund, pytest.raises(InvalidEvent, match="taken already"), refund:
        pass
    with refund:
        pass
    assert types(log) == ["refund.begun", "refund.ended"] * 2


BULK = {f"key_{number}": "x" * 1_000 for number in range(1_100)}


def test_body_does_not_run_when_the_begin_can_not_be_stored(log):
    for payload, error in (({"a": object()}, InvalidEvent), (BULK, EventTooLarge)):
        with pytest.raises(error), thence.step("refund", log=log, **payload):
            pytest.fail("the body ran")
    assert types(log) == []
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


@pytest.mark.promise("O6")
def test_tasks_beside_each_other_have_steps_of_their_own(log):
    async def work(number):
        async with thence.step("work", n=number) as begun:
            await asyncio.sleep(0)
            return begun, await asyncio.to_thread(lambda: log.append("done", {"n": number}))

    async def all_of_them():
        async with thence.step("all", log=log) as outer:
            return outer, await asyncio.gather(*map(work, range(20)))

    outer, found = asyncio.run(all_of_them())
    for begun, done in found:
        assert done.caused_by == (begun.event_id,)
        assert done.payload == begun.payload
        assert begun.caused_by == (outer.event_id,)
    assert len(list(log.read())[-1].caused_by) == 21


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


def test_error_of_a_begin_that_is_awaited_is_raised(tmp_path):
    async def work():
        async with thence.step("work", log=log):
            pytest.fail("the body ran")

    log = thence.open(tmp_path)
    log.close()
    with pytest.raises(WriterClosed):
        asyncio.run(work())


def test_what_is_no_function_is_no_step(log):
    def numbers():
        yield 1

    for wrong in (int, staticmethod(numbers), classmethod(numbers)):
        with pytest.raises(InvalidEvent, match="is not a function"):
            thence.step("x", log=log)(wrong)


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


@pytest.mark.parametrize("subject", ["order/{id}", "{}", "{order", "order}"])
def test_subject_that_names_no_argument_is_refused_when_it_is_decorated(log, subject):
    with pytest.raises(InvalidEvent) as refused:

        @thence.step("pay", log=log, subject=subject)
        def pay(order_id):
            pass

    assert "order/{order_id}" in refused.value.hint


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


def test_interrupted_and_ended_programs_end_their_steps(tmp_path):
    code = """
import os, signal, sys, thence
with thence.open(sys.argv[1]) as log, thence.step("work", log=log):
    {end}
"""
    for end in (f"os.kill(os.getpid(), {int(signal.SIGINT)})", "sys.exit(0)"):
        ran(code.format(end=end), tmp_path, check=False)
    failed = [event.payload for event in thence.open(tmp_path).read() if event.ends]
    assert [facts["error_type"] for facts in failed] == ["KeyboardInterrupt", "SystemExit"]


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
        log.resolve("@last-error")


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
    assert pickle.loads(pickle.dumps(taken)) == begun
    assert is_async or inside.caused_by == (taken.event_id,)
    after = log.append("after", caused_by=[taken, taken.ended])
    assert after.caused_by == (begun.event_id, ended.event_id)
    assert [event.event_type for event in log.read(after=taken)][-1] == "after"
    assert log.common_cause(taken, after) == begun


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
