"""Plain methods are called where no event loop runs, so that they may run one."""

import asyncio
import os
import signal
import threading
import time

import pytest
from tests.sim.toys import Adder, Doer, add, at_turn, config, killed, orchestrator, played, soon

from thence.sim import replay, resume
from thence.sim.run.agents import BaseValidator, Verdict
from thence.sim.run.calls import Caller, ComponentRef

pytestmark = pytest.mark.promise("O9a")

WAIT_S = 60
ADA = {"name": "ada", "type": "scenarios.traders:Trader", "goods": [], "places": []}
MODES = {
    "inline": {},
    "threads: 0": {"simulation": {"threads": 0}},
    "timeout_s": {"simulation": {"timeout_s": WAIT_S}},
    "blocks": {"blocks": True},
    "blocks, threads: 0": {"blocks": True, "simulation": {"threads": 0}},
}


def given(mode, turns=3):
    """Returns a scenario of ada, an engine and a validator, called as `mode` says."""
    words = dict(MODES[mode])
    blocks = {"blocks": True} if words.pop("blocks", False) else {}
    run = {"name": "toy", "max_turns": turns, "seed": 1, **words.get("simulation", {})}
    return config(simulation=run, agents=[{**ADA, **blocks}])


class Loops:
    """Runs coroutines as wrappers of model libraries do: by a loop of their own, kept if it can."""

    def __init__(self):
        asyncio.set_event_loop(None)  # else Python 3.11 makes one
        self.made = []

    def run_sync(self, coroutine):
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:
            loop = asyncio.new_event_loop()
            self.made.append(loop)
            asyncio.set_event_loop(loop)
        return loop.run_until_complete(coroutine)

    def close(self):
        asyncio.set_event_loop(None)
        for loop in self.made:
            loop.close()


@pytest.fixture
def run_sync():
    loops = Loops()
    yield loops.run_sync
    loops.close()


@pytest.fixture(params=["asyncio.run", "run_sync"])
def run_now(request, run_sync):
    return asyncio.run if request.param == "asyncio.run" else run_sync


def sees_no_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.current_task()


class Plain(Adder):
    """An engine of plain methods, each of which calls `look`, and notes it."""

    def __init__(self, look):
        super().__init__()
        self.look, self.looked = look, set()


def looking_first(name):
    """Returns a method that looks, and does as that of an Adder, which keeps no state but 1."""

    def method(self, *given):
        self.look()
        self.looked.add(name)
        return getattr(super(Plain, self), name, lambda *_: 1)(*given)

    return method


METHODS = {"initialize_state", "reach", "apply_actions", "apply_action", "apply_engine_rules"}
METHODS |= {"check_termination", "get_state", "set_state"}
for each in METHODS:
    setattr(Plain, each, looking_first(each))


class Judging(BaseValidator):
    def __init__(self, look):
        super().__init__()
        self.look = look

    def validate_action(self, action, state):
        self.look()
        return Verdict.accept()


def looking(look):
    def answer(seen):
        look()
        return add()

    return answer


@pytest.mark.parametrize("mode", MODES)
def test_plain_method_may_run_a_loop_from_its_first_call_on(tmp_path, mode, run_now):
    def look():
        sees_no_loop()
        assert run_now(soon(5)) == 5
        sees_no_loop()

    engine, agents = Plain(look), [Doer("ada", looking(look)), Doer("ben", looking(look))]
    words = {"validator": Judging(look), "checkpoint_interval": 1}
    run = orchestrator(tmp_path, agents, engine, given=given(mode), **words)
    result = run.run()
    assert (result.status, result.error) == ("completed", None)
    assert result.final_state["agent/ada"]["x"] == 3
    assert engine.looked == METHODS - {"set_state"}


@pytest.mark.parametrize("mode", ["inline", "blocks"])
def test_set_state_may_run_a_loop(tmp_path, mode):
    def components():
        engine = Plain(lambda: asyncio.run(soon(5)))
        agent = Doer("ada", looking(sees_no_loop))
        return {"engine": engine, "agents": [agent]}

    words = {"checkpoint_interval": 1, "run_id": "one", "on_turn": at_turn(2)}
    killed(lambda: orchestrator(tmp_path, given=given(mode), **components(), **words).run())
    parts = components()
    result = resume(tmp_path / "one", **parts).run()
    assert result.error is None
    assert "set_state" in parts["engine"].looked


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["generator", "map", "coroutine"])
def test_answer_is_taken_where_it_may_run_a_loop(mode, kind, run_now):
    def yields(seen):
        yield add()
        yield add(run_now(soon(4)))

    def draw(amount):
        return add(run_now(soon(amount)))

    def maps(seen):
        return map(draw, [2, 3])

    def awaits(seen):
        sees_no_loop()
        return soon(add(5))  # which is awaited in the run's loop

    answer = {"generator": yields, "map": maps, "coroutine": awaits}[kind]
    _, simulation = played(given(mode, turns=1), [Doer("ada", answer)])
    assert simulation.history[-1].agent("ada")["x"] == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit])
def test_calls_go_on_whatever_ends_one(error):
    def ends(*_):
        raise error

    async def program():
        caller, ada = Caller(), ComponentRef("agent ada")
        with pytest.raises((error, RuntimeError)):
            await caller.ask([(soon, (1,)), (ends, ())], lambda place: ada, 2)
        with pytest.raises((error, RuntimeError)):
            await caller.ask_one(ada, ends)
        return await caller.ask([(soon, (1,))], lambda place: ada, 1)

    assert asyncio.run(program()) == [1]


def test_interrupt_amid_a_loop_of_an_agent_ends_the_run_at_once(tmp_path):
    ended = threading.Event()

    async def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.to_thread(ended.wait, WAIT_S)

    def answer(seen):
        if seen.turn == 2:
            asyncio.run(interrupted())
        return add()

    result = orchestrator(tmp_path, [Doer("ada", answer)]).run()
    ended.set()
    assert (result.status, result.turns) == ("interrupted", 1)


class Sleeper(Doer):
    """An agent that waits in each of its calls, and draws by a loop of its own."""

    sleep_s = 0.03

    def __init__(self, name):
        super().__init__(name, self.draw)

    def draw(self, seen):
        time.sleep(self.sleep_s)
        return add(asyncio.run(soon(seen.random("n").randrange(9))))


@pytest.mark.parametrize("mode", MODES)
def test_replay_does_not_depend_on_speed(tmp_path, mode, monkeypatch):
    agents = [Sleeper("ada"), Sleeper("ben")]
    run = orchestrator(tmp_path, agents, given=given(mode))
    assert run.run().error is None
    monkeypatch.setattr(Sleeper, "sleep_s", 0)
    again = replay(run.output_dir, engine=Adder(), agents=[Sleeper("ada"), Sleeper("ben")])
    assert again.difference == ""


@pytest.mark.parametrize("threads", [0, 1, 5])
def test_setting_bounds_the_threads(threads):
    inside, most, lock = 0, 0, threading.Lock()

    def counts(seen):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return add()

    agents = [Doer(f"a{number}", counts) for number in range(20)]
    for agent in agents:
        agent.blocks = True
    played(config(simulation={"name": "toy", "max_turns": 1, "threads": threads}), agents)
    assert 1 <= most <= max(1, threads)


def test_agent_that_joins_says_itself_that_it_blocks():
    threads = {"ada": set(), "eve": set()}

    class Blocking(Doer):
        blocks = True

    class Adding(Adder):
        def apply_engine_rules(self, view):
            if view.turn == 1:
                view.add_agent(Blocking("eve", where))

    def where(seen):
        threads[seen.agent_id].add(threading.current_thread())

    played(config(turns=3), [Doer("ada", where)], Adding())
    assert threads["eve"]
    assert threads["ada"].isdisjoint(threads["eve"])


def test_all_plain_methods_are_called_in_one_thread_beside_the_loop():
    threads = set()

    def look():
        threads.add(threading.current_thread())

    engine, agents = Plain(look), [Doer("ada", looking(look)), Doer("ben", looking(look))]
    played(config(turns=2), agents, engine, Judging(look))
    assert "reach" in engine.looked
    assert len(threads) == 1
    assert threading.current_thread() not in threads
