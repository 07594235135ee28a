"""Agents that block run side by side, in threads, and change no event by that."""

import asyncio
import contextvars
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

import pytest
from tests.log.committers import until
from tests.sim.toys import Adder, Doer, add, always, config, played

from thence.core.values.codec import Members
from thence.errors import RunDiverged
from thence.replica import new_id
from thence.sim import SimulationOrchestrator
from thence.sim.calls import COMPARISON, SLOW_S, Caller, ComponentRef, Waits, Watch
from thence.sim.recorded import RecordedRun
from thence.sim.replay_input import RecordedSteps

pytestmark = pytest.mark.promise("O9a")
WAIT_S = 30
COUNT = 30


def block():
    time.sleep(2 * SLOW_S)


def run_settings(**more):
    return config(simulation={"name": "toy", "max_turns": 3, "seed": 1, **more})


def test_thirty_blocking_agents_wait_at_the_same_time():
    all_here = threading.Barrier(COUNT)
    main = threading.current_thread()
    quick_threads = set()

    def meets(seen):
        if seen.turn == 1:
            block()
        else:
            all_here.wait(WAIT_S)
        return add()

    def quick(seen):
        quick_threads.add(threading.current_thread())

    agents = [Doer(f"a{number}", meets) for number in range(COUNT)]
    _, simulation = played(run_settings(), [*agents, Doer("q", quick)])
    assert simulation.history[-1].agent("a29")["x"] == 3
    assert quick_threads == {main}


@pytest.mark.parametrize("threads", [0, 1, 32])
def test_threads_change_no_event(threads):
    draws = contextvars.ContextVar("draws", default="outside")

    def answer(seen):
        block()
        assert draws.get() == "around"
        return add(seen.random("n").randrange(100) + seen["x"])

    def run(given, act):
        agents = [Doer("ada", always(add())), *[Doer(f"b{n}", act) for n in range(4)]]
        events, _ = played(given, agents)
        steps = {event.event_id: event.step for event in events.values()}
        return [
            (each.step, each.details, [steps[cause] for cause in each.caused_by])
            for each in events.values()
        ]

    draws.set("around")
    quick = run(run_settings(), lambda seen: add(seen.random("n").randrange(100) + seen["x"]))
    assert run(run_settings(threads=threads), answer) == quick


def test_blocking_validator_is_never_entered_twice_at_a_time():
    from thence.sim.agents import BaseValidator, Verdict

    inside = threading.Lock()
    threads = set()

    class Slow(BaseValidator):
        def validate_action(self, action, state):
            assert inside.acquire(blocking=False)
            block()
            threads.add(threading.current_thread())
            inside.release()
            return Verdict.accept()

    played(run_settings(), [Doer(f"a{n}", always(add())) for n in range(3)], validator=Slow())
    assert len(threads) > 1


@pytest.mark.parametrize("kind", ["called", "awaited", "in a thread"])
def test_component_that_is_waited_for_is_named_and_the_watch_ends(monkeypatch, caplog, kind):
    monkeypatch.setattr("thence.sim.calls.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("thence.sim.calls.NAMED_AFTER_S", 0.03)
    monkeypatch.setattr("thence.sim.calls.RECORDED_AFTER_S", 0.06)
    is_recorded = threading.Event()
    waits = Waits()
    named = []

    def on_wait(waiting):
        named.append(waiting)
        if caplog.records:
            is_recorded.set()

    async def waits_async():
        await asyncio.to_thread(is_recorded.wait, WAIT_S)

    def waits_here():
        is_recorded.wait(WAIT_S)

    async def asks():
        with Watch(waits, lambda: (3, 50), on_wait):
            await Caller(waits=waits).ask(
                [(waits_async if kind == "awaited" else waits_here, ())],
                lambda place: ComponentRef("agent ada"),
                1,
                timeout_of=(lambda place: 2 * WAIT_S) if kind == "in a thread" else None,
            )

    asyncio.run(asks())
    assert (named[0].turn, named[0].component, named[0].others) == (3, "agent ada", 0)
    assert caplog.text.count("still_waiting") == 1
    assert "agent ada" in caplog.text
    assert "thence-waits" not in {thread.name for thread in threading.enumerate()}


class Hanging(Mapping):
    """Details whose reading does not end before it may."""

    def __init__(self, may_end):
        self.may_end = may_end

    def __iter__(self):
        self.may_end.wait(WAIT_S)
        return iter(())

    def __len__(self):
        return 1

    def __getitem__(self, name):
        raise KeyError(name)


def test_comparison_of_a_replay_is_named_and_not_the_engine_in_whose_call_it_is(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("thence.sim.calls.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("thence.sim.calls.NAMED_AFTER_S", 0.03)
    agents = [Doer("ada", always(add()))]
    result = SimulationOrchestrator(
        config(turns=1), agents=agents, engine=Adder(), output_root=tmp_path
    ).run()
    with RecordedRun(result.output_dir) as run:
        stored = RecordedSteps(run.log.read())
    waits, may_end, named = Waits(), threading.Event(), []
    again = Members(
        new_id(),
        "ACTION",
        1,
        "",
        agent_id="ada",
        step="1.act.ada.0",
        details=Hanging(may_end),
    )

    def on_wait(waiting):
        named.append(waiting.component)
        may_end.set()

    async def asks():
        with Watch(waits, lambda: (1, 1), on_wait):
            await Caller(waits=waits).ask_one(
                ComponentRef("the engine"), lambda: stored.take(again)
            )

    with pytest.raises(RunDiverged):
        asyncio.run(asks())
    assert named == [COMPARISON]


def test_watch_outlives_a_callback_that_raises(monkeypatch, caplog):
    monkeypatch.setattr("thence.sim.calls.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("thence.sim.calls.NAMED_AFTER_S", 0.0)
    monkeypatch.setattr("thence.sim.calls.RECORDED_AFTER_S", 0.1)
    waits, named = Waits(), []

    def on_wait(waiting):
        named.append(waiting)
        raise OSError("the terminal is gone")

    async def waits_here():
        with Watch(waits, lambda: (3, 50), on_wait), waits.waiting_for("agent ada"):
            until(lambda: "still_waiting" in caplog.text)

    asyncio.run(waits_here())
    assert len(named) == 1
    assert "on_wait_failed" in caplog.text
    assert "OSError: the terminal is gone" in caplog.text


def test_async_agent_that_blocks_the_loop_is_named_before_those_it_keeps_waiting():
    waits = Waits()
    seen = []

    async def awaits():
        await asyncio.sleep(0)

    async def blocks():
        looks = threading.Thread(target=lambda: seen.extend(waits.longer_than(0)))
        looks.start()
        looks.join()

    names = ["agent ada", "agent bob"]
    asyncio.run(
        Caller(waits=waits).ask(
            [(awaits, ()), (blocks, ())], lambda place: ComponentRef(names[place]), 2
        )
    )
    assert [wait.component for wait in seen] == ["agent bob", "agent ada"]


HANGING_RUN = """
import signal, sys, threading
from thence.sim import SimulationOrchestrator
from thence.sim.agents import BaseAgent

class Hangs(BaseAgent):
    def decide_action(self, seen):
        if seen.turn == 2:
            print("hangs", flush=True)
            if sys.argv[2] == "in the agent's thread":
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            threading.Event().wait()
        threading.Event().wait(0.02)

run = SimulationOrchestrator(
    {"simulation": {"name": "toy", "max_turns": 3}}, output_root=sys.argv[1], agents=[Hangs("ada")]
)
print(run.run().status, flush=True)
"""


@pytest.mark.parametrize("comes", ["from outside", "in the agent's thread"])
def test_interrupt_ends_a_run_with_a_hanging_thread(tmp_path, comes):
    """A signal that another thread takes does not end the sleep of the loop's own thread."""
    command = [sys.executable, "-c", HANGING_RUN, str(tmp_path), comes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "hangs\n"
        if comes == "from outside":
            process.send_signal(signal.SIGINT)
        try:
            assert process.communicate(timeout=WAIT_S)[0] == "interrupted\n"
        finally:
            process.kill()
    assert process.returncode == 0
