"""Components are called async, in threads or at once, in any mix; what keeps waiting is named."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.log.committers import until
from tests.sim.toys import Adder, Doer, add, always, config, played, soon

from thence.sim.run.agents import BaseValidator, Verdict
from thence.sim.run.calls import CONCURRENT_MAX, Caller, ComponentRef, Waits, watched

pytestmark = pytest.mark.promise("O9a")


def awaited(action):
    return lambda observation: soon(action)


class AsyncValidator(BaseValidator):
    async def validate_action(self, action, state):
        return await soon(Verdict(state.agent(action.agent_id)["x"] < 2))


class AsyncEngine(Adder):
    async def initialize_state(self, state):
        return await soon(state.replace({("global", "sum"): 5}))

    async def apply_action(self, view, action):
        await asyncio.sleep(0)
        Adder.apply_action(self, view, action)

    async def apply_engine_rules(self, view):
        with view.rule("sum"):
            view.world["sum"] = await soon(view.agent("ada")["x"] + view.agent("ben")["x"])

    async def check_termination(self, state):
        return await soon("rich" if state.world["sum"] >= 4 else None)


class AsyncApplying(Adder):
    async def apply_actions(self, state, actions, writes):
        for action in actions:
            with writes.action(action) as view:
                view.agent(action.agent_id)["x"] = await soon(action.payload["amount"])


@pytest.mark.promise("O9")
@pytest.mark.parametrize("ada", [always, awaited])
@pytest.mark.parametrize("ben", [always, awaited])
def test_async_and_sync_agents_give_the_same_events(ada, ben):
    agents = [Doer("ada", ada(add())), Doer("ben", ben([add(), add(2)]))]
    events, simulation = played(config(turns=3), agents)
    assert simulation.history[-1].agent("ben")["x"] == 9
    decided = [step for step in events if step.startswith("2.decide")]
    assert decided == ["2.decide.ada.0", "2.decide.ben.0", "2.decide.ben.1"]


@pytest.mark.promise("O9")
def test_async_validator_and_engine_mix_with_sync_agents():
    agents = [Doer("ada", always(add())), Doer("ben", awaited(add()))]
    events, simulation = played(config(turns=9), agents, AsyncEngine(), AsyncValidator())
    assert simulation.reason == "rich"
    assert simulation.recorder.turn == 2
    assert simulation.history[0].world["sum"] == 5
    changes = {"1.apply0.ada.agent/ada/x", "2.apply0.ben.agent/ben/x", "2.sum.-.global/sum"}
    assert changes <= events.keys()


@pytest.mark.promise("O9")
def test_engine_may_apply_all_actions_in_a_coroutine():
    _, simulation = played(config(turns=1), [Doer("ada", awaited(add(7)))], AsyncApplying())
    assert simulation.history[-1].agent("ada")["x"] == 7


@pytest.mark.promise("O9")
def test_waiting_is_bounded():
    waiting, most = 0, 0

    async def counts(observation):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0)
        waiting -= 1
        return add()

    played(config(turns=1), [Doer(f"a{n}", counts) for n in range(3 * CONCURRENT_MAX)])
    assert most == CONCURRENT_MAX


@pytest.mark.promise("O9")
def test_one_failing_coroutine_is_named_when_all_have_ended():
    ended = []

    async def fails(observation):
        raise OSError("gone")

    async def ends(observation):
        await asyncio.sleep(0)
        ended.append(observation.agent_id)

    with pytest.raises(OSError, match="gone") as caught:
        played(config(turns=1), [Doer("ada", fails), Doer("ben", ends)])
    assert caught.value.__notes__ == ["agent ada"]
    assert ended == ["ben"]


@pytest.mark.promise("O9")
def test_coroutines_are_given_up_when_another_agent_fails_at_once():
    def fails(observation):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        played(config(turns=1), [Doer("ada", awaited(add())), Doer("ben", fails)])


def test_coroutine_that_an_interrupted_run_never_awaited_is_given_up_in_silence(recwarn):
    async def interrupted():
        asked = Caller().ask([(soon, (1,))], lambda place: ComponentRef("ada"), 1)
        task = asyncio.create_task(asked)
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert not recwarn.list


WAIT_S = 60
COUNT = 30


def blocking(name, answer):
    agent = Doer(name, answer)
    agent.blocks = True
    return agent


def run_settings(**more):
    return config(simulation={"name": "toy", "max_turns": 3, "seed": 1, **more})


def test_thirty_blocking_agents_wait_at_the_same_time():
    all_here = threading.Barrier(COUNT)
    quick_threads = set()

    def meets(seen):
        all_here.wait(WAIT_S)
        return add()

    def quick(seen):
        quick_threads.add(threading.current_thread())

    agents = [blocking(f"a{number}", meets) for number in range(COUNT)]
    _, simulation = played(run_settings(), [*agents, *[Doer(f"q{n}", quick) for n in range(5)]])
    assert simulation.history[-1].agent("a29")["x"] == 3
    assert len(quick_threads) == 1, "one beside the loop"
    assert threading.current_thread() not in quick_threads


@pytest.mark.parametrize("threads", [0, 1, 32])
def test_threads_change_no_event(threads):
    draws = contextvars.ContextVar("draws", default="outside")

    def answer(seen):
        time.sleep(0.02)
        assert draws.get() == "around"
        assert threading.current_thread() is not threading.main_thread()
        return add(seen.random("n").randrange(100) + seen["x"])

    def run(given, act, kind=Doer):
        agents = [Doer("ada", always(add())), *[kind(f"b{n}", act) for n in range(4)]]
        events, _ = played(given, agents)
        steps = {event.event_id: event.step for event in events.values()}
        return [
            (each.step, each.details, [steps[cause] for cause in each.caused_by])
            for each in events.values()
        ]

    draws.set("around")
    quick = run(run_settings(), lambda seen: add(seen.random("n").randrange(100) + seen["x"]))
    assert run(run_settings(threads=threads), answer, blocking) == quick


def test_validator_with_a_timeout_is_never_entered_twice_at_a_time():
    inside = threading.Lock()
    threads = set()

    class Slow(BaseValidator):
        def validate_action(self, action, state):
            assert inside.acquire(blocking=False)
            time.sleep(0.02)
            threads.add(threading.current_thread())
            inside.release()
            return Verdict.accept()

    agents = [Doer(f"a{n}", always(add())) for n in range(3)]
    played(run_settings(timeout_s=WAIT_S), agents, validator=Slow())
    assert len(threads) > 1


@pytest.mark.parametrize("kind", ["called", "awaited", "in a thread"])
def test_component_that_is_waited_for_is_named_and_the_watch_ends(monkeypatch, caplog, kind):
    monkeypatch.setattr("thence.sim.run.calls.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("thence.sim.run.calls.NAMED_AFTER_S", 0.03)
    monkeypatch.setattr("thence.sim.run.calls.RECORDED_AFTER_S", 0.06)
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
        with watched(waits, lambda: (3, 50), on_wait):
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


def test_watch_outlives_a_callback_that_raises(monkeypatch, caplog):
    monkeypatch.setattr("thence.sim.run.calls.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("thence.sim.run.calls.NAMED_AFTER_S", 0.0)
    monkeypatch.setattr("thence.sim.run.calls.RECORDED_AFTER_S", 0.1)
    waits, named = Waits(), []

    def on_wait(waiting):
        named.append(waiting)
        raise OSError("the terminal is gone")

    async def waits_here():
        with watched(waits, lambda: (3, 50), on_wait), waits.waiting_for("agent ada"):
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
from tests.sim.toys import Adder, Doer, add, made, orchestrator
from thence.sim.run.agents import BaseValidator, Verdict

_, root, comes, hanging, blocks = sys.argv

def look(kind, turn, answer=None):
    if kind == hanging and turn == 2:
        print("hangs", flush=True)
        if comes == "in its thread":
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        threading.Event().wait()
    return answer

def judge(self, action, state):
    return look("validator", state.turn, Verdict.accept())

ada = Doer("ada", lambda seen: look("agent", seen.turn, add()))
ada.blocks = blocks == "blocks"
engine = made(Adder, apply_engine_rules=lambda self, view: look("engine", view.turn))
run = orchestrator(root, [ada], engine, validator=made(BaseValidator, validate_action=judge))
print(run.run().status, flush=True)
"""


@pytest.mark.parametrize("comes", ["from outside", "in its thread"])
@pytest.mark.parametrize(
    ("kind", "blocks"),
    [("agent", "blocks"), ("agent", "plain"), ("engine", "plain"), ("validator", "plain")],
)
def test_interrupt_ends_a_run_with_a_hanging_thread(tmp_path, kind, comes, blocks):
    """A signal that another thread takes does not end the sleep of the loop's own thread."""
    command = [sys.executable, "-c", HANGING_RUN, str(tmp_path), comes, kind, blocks]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout.readline() == "hangs\n"
        if comes == "from outside":
            process.send_signal(signal.SIGINT)
        try:
            assert process.communicate(timeout=WAIT_S)[0] == "interrupted\n"
        finally:
            process.kill()
    assert process.returncode == 0
