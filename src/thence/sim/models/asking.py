"""Questions to models: each answer is recorded before anything depends on it, and paid for once.

By resume, replay and branch it is taken from `outcomes.jsonl`. A cassette is such a file of another
run, and answers in place of endpoints.
"""

import asyncio
from collections.abc import Callable, Iterable, KeysView
from hashlib import blake2b
from inspect import isawaitable
from pathlib import Path
from typing import Any

import msgspec

from thence.core.ready import ready
from thence.errors import ThenceError
from thence.sim.models.client import (
    Attempt,
    Budget,
    ModelAnswer,
    ModelCallFailed,
    ModelClient,
    ModelRequest,
    SchemaMode,
    sent_messages,
)
from thence.sim.models.limits import ModelsUnavailable, chance
from thence.sim.models.settings import ModelSettings
from thence.sim.models.vectors import Vector, packed, unpacked
from thence.sim.record.outcomes import (
    CALL,
    Key,
    Outcomes,
    RecordedOutcome,
    read_lines,
    request_digest,
)

_TOKENS = ("tokens_in", "tokens_out", "tokens_cached")
_COUNTS = ("calls", "requests", "failed", "unusable", "without_tokens", "without_cost", *_TOKENS)
_FAULT_CHARACTERS_MAX = 1_000
# the phase of requests whose call a pause ended
_ENDED = "ended"
_RANDOM_BITS = 53  # so that each of them has a key of its own


class RecordedAnswer(msgspec.Struct, frozen=True, tag_field="kind", tag=CALL, omit_defaults=True):
    """The outcome of one call: an answer, or a failure with its attempts, or both.

    An answer with a failure can't be used, and was paid for; nor can one with a `fault`, which is
    why the component that asked refused it.
    """

    endpoint: str
    answer: ModelAnswer | None = None
    failure: str = ""
    attempts: tuple[Attempt, ...] = ()
    fault: str = ""

    @property
    def schema_mode(self) -> SchemaMode:
        """How the last request held its schema, "" for none."""
        last = self.attempts[-1] if self.attempts else self.answer
        return last.schema_mode if last else ""

    @property
    def is_empty(self) -> bool:
        """True for an answer without text."""
        return bool(self.attempts) and self.attempts[-1].reason == "empty"

    @property
    def requests(self) -> tuple[Attempt, ...]:
        """The requests without a usable answer, of which the last one has its answer here."""
        return self.attempts or (self.answer.attempts if self.answer else ())

    @property
    def is_unusable(self) -> bool:
        """True for an answer that came, and could not be used."""
        return self.answer is not None and bool(self.failure or self.fault)

    def text(self) -> str:
        """Returns the answer's text; raises ModelCallFailed for a failure."""
        if self.answer is None or self.failure:
            raise ModelCallFailed(self.failure, attempts=self.attempts, answer=self.answer)
        return self.answer.text


class ModelCall(msgspec.Struct, eq=False):
    """One call as its event `llm_call` tells it, whose id and details are empty until then.

    `causes` are those of what the prompt read. `is_used` once a component could use the answer,
    `is_new` if this process paid for it, `ends_run` if the run ended by its failure; `repairs` say
    what of the answer was read otherwise.
    """

    key: Key
    request_sent: ModelRequest
    outcome: RecordedAnswer
    causes: Iterable[str] = ()
    event_id: str = ""
    step: str = ""
    details: dict[str, Any] = {}
    is_used: bool = False
    is_new: bool = False
    ends_run: bool = False
    repairs: tuple[str, ...] = ()

    @property
    def request(self) -> str:
        """The digest of the request."""
        return self.key[1]

    @property
    def sums(self) -> dict[str, Any]:
        """The facts of the call that its repetition has too."""
        answer = self.outcome.answer
        return {
            "endpoint": self.outcome.endpoint,
            **{name: answer and getattr(answer, name) for name in ("model", *_TOKENS)},
            "attempts": msgspec.to_builtins(self.outcome.requests),
        }

    @property
    def facts(self) -> dict[str, Any]:
        """All facts of the call."""
        answer = self.outcome.answer
        facts = {name: answer and getattr(answer, name) for name in ("latency_s", "cost")}
        mode, schema = self.outcome.schema_mode, self.request_sent.schema
        messages = [dict(message) for message in sent_messages(self.request_sent, mode)]
        if schema is not None:  # as text, of which a log keeps a long one once
            text = msgspec.json.encode(schema).decode() if mode == "enforced" else None
            facts |= {"schema_mode": mode, "schema": text}
        return {**self.sums, **facts, "messages": messages, "answer": answer and answer.text}

    def fill_details(self) -> None:
        """Makes the details of the event, in place: the view of an engine writes it early."""
        error = self.outcome.failure or self.outcome.fault
        self.details.clear()
        self.details |= {"error_type": CALL, "status": "failure" if error else "success"}
        self.details |= {"retry_count": 0, **self.facts, **({"error": error} if error else {})}
        self.details |= {"ends_run": True} if self.ends_run else {}
        self.details |= {"repairs": self.repairs} if self.repairs else {}


def seed_of(seed: int, step: str) -> int:
    """Returns the number, of 31 bits, by which a model draws for one step of a run."""
    digest = blake2b(f"{seed}\x00{step}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1


class Models:
    """The models that the components of one run ask; used from one event loop.

    `seed` is the run's, `folder` that of the scenario, beside which a cassette lies.
    """

    def __init__(
        self, settings: ModelSettings, outcomes: Outcomes, seed: int, folder: Path | None = None
    ) -> None:
        self._settings = settings
        self.seed = seed
        self._outcomes = outcomes
        spent = usage(outcomes.own).get("by_model", {}).values()
        self._budget = Budget(
            max_calls=settings.max_calls,
            max_cost=settings.max_cost,
            requests=sum(entry["requests"] for entry in spent),
            cost=sum(entry["cost"] or 0.0 for entry in spent),
            unpriced=sum(entry["without_cost"] for entry in spent),
        )
        self._clients: dict[str, ModelClient] = {}
        self._turn = ""
        # of all texts of the run, by the digest of their request
        self._vectors: dict[str, asyncio.Task[Vector]] = {}
        self.embed_step = "0.embed.-"  # of all turns: a text has one vector in a run
        self._last_calls: dict[str, ModelCall] = {}  # of the agents that decide in this turn
        self._cassette_file = (folder or Path()) / (settings.cassette or "")
        self._cassette: dict[str, dict[Key, RecordedOutcome]] | None = None

    async def ask(
        self,
        step: str,
        request: ModelRequest,
        causes: KeysView[str],
        *,
        endpoint: str | None = None,
    ) -> ModelCall:
        """Returns the answered, or failed, call of a step: `<turn>.<phase>.<agent>`.

        Raises ModelsUnavailable, which pauses the run.
        """
        endpoints = self._settings.endpoints
        name = endpoint or self._settings.default or next(iter(endpoints))
        if (settings := endpoints.get(name)) is None:
            hint = f"section llm of the scenario has {', '.join(endpoints)}"
            cause = f"there is no endpoint {name}"
            raise ThenceError("could not ask a model", place=f"at {step}", cause=cause, hint=hint)
        turn = step.partition(".")[0]
        if settings.seed == "run":
            request = msgspec.structs.replace(request, terms={"seed": seed_of(self.seed, step)})
        terms = {**settings.terms, **request.terms}
        content = {**terms, "messages": request.messages, "schema": request.schema}
        if turn != self._turn:
            self._turn = turn
            self._last_calls.clear()
        key = self._outcomes.key(step, content)
        recorded, is_new = self._outcomes.known(key), False
        if recorded is None:
            is_new = not self._settings.cassette
            take = self._answered if is_new else self._played
            answer = await take(key, name, request)
            recorded = self._outcomes.record(key, msgspec.to_builtins(answer))
        call = ModelCall(key, request, _answer_of(recorded), causes, is_new=is_new)
        self._last_calls[step] = call
        return call

    async def vector(
        self, text: str, by: str, function: Callable[[str], Any] | None = None
    ) -> Vector:
        """Returns the vector of a text `by` an endpoint, or by a function of this name.

        It is recorded as an answer is, and asked for once in a run, whoever needs it and when.
        Raises ModelCallFailed, ModelsUnavailable, and what the function raises.
        """
        settings = self._settings.endpoints.get(by)
        terms = settings.terms_of_embeddings if settings and not function else {"function": by}
        digest = request_digest({**terms, "input": text})
        if digest not in self._vectors:
            take = self._new_vector((self.embed_step, digest, 0), text, by, function)
            self._vectors[digest] = asyncio.create_task(take)
        try:
            return await asyncio.shield(self._vectors[digest])
        except Exception:  # boundary: of a function of the user's; the text may be asked for again
            self._vectors.pop(digest, None)
            raise

    async def _new_vector(
        self, key: Key, text: str, by: str, function: Callable[[str], Any] | None
    ) -> Vector:
        recorded = self._outcomes.known(key)
        if recorded is None and function is not None:
            numbers = function(text)
            numbers = await numbers if isawaitable(numbers) else numbers
            recorded = self._outcomes.record(key, packed(numbers))
        elif recorded is None:
            take = self._played if self._settings.cassette else self._answered
            answer = await take(key, by, ModelRequest(embeds=text))
            if answer.failure:  # it counts, and answers nobody
                key = (*key[:2], chance.getrandbits(_RANDOM_BITS))
            recorded = self._outcomes.record(key, msgspec.to_builtins(answer))
        is_own = isinstance(recorded.value, str)
        return unpacked(recorded.value if is_own else _answer_of(recorded).text())

    def useless_turn(self) -> str:
        """Returns that no agent could use an answer of this turn, if some were paid for now."""
        calls = [call for step, call in self._last_calls.items() if ".decide." in step]
        self._last_calls.clear()
        is_paid = any(call.is_new and call.outcome.is_unusable for call in calls)
        if not is_paid or any(call.is_used for call in calls):
            return ""
        return f"none of {len(calls)} agents that asked in this turn could use an answer"

    def judge(self, call: ModelCall, fault: str = "") -> None:
        """Records whether a component could use an answer; "" if it could."""
        call.is_used, fault = not fault, fault[:_FAULT_CHARACTERS_MAX]
        if call.outcome.fault != fault:
            call.outcome = msgspec.structs.replace(call.outcome, fault=fault)
            self._outcomes.amend(call.key, msgspec.to_builtins(call.outcome))
            if call.event_id:
                call.fill_details()

    async def close(self) -> None:
        """Ends what still asks, and closes all connections."""
        for task in self._vectors.values():
            task.cancel()
        await asyncio.gather(*self._vectors.values(), return_exceptions=True)
        for client in self._clients.values():
            await client.close()

    async def _answered(self, key: Key, name: str, request: ModelRequest) -> RecordedAnswer:
        """Asks the endpoint; what pauses the run is no answer, and is raised."""
        client = self._clients.get(name)
        try:
            if client is None:
                settings = self._settings.endpoints[name]
                client = ModelClient(name, settings, self._budget)
                client.check()
                self._clients[name] = client
            return RecordedAnswer(name, await client.ask(request))
        except ModelCallFailed as error:
            return RecordedAnswer(name, error.answer, str(error), error.attempts)
        except ModelsUnavailable as error:
            if error.attempts:  # a resume asks again; they count
                turn, _, agent = key[0].split(".", 2)
                ended = RecordedAnswer(name, failure=str(error), attempts=error.attempts)
                place = f"{turn}.{_ENDED}.{agent}", key[1], chance.getrandbits(_RANDOM_BITS)
                self._outcomes.record(place, msgspec.to_builtins(ended))
            raise
        except ThenceError as error:  # no key, say: no agent's policy can help that
            raise _down(error.operation, error.cause, error.hint, error.place) from error

    async def _played(self, key: Key, name: str, request: ModelRequest) -> RecordedAnswer:
        """Takes an outcome from the cassette: that of the same step, else the first answer."""
        if self._cassette is None:
            self._cassette = read_cassette(self._cassette_file)
        lines = self._cassette.get(key[1])
        if not lines:
            turn, _, agent = key[0].split(".", 2)
            place = f"for {agent} in turn {turn}"
            cause = f"cassette {self._cassette_file} has no answer to this request"
            hint = "prompt, state, model or sampling differ from its run's: ask an endpoint"
            raise _down("could not ask the model", cause, hint, place)
        answer = _answer_of(lines.get(key) or min(lines.values(), key=is_failure))
        return msgspec.structs.replace(answer, fault="")  # which is judged anew


def usage(outcomes: Iterable[RecordedOutcome]) -> dict[str, Any]:
    """Returns calls, tokens and cost by agent and by model; {} if no model was asked.

    `requests` were sent for the calls, `failed` counts calls without an answer, `unusable` those
    whose answer could not be used. Each answer is paid for; those that report no tokens, and those
    of unknown cost, are in no sum: `without_tokens` and `without_cost` count them. A cost is None
    where no call has one.
    """
    sums: dict[str, dict[str, dict[str, Any]]] = {"by_agent": {}, "by_model": {}}
    start = {**dict.fromkeys(_COUNTS, 0), "cost": None}
    for outcome in filter(_is_call, outcomes):
        _, phase, agent = outcome.step.split(".", 2)
        recorded = _answer_of(outcome)
        answer = recorded.answer
        answers = [answer, *(attempt.answer for attempt in recorded.requests)]
        model = next((paid.model for paid in answers if paid), recorded.endpoint)
        for section, name in (("by_agent", phase if agent == "-" else agent), ("by_model", model)):
            entry = sums[section].setdefault(name, {**start})
            entry["calls"] += phase != _ENDED
            entry["requests"] += len(recorded.requests) + (not recorded.failure)
            entry["failed"] += answer is None and phase != _ENDED
            entry["unusable"] += recorded.is_unusable
            for paid in filter(None, answers):
                entry["without_tokens"] += None in (paid.tokens_in, paid.tokens_out)
                entry["without_cost"] += paid.cost is None
                for key in _TOKENS:
                    entry[key] += getattr(paid, key) or 0
                if paid.cost is not None:
                    entry["cost"] = (entry["cost"] or 0.0) + paid.cost
    return sums if sums["by_agent"] else {}


def uselessness(outcomes: Iterable[RecordedOutcome]) -> str:
    """Returns that no answer of a model could be used; "" if one could, or none was asked."""
    calls = [_answer_of(outcome) for outcome in outcomes if _is_call(outcome)]
    answers = [call for call in calls if call.answer is not None]
    if not calls or any(not call.is_unusable for call in answers):
        return ""
    if not answers:
        return f"none of {len(calls)} calls got an answer"
    return f"none of {len(answers)} answers could be used"


def given_up(outcomes: Iterable[RecordedOutcome]) -> set[Key]:
    """Returns the keys of the calls with which each step ended that gave no usable answer."""
    keys: dict[str, list[Key]] = {}
    for outcome in filter(_is_call, outcomes):
        answer, of_step = _answer_of(outcome), keys.setdefault(outcome.step, [])
        if answer.answer is not None and not answer.is_unusable:
            of_step.clear()
        else:
            of_step.append((outcome.step, outcome.request, outcome.occurrence))
    return {key for of_step in keys.values() for key in of_step}


def is_failure(outcome: RecordedOutcome) -> bool:
    """Reports whether an outcome is that of a model which gave no answer."""
    return _is_call(outcome) and bool(_answer_of(outcome).failure)


def answered(outcomes: Iterable[RecordedOutcome]) -> list[RecordedOutcome]:
    """Returns the outcomes that are answers of models."""
    return [line for line in outcomes if _is_call(line) and not _answer_of(line).failure]


def read_cassette(path: Path) -> dict[str, dict[Key, RecordedOutcome]]:
    """Returns the answers in a file by request; raises ModelsUnavailable if it can't be read."""
    answers: dict[str, dict[Key, RecordedOutcome]] = {}
    try:
        for line in read_lines(path):
            key = line.step, line.request, line.occurrence
            answers.setdefault(line.request, {})[key] = line
        cause = "it holds no recorded answers"
    except OSError as error:
        cause = error.strerror or str(error)
    if not answers:
        hint = "name the outcomes.jsonl of a run, or a copy of it"
        raise _down("could not read", cause, hint, path)
    return answers


def _is_call(outcome: RecordedOutcome) -> bool:
    return isinstance(outcome.value, dict) and outcome.value.get("kind") == CALL


def _answer_of(outcome: RecordedOutcome) -> RecordedAnswer:
    try:
        return msgspec.convert(outcome.value, ready(RecordedAnswer))
    except msgspec.ValidationError as error:
        what, hint = f"could not read the recorded answer of {outcome.step}", "take it from a copy"
        raise _down(what, error, hint) from error


def _down(operation: str, cause: object, hint: str, place: object = "") -> ModelsUnavailable:
    code = "endpoint_down"
    return ModelsUnavailable(operation, place=place, cause=cause, hint=hint, code=code)
