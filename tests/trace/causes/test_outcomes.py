"""An answer from outside is recorded, and taken again by the program that is run again."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cli.installed import in_python
from tests.cli.warm import warm

import thence
from thence.errors import InvalidEvent

ASKED = {"model": "m", "messages": [{"role": "user", "content": "2 + 2?"}]}


def refuse():
    raise AssertionError("it was called")


@pytest.mark.promise("A2c")
def test_answer_is_recorded_and_taken_again_by_the_next_process(tmp_path):
    answers = iter(["4", "four"])
    with thence.open(tmp_path / "log") as log:
        first, second = (thence.outcome(ASKED, lambda: next(answers), log=log) for _ in range(2))
        both = [(o.value, o.is_recorded) for o in (first, second)]
        assert both == [("4", False), ("four", False)]
        begun, ended = list(log.read())[:2]
        assert begun.payload == {"request": ASKED}
        assert (ended, ended.payload["result"]) == (first.event, "4")
    with thence.open(tmp_path / "log") as log:
        again = [thence.outcome(ASKED, refuse, log=log) for _ in range(2)]
        assert [(o.value, o.is_recorded) for o in again] == [("4", True), ("four", True)]
        third = thence.outcome(ASKED, lambda: {"n": 3}, log=log)
        with thence.because(again[0]):
            used = log.append("used")
        assert (third.value, third.is_recorded) == ({"n": 3}, False)
        assert used.caused_by == (first.event_id,)
        assert log.verify().findings == ()


PROGRAM = """
import os, signal, sys, thence
calls = 0
def call(n):
    global calls
    calls += 1
    if sys.argv[1] == "killed" and n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n
with thence.open("log") as log, thence.step("loop", log=log):
    values = [thence.outcome({"n": n}, lambda: call(n)).value for n in range(5)]
print(values, calls)
"""


@pytest.mark.promise("A2c")
def test_killed_loop_pays_only_for_the_calls_that_were_missing(tmp_path):
    assert in_python(PROGRAM, "killed", cwd=tmp_path).code == -signal.SIGKILL
    told = warm("unfinished", "--log", "log", "--json", cwd=tmp_path).json["unfinished"]
    assert [step["event"]["event_type"] for step in told] == ["loop.begun", "call.begun"]
    assert not any(step["is_alive"] for step in told)
    resumed = in_python(PROGRAM, "on", cwd=tmp_path)
    assert (resumed.out, resumed.code) == ("[0, 1, 4, 9, 16] 2\n", 0)


@pytest.mark.promise("A2c")
def test_call_that_failed_is_asked_again(tmp_path):
    def fail():
        raise OSError("away")

    with thence.open(tmp_path / "log") as log, pytest.raises(OSError, match="away"):
        thence.outcome(ASKED, fail, log=log)
    with thence.open(tmp_path / "log") as log:
        assert [event.event_type for event in log.read()] == ["call.begun", "call.failed"]
        assert thence.outcome(ASKED, lambda: 5, log=log).value == 5


@pytest.mark.promise("A2c")
def test_async_calls_names_and_streams_are_told_apart(tmp_path):
    async def answer():
        return "async"

    async def main(log):
        with thence.step("run", log=log, stream="a"):
            return await thence.outcome_async(ASKED, answer, name="ask")

    with thence.open(tmp_path / "log") as log:
        first = asyncio.run(main(log))
        event = first.event
        assert (first.value, event.stream, event.event_type) == ("async", "a", "ask.ended")
    with thence.open(tmp_path / "log") as log:
        others = [
            thence.outcome(ASKED, lambda: 1, name="ask", stream="b", log=log),
            thence.outcome(ASKED, lambda: 2, stream="a", log=log),
            thence.outcome([ASKED], lambda: 3, name="ask", stream="a", log=log),
        ]
        assert [(o.value, o.is_recorded) for o in others] == [(1, False), (2, False), (3, False)]
        again = asyncio.run(main(log))
        assert (again.event_id, again.is_recorded) == (first.event_id, True)
    with thence.open(tmp_path / "log") as log:
        same = {"messages": ASKED["messages"], "model": "m"}  # the order of keys says nothing
        assert thence.outcome(same, refuse, name="ask", stream="a", log=log).value == "async"


def test_same_request_of_many_threads_takes_each_answer_once(tmp_path):
    with thence.open(tmp_path / "log") as log:
        for number in range(20):
            thence.outcome(ASKED, lambda number=number: number, log=log)
    with thence.open(tmp_path / "log") as log, ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(thence.outcome, ASKED, refuse, log=log) for _ in range(20)]
        assert sorted(future.result().value for future in futures) == list(range(20))


@pytest.mark.parametrize("value", [len, float("nan"), object(), {1: 2}, "\ud800"])
def test_what_json_can_not_hold_is_refused(log, value):
    with pytest.raises(InvalidEvent):
        thence.outcome(value, refuse, log=log)
    assert list(log.read()) == []
    with pytest.raises(InvalidEvent):
        thence.outcome(ASKED, lambda: value, log=log)
    assert thence.outcome(ASKED, lambda: 1, log=log).value == 1


def test_log_must_be_known():
    with pytest.raises(InvalidEvent, match="no log is known here"):
        thence.outcome(ASKED, refuse)
