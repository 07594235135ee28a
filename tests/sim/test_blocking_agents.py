"""Agents that block run side by side, in threads, and change no event by that."""

import asyncio
import contextvars
import logging
import subprocess
import sys
import threading
import time

import pytest
from tests.sim.toys import Doer, add, always, config, played

from thence.sim.concurrency import SLOW_S, Caller, Part

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
    from thence.sim.actions import Verdict
    from thence.sim.validator import BaseValidator

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


@pytest.mark.parametrize("is_async", [True, False])
def test_component_that_is_waited_for_is_named(caplog, is_async):
    is_named = threading.Event()

    class Named(logging.Handler):
        def emit(self, record):
            is_named.set()

    def waits():
        is_named.wait(WAIT_S)

    async def waits_async():
        await asyncio.to_thread(is_named.wait, WAIT_S)

    logger = logging.getLogger("thence.sim")
    handler = Named()
    logger.addHandler(handler)
    try:
        caller = Caller(report_wait_s=0.01)
        asyncio.run(
            caller.ask(
                [(waits_async if is_async else waits, ())],
                lambda place: Part("agent ada"),
                timeout_of=None if is_async else lambda place: 2 * WAIT_S,
            )
        )
    finally:
        logger.removeHandler(handler)
    assert "still_waiting" in caplog.text
    assert "agent ada" in caplog.text


HANGING_RUN = """
import sys, threading
from thence.sim import SimulationOrchestrator
from thence.sim.agents import BaseAgent

class Hangs(BaseAgent):
    def decide_action(self, seen):
        if seen.turn == 2:
            print("hangs", flush=True)
            threading.Event().wait()
        threading.Event().wait(0.02)

run = SimulationOrchestrator(
    {"simulation": {"name": "toy", "max_turns": 3}}, output_root=sys.argv[1], agents=[Hangs("ada")]
)
print(run.run().status, flush=True)
"""


def test_interrupt_ends_a_run_with_a_hanging_thread(tmp_path):
    import signal

    command = [sys.executable, "-c", HANGING_RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=WAIT_S)[0] == "interrupted\n"
        assert process.returncode == 0
