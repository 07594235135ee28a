"""A survey: the model agents of a run answer a question as they would have decided in a turn.

The run is played again up to that turn, and stays as it is: nothing is applied or remembered.
Answers are recorded in a file of the question in the run's folder, and paid for once.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Unpack

import msgspec

from thence.core.nearest import did_you_mean
from thence.core.ready import ready
from thence.errors import ThenceError
from thence.sim.again.replay import again_in_memory, complete_turns, recorded_config
from thence.sim.models.asking import Models
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.record.loggers import logger
from thence.sim.record.outcomes import Outcomes, read_outcomes, request_digest
from thence.sim.results.recorded import RecordedRun
from thence.sim.results.table import Table
from thence.sim.run.agents import Observation
from thence.sim.run.run import RunParts, in_loop
from thence.sim.run.thinking import LLMAgent, ask, with_words

_LEFT_SHOWN_MAX = 12
# of a question's digest, in the name of its file
_DIGITS = 16
_WORDS = "Before you decide, answer a question; you do nothing else now."


def survey(
    run: str | Path,
    at: int,
    question: str,
    choices: Sequence[str] | None = None,
    *,
    names: Sequence[str] = (),
    leavers: bool = False,
    max_calls: int | None = None,
    max_cost: float | None = None,
    **parts: Unpack[RunParts],
) -> Table:
    """Returns the answers of a run's model agents to a question, as a table of agent and answer.

    Each is asked with its messages of turn `at`, then the question; `names` are those asked, by
    default all that ask models. Those who left before are named by a warning; with `leavers` they
    are asked as of their last turn, which their row holds. An answer is None where none could be
    used. The limits are those of this survey. The same survey of the same turn is answered by what
    was recorded. Blocks, in a running loop too. Raises ThenceError for a turn or an agent that the
    run does not have, where a limit is reached or an endpoint is down, and as `replay` does.
    """
    if not question.strip():
        words: Any = {"cause": "the question is empty", "hint": "write what they are to answer"}
        raise ThenceError("could not ask", place=run, **words)
    limits = {"max_calls": max_calls, "max_cost": max_cost, "cassette": None}
    asked = _Question(question, tuple(dict.fromkeys(choices or ())))
    answers = _answers(Path(run), at, names, leavers, asked, limits, parts)
    if in_loop():
        with ThreadPoolExecutor(1) as threads:
            rows = threads.submit(asyncio.run, answers).result()
    else:
        rows = asyncio.run(answers)
    return Table.of(lambda: iter(rows), {"agent": "str", "answer": "str"})


async def _answers(
    folder: Path,
    at: int,
    names: Sequence[str],
    has_leavers: bool,
    question: "_Question",
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
    content = msgspec.structs.asdict(question)
    digest, of_run = request_digest(content), read_outcomes(folder)
    name = f"survey-turn-{at}-{digest[:_DIGITS]}.jsonl"
    known = {key: msgspec.structs.replace(one, is_copied=True) for key, one in of_run.items()}
    known |= read_outcomes(folder, name)
    outcomes = Outcomes(folder / name, known)
    if (key := (f"{at}.question.-", digest, 0)) not in known:
        outcomes.record(key, content)
    settings = msgspec.structs.replace(config.llm, **limits)
    models = Models(settings, outcomes, config.simulation.seed)

    async def asked(agent: LLMAgent, view: Observation) -> list[Any]:
        view.ledger.models = models
        try:
            await agent.prepare(view)
            return [*agent.messages(view)]
        finally:
            view.ledger.models = simulation.models

    agents = {agent.name: agent for agent in simulation.components.agents}
    removed = [e for e in events if e.payload.get("error_type") == "agent_removed"]
    last_turns = {str(e.actor): e.turn_number or 0 for e in removed if (e.turn_number or 0) < at}
    last_turns = {n: t for n, t in last_turns.items() if isinstance(agents.get(n), LLMAgent)}
    everyone: dict[str, tuple[LLMAgent, Observation, list[Any]]] = {}
    for name in sorted(last_turns, key=last_turns.__getitem__) if has_leavers else ():
        await simulation.run(last_turns[name] - 1)
        agent, view = agents[name], await simulation.observation(name)
        assert isinstance(agent, LLMAgent), "others are left out above"
        everyone[name] = agent, view, await asked(agent, view)  # of now, not of turn `at`
    await simulation.run(at - 1)
    for agent, view in (await simulation.observations()).items():
        if isinstance(agent, LLMAgent):
            everyone[agent.name] = agent, view, await asked(agent, view)
    for name in names or [*everyone] or [""]:
        if name not in everyone:
            cause = f"in turn {at} no agent" + (name and f" {name!r}") + " asks a model"
            hint = did_you_mean(name, everyone).removeprefix("; ") or "thence sim show lists them"
            if name in last_turns:
                cause = f"{name} left in turn {last_turns[name]}"
                hint = f"--leavers asks it as of then, or --at {last_turns[name]}"
            raise ThenceError("could not ask", place=folder, cause=cause, hint=hint)
    if last_turns and not has_leavers and not names:
        left = [f"{name} in turn {turn}" for name, turn in last_turns.items()]
        hint = "leavers=True, or --leavers, asks them as of their last turn"
        told = ", ".join(left[:_LEFT_SHOWN_MAX])
        logger().warning("agents_left", count=len(left), agents=told, hint=hint)
    try:
        chosen = [everyone[name] for name in names or everyone]
        calls = [question.answer(agent, view, texts, models) for agent, view, texts in chosen]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await models.close()
        await simulation.close()
    rows = [answer for answer in answers if isinstance(answer, dict)]
    for row in rows:
        row |= {"turn": last_turns[row["agent"]]} if row["agent"] in last_turns else {}
    for answer in answers:
        if isinstance(answer, ModelsUnavailable):
            way = "with a higher limit" if answer.code == "budget_spent" else "once it answers"
            hint = f"ask the same again, {way}: what was answered is recorded"
            cause = f"{answer.cause}; {len(rows)} of {len(answers)} have answered"
            words: Any = {"place": folder, "cause": cause, "hint": hint, "code": answer.code}
            raise ThenceError("could not ask all agents of", **words)
        if isinstance(answer, BaseException):
            raise answer
    return rows


class _Question(msgspec.Struct, frozen=True):
    question: str
    choices: tuple[str, ...]

    async def answer(
        self, agent: LLMAgent, view: Observation, messages: list[Any], models: Models
    ) -> dict[str, Any]:
        """Returns the answer of an agent, which is None with its `error` where none is of use."""
        kind: Any = Literal[self.choices] if self.choices else str
        shape: Any = msgspec.defstruct("SurveyAnswer", [("answer", kind)])
        take: Callable[[str], Any] = msgspec.json.Decoder(ready(shape)).decode
        example = msgspec.json.encode({"answer": [*self.choices, "..."][0]}).decode()
        among = f" Answer with one of {', '.join(map(repr, self.choices))}." if self.choices else ""
        text = f"{_WORDS}\n\n{self.question}{among}\n\nAnswer with JSON alone, such as {example}"
        field = {"type": "string", **({"enum": list(self.choices)} if self.choices else {})}
        schema: dict[str, Any] = {"type": "object", "properties": {"answer": field}}
        schema |= {"required": ["answer"], "additionalProperties": False}
        messages = with_words(messages, text)
        view.ledger.models = models
        try:
            answer = await ask(view, messages, take, schema, endpoint=agent.endpoint)
        except ModelsUnavailable:
            raise
        except ThenceError as error:
            return {"agent": agent.name, "answer": None, "error": str(error)}
        return {"agent": agent.name, "answer": answer.answer}
