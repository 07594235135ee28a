"""Agents, validators and engines that ask models, and agents that follow a script.

The bases have two methods: the messages to the model, and what its answer means. An answer that
can't be used is asked for once more, with the reason; nothing is guessed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from inspect import iscoroutinefunction
from json import JSONDecodeError
from math import inf
from typing import Annotated, Any, TypeVar

import msgspec

from thence.core.ready import ready
from thence.errors import ThenceError
from thence.sim.models.actions import (
    AGENTS,
    HEARD,
    INSIGHT_SCHEMA,
    NEIGHBOURS,
    NO_ACTION,
    SAY,
    ActionSet,
    DeclaredAction,
    TalkSettings,
    action_set,
    as_json,
    repaired_note,
    talk_reach,
)
from thence.sim.models.client import ModelCallFailed, ModelRequest
from thence.sim.models.completions import readings
from thence.sim.models.vectors import likeness
from thence.sim.run.agents import (
    Action,
    BaseAgent,
    BaseValidator,
    Decision,
    Observation,
    RecordedState,
    RecordedView,
    TurnOutcome,
    Verdict,
)
from thence.sim.run.engine import BaseEngine, View
from thence.sim.scenario.component_classes import ComponentNotFound, load
from thence.sim.scenario.scenario import SimulationConfig

T = TypeVar("T")
MemorySize = Annotated[int, msgspec.Meta(ge=0, le=1_000)]
_Actions = tuple[DeclaredAction, ...]
_Count = Annotated[int, msgspec.Meta(ge=1)]
Message = Mapping[str, str]
_Messages = Annotated[tuple[dict[str, str], ...], msgspec.Meta(min_length=1)]
RECALLED_MAX = 10
TOKEN_CHARACTERS = 4
_REFLECTION = """\
What do you conclude from what you remember?
Answer with JSON and nothing else, such as {"note": "...", "importance": 5}
The note is your conclusion; its importance is from 1 to 10."""
_EMPTY = "Your last answer was empty. Answer again, as instructed."
_JSON_ALONE = "Write only the JSON object, without a code fence around it and without other text."


async def ask(
    view: RecordedView,
    messages: Sequence[Message],
    take: Callable[[str], T],
    schema: Mapping[str, Any] | None = None,
    *,
    endpoint: str | None = None,
) -> T:
    """Returns what `take` makes of the answer of a model, at the scenario's default endpoint.

    An answer of no use as it is is tried without its thoughts, and without its only code fence.
    Where `take` raises a ValueError, or an error of msgspec, for each of these, or the answer is
    empty, the model is asked once more, with the reason. Raises `model_call_failed` where no answer
    comes, or none that can be used.
    """
    models, step = view.ledger.models, f"{view.turn}.{view.phase}.{view.agent_id}"
    place = f"for {'the engine' if view.agent_id == '-' else view.agent_id} in turn {view.turn}"
    if models is None:
        cause, hint = "the scenario has no section llm", "write llm: {endpoints: …}"
        raise ThenceError("could not ask a model", place=place, cause=cause, hint=hint)
    try:
        request = ModelRequest(tuple(messages), schema)
        msgspec.convert(request.messages, ready(_Messages))
    except (TypeError, msgspec.ValidationError) as error:
        cause = f"messages returned {messages!r:.80}, which no model takes: {error}"
        hint = 'return [{"role": "user", "content": text}]'
        raise ThenceError("could not ask a model", place=place, cause=cause, hint=hint) from error
    first = request
    await asyncio.sleep(0)  # all agents' prompts come before the first request
    while True:
        call = await models.ask(step, request, view.causes.keys(), endpoint=endpoint)
        view._called(call)
        if call.outcome.is_empty and request is first:
            request = ModelRequest(tuple(with_words(messages, _EMPTY)), schema)
            continue
        answer = call.outcome.text()
        try:
            result = _taken(take, answer)
        except Exception as error:  # boundary: the user's code may raise anything
            models.judge(call, str(error) or type(error).__name__)
            if not isinstance(error, ValueError | msgspec.MsgspecError):
                raise
            if request is not first:
                cause, hint = f"the second one too: {error}", "ask another model, or differently"
                operation = "could not use the model's answers"
                raise ModelCallFailed(operation, place=place, cause=cause, hint=hint) from error
            reason = f"That can't be used: {error}. Answer again, as instructed."
            if isinstance(error, JSONDecodeError) or type(error) is msgspec.DecodeError:
                reason = f"That can't be used. {_JSON_ALONE}"
            repair = (_message("assistant", answer), _message("user", reason))
            request = ModelRequest((*messages, *repair), schema)
        else:
            models.judge(call)
            return result


def with_words(messages: Sequence[Message], text: str) -> list[Message]:
    """Returns messages with a text of the user's behind them; some models refuse two in a row."""
    *earlier, last = messages
    if last.get("role") == "user":
        return [*earlier, {**last, "content": f"{last['content']}\n\n{text}"}]
    return [*messages, _message("user", text)]


def _taken(take: Callable[[str], T], answer: str) -> T:
    """Returns what `take` makes of the first reading of an answer that it can use."""
    *earlier, last = readings(answer)
    for reading in earlier:
        with suppress(ValueError, msgspec.MsgspecError):
            return take(reading)
    return take(last)


def read_values(view: RecordedView, patterns: Sequence[str], own: str) -> str:
    """Returns the variables that fit patterns, as lines of text; a bare name is one of `own`.

    What the view can't see is left out. Raises ThenceError for a pattern that no variable fits.
    """
    table, lines = view.ledger.table, []
    for pattern in patterns:
        scope, _, name = pattern.rpartition("/")
        subject = f"{scope or own}/{name}"
        if "*" in subject:
            fitting = [one for one in table if fnmatchcase(one.subject, subject)]
        else:
            fitting = [table[table.index(scope or own, name)]]
        if not fitting:
            raise table.unknown(scope or own, name)
        for one in fitting:
            if view.sees(one.scope, one.declaration.name):
                label = one.subject if scope else name
                lines.append(f"{label} = {as_json(view.value(one.index))}")
    return "\n".join(lines)


class LLMAgent(BaseAgent):
    """An agent that asks a model: a child has `messages` and `action`.

    `endpoint` is one of the scenario's section `llm`, by default its `default`. `schema` is the
    JSON Schema of an answer, if any.
    """

    asks_models = True
    schema: Mapping[str, Any] | None = None

    def __init__(self, name: str, *, endpoint: str | None = None) -> None:
        super().__init__(name)
        self.endpoint = endpoint

    def asks(self, observation: Observation) -> bool:
        """Reports whether the agent asks its model in this turn; if not, it does nothing."""
        return True

    async def prepare(self, observation: Observation) -> None:
        """Awaits what `messages` needs; it is called before it, and does nothing by default."""

    def messages(self, observation: Observation) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        raise NotImplementedError(f"{type(self).__name__} asks nothing")

    def action(self, answer: str, observation: Observation) -> Decision:
        """Returns the decision that an answer means; raises ValueError if it means none."""
        raise NotImplementedError(f"{type(self).__name__} decides nothing")

    async def decide_action(self, observation: Observation) -> Decision:
        """Asks the model and returns the decision; raises `model_call_failed`."""
        if not self.asks(observation):
            return None
        await self.prepare(observation)
        return await ask(
            observation,
            self.messages(observation),
            lambda answer: self.action(answer, observation),
            self.schema,
            endpoint=self.endpoint,
        )


class MemoryRecord(msgspec.Struct, frozen=True):
    """What an agent remembers of a turn, or has concluded in it; `importance` is 1 to 10."""

    turn: int
    importance: int
    text: str

    def weight(self, turn: int) -> tuple[float, int]:
        """Returns how much the record matters in a turn: its importance, half after 10 turns."""
        return self.importance * 10 / (10 + turn - self.turn), self.turn


class MemorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory of an agent: `size` records are kept, those that weigh most.

    A prompt recalls 10 of them, or `tokens` of 4 characters. `embed` is an endpoint of embeddings,
    or a function of a text, `./file.py:name`: then a record is recalled the sooner, the more it is
    like what the agent sees and hears. Every `reflect` turns a model is asked for an insight, which
    is a record too.
    """

    size: MemorySize = 100
    tokens: _Count | None = None
    embed: str | None = None
    reflect: _Count | None = None


class PromptedAgent(LLMAgent):
    """An agent that is all scenario: a prompt, declared actions, what it sees.

    `sees` are variables, by default all of its own: `money`, `global/price`, `agent/*/offer`.
    `memory` is how many records it keeps, see MemorySettings; with `talk` it hears others and may
    `say` something to them.
    """

    def __init__(
        self,
        name: str,
        config: SimulationConfig | None = None,
        *,
        prompt: str = "",
        actions: tuple[DeclaredAction, ...] = (),
        sees: tuple[str, ...] | None = None,
        memory: MemorySize | MemorySettings = 0,
        talk: bool | TalkSettings = False,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(name, endpoint=endpoint)
        self.prompt, self.talk = prompt, talk
        self.memory = MemorySettings(size=memory) if isinstance(memory, int) else memory
        self.remembers = self.memory.size > 0
        self._declared = _Declared(actions, talk, config, self.remembers)
        self.actions = self._declared.of(name)
        self.schema = self.actions.schema
        self.sees = sees
        embed, self._embed = self.memory.embed or "", None
        if ":" in embed:
            self._embed = function_of("memory: embed", embed, config)
        elif embed and config and embed not in config.llm.endpoints:
            raise ValueError(f"memory: embed: there is no endpoint {embed!r}")
        self._likeness: dict[str, float] = {}  # of records by text, to what it sees now
        self._records: list[MemoryRecord] = []
        self._note: tuple[str, int] | None = None

    def asks(self, observation: Observation) -> bool:
        """Reports whether the agent has an action now, where it has declared any."""
        self.actions = self._declared.of(self.name, observation)
        return bool(self.actions) or not self._declared.actions

    async def prepare(self, observation: Observation) -> None:
        """Learns how much each record is like what the agent sees and hears, with `embed`."""
        models, embed = observation.ledger.models, self.memory.embed
        if models is None or not embed or not self._records:
            return
        texts = ["\n\n".join(self._situation(observation)), *(one.text for one in self._records)]
        asked = (models.vector(text, embed, self._embed) for text in texts)
        now, *others = await asyncio.gather(*asked)
        pairs = zip(texts[1:], others, strict=True)
        self._likeness = {text: likeness(now, vector) for text, vector in pairs}

    def messages(self, observation: Observation) -> Sequence[Message]:
        """Returns the prompt with the actions, then what the agent sees, hears and remembers."""
        self.actions = self._declared.of(self.name, observation)
        self.schema = self.actions.schema
        parts = [*self._situation(observation), *self._recalled(observation)]
        refused = (_deed(one.action, one.verdict) for one in observation.rejections)
        parts += [f"Refused in this turn: {deed}" for deed in refused]
        system = "\n\n".join(filter(None, (self.prompt.strip(), self.actions.text)))
        return [_message("system", system), _message("user", "\n\n".join(parts))]

    def _situation(self, observation: Observation) -> list[str]:
        """Returns the parts of a prompt with what the agent sees and hears."""
        own = f"agent/{self.name}"
        names = observation.ledger.table.names(own)
        sees = [name for name in names if name != HEARD] if self.sees is None else self.sees
        parts = [self._beginning(observation)]
        if values := read_values(observation, sees, own):
            parts.append(f"You see:\n{values}")
        if HEARD in names:
            lines = [f"{who}: {as_json(text)}" for _, who, text in observation[HEARD]]
            parts += ["\n".join(["You hear:", *lines])] if lines else []
        return parts

    def action(self, answer: str, observation: Observation) -> Decision:
        """Returns the declared action that an answer holds, or None."""
        taken = self.actions.answer(answer)
        self._note = (taken.note, taken.importance) if self.remembers else None
        for call in observation.calls[-1:]:
            call.repairs = taken.repairs
        return None if taken.name == NO_ACTION else Action(taken.name, taken.fields)

    async def learn(self, outcome: TurnOutcome) -> None:
        """Remembers the note of the turn with what was refused and done; reflects if it is time."""
        note, self._note = self._note, None
        if note:
            done = " and ".join(map(_deed, outcome.applied)) or "nothing"
            refused = [f"Refused: {_deed(one.action, one.verdict)}." for one in outcome.refused]
            no = [one.action for one in outcome.refused]
            # the note of a decision that a branch has altered is none of this history
            is_own = outcome.applied == tuple(one for one in outcome.decided if one not in no)
            text = " ".join([*([as_json(note[0])] * is_own), *refused, f"I did {done}."])
            self._remember(MemoryRecord(outcome.turn, note[1], text))
        if self._records and self.memory.reflect and outcome.turn % self.memory.reflect == 0:
            await self._reflect(outcome.observation)

    def get_state(self) -> list[Any]:
        """Returns the records."""
        return [msgspec.to_builtins(record) for record in self._records]

    def set_state(self, state: Sequence[Any]) -> None:
        """Takes the records back."""
        self._records = msgspec.convert(state, ready(list[MemoryRecord]))

    def _beginning(self, observation: Observation) -> str:
        return f"You are {self.name}. It is turn {observation.turn}."

    def _remember(self, record: MemoryRecord) -> None:
        self._records.append(record)
        if len(self._records) > self.memory.size:  # of equally heavy ones the older goes
            self._records.remove(min(self._records, key=lambda one: one.weight(record.turn)))

    def _recalled(self, observation: Observation) -> list[str]:
        """Returns the part of a prompt with what is recalled, if anything is."""
        tokens, alike = self.memory.tokens, self._likeness

        def weight(record: MemoryRecord) -> tuple[float, int]:
            weight, turn = record.weight(observation.turn)
            return weight * alike.get(record.text, 1.0), turn

        records = sorted(self._records, key=weight, reverse=True)
        room, lines = TOKEN_CHARACTERS * tokens if tokens else inf, list[tuple[int, str]]()
        for record in records if tokens else records[:RECALLED_MAX]:
            line = f"turn {record.turn}: {record.text}"
            if len(line) < room:
                lines.append((record.turn, line))
                room -= len(line) + 1
        lines.sort(key=lambda one: one[0])
        return ["\n".join(["You remember:", *(line for _, line in lines)])] if lines else []

    async def _reflect(self, observation: Observation) -> None:
        """Asks for an insight; where none comes, the agent goes on without it."""
        self._likeness = {}  # which a decision that failed may have left, and a replay has not
        system = "\n\n".join(filter(None, (self.prompt.strip(), _REFLECTION)))
        user = "\n\n".join([self._beginning(observation), *self._recalled(observation)])
        messages = [_message("system", system), _message("user", user)]

        def take(answer: str) -> tuple[str, int]:
            note, importance, repairs = repaired_note(msgspec.json.decode(answer))
            if not note:
                raise ValueError("note is missing")
            observation.calls[-1].repairs = tuple(repairs)
            return note, importance

        with suppress(ModelCallFailed):
            note, importance = await ask(
                observation, messages, take, INSIGHT_SCHEMA, endpoint=self.endpoint
            )
            record = MemoryRecord(observation.turn, importance, f"I conclude: {as_json(note)}")
            self._remember(record)


def _deed(action: Action, refusal: Verdict | None = None) -> str:
    reason = f": {as_json(refusal.reason)}" if refusal else ""
    return f"{action.action_type} {as_json(dict(action.payload))}{reason}"


class ScriptedAgent(BaseAgent):
    """An agent that follows a script: a list of actions by turn, or a function.

    Entry n of `script` is the action of turn n, as `{do: give, to: ben}`, or none. `function` is
    `./file.py:name` or `package.module:name`: it takes the observation and returns a decision.
    """

    remembers = False

    def __init__(
        self,
        name: str,
        config: SimulationConfig | None = None,
        *,
        script: tuple[dict[str, Any] | None, ...] = (),
        function: str | None = None,
        talk: bool | TalkSettings = False,
    ) -> None:
        super().__init__(name)
        self.talk = talk
        self._script = script
        if any(entry and "do" not in entry for entry in script):
            raise ValueError("script has an entry without do, which names the action")
        self._function = function_of("function", function, config) if function else None

    def decide_action(self, observation: Observation) -> Any:
        """Returns what the script has for this turn."""
        if self._function is not None:
            return self._function(observation)
        fields = dict(dict(enumerate(self._script, 1)).get(observation.turn) or {})
        return Action(str(fields.pop("do", NO_ACTION)), fields) if fields else None


def function_of(key: str, function: str, config: SimulationConfig | None) -> Any:
    """Returns the function that a key names; raises a ValueError that begins with the key."""
    if ":" not in function:
        raise ValueError(f"{key} is written as ./FILE.py:NAME or PACKAGE.MODULE:NAME")
    try:
        folder = config.source.parent if config and config.source else None
        loaded = load(*function.rpartition(":")[::2], folder)
    except ComponentNotFound as error:
        raise ValueError(f"{key}: {error}") from error
    if not callable(loaded):
        raise ValueError(f"{key}: there is no function {function}")
    return loaded


class _Declared:
    """The actions that an agent's entry declares, some of which depend on who there is."""

    def __init__(
        self, actions: _Actions, talk: object, config: SimulationConfig | None, has_notes: bool
    ) -> None:
        self.actions, self._has_notes, self._reach = actions, has_notes, talk_reach(talk)
        fields = [field for action in actions for field in action.fields.values()]
        self._words = {self._reach, *(field.choices for field in fields)}
        if NEIGHBOURS in self._words and config and not config.spatial.has_world:
            key = "talk" if self._reach == NEIGHBOURS else "actions"
            raise ValueError(f"{key}: neighbours are those in a grid or network of spatial")
        agents = config.agents if config and self._reach else ()
        self._hearers = [one.name for one in agents if talk_reach(one.params.get("talk"))]

    def of(self, agent: str, view: RecordedView | None = None) -> ActionSet:
        """Returns the actions of an agent, with the names that it can choose in a view."""
        names, receivers = dict[str, list[str]](), [one for one in self._hearers if one != agent]
        if view is not None and (self._reach or AGENTS in self._words):
            names[AGENTS] = [name for name in view.agents() if name != agent]
            receivers = [name for name in names[AGENTS] if name in view.ledger.talks]
        if view is not None and NEIGHBOURS in self._words:
            near = names[NEIGHBOURS] = view.world_map.agents_within(agent, 1)
            if self._reach == NEIGHBOURS:
                receivers = [name for name in near if name in receivers]
        actions = self.actions
        if view is not None:

            def value(name: str) -> object:
                scope, _, own = name.rpartition("/")
                return view.get(scope or f"agent/{agent}", own)

            actions = tuple(action for action in actions if action.is_open(value))
        return action_set(actions, receivers, has_notes=self._has_notes, names=names)


class DeclaredValidator(BaseValidator):
    """The validator that refuses what an agent has not declared; other agents may do anything."""

    def __init__(self, config: SimulationConfig | None = None) -> None:
        super().__init__(config)
        self._declared: dict[str, _Declared] = {}
        for agent in config.agents if config else ():
            params, talk = agent.params, agent.params.get("talk")
            if "actions" in params or talk_reach(talk):
                actions = msgspec.convert(params.get("actions", ()), ready(_Actions))
                self._declared[agent.name] = _Declared(actions, talk, config, False)

    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Refuses an action that differs from its declaration, with the reason."""
        declared = self._declared.get(action.agent_id)
        if declared is None or not (declared.actions or action.action_type == SAY):
            return Verdict.accept()
        fault = declared.of(action.agent_id, state).fault(action.action_type, action.payload)
        return Verdict.reject(fault) if fault else Verdict.accept()


class LLMValidator(BaseValidator):
    """A validator that asks a model: a child has `messages` and `verdict`."""

    asks_models = True
    endpoint: str | None = None
    schema: Mapping[str, Any] | None = None

    def messages(self, action: Action, state: RecordedState) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        raise NotImplementedError(f"{type(self).__name__} asks nothing")

    def verdict(self, answer: str, action: Action, state: RecordedState) -> Verdict:
        """Returns the verdict that an answer means; raises ValueError if it means none."""
        raise NotImplementedError(f"{type(self).__name__} judges nothing")

    async def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Asks the model and returns its verdict; raises `model_call_failed`."""
        return await ask(
            state,
            self.messages(action, state),
            lambda answer: self.verdict(answer, action, state),
            self.schema,
            endpoint=self.endpoint,
        )


class LLMEngine(BaseEngine):
    """An engine whose rules a model plays: a child has `messages` and `change`."""

    asks_models = True
    endpoint: str | None = None
    schema: Mapping[str, Any] | None = None

    def messages(self, view: View) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        raise NotImplementedError(f"{type(self).__name__} asks nothing")

    def change(self, answer: str, view: View) -> None:
        """Sets, by the view, what an answer says; raises ValueError if it means nothing."""
        raise NotImplementedError(f"{type(self).__name__} changes nothing")

    async def apply_engine_rules(self, view: View) -> None:
        """Asks the model, sets what it answers, all or nothing; raises `model_call_failed`."""

        if iscoroutinefunction(self.change):  # nobody would await it, and nothing be changed
            raise TypeError(f"{type(self).__name__}.change must not be async")

        def take(answer: str) -> None:
            try:
                with view._whole_or_nothing():
                    self.change(answer, view)
            except ThenceError as error:  # such as a value that its variable can't hold
                raise ValueError(str(error)) from error

        await ask(view, self.messages(view), take, self.schema, endpoint=self.endpoint)


def _message(role: str, text: str) -> Message:
    return {"role": role, "content": text}
