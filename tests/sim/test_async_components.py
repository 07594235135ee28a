"""Async agents, validators and engines work in any position and mix with sync ones."""

import asyncio

import pytest
from tests.sim.toys import Adder, Doer, add, always, config, played

from thence.sim.agents import BaseValidator, Verdict
from thence.sim.calls import CONCURRENT_MAX

pytestmark = pytest.mark.promise("O9")


async def soon(value):
    await asyncio.sleep(0)
    return value


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


@pytest.mark.parametrize("ada", [always, awaited])
@pytest.mark.parametrize("ben", [always, awaited])
def test_async_and_sync_agents_give_the_same_events(ada, ben):
    agents = [Doer("ada", ada(add())), Doer("ben", ben([add(), add(2)]))]
    events, simulation = played(config(turns=3), agents)
    assert simulation.history[-1].agent("ben")["x"] == 9
    assert [step for step in events if step.startswith("2.decide")] == [
        "2.decide.ada.0",
        "2.decide.ben.0",
        "2.decide.ben.1",
    ]


def test_async_validator_and_engine_mix_with_sync_agents():
    agents = [Doer("ada", always(add())), Doer("ben", awaited(add()))]
    events, simulation = played(config(turns=9), agents, AsyncEngine(), AsyncValidator())
    assert simulation.reason == "rich"
    assert simulation.recorder.turn == 2
    assert simulation.history[0].world["sum"] == 5
    assert {
        "1.apply0.ada.agent/ada/x",
        "2.apply0.ben.agent/ben/x",
        "2.sum.-.global/sum",
    } <= events.keys()


def test_engine_may_apply_all_actions_in_a_coroutine():
    _, simulation = played(config(turns=1), [Doer("ada", awaited(add(7)))], AsyncApplying())
    assert simulation.history[-1].agent("ada")["x"] == 7


def test_agents_of_one_turn_wait_at_the_same_time():
    all_here = asyncio.Barrier(20)

    async def meets(observation):
        async with all_here:
            return add()

    agents = [Doer(f"a{number}", meets) for number in range(20)]
    _, simulation = played(config(turns=1), agents)
    assert simulation.history[-1].agent("a19")["x"] == 1


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


def test_coroutines_are_given_up_when_another_agent_fails_at_once():
    def fails(observation):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        played(config(turns=1), [Doer("ada", awaited(add())), Doer("ben", fails)])
