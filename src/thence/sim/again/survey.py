"""A survey: the model agents of a run answer a question as they would have decided in a turn.

The run is played again up to that turn, and stays as it is: nothing is applied or remembered.
Answers are recorded in `surveys.jsonl` of its folder, and paid for once.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Unpack

import msgspec

from thence.core.nearest import did_you_mean
from thence.errors import ThenceError
from thence.sim.again.replay import again_in_memory, complete_turns, recorded_config
from thence.sim.models.asking import ModelCall, Models
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.record.outcomes import Outcomes, read_lines, request_digest
from thence.sim.results.recorded import RecordedRun
from thence.sim.results.table import Table
from thence.sim.run.agents import Observation
from thence.sim.run.run import RunParts
from thence.sim.run.simulation import new_loop
from thence.sim.run.thinking import LLMAgent, ask

FILE = "surveys.jsonl"
_PHASE = "survey"
_WORDS = "Before you decide, answer a question; you do nothing else now."


class _SurveyModels(Models):
    """The models of one survey, by whose number its steps end."""

    number = 0

    async def ask(self, step: str, *arguments: Any, **named: Any) -> ModelCall:
        turn, _, agent = step.split(".", 2)
        step = f"{turn}.{_PHASE}.{agent}.{self.number}"
        return await super().ask(step, *arguments, **{**named, "share": False})


def survey(
    run: str | Path,
    at: int,
    question: str,
    choices: Sequence[str] | None = None,
    *,
    names: Sequence[str] = (),
    max_calls: int | None = None,
    max_cost: float | None = None,
    **parts: Unpack[RunParts],
) -> Table:
    """Returns the answers of a run's model agents to a question, as a table of agent and answer.

    Each is asked with its messages of turn `at`, then the question; `names` are those asked, by
    default all that ask models. An answer is None where none could be used. The limits are those of
    this survey. The same survey of the same turn is answered by what was recorded. Blocks, in a
    running loop too. Raises ThenceError for a turn or an agent that the run does not have, where a
    limit is reached or an endpoint is down, and as `replay` does.
    """
    limits = {"max_calls": max_calls, "max_cost": max_cost, "cassette": None}
    coroutine = _answers(Path(run), at, question, tuple(choices or ()), names, limits, parts)

    def play() -> list[dict[str, Any]]:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(coroutine)

    with ThreadPoolExecutor(1) as threads:  # whose loop is free where the caller's is not
        rows = threads.submit(play).result()
    return Table.of(lambda: iter(rows), {"agent": "str", "answer": "str"})


async def _answers(
    folder: Path,
    at: int,
    question: str,
    choices: tuple[str, ...],
    names: Sequence[str],
    limits: dict[str, Any],
    parts: RunParts,
) -> list[dict[str, Any]]:
    with RecordedRun(folder) as run:
        config = recorded_config(run, parts)
        events = list(run.log.read())
        turns = complete_turns(events)
        if at not in range(1, turns + 2):
            cause, hint = f"it has played {turns} turns", f"name a turn from 1 to {turns + 1}"
            raise ThenceError("could not ask", place=f"in turn {at}", cause=cause, hint=hint)
        simulation, _ = again_in_memory(run, config, parts, events)
    await simulation.run(at - 1)
    views = {
        agent: view
        for agent, view in (await simulation.observations()).items()
        if isinstance(agent, LLMAgent)
    }
    everyone = [agent.name for agent in views]
    for name in names or everyone or [""]:
        if name not in everyone:
            cause = f"no agent that asks a model is named {name!r} in turn {at}"
            hint = did_you_mean(name, everyone).removeprefix("; ") or f"such are {everyone}"
            raise ThenceError("could not ask", place=folder, cause=cause, hint=hint)
    settings = msgspec.structs.replace(config.llm, **limits)
    models = _models(folder / FILE, settings, at, question, choices)
    calls = []
    for agent, view in views.items():
        view.ledger.models = models
        if not names or agent.name in names:
            calls.append(_answer(agent, view, question, choices))
    try:
        answers = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await models.close()
        await simulation.close()
    for answer in answers:
        if isinstance(answer, ModelsUnavailable):
            hint = "ask the same again, with a higher limit: what was answered is recorded"
            what, count = "could not ask all", sum(isinstance(one, dict) for one in answers)
            cause = f"{answer.cause}; {count} of {len(answers)} have answered"
            raise ThenceError(what, place=folder, cause=cause, hint=hint, code=answer.code)
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if isinstance(answer, dict)]


def _models(
    file: Path, settings: Any, at: int, question: str, choices: tuple[str, ...]
) -> _SurveyModels:
    """Returns the models of a survey; an equal one that was asked before has the same number."""
    lines = [*read_lines(file)] if file.exists() else []
    heads = {line.request: line.occurrence for line in lines if line.step == f"{at}.{_PHASE}"}
    content = {"question": question, "choices": choices}
    digest = request_digest(content)
    number = heads.get(digest, len(heads))
    recorded = {
        (line.step, line.request, line.occurrence): line
        for line in lines
        if line.step.startswith(f"{at}.{_PHASE}.") and line.step.endswith(f".{number}")
    }
    outcomes = Outcomes(file, recorded)
    if digest not in heads:
        outcomes.record((f"{at}.{_PHASE}", digest, number), content)
    models = _SurveyModels(settings, outcomes)
    models.number = number
    return models


async def _answer(
    agent: LLMAgent, view: Observation, question: str, choices: tuple[str, ...]
) -> dict[str, Any]:
    kind: Any = Literal[choices] if choices else str
    take: Callable[[str], Any] = msgspec.json.Decoder(
        msgspec.defstruct("SurveyAnswer", [("answer", kind)])
    ).decode
    example = msgspec.json.encode({"answer": choices[0] if choices else "..."}).decode()
    among = f" Answer with one of {', '.join(map(repr, choices))}." if choices else ""
    text = f"{_WORDS}\n\n{question}{among}\n\nAnswer with JSON alone, such as {example}"
    field = {"type": "string", **({"enum": list(choices)} if choices else {})}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"answer": field},
        "required": ["answer"],
    }
    schema["additionalProperties"] = False
    messages = [*agent.messages(view)]
    if messages[-1:] and messages[-1].get("role") == "user":  # some refuse two in a row
        text = f"{messages.pop()['content']}\n\n{text}"
    messages.append({"role": "user", "content": text})
    try:
        answer = await ask(view, messages, take, schema, endpoint=agent.endpoint)
    except ModelsUnavailable:
        raise
    except ThenceError as error:
        return {"agent": agent.name, "answer": None, "error": str(error)}
    return {"agent": agent.name, "answer": answer.answer}
