"""What models cost a run: what it paid for and what it inherited, and the price before it is paid.

A forecast sends nothing: it renders the messages of turn 1.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thence.sim.models import asking
from thence.sim.models.settings import EndpointSettings
from thence.sim.record.outcomes import read_outcomes
from thence.sim.run.simulation import Components, Simulation, new_loop
from thence.sim.run.thinking import LLMAgent
from thence.sim.scenario.scenario import SimulationConfig

CHARACTERS_A_TOKEN = 4
ANSWER_TOKENS = 200
_ASKED_MAX = 2  # by an agent whose first answer can't be used


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
        origins = {"own": own, "inherited": inherited}
        usage["by_origin"] = {name: totals(usage, of) for name, of in origins.items()}
    return usage


def totals(usage: Mapping[str, Any], of: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sums of all calls of a usage, `of` all or a part of the calls of `usage`."""
    first = next(iter(usage["by_model"].values()))
    sums: dict[str, Any] = {**dict.fromkeys(first, 0), "cost": None}
    for entry in of.get("by_model", {}).values():
        for key, value in entry.items():
            sums[key] = sums[key] if value is None else (sums[key] or 0) + value
    return sums


def forecast(config: SimulationConfig, components: Components) -> dict[str, Any]:
    """Returns what the calls of a run would come to if all its turns were as the first one.

    `calls`, `tokens_in`, `tokens_out` and `cost` are each the least and the greatest for `turns`;
    the cost is None where an endpoint has no prices. `notes` are what is in no number.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner:
        requests = runner.run(_requests(config, components))
    sums: dict[str, Any] = {"calls": 0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0}
    for endpoint, characters in requests:
        prompt = math.ceil(characters / CHARACTERS_A_TOKEN)
        answer = endpoint.max_tokens or ANSWER_TOKENS
        sums["calls"] += 1
        sums["tokens_in"] += prompt
        sums["tokens_out"] += answer
        if endpoint.price_in is None or endpoint.price_out is None or sums["cost"] is None:
            sums["cost"] = None
        else:
            sums["cost"] += (prompt * endpoint.price_in + answer * endpoint.price_out) / 1e6
    turns, most = config.simulation.max_turns, _ASKED_MAX * (1 + config.retries)
    text = f"{CHARACTERS_A_TOKEN} characters a token, answers of max_tokens or {ANSWER_TOKENS}"
    text += f" tokens; {most} times as much where no first answer can be used or is accepted"
    notes = [text, *_notes(config, components)] if requests else ["no agent asks a model"]
    ranges = {
        name: None if value is None else [value * turns, value * turns * most]
        for name, value in sums.items()
    }
    return {"turns": turns, **ranges, "notes": notes}


async def _requests(
    config: SimulationConfig, components: Components
) -> list[tuple[EndpointSettings, int]]:
    """Returns the endpoint and the characters of each request of turn 1."""
    simulation, endpoints = Simulation(config, components, lambda piece: None), config.llm.endpoints
    requests: dict[object, tuple[EndpointSettings, int]] = {}
    for agent, view in (await simulation.observations()).items():
        if isinstance(agent, LLMAgent):
            name = agent.endpoint or config.llm.default or next(iter(endpoints))
            texts = [message["content"] for message in agent.messages(view)]
            key: object = (name, *texts, agent.schema and str(agent.schema))
            characters = sum(map(len, texts))
            requests[key if agent.share else agent] = (endpoints[name], characters)
    await simulation.close()
    return [*requests.values()]


def _notes(config: SimulationConfig, components: Components) -> Iterator[str]:
    if any(agent.params.get("memory") or agent.params.get("talk") for agent in config.agents):
        yield "prompts grow with what agents remember and hear, which turn 1 does not have"
    for kind in ("engine", "validator"):
        if getattr(getattr(components, kind), "asks_models", False):
            yield f"the calls of the {kind} are not counted"
    if config.simulation.order != "together":
        yield f"models are asked one after another: order is {config.simulation.order}"
    if config.llm.cassette:
        yield f"{config.llm.cassette} answers: nothing is paid"
