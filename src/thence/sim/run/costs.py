"""What models cost a run: what it paid for and what it inherited, and the price before it is paid.

A forecast sends nothing: it renders the messages of turn 1.
"""

import asyncio
from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import msgspec

from thence.sim.models import asking
from thence.sim.record.outcomes import read_outcomes
from thence.sim.run.simulation import Components, Simulation, new_loop
from thence.sim.run.thinking import LLMAgent
from thence.sim.scenario.scenario import SimulationConfig

CHARACTERS_A_TOKEN = 4
ANSWER_TOKENS = 200
# how often each agent is asked where every first answer can't be used
_ASKED_MAX = 2


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a run of so many turns: least and greatest calls, tokens and cost.

    `cost` is None where an endpoint has no prices; `notes` are what is in no number.
    """

    turns: int
    calls: tuple[int, int]
    tokens_in: tuple[int, int]
    tokens_out: tuple[int, int]
    cost: tuple[float, float] | None
    notes: tuple[str, ...]


def run_usage(folder: Path, *, has_cassette: bool) -> dict[str, Any]:
    """Returns the sums of a run's calls by agent and by model; {} if it has none.

    Where answers are those of a parent or a cassette, `by_origin` has the sums of its `own` calls,
    which it paid for, and of the `inherited` ones.
    """
    outcomes = read_outcomes(folder).values()
    usage = asking.usage(outcomes)
    inherited = asking.usage(one for one in outcomes if has_cassette or one.is_copied)
    if inherited:
        own = asking.usage(one for one in outcomes if not (has_cassette or one.is_copied))
        usage["by_origin"] = {"own": totals(own), "inherited": totals(inherited)}
    return usage


def totals(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sums of all calls that a usage has by model."""
    sums: dict[str, Any] = {**dict.fromkeys(asking.COUNTS, 0), "cost": None}
    for entry in usage.get("by_model", {}).values():
        for key, value in entry.items():
            sums[key] = sums[key] if value is None else (sums[key] or 0) + value
    return sums


def forecast(config: SimulationConfig, components: Components) -> Forecast:
    """Returns what the calls of a run would cost if all its turns were as the first one."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_forecast(config, components))


async def _forecast(config: SimulationConfig, components: Components) -> Forecast:
    simulation = Simulation(config, components, lambda piece: None)
    calls, tokens_in, tokens_out, cost = 0, 0, 0, 0.0
    shared: set[bytes] = set()
    has_prices = True
    for agent, view in (await simulation.observations()).items():
        if not isinstance(agent, LLMAgent):
            continue
        name = agent.endpoint or config.llm.default or next(iter(config.llm.endpoints))
        endpoint, messages = config.llm.endpoints[name], agent.messages(view)
        content = msgspec.json.encode((name, messages, agent.schema))
        if agent.share and content in shared:
            continue
        shared.add(content)
        characters = sum(len(message["content"]) for message in messages)
        prompt, answer = ceil(characters / CHARACTERS_A_TOKEN), endpoint.max_tokens or ANSWER_TOKENS
        calls, tokens_in, tokens_out = calls + 1, tokens_in + prompt, tokens_out + answer
        if endpoint.price_in is None or endpoint.price_out is None:
            has_prices = False
        else:
            cost += (prompt * endpoint.price_in + answer * endpoint.price_out) / 1e6
    await simulation.close()
    turns = config.simulation.max_turns
    most = turns * _ASKED_MAX * (1 + config.retries)
    return Forecast(
        turns=turns,
        calls=(calls * turns, calls * most),
        tokens_in=(tokens_in * turns, tokens_in * most),
        tokens_out=(tokens_out * turns, tokens_out * most),
        cost=(cost * turns, cost * most) if has_prices else None,
        notes=(*_notes(config, components),),
    )


def _notes(config: SimulationConfig, components: Components) -> Iterable[str]:
    yield (
        f"{CHARACTERS_A_TOKEN} characters a token, answers of max_tokens or {ANSWER_TOKENS} tokens;"
        " the greater numbers are for runs in which no first answer can be used"
    )
    grows = [agent.params for agent in config.agents]
    if any(params.get("memory") or params.get("talk") for params in grows):
        yield "prompts grow with what agents remember and hear, which turn 1 does not have"
    for kind in ("engine", "validator"):
        if getattr(getattr(components, kind), "asks_models", False):
            yield f"the calls of the {kind} are not counted"
    if config.llm.cassette:
        yield f"{config.llm.cassette} answers: nothing is paid"
