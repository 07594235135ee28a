"""Questions of components to models: each answer is recorded before anything depends on it.

A recorded answer is never asked for again: by resume, replay and branch it is taken from
`outcomes.jsonl`. A cassette holds such lines of another run, and answers in place of endpoints.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from thence.core.nearest import nearest
from thence.errors import EndpointDown, ModelCallFailed, ThenceError
from thence.files import replace_file
from thence.log.storage.disk import variable
from thence.sim.models.client import Attempt, Budget, ModelAnswer, ModelClient, ModelRequest
from thence.sim.models.settings import EndpointSettings, ModelSettings
from thence.sim.outcomes import Key, Outcomes, RecordedOutcome, read_lines, request_digest

Message = Mapping[str, str]
SHARED = "shared"
_SAMPLING = ("model", "temperature", "top_p", "max_tokens", "seed")
_KIND = "llm_call"
_SUMS = ("calls", "failed", "tokens_in", "tokens_out", "tokens_cached")


class RecordedAnswer(msgspec.Struct, frozen=True, tag_field="kind", tag=_KIND, omit_defaults=True):
    """The outcome of one call of an endpoint: an answer, or the words of its failure, or both.

    An answer with a failure was paid for and can't be used; `attempts` are those of a failure.
    """

    endpoint: str
    answer: ModelAnswer | None = None
    failure: tuple[str, str, str, str] | None = None
    attempts: tuple[Attempt, ...] = ()

    def text(self) -> str:
        """Returns the answer's text; raises ModelCallFailed for a failure."""
        if self.failure is None and self.answer is not None:
            return self.answer.text
        operation, place, cause, hint = self.failure or ("could not ask a model", "", "", "")
        raise ModelCallFailed(
            operation,
            place=place,
            cause=cause,
            hint=hint,
            attempts=self.attempts,
            answer=self.answer,
        )


class ModelCall(msgspec.Struct, eq=False):
    """One call as its event `llm_call` tells it.

    `causes` are those of what the prompt read; of a call that agents share, what they have in
    common. `event_id` is empty until the event is written.
    """

    request: str
    messages: Sequence[Message]
    outcome: RecordedAnswer
    causes: Mapping[str, None]
    is_shared: bool = False
    event_id: str = ""

    @property
    def sums(self) -> dict[str, object]:
        """The facts of the call without messages, answer and what differs from time to time."""
        answer = self.outcome.answer
        attempts = self.outcome.attempts or (answer.attempts if answer else ())
        return {
            "endpoint": self.outcome.endpoint,
            "model": answer and answer.model,
            "tokens_in": answer and answer.tokens_in,
            "tokens_out": answer and answer.tokens_out,
            "tokens_cached": answer and answer.tokens_cached,
            "attempts": [msgspec.to_builtins(attempt) for attempt in attempts],
        }

    @property
    def facts(self) -> dict[str, object]:
        """All facts of an answered call."""
        answer = self.outcome.answer
        return {
            **self.sums,
            "latency_s": answer and answer.latency_s,
            "cost": answer and answer.cost,
            "messages": [dict(message) for message in self.messages],
            "answer": answer and answer.text,
        }


class AskingView(Protocol):
    """The view of the component that asks."""

    turn: int
    agent_id: str

    @property
    def phase(self) -> str:
        """The phase of the turn, as steps name it."""

    @property
    def causes(self) -> dict[str, None]:
        """The causes of what depends on all that was read so far."""

    def called(self, call: ModelCall) -> None:
        """Keeps a call that was answered."""


class Cassette:
    """The recorded answers of another run, by request; each is taken once.

    Of several to one request that of the same step is taken, else the first. Raises
    EndpointDown for a file that can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[str, list[RecordedOutcome]] = defaultdict(list)
        try:
            for line in read_lines(path):
                self._answers[line.request].append(line)
        except OSError as error:
            raise EndpointDown(
                "could not read the cassette",
                place=path,
                cause=error.strerror or error,
                hint="thence sim cassette RUN --output FILE makes one of a run",
            ) from error

    def take(self, key: Key) -> RecordedAnswer:
        """Returns the answer to a request; raises EndpointDown, which names who asks."""
        step, request, _ = key
        lines = self._answers.get(request)
        if not lines:
            turn, _, agent = step.split(".", 2)
            raise EndpointDown(
                "could not ask the model",
                place=f"for {agent} in turn {turn}",
                cause=f"cassette {self._path} has no answer to this request",
                hint="prompts, model or sampling differ from those of the run that it was made of",
            )
        same = (place for place, line in enumerate(lines) if line.step == step)
        return _answer_of(lines.pop(next(same, 0)))


class _Question(msgspec.Struct, frozen=True):
    """One request to an endpoint; `content` is what its answer depends on."""

    endpoint: str
    request: ModelRequest
    content: Mapping[str, Any]
    timeout_s: float | None


class _SharedCall(msgspec.Struct):
    """The call of agents with equal requests; `causes` are what all of them had read."""

    task: asyncio.Task[ModelCall]
    causes: Mapping[str, None]


class Models:
    """The models that the components of one run ask; used from one event loop.

    `folder` is that of the scenario, beside which a cassette lies. `spent` are calls and cost of
    earlier processes of the run.
    """

    def __init__(
        self,
        settings: ModelSettings,
        outcomes: Outcomes,
        folder: Path | None = None,
        spent: tuple[int, float] = (0, 0.0),
    ) -> None:
        self._settings = settings
        self._outcomes = outcomes
        calls, cost = spent
        limits = {"max_calls": settings.max_calls, "max_cost": settings.max_cost}
        self.budget = Budget(**limits, calls=calls, cost=cost)
        self._clients: dict[str, ModelClient] = {}
        self._shared: dict[tuple[int, str], _SharedCall] = {}
        self._cassette_file = (folder or Path()) / settings.cassette if settings.cassette else None
        self._cassette: Cassette | None = None

    async def ask(
        self,
        view: AskingView,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None = None,
        *,
        endpoint: str | None = None,
        share: bool = False,
        timeout_s: float | None = None,
    ) -> str:
        """Returns the answer of an endpoint's model, by default of the scenario's `default`.

        With `share` equal requests of a turn are one call. Raises ModelCallFailed; EndpointDown
        and BudgetSpent, which pause the run.
        """
        name, settings = self.endpoint(endpoint)
        content = {key: getattr(settings, key) for key in _SAMPLING}
        content |= {"messages": messages, "schema": schema}
        question = _Question(name, ModelRequest(tuple(messages), schema), content, timeout_s)
        if share:
            call = await self._ask_once(view, question)
        else:
            causes = view.causes
            call = await self._call(f"{view.turn}.{view.phase}.{view.agent_id}", question)
            call.causes = causes
        view.called(call)
        return call.outcome.text()

    async def close(self) -> None:
        """Closes all connections."""
        for client in self._clients.values():
            await client.close()

    def endpoint(self, name: str | None) -> tuple[str, EndpointSettings]:
        """Returns the name and settings of an endpoint; raises ThenceError for an unknown one."""
        endpoints = self._settings.endpoints
        name = name or self._settings.default or next(iter(endpoints), "")
        if name not in endpoints:
            near = nearest(name, [*endpoints], likeness=0)
            raise ThenceError(
                "could not ask a model",
                place=f"at endpoint {name}" if name else "",
                cause="the scenario's section llm has no such endpoint",
                hint=f"the nearest is {near[0]}" if near else "write llm: {endpoints: …}",
            )
        return name, endpoints[name]

    async def _ask_once(self, view: AskingView, question: _Question) -> ModelCall:
        """Returns the one call of a turn for equal requests."""
        for key in [key for key in self._shared if key[0] != view.turn]:
            del self._shared[key]
        key = (view.turn, request_digest(question.content))
        shared = self._shared.get(key)
        if shared is None:
            task = asyncio.create_task(self._call(f"{view.turn}.{SHARED}.-", question))
            shared = self._shared[key] = _SharedCall(task, view.causes)
        else:
            own = view.causes
            shared.causes = {cause: None for cause in shared.causes if cause in own}
        call = await asyncio.shield(shared.task)
        call.causes, call.is_shared = shared.causes, True
        return call

    async def _call(self, step: str, question: _Question) -> ModelCall:
        key = self._outcomes.key(step, question.content)
        recorded = self._outcomes.known(key)
        if recorded is None:
            answer = await self._answer(key, question)
            recorded = self._outcomes.record(key, msgspec.to_builtins(answer))
        return ModelCall(key[1], question.request.messages, _answer_of(recorded), {})

    async def _answer(self, key: Key, question: _Question) -> RecordedAnswer:
        """Asks the cassette or the endpoint; what pauses the run is no answer and is raised."""
        if self._cassette_file is not None:
            self._cassette = self._cassette or Cassette(self._cassette_file)
            return self._cassette.take(key)
        name = question.endpoint
        client = self._clients.get(name)
        if client is None:
            slots = variable("THENCE_SIM_SLOTS")
            settings = self._settings.endpoints[name]
            folder = Path(slots) if slots else None
            client = self._clients[name] = ModelClient(name, settings, self.budget, folder)
        try:
            answer = await client.ask(question.request, timeout_s=question.timeout_s)
        except ModelCallFailed as error:
            words = (error.operation, error.place, error.cause, error.hint)
            paid = error.answer if isinstance(error.answer, ModelAnswer) else None
            attempts = cast(tuple[Attempt, ...], error.attempts)
            return RecordedAnswer(name, paid, words, attempts)
        return RecordedAnswer(name, answer)


def check_endpoints(settings: ModelSettings, names: Iterable[str | None]) -> None:
    """Raises ThenceError if one of these endpoints can't be asked, for want of its key above all.

    None stands for the default; a cassette needs none of them.
    """
    models = Models(settings, Outcomes())
    for name in dict.fromkeys(() if settings.cassette else names):
        ModelClient(*models.endpoint(name), models.budget).check()


def model_answers(outcomes: Iterable[RecordedOutcome]) -> Iterator[tuple[str, RecordedAnswer]]:
    """Yields each recorded answer of a model, or failure, with the step that asked."""
    for outcome in outcomes:
        if isinstance(outcome.value, dict) and outcome.value.get("kind") == _KIND:
            yield outcome.step, _answer_of(outcome)


def usage(outcomes: Iterable[RecordedOutcome]) -> dict[str, Any]:
    """Returns calls, failures, tokens and cost by agent and by model; {} if no model was asked.

    A shared call counts for the agent `shared`. A cost is null where no call has one.
    """
    sums: dict[str, dict[str, dict[str, Any]]] = {"by_agent": {}, "by_model": {}}
    for step, recorded in model_answers(outcomes):
        _, phase, agent = step.split(".", 2)
        answer = recorded.answer
        whose = SHARED if phase == SHARED else agent if agent != "-" else phase
        model = answer.model if answer else recorded.endpoint
        for section, name in (("by_agent", whose), ("by_model", model)):
            entry = sums[section].setdefault(name, dict.fromkeys(_SUMS, 0) | {"cost": None})
            entry["calls"] += 1
            entry["failed"] += recorded.failure is not None
            for key in ("tokens_in", "tokens_out", "tokens_cached"):
                entry[key] += (answer and getattr(answer, key)) or 0
            if answer and answer.cost is not None:
                entry["cost"] = (entry["cost"] or 0.0) + answer.cost
    return sums if sums["by_agent"] else {}


def spent(outcomes: Iterable[RecordedOutcome]) -> tuple[int, float]:
    """Returns how many calls were made, and what they cost."""
    costs = [recorded.answer and recorded.answer.cost for _, recorded in model_answers(outcomes)]
    return len(costs), sum(cost or 0.0 for cost in costs)


def write_cassette(outcomes: Iterable[RecordedOutcome], path: Path) -> int:
    """Writes the recorded answers of models to a file, for `llm: {cassette: …}`.

    Failures are left out. Returns the number of answers; raises ThenceError for a run without any.
    """
    lines = [
        outcome
        for outcome in outcomes
        if any(recorded.failure is None for _, recorded in model_answers([outcome]))
    ]
    if not lines:
        raise ThenceError(
            "could not make a cassette",
            place=path,
            cause="the run has no answers of models",
            hint="name a run of a scenario with agents that ask models",
        )
    lines.sort(key=lambda line: int(line.step.partition(".")[0]))
    replace_file(path, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return len(lines)


def _answer_of(outcome: RecordedOutcome) -> RecordedAnswer:
    return msgspec.convert(outcome.value, RecordedAnswer)
