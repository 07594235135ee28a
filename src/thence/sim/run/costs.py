"""What models cost a run: what it paid for and what it inherited, and the price before it is paid.

A forecast sends nothing: it renders the messages of turn 1.
"""

import asyncio
import inspect
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from thence.sim.models import asking
from thence.sim.models.settings import EndpointSettings
from thence.sim.record.outcomes import read_outcomes
from thence.sim.run.engine import BaseEngine
from thence.sim.run.simulation import Components, Simulation, make_components
from thence.sim.run.thinking import LLMAgent, MemorySettings, PromptedAgent
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
    """Returns what a run's calls come to: those of turn 1 in each turn, and each reflection.

    `calls`, `tokens_in`, `tokens_out` and `cost` are each the least and the greatest for `turns`.
    The calls are exact, both the same, where no agent can leave or do without. Tokens and cost grow
    where answers are asked for again; the cost is None where an endpoint has no prices. `notes` are
    what is in no number.
    """
    requests = asyncio.run(_requests(config, components))
    again = _ASKED_MAX * (1 + config.retries)
    sums: dict[str, Any] = {name: [0, 0] for name in ("calls", "tokens_in", "tokens_out", "cost")}
    for endpoint, characters, is_embedding, *calls in requests:
        prompt = math.ceil(characters / CHARACTERS_A_TOKEN)
        answer = 0 if is_embedding else endpoint.max_tokens or ANSWER_TOKENS
        each: dict[str, float] = {"calls": 1, "tokens_in": prompt, "tokens_out": answer}
        if endpoint.price_in is None or endpoint.price_out is None:
            sums["cost"] = None
        elif sums["cost"]:
            each["cost"] = (prompt * endpoint.price_in + answer * endpoint.price_out) / 1e6
        for name, value in each.items():
            most = calls[1] if name == "calls" else calls[1] * again
            sums[name] = [sums[name][0] + calls[0] * value, sums[name][1] + most * value]
    text = f"{CHARACTERS_A_TOKEN} characters a token, answers of max_tokens or {ANSWER_TOKENS}"
    text += f" tokens; {again} times as many calls if no first answer can be used or is accepted"
    agents = sum(not is_embedding for _, _, is_embedding, *_ in requests)
    notes = [text, *_notes(config, components, agents)]
    return {
        "turns": config.simulation.max_turns,
        **sums,
        "notes": notes if requests else ["no agent asks a model"],
    }


def pilot(folder: Path, config: SimulationConfig, *, played: int, planned: int) -> dict[str, Any]:
    """Returns what all turns cost at the rate of those played, by the calls of two forecasts.

    `calls` are the least and the greatest, the other sums those of the greatest.
    """
    usage = run_usage(folder, has_cassette=bool(config.llm.cassette))
    own = usage.get("by_origin", {}).get("own") or totals(usage, usage)
    foreseen = []
    for turns in (played, planned):
        settings = replace(config.simulation, max_turns=turns)
        of_turns = replace(config, simulation=settings)
        foreseen.append(forecast(of_turns, make_components(of_turns))["calls"])
    rates = [count / (foreseen[0][1] or 1) for count in foreseen[1]]
    sums: dict[str, Any] = {name: of and of * rates[1] for name, of in own.items()}
    return sums | {
        "calls": [max(own["calls"], round(own["calls"] * rates[0])), round(sums["calls"])]
    }


async def _requests(
    config: SimulationConfig, components: Components
) -> list[tuple[EndpointSettings, int, bool, int, int]]:
    """Returns of each request of turn 1 endpoint, characters, and least and most calls like it.

    Those of embeddings, which turn 1 has none of, are marked, and as long as its messages.
    """
    simulation, endpoints = Simulation(config, components, lambda piece: None), config.llm.endpoints
    turns = config.simulation.max_turns
    kinds = [kind for kind in type(components.engine).__mro__ if issubclass(kind, BaseEngine)]
    code = "".join(inspect.getsource(inspect.getmodule(kind) or kind) for kind in kinds[:-1])
    asks_of = {type(one).asks for one in components.agents if isinstance(one, LLMAgent)}
    actions = [one for agent in config.agents for one in agent.params.get("actions", ())]
    # the run may end early, or an agent leave, pause or do without its model
    is_open = (
        any(word in code for word in ("remove_agent", "pause", "check_termination"))
        or not asks_of <= {LLMAgent.asks, PromptedAgent.asks}
        or any("when" in action for action in actions)
    )
    requests: list[tuple[EndpointSettings, int, bool, int, int]] = []
    for agent, view in (await simulation.observations()).items():
        if not isinstance(agent, LLMAgent):
            continue
        memory = agent.memory if isinstance(agent, PromptedAgent) else MemorySettings()
        every = (agent.remembers and memory.reflect) or turns + 1  # turns between two reflections
        name = agent.endpoint or config.llm.default or next(iter(endpoints))
        asks, texts = agent.asks(view), [message["content"] for message in agent.messages(view)]
        most = turns + turns // every
        least = asks + (every == 1) if is_open else most
        requests.append((endpoints[name], sum(map(len, texts)), False, least, most))
        if turns > 1 and ":" not in (memory.embed or ":"):
            # what it sees in each turn, the record of the turn before, and its conclusions
            vectors = 2 * (turns - 1) + (turns - 1) // every
            requests.append((endpoints[str(memory.embed)], len(texts[-1]), True, 0, vectors))
    await simulation.close()
    return requests


def _notes(config: SimulationConfig, components: Components, agents: int) -> Iterator[str]:
    if any(agent.params.get("memory") or agent.params.get("talk") for agent in config.agents):
        yield "prompts grow with what agents remember and hear, which turn 1 does not have"
    yield f"a survey of all asks once more for each of {agents} agents"
    for kind in ("engine", "validator"):
        if getattr(getattr(components, kind), "asks_models", False):
            yield f"the calls of the {kind} are not counted"
    if config.simulation.order != "together":
        yield f"models are asked one after another: order is {config.simulation.order}"
    if config.llm.cassette:
        yield f"{config.llm.cassette} answers: nothing is paid"
